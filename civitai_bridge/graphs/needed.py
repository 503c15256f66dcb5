"""A model that a graph needs, with everything that is known of it, as the page and the command line show it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..catalog.add import restriction
from ..catalog.answers import Answer, Part
from ..catalog.parts import needed_parts
from ..resources.addresses import SITE, download_url
from ..resources.license import License, license_from_json
from ..resources.plain_text import one_line
from ..resources.version import ModelFile, ModelVersion, VersionImage
from ..website import Model
from .models import DISK, NamedModel
from .newer import NewerVersion

_MOST_NAMESAKES = 5  # that are named


@dataclass(frozen=True)
class NeededModel:
    """A model that a graph needs. `is_here`: its file is on this disk, `file` what a loader calls it (`""` where none
    does). `version_id` and `model_id` are CivitAI's, None where nobody knows them; `version` and `model` what CivitAI
    says, None where it was not asked or knows none. `url` is where a workflow says that it can be had. `namesakes` are
    the files here that are called so, where there are several and nobody knows which is meant."""

    named: NamedModel
    answer: Answer
    is_here: bool
    file: str = ""
    version_id: int | None = None
    model_id: int | None = None
    version: ModelVersion | None = None
    model: Model | None = None
    newer: NewerVersion | None = None
    preview: VersionImage | None = None
    url: str = ""
    namesakes: tuple[str, ...] = ()

    @property
    def is_missing(self) -> bool:
        """Whether it is needed on this disk and not here."""
        return self.named.place == DISK and not self.is_here

    @property
    def license(self) -> License | None:
        """What the creator allows; None where CivitAI was not asked."""
        return license_from_json(self.model.raw) if self.model is not None else None

    @property
    def trigger_words(self) -> tuple[str, ...]:
        """The words that the creator names for prompts."""
        if self.version is not None:
            return self.version.trained_words
        listed = self.model.versions if self.model is not None else ()
        return next((each.trained_words for each in listed if each.version_id == self.version_id), ())

    @property
    def reference(self) -> str:
        """What the file can be loaded by; `""` where nobody knows."""
        return self.named.reference or str(self.version_id or "")

    @property
    def size(self) -> int | None:
        """Bytes of the file that is meant; None where CivitAI was not asked or does not say."""
        return _size(self._file_meant())

    def _file_meant(self) -> ModelFile | None:
        if self.version is None:
            return None
        entry = self.answer.located.entry
        by_id = self.version.file_of_id(entry.file_id) if entry is not None else None
        by_name = next((file for file in self.version.files if file.name == self.named.name), None)
        return by_id or by_name or self.version.primary

    def as_json(self) -> dict[str, Any]:
        """What programs are told; no path of this machine is in it."""
        named, version, located = self.named, self.version, self.answer.located
        entry_base = located.entry.base_model if located.entry else ""
        return {
            "node": named.node, "title": named.title, "input": named.input, "name": named.name, "kind": named.kind,
            "folder": named.folder, "place": named.place, "component": named.is_component,
            "reference": self.reference, "air": version.air if version else "", "version_id": self.version_id,
            "model_id": self.model_id, "model_name": version.title if version else self.answer.name,
            "base_model": version.base_model if version else entry_base, "status": located.status,
            "here": self.is_here, "missing": self.is_missing, "file": self.file, "size": self.size,
            "license": self.license.as_json() if self.license else None,
            "early_access": {"until": version.paid_until} if version and version.paid else None,
            "restricted": restriction(version) if version else "", "trigger_words": list(self.trigger_words),
            "parts": list(self._parts()),
            "newer": self.newer.as_json() if self.newer else None,
            "preview": {"url": self.preview.url, "nsfw_level": self.preview.nsfw_level} if self.preview else None,
            "url": self.url, "notes": [*(note.text for note in located.notes), *self._namesakes()],
        }  # fmt: skip

    def _namesakes(self) -> Iterator[str]:
        if self.namesakes:
            names = ", ".join(map(one_line, self.namesakes[:_MOST_NAMESAKES]))
            yield f"{len(self.namesakes)} files here are called so ({names}); choose one of them in the node."

    def _parts(self) -> Iterator[dict[str, Any]]:
        """The files of the version; `needed`: to be loaded here too, so that the model works."""
        parts, file = self.answer.located.parts, self._file_meant()
        first = parts[0].file_id if parts else 0
        meant = (file.id if file else first) if self.is_missing else 0
        needed = needed_parts(parts, meant) if self.named.place == DISK else []
        for part in parts:
            yield {**self._part(part), "needed": part in needed}

    def _part(self, part: Part) -> dict[str, Any]:
        """A file of the version, with what it alone can be loaded by."""
        file = self.version.file_of_id(part.file_id) if self.version is not None else None
        is_loadable = bool(part.file_id and self.version_id)
        return {
            "file_id": part.file_id,
            "name": part.name,
            "type": part.type,
            "status": part.status,
            "size": _size(file),
            "reference": download_url(SITE, self.version_id or 0, part.file_id) if is_loadable else "",
        }


@dataclass(frozen=True)
class Needs:
    """All models of a graph; `note` says why more may be here than was found, or that CivitAI could not be asked."""

    models: tuple[NeededModel, ...]
    note: str = ""

    @property
    def missing(self) -> tuple[NeededModel, ...]:
        """Those that are needed on this disk and not here."""
        return tuple(model for model in self.models if model.is_missing)

    def as_json(self) -> dict[str, Any]:
        return {
            "models": [model.as_json() for model in self.models],
            "missing": len(self.missing),
            "models_note": self.note,
        }


def _size(file: ModelFile | None) -> int | None:
    return int(file.size_kb * 1024) if file is not None and file.size_kb is not None else None
