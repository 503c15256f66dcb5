"""An entry from `models.json` to `loras.json`: added there, then taken away here, and finished by whoever comes next
where the process dies in between."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import CatalogTrouble, NotALora, NotInCatalog
from .answers import ALREADY, PROMOTED, Promoted
from .edit import entry_texts, with_member
from .entries import LORAS, MODELS, lora_category
from .store import CatalogStore, Change, is_lora_of

_STRENGTH = "1.0"  # what a LoRA is applied with until a person says otherwise


def promote(store: CatalogStore, version_id: int) -> Promoted:
    """Move a version's LoRA entry. Raises NotInCatalog, NotALora (its dest is not `loras`), CatalogTrouble and its kin.

    The entry's text is carried over as it stands, with a default `strength` where it has none."""
    with store.changing() as change:
        entries = change.load(MODELS).of_version(version_id)
        promoted = {entry.file for entry in change.load(LORAS).of_version(version_id)}
        loras = [entry for entry in entries if entry.dest == "loras"]
        if not loras:
            if promoted:
                return Promoted(ALREADY)
            if not entries:
                raise NotInCatalog(f"Version {version_id} is not in models.json.", path=str(store.path(MODELS)))
            raise NotALora(
                f"{entries[0].file} is no LoRA: its dest is {entries[0].dest!r}, and only `loras` can be promoted.",
                path=str(store.path(MODELS)),
            )
        answer = Promoted(ALREADY)
        for file in dict.fromkeys(entry.file for entry in loras):
            category = lora_category(next(entry.base_model for entry in loras if entry.file == file))
            is_new = file not in promoted
            if is_new and answer.status == ALREADY:
                answer = Promoted(PROMOTED, file, category)
            _move(change, version_id, file, category, append=is_new)
        return answer


def _move(change: Change, version_id: int, file: str, category: str, *, append: bool) -> None:
    """Move the entries of one file: one as a rule, more where a person has noted it twice."""
    has_arrived = False
    try:
        if append:
            texts = _texts(change, version_id, file)
            change.intend({"version_id": version_id, "file": file, "category": category, "texts": texts})
            for text in texts:
                change.append(LORAS, category, text)
                has_arrived = True
        change.remove(MODELS, lambda raw: is_lora_of(raw, version_id, file))
    except CatalogTrouble as error:
        if append and not has_arrived:
            raise
        raise CatalogTrouble(
            f"{file} stands in loras.json now, and its entry in models.json could not be taken away: {error} "
            "That is done as soon as the file can be written.",
            path=error.path,
        ) from error
    change.done()


def _texts(change: Change, version_id: int, file: str) -> list[str]:
    """The entries of a file as they are written, each once, with a default `strength` where they have none."""
    texts = entry_texts(change.load(MODELS).document, lambda raw: is_lora_of(raw, version_id, file))
    each = {_content(raw): (raw, text) for text in texts for raw in [json.loads(text)]}
    return [text if "strength" in raw else with_member(text, "strength", _STRENGTH) for raw, text in each.values()]


def _content(raw: Mapping[str, Any]) -> str:
    """What an entry says, for comparing; a NaN in it equals itself."""
    return json.dumps(raw, sort_keys=True)
