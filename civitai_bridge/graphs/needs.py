"""Which models a graph needs, and whether each is here, by the catalog's one answer.

names in the graph -> status by catalogs and disk -> (asked) what CivitAI says of the version
                   -> (asked) rules and trigger words, a hundred models a request -> newer versions, once a day
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..catalog.answers import Answer, Checked
from ..catalog.loader_names import ListedNames
from ..catalog.query import Query, Question, questions_from
from ..catalog.service import CatalogService
from ..errors import CivitaiError, UnknownReference
from ..model_files.sidecars import choose_preview
from ..resources.reference import FileReference, read_reference
from ..website import Model, describe
from .images import Read, models_of_images
from .models import MOST_MODELS, NamedModel, models_of
from .needed import NeededModel, Needs
from .newer import newer_versions
from .opened import OpenedGraph

MOST_ASKED = 300  # models of one graph that CivitAI is asked about; more is no person's graph
Listed = Callable[[str], Sequence[str]]


async def needs(
    opened: OpenedGraph,
    catalog: CatalogService,
    *,
    ask: bool = False,
    listed: Listed = lambda _: (),
    read: Read | None = None,
) -> Needs:
    """The models of a graph with their statuses. CivitAI is asked only with `ask`; what it does not answer is said in
    the note. `listed` are the names that ComfyUI's loaders of a folder offer; `read` tells what made an image on
    CivitAI that the graph names. Raises StateTrouble."""
    named, unread = await _named(opened, read if ask else None)
    if not named:
        return Needs((), unread)
    unlisted = f"The first {MOST_MODELS:,} models of the graph are listed." if len(named) >= MOST_MODELS else ""
    urls = [opened.hints.get(model.name.replace("\\", "/").rpartition("/")[2], ("", ""))[0] for model in named]
    checked = await _checked(catalog, [_question(*pair) for pair in zip(named, urls, strict=True)], ask=ask)
    models = await asyncio.to_thread(_on_this_disk, catalog, named, urls, checked.answers, listed)
    if not ask:
        return Needs(tuple(models), " ".join(filter(None, (checked.note, unlisted))))
    models, silent = await _described(catalog, models)
    models, unruled = await _with_rules(catalog, models)
    newer = await newer_versions(catalog)
    models = [replace(model, newer=newer.get(model.version_id or 0) if model.is_here else None) for model in models]
    unasked = f"CivitAI was asked about the first {MOST_ASKED} models." if len(named) > MOST_ASKED else ""
    return Needs(tuple(models), " ".join(filter(None, (unread, checked.note, silent or unruled, unasked, unlisted))))


async def _named(opened: OpenedGraph, read: Read | None) -> tuple[tuple[NamedModel, ...], str]:
    """What the graph names, and what the images that it reads name besides; and why that is not known."""
    named = models_of(opened)
    if read is None:
        return named, ""
    more, unread = await models_of_images(opened, read)
    references = {model.reference for model in named}
    return (*named, *(model for model in more if model.reference not in references)), unread


async def _checked(catalog: CatalogService, questions: Sequence[Question], *, ask: bool) -> Checked:
    """The answers of the catalogs, in the order of the questions."""
    first, last = (questions[:MOST_ASKED], questions[MOST_ASKED:]) if ask else ((), questions)
    checked = [await catalog.check_each(first)] if first else []
    checked += [await catalog.check_each(last, ask=False)] if last else []
    answers = tuple(answer for each in checked for answer in each.answers)
    return Checked(answers, next((each.note for each in checked if each.note), ""))


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


def _on_this_disk(
    catalog: CatalogService,
    named: Sequence[NamedModel],
    urls: Sequence[str],
    answers: Sequence[Answer],
    listed: Listed,
) -> list[NeededModel]:
    """What catalogs, index and ComfyUI's lists say of each."""
    offered = {folder: ListedNames(listed(folder)) for folder in {model.folder for model in named}}
    return [
        _needed(catalog, model, url, answer, offered[model.folder])
        for model, url, answer in zip(named, urls, answers, strict=True)
    ]


def _needed(catalog: CatalogService, named: NamedModel, url: str, answer: Answer, offered: ListedNames) -> NeededModel:
    located, version = answer.located, answer.version
    entry, row = located.entry, catalog.catalogs.row_of(located.place) if located.place else None
    file, namesakes = _loader_name(named, answer, offered)
    return NeededModel(
        named,
        answer,
        is_here=bool(file) or located.is_here,
        file=file,
        version_id=answer.version_id or (row.version_id if row else 0) or None,
        model_id=version.model_id if version else (entry.model_id if entry else row.model_id if row else 0) or None,
        version=version,
        url=url if url.startswith("https://") else "",
        namesakes=namesakes,
    )


def _loader_name(named: NamedModel, answer: Answer, offered: ListedNames) -> tuple[str, tuple[str, ...]]:
    """What a loader calls its file: the very name that stands in the graph where ComfyUI lists that, else as the
    catalogs know it, else the only file of that name in ComfyUI's list; `""` where there is none, and beside it those
    of that name where there are several."""
    if named.name in offered or answer.located.changed:
        return named.name if named.name in offered else "", ()
    if name := answer.located.loader_name:
        return name if answer.located.is_here else "", ()
    match = () if named.reference else offered.exact(named.name)
    return (match, ()) if isinstance(match, str) else ("", match)


async def _described(catalog: CatalogService, models: Sequence[NeededModel]) -> tuple[list[NeededModel], str]:
    """With what CivitAI says of the versions that are not here and were not asked about yet, and why it does not."""
    lacking = (model.version_id for model in models if model.version is None and not model.is_here)
    ids = dict.fromkeys(list(dict.fromkeys(filter(None, lacking)))[:MOST_ASKED])
    versions = await describe(catalog.site, ids, catalog.lookups)
    described, trouble = [], ""
    for model in models:
        if model.version is None and not model.is_here and model.version_id in ids:
            try:
                model = replace(model, version=versions[model.version_id])
            except CivitaiError as error:
                trouble = trouble or str(error)
        described.append(model)
    return described, trouble


async def _with_rules(catalog: CatalogService, models: Sequence[NeededModel]) -> tuple[list[NeededModel], str]:
    """With the creators' rules, trigger words and previews, and why they are not known."""
    ids: dict[int, None] = {}
    whole = []
    for model in models:
        version = model.version
        model_id = (version.model_id if version else 0) or model.model_id
        picture = choose_preview(version, catalog.settings) if version is not None else None
        whole.append(replace(model, model_id=model_id, preview=picture))
        if model_id:
            ids[model_id] = None
    try:
        listed: Mapping[int, Model] = await catalog.site.models(list(ids)[:MOST_ASKED]) if ids else {}
    except CivitaiError as error:
        return whole, str(error)
    return [replace(model, model=listed.get(model.model_id or 0)) for model in whole], ""
