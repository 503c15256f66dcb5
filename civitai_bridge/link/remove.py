"""`resources:remove`: a model file that the index knows by the hash that the room names, into the trash.

Never by a path or a name alone: those only choose between copies of the same bytes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import BadInput, CivitaiError, FileTrouble
from ..model_files.index import forget_file
from ..model_files.indexed import ModelPath
from .command import LinkContext, Report
from .kinds import FOLDERS, Resource, listed_type, read_resources, shown_path
from .message import Command
from .trash import list_trash, trash


async def remove(command: Command, context: LinkContext, report: Report) -> Mapping[str, Any]:
    """Move every resource of the command into the trash. Raises CivitaiError with the first sentence of those that
    could not be removed; the others are removed all the same."""
    if context.settings.link_removals == "off":
        raise BadInput(
            "This ComfyUI lets CivitAI Link remove nothing. Whoever runs it can allow it with "
            "`civitai-bridge settings link_removals trash`."
        )
    resources = read_resources(command.fields, loads=False)
    allowed: frozenset[str] | None = None
    if context.settings.link_removals == "ask":
        files = [file for resource in resources for file in await asyncio.to_thread(_meant, context, resource)]
        if files:
            await context.ask(f"Move {', '.join(f'{file.folder}/{file.name}' for file in files)} to the trash?")
        allowed = frozenset(file.path for file in files)
    rows, errors = [], []
    for resource in resources:
        try:
            await _remove_one(context, resource, command.id, allowed)
            rows.append({**resource.as_json(), "status": "success"})
        except CivitaiError as error:
            errors.append(error)
            rows.append({**resource.as_json(), "status": "error", "error": context.sentence(error)})
        report(0.0, **_fields(command, resources, rows))
    if errors:
        raise errors[0]
    return _fields(command, resources, rows)


def _fields(command: Command, resources: tuple[Resource, ...], rows: list[dict[str, Any]]) -> dict[str, Any]:
    first = resources[0].as_json()
    return {"resource": first} if command.fields.get("resource") is not None else {"resource": first, "resources": rows}


async def _remove_one(context: LinkContext, resource: Resource, job: str, allowed: frozenset[str] | None) -> None:
    """`allowed` are the paths that the person was asked about, None for all."""
    if resource.hash in context.loading:
        raise BadInput("This file is being loaded at the moment; cancel that, or wait for it.")
    files = await asyncio.to_thread(_meant, context, resource)
    files = [file for file in files if allowed is None or file.path in allowed]
    if not files and not await asyncio.to_thread(_was_removed, context, resource, job):
        raise BadInput("No model file with this hash is here.")
    for file in files:
        await _to_its_end(_trash, context, file, job)
        context.note(f"{file.folder}/{file.name} was moved to the trash.")
    context.loading.changed()


async def _to_its_end(function: Callable[..., None], *arguments: Any) -> None:
    """Run a function in a thread to its end, cancelled or not: a file is moved or it is not, and the room is told
    which."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    while not work.done():
        with contextlib.suppress(asyncio.CancelledError):  # the thread goes on, and its files belong to an entry
            await asyncio.wait({work})
    work.result()


def _meant(context: LinkContext, resource: Resource) -> list[ModelPath]:
    """The files that the index knows with this hash; where the room names the path that a list of ours gave, that one
    alone."""
    rows = context.catalog.index.files().by_hash.get(resource.hash, ())
    files = [file for file in rows if file.sha256 == resource.hash and listed_type(file.folder)]
    if resource.type:
        files = [file for file in files if file.folder in FOLDERS[resource.type]]
    if resource.path:
        files = [file for file in files if shown_path(file) == resource.path]
    return list({os.path.realpath(file.path): file for file in files if os.path.lexists(file.path)}.values())


def _was_removed(context: LinkContext, resource: Resource, job: str) -> bool:
    """Whether this command has removed it already, before this process was started again."""
    return any(each.job == job and each.sha256 == resource.hash for each in list_trash(context.opened_book()))


def _trash(context: LinkContext, file: ModelPath, job: str) -> None:
    """Raises BadInput where it is not surely this file in a model folder, FileTrouble."""
    root = _root_of(context, file)
    if not (file.proved and file.is_as_hashed()) and _sha256(context, file) != file.sha256:
        raise BadInput("The file has changed since it was hashed; it is left alone.")
    trash(context.opened_book(), root, Path(file.path), folder=file.folder, name=file.name, sha256=file.sha256, job=job)
    forget_file(context.catalog.index, file.path)


def _root_of(context: LinkContext, file: ModelPath) -> Path:
    """The model folder that a file is in, as both really are: links lead nowhere else. Raises BadInput."""
    path = os.path.realpath(file.path)
    for root in context.catalog.catalogs.folders.folders.get(file.folder, ()):
        real = os.path.realpath(root)
        if path.startswith(os.path.join(real, "")):
            return Path(real)
    raise BadInput("The file lies outside the model folders (it may be a link); it is left alone.")


def _sha256(context: LinkContext, file: ModelPath) -> str:
    try:
        return context.catalog.index.hashing.digest(Path(file.path)).sha256
    except (FileTrouble, OSError):
        return ""
