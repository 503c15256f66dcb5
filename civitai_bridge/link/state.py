"""How the link stands, as a person reads it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

UNPAIRED, WAITING, ELSEWHERE = "unpaired", "waiting", "elsewhere"
CONNECTING, JOINED, REFUSED = "connecting", "joined", "refused"

_SENTENCES = {
    UNPAIRED: "Not linked. Add a Link on CivitAI's page and enter its code here.",
    WAITING: "Paired, but nothing runs: start ComfyUI, or run `civitai-bridge link run`.",
    ELSEWHERE: "Paired; another process (ComfyUI, or `civitai-bridge link run`) holds the link.",
    CONNECTING: "Connecting to CivitAI's relay.",
    JOINED: "Linked.",
    REFUSED: "CivitAI's relay does not take this link's key at the moment; it is kept and tried again.",
}


@dataclass(frozen=True)
class LinkState:
    """`state` is one of the words above; `detail` is what the relay or the network said, cleaned; `browsers` counts
    the pages in the room; `is_pairing` = a code was entered whose page has not come yet."""

    state: str = UNPAIRED
    detail: str = ""
    browsers: int = 0
    is_pairing: bool = False

    @property
    def sentence(self) -> str:
        """For a person."""
        sentence = _SENTENCES[self.state]
        if self.state == JOINED:
            pages = {0: "no page of CivitAI is", 1: "one page of CivitAI is"}
            sentence = f"Linked; {pages.get(self.browsers, f'{self.browsers} pages of CivitAI are')} open."
            if self.is_pairing:
                sentence = "The code is taken; waiting for CivitAI's page to be open, for some minutes."
        return f"{sentence} {self.detail}".strip()

    def as_json(self) -> dict[str, Any]:
        """For programs and the page; it holds no key."""
        return {**asdict(self), "sentence": self.sentence}
