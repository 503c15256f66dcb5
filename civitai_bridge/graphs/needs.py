"""Which models a graph needs, and whether each is here, by the catalog's one answer.

names in the graph -> status by catalogs and disk -> (asked) what CivitAI says of the version
                   -> (asked) rules and trigger words, a hundred models a request -> newer versions, once a day
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..catalog.add import restriction
from ..catalog.answers import Answer, Checked
from ..catalog.loader_names import exact
from ..catalog.query import Query, Question, questions_from
from ..catalog.service import CatalogService
from ..errors import CivitaiError, UnknownReference
from ..model_files.sidecars import choose_preview
from ..resources.license import License, license_from_json
from ..resources.reference import FileReference, read_reference
from ..resources.version import ModelFile, ModelVersion
from ..website import Model, describe
from .models import DISK, NamedModel, models_of
from .newer import NewerVersion, newer_versions
from .opened import OpenedGraph

MOST_ASKED = 300  # models of one graph that CivitAI is asked about; more is no person's graph


@dataclass(frozen=True)
class NeededModel:
    """A model that a graph needs. `version` is what CivitAI says of it, None where it was not asked or knows none;
    `here`: its file is on this disk, `file` what a loader calls it (`""` where none does); `url` is where a workflow
    says that it can be had."""

    named: NamedModel
    answer: Answer
    here: bool
    file: str = ""
    version: ModelVersion | None = None
    model: Model | None = None
    newer: NewerVersion | None = None
    preview: tuple[str, int] | None = None
    url: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether it is needed on this disk and not here."""
        return self.named.place == DISK and not self.here

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
        return next((each.trained_words for each in listed if each.version_id == self.answer.version_id), ())

    @property
    def reference(self) -> str:
        """What the file can be loaded by; `""` where nobody knows."""
        if self.named.reference:
            return self.named.reference
        return str(self.answer.version_id or "")

    def as_json(self) -> dict[str, Any]:
        named, version, located = self.named, self.version, self.answer.located
        file = _file_meant(version, self.answer, named)
        return {
            "node": named.node, "title": named.title, "input": named.input, "name": named.name, "kind": named.kind,
            "folder": named.folder, "place": named.place, "component": named.is_component,
            "reference": self.reference, "air": version.air if version else "", "version_id": self.answer.version_id,
            "model_id": version.model_id if version else self.model.model_id if self.model else None,
            "model_name": version.title if version else self.answer.name,
            "base_model": version.base_model if version else located.entry.base_model if located.entry else "",
            "status": located.status, "here": self.here, "missing": self.is_missing, "file": self.file,
            "size": _size(file), "license": self.license.as_json() if self.license else None,
            "early_access": _early_access(version), "restricted": restriction(version) if version else "",
            "trigger_words": list(self.trigger_words), "parts": [_part(part) for part in located.parts],
            "newer": self.newer.as_json() if self.newer else None,
            "preview": {"url": self.preview[0], "nsfw_level": self.preview[1]} if self.preview else None,
            "url": self.url, "notes": [note.text for note in located.notes],
        }  # fmt: skip


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


async def needs(
    opened: OpenedGraph,
    catalog: CatalogService,
    *,
    ask: bool = False,
    listed: Callable[[str], Sequence[str]] = lambda _: (),
) -> Needs:
    """The models of a graph with their statuses. CivitAI is asked only with `ask`; what it does not answer is said in
    the note. `listed` are the names that ComfyUI's loaders of a folder offer. Raises StateTrouble."""
    named = models_of(opened)
    if not named:
        return Needs(())
    hints = [opened.hints.get(model.name.replace("\\", "/").rpartition("/")[2], ("", "")) for model in named]
    questions = [_question(model, url) for model, (url, _) in zip(named, hints, strict=True)]
    asked = questions[:MOST_ASKED] if ask else []
    checked = await catalog.check_each(asked) if asked else Checked(())
    rest = await catalog.check_each(questions[len(asked) :], ask=False)
    checked = Checked((*checked.answers, *rest.answers), checked.note or rest.note)
    offered = await asyncio.to_thread(lambda: {folder: listed(folder) for folder in {each.folder for each in named}})
    files = [_loader_name(*pair, offered) for pair in zip(named, checked.answers, strict=True)]
    here = [bool(name) or answer.located.is_here for name, answer in zip(files, checked.answers, strict=True)]
    versions: list[ModelVersion | None] = [answer.version for answer in checked.answers]
    models: Mapping[int, Model] = {}
    newer: Mapping[int, NewerVersion] = {}
    note = checked.note
    if ask:
        versions, trouble = await _described(catalog, checked.answers, versions, here)
        models, more = await _models(catalog, checked.answers, versions)
        newer = await newer_versions(catalog)
        unasked = f"CivitAI was asked about the first {MOST_ASKED} models." if len(named) > MOST_ASKED else ""
        note = " ".join(filter(None, (note, trouble or more, unasked)))
    return Needs(
        tuple(
            _needed(catalog, model, answer, is_here, name, version, models, newer, url)
            for model, answer, is_here, name, version, (url, _) in zip(
                named, checked.answers, here, files, versions, hints, strict=True
            )
        ),
        note,
    )


