"""An entry from `models.json` to `loras.json`: added there, then taken away here, and finished by whoever comes next
where the process dies in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import CatalogTrouble, NotALora, NotInCatalog
from .entries import LORAS, MODELS, Entry, lora_category
from .store import CatalogStore, Change
from .text import with_member, without_entries

PROMOTED, ALREADY = "promoted", "already_exists"
_STRENGTH = "1.0"  # what a LoRA is applied with until a person says otherwise


@dataclass(frozen=True)
class Promoted:
    status: str
    file: str = ""
    category: str = ""

    def as_json(self) -> dict[str, Any]:
        """To the letter of facts/catalog.md."""
        if self.status == ALREADY:
            return {"status": ALREADY}
        return {"status": self.status, "file": self.file, "category": self.category}

    @property
    def report(self) -> str:
        """One sentence for a person."""
        if self.status == ALREADY:
            return "It is in loras.json already."
        return f"Moved to loras.json: {self.file} in {self.category}."


def promote(store: CatalogStore, version_id: int) -> Promoted:
    """Move a version's LoRA entry. Raises NotInCatalog (404) and NotALora (400, its dest is not `loras`).

    The entry's text is carried over as it stands, with a default `strength` where it has none."""
    with store.changing() as change:
        here = change.load(MODELS).of_version(version_id)
        there = {entry.file for entry in change.load(LORAS).of_version(version_id)}
        loras = [entry for entry in here if entry.dest == "loras"]
        if not loras:
            if there:
                return Promoted(ALREADY)
            if not here:
                raise NotInCatalog(f"Version {version_id} is not in models.json.", path=str(store.path(MODELS)))
            raise NotALora(
                f"{here[0].file} is no LoRA: its dest is {here[0].dest!r}, and only `loras` can be promoted.",
                path=str(store.path(MODELS)),
            )
        moved: Promoted | None = None
        for entry in {entry.file: entry for entry in loras}.values():
            category = lora_category(entry.base_model)
            if entry.file not in there:
                moved = moved or Promoted(PROMOTED, entry.file, category)
            _move(change, entry, category, append=entry.file not in there)
        return moved or Promoted(ALREADY)


def _move(change: Change, entry: Entry, category: str, *, append: bool) -> None:
    version_id = entry.version_id
    assert version_id is not None
    if append:
        _, texts = without_entries(change.load(MODELS).document, lambda raw: raw == entry.raw)
        text = texts[0] if "strength" in entry.raw else with_member(texts[0], "strength", _STRENGTH)
        change.intend({"version_id": version_id, "file": entry.file})
        change.append(LORAS, category, text)
    try:
        change.remove(MODELS, version_id, lambda other: (other.file, other.dest) == (entry.file, "loras"))
    except CatalogTrouble as error:
        raise CatalogTrouble(
            f"{entry.file} stands in loras.json now, and its entry in models.json could not be taken away: {error} "
            "That is done as soon as the file can be written.",
            path=error.path,
        ) from error
    change.done()
