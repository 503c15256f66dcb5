"""The state of the sandbox's site: how it behaves, and what was downloaded from it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from .money import Bank
from .storage import TROUBLES, Storage


@dataclass
class Website:
    """The site and how it behaves: `wire` is superjson or devalue; `delay` is a round trip in seconds; `login` whether
    downloads need a session; `blocked` refuses every download; `quota` downloads are free (0 = no limit)."""

    storage: Storage = field(default_factory=Storage)
    bank: Bank = field(default_factory=Bank)
    base: str = ""
    wire: str = "superjson"
    delay: float = 0.0
    login: bool = True
    blocked: bool = False
    quota: int = 0
    posthost: str = "undefined"
    downloads: int = 0

    def switch(self, name: str, value: Any) -> None:
        """Set one of the habits above, `signature_seconds`, `slowness`, or add to `storage_troubles`."""
        if name == "storage_troubles":
            if not set(value) <= set(TROUBLES):
                raise ValueError(f"storage knows {', '.join(TROUBLES)}")
            self.storage.troubles.extend(value)
        elif name in ("signature_seconds", "slowness"):
            setattr(self.storage, name.removeprefix("signature_"), float(value))
        elif name in {habit.name for habit in fields(self)} - {"storage", "bank", "base"}:
            setattr(self, name, value)
        else:
            raise ValueError(f"no such habit of the site: {name}")