def _question(named: NamedModel, url: str) -> Question:
    """What is asked of the catalogs: the reference of a model, else its name in its folder, and what a workflow says
    of that name."""
    if named.reference:
        return questions_from(named.reference)[0]
    query = Query(name=named.name, folder=named.folder)
    try:
        reference = read_reference(url) if url.startswith("https://") else None
    except (UnknownReference, ValueError):
        reference = None
    if reference is not None and not isinstance(reference, FileReference):
        stated = Query.from_reference(reference)
        query = Query(stated.version_id, stated.model_id, stated.file_id, stated.hashes, named.name, named.folder)
    return Question(named.name, query, reference)


def _loader_name(named: NamedModel, answer: Answer, offered: Mapping[str, Sequence[str]]) -> str:
    """What a loader calls its file: the very name that stands in the graph where ComfyUI lists that, else as the
    catalogs know it, else the only file of that name in ComfyUI's list; `""` where there is none."""
    names = offered.get(named.folder, ())
    if named.name in names or answer.located.changed:
        return named.name if named.name in names else ""
    if name := answer.located.loader_name:
        return name if answer.located.is_here else ""
    match = () if named.reference else exact(named.name, names)
    return match if isinstance(match, str) else ""


async def _described(
    catalog: CatalogService, answers: Sequence[Answer], versions: Sequence[ModelVersion | None], here: Sequence[bool]
) -> tuple[list[ModelVersion | None], str]:
    """What CivitAI says of the versions that are not here and were not asked about yet."""
    asked = {
        answer.version_id
        for answer, version, is_here in zip(answers, versions, here, strict=True)
        if version is None and not is_here and answer.version_id
    }
    known = await describe(catalog.site, filter(None, asked), catalog.lookups)
    described: list[ModelVersion | None] = []
    trouble = ""
    for answer, version in zip(answers, versions, strict=True):
        if version is None and answer.version_id in asked:
            try:
                version = known[answer.version_id]
            except CivitaiError as error:
                trouble = trouble or str(error)
        described.append(version)
    return described, trouble


async def _models(
    catalog: CatalogService, answers: Sequence[Answer], versions: Sequence[ModelVersion | None]
) -> tuple[Mapping[int, Model], str]:
    """The models of all that is known by its version, with the creators' rules."""
    pairs = zip(answers, versions, strict=True)
    ids = {version.model_id if version else _model_of(answer) for answer, version in pairs} - {0}
    try:
        return await catalog.site.models(sorted(ids)) if ids else {}, ""
    except CivitaiError as error:
        return {}, str(error)


def _model_of(answer: Answer) -> int:
    entry = answer.located.entry
    return (entry.model_id or 0) if entry is not None else 0


def _needed(
    catalog: CatalogService,
    named: NamedModel,
    answer: Answer,
    is_here: bool,
    file: str,
    version: ModelVersion | None,
    models: Mapping[int, Model],
    newer: Mapping[int, NewerVersion],
    url: str,
) -> NeededModel:
    picture = choose_preview(version, catalog.settings) if version is not None else None
    return NeededModel(
        named,
        answer,
        is_here,
        file,
        version,
        models.get(version.model_id if version else _model_of(answer)),
        newer.get(answer.version_id or 0) if is_here else None,
        (picture.url, picture.nsfw_level) if picture else None,
        url if url.startswith("https://") else "",
    )


def _file_meant(version: ModelVersion | None, answer: Answer, named: NamedModel) -> ModelFile | None:
    if version is None:
        return None
    entry = answer.located.entry
    by_id = version.file_of_id(entry.file_id) if entry is not None else None
    return by_id or next((file for file in version.files if file.name == named.name), None) or version.primary


def _size(file: ModelFile | None) -> int | None:
    return int(file.size_kb * 1024) if file is not None and file.size_kb is not None else None


def _early_access(version: ModelVersion | None) -> dict[str, Any] | None:
    return {"until": version.paid_until} if version is not None and version.paid else None


def _part(part: Any) -> dict[str, Any]:
    """A file of a version, without where it lies on this machine."""
    stated = part.as_json()
    return {name: stated[name] for name in ("file_id", "name", "type", "status")}
