"""An entry from `models.json` to `loras.json`: added there, then taken away here, and finished by whoever comes next
where the process dies in between."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import CatalogTrouble, NotALora, NotInCatalog
from .edit import with_member, without_entries
from .entries import LORAS, MODELS, Entry, lora_category
from .store import CatalogStore, Change

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
        for file in dict.fromkeys(entry.file for entry in loras):
            those = [entry for entry in loras if entry.file == file]
            category = lora_category(those[0].base_model)
            if file not in there:
                moved = moved or Promoted(PROMOTED, file, category)
            _move(change, version_id, those, category, append=file not in there)
        return moved or Promoted(ALREADY)


def _move(change: Change, version_id: int, those: Sequence[Entry], category: str, *, append: bool) -> None:
    """Move the entries of one file: one as a rule, more where a person has noted it twice."""
    file = those[0].file
    began = False
    try:
        if append:
            texts = _texts(change, those)
            change.intend({"version_id": version_id, "file": file, "category": category, "texts": texts})
            for text in texts:
                change.append(LORAS, category, text)
                began = True
        change.take(MODELS, lambda other: (other.version_id, other.file, other.dest) == (version_id, file, "loras"))
    except CatalogTrouble as error:
        if append and not began:
            raise
        raise CatalogTrouble(
            f"{file} stands in loras.json now, and its entry in models.json could not be taken away: {error} "
            "That is done as soon as the file can be written.",
            path=error.path,
        ) from error
    change.done()


def _texts(change: Change, those: Sequence[Entry]) -> list[str]:
    """Entries as they are written, each once, with a default `strength` where they have none."""
    wanted = {_written(entry.raw) for entry in those}
    _, found = without_entries(change.load(MODELS).document, lambda raw: _written(raw) in wanted)
    each = {_written(raw): (raw, text) for text in found for raw in [json.loads(text)]}
    return [text if "strength" in raw else with_member(text, "strength", _STRENGTH) for raw, text in each.values()]


def _written(raw: Mapping[str, Any]) -> str:
    """What an entry says, for comparing; a NaN in it equals itself."""
    return json.dumps(raw, sort_keys=True)
