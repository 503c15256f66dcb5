"""`resources:add`: a model file that a room names by its SHA-256, had as everywhere else.

The hash is looked up on CivitAI; folder, name, size and address come from that answer, never from the room. The bytes
are verified before the file has its name."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..catalog.answers import Downloaded
from ..catalog.entries import place_of
from ..catalog.service import download_file
from ..errors import (
    BadInput,
    CivitaiError,
    DownloadForbidden,
    DownloadStopped,
    DownloadTrouble,
    FileRefused,
    NoRoom,
    NotFound,
)
from ..model_files.download_rules import GB, check_allowed
from ..model_files.progress import DownloadProgress, amount
from ..model_files.verify import stated_size
from ..resources.version import ModelFile, ModelVersion, VersionImage
from .command import LinkContext, Report
from .kinds import FOLDERS, Resource, endings_of, read_resources
from .message import Command

_LONGEST_TITLE = 100  # characters of one model in a question
_SAFE_ENDINGS = (".safetensors", ".sft", ".gguf", ".onnx", ".yaml", ".yml")  # nothing in them runs when they are opened


@dataclass
class _Progress:
    """How far one resource is. `speed` is in bytes a second, smoothed."""

    status: str = "pending"
    bytes: int = 0
    of_bytes: int = 0
    speed: float = 0.0
    error: str = ""
    at: float = 0.0

    def moved(self, progress: DownloadProgress, now: float) -> None:
        """Take in how far a download is; `now` is in seconds of this process."""
        passed, gained = now - self.at, progress.bytes - self.bytes
        if self.at and passed > 0.2 and gained >= 0:
            self.speed = gained / passed if not self.speed else 0.7 * self.speed + 0.3 * gained / passed
        if not self.at or passed > 0.2:
            self.at, self.bytes = now, progress.bytes
        self.of_bytes = progress.of_bytes or 0

    @property
    def percent(self) -> float:
        """0 to 100, as far as it is known."""
        if self.status == "success":
            return 100.0
        return round(min(99.9, 100.0 * self.bytes / self.of_bytes), 1) if self.of_bytes else 0.0


async def add(command: Command, context: LinkContext, report: Report) -> Mapping[str, Any]:
    """Have every resource of the command on disk. Raises CivitaiError with the first sentence of those that could not
    be had; CancelledError where all of them were cancelled."""
    settings = context.settings
    if settings.link_downloads == "off":
        raise DownloadForbidden(
            "This ComfyUI takes no downloads from CivitAI Link. Whoever runs it can allow them with "
            "`civitai-bridge settings link_downloads on`."
        )
    resources = read_resources(command.fields, site_url=settings.site_url)
    is_several = command.fields.get("resource") is None
    table = {resource.hash: _Progress() for resource in resources}

    def tell() -> None:
        report(**_summary(resources, table, is_several))

    loads: Mapping[str, str | CivitaiError] | None = None
    if settings.link_downloads == "ask":
        loads = await _missing(context, resources)
        if files := [text for text in loads.values() if isinstance(text, str)]:
            await context.ask(f"Load {', '.join(files)} into this ComfyUI?")
    work = [asyncio.ensure_future(_add_one(context, each, table[each.hash], loads, tell)) for each in resources]
    try:
        await asyncio.wait(work)
    except asyncio.CancelledError:
        for task in work:
            task.cancel()
        await asyncio.wait(work)  # what the room cancelled a moment too late has arrived, and counts as such
        if not all(context.cancelled(resource.hash) for resource in resources):
            raise  # this process ends, the command does not
    tell()
    return _outcome(work)


def _outcome(work: Sequence[asyncio.Task[None]]) -> Mapping[str, Any]:
    """The fields of a success; else raises the first error, or CancelledError where nothing but cancels stands
    against it."""
    errors = [asyncio.CancelledError() if task.cancelled() else task.exception() for task in work]
    failed = [error for error in errors if error is not None]
    for error in failed:
        if not isinstance(error, asyncio.CancelledError):
            raise error
    if failed and len(failed) == len(work):
        raise failed[0]
    return {}


async def _missing(context: LinkContext, resources: Sequence[Resource]) -> dict[str, str | CivitaiError]:
    """What would be loaded by its hash, as CivitAI calls it and not as the room does, or why it cannot be. Only what
    the person was asked about is loaded: what cannot be looked up now is not, though it can be a moment later."""
    missing: dict[str, str | CivitaiError] = {}
    for resource in resources:
        try:
            if not await _is_here(context, resource):
                version, file = await _looked_up(context, resource)
                missing[resource.hash] = (
                    f"{version.title[:_LONGEST_TITLE]} ({resource.type}, {amount(stated_size(file) or 0)})"
                )
        except CivitaiError as error:
            missing[resource.hash] = error
    return missing


async def _looked_up(context: LinkContext, resource: Resource) -> tuple[ModelVersion, ModelFile]:
    """What CivitAI says of the hash. Raises BadInput where that is nothing, FileRefused where it is something else than
    the room says, and what a look-up raises."""
    try:
        version = await context.catalog.resolve(resource.hash)
    except NotFound:
        raise BadInput(f"CivitAI knows no file with the hash {resource.hash[:12]}… that can be loaded.") from None
    file = version.file_of_hash(resource.hash)
    if file is None or file.sha256 != resource.hash:
        raise BadInput("CivitAI's answer for this hash names no such file.")
    _check_kind(resource, version, file)
    return version, file


def _summary(resources: tuple[Resource, ...], table: Mapping[str, _Progress], is_several: bool) -> dict[str, Any]:
    """What a `processing` status says of all of them together, and of each where there are several."""
    parts = [table[resource.hash] for resource in resources]
    speed = sum(part.speed for part in parts if part.status == "processing")
    rest = sum(part.of_bytes - part.bytes for part in parts if part.status == "processing")
    summary: dict[str, Any] = {"progress": round(sum(part.percent for part in parts) / len(parts), 1)}
    if speed > 0:
        summary |= {"speed": round(speed), "remainingTime": round(rest / speed)}
    if is_several:
        rows = [{**resource.as_json(), **_row(table[resource.hash])} for resource in resources]
        summary |= {"resource": resources[0].as_json(), "resources": rows}
    else:
        summary["resource"] = resources[0].as_json()
    return summary


def _row(part: _Progress) -> dict[str, Any]:
    return {"status": part.status, "progress": part.percent} | ({"error": part.error} if part.error else {})


async def _add_one(
    context: LinkContext,
    resource: Resource,
    part: _Progress,
    loads: Mapping[str, str | CivitaiError] | None,
    tell: Callable[[], None],
) -> None:
    """One resource, its part of the status kept true; `loads` are those that the person allowed, see `_missing`, None
    for all. Raises CivitaiError, CancelledError."""
    try:
        if not await _is_here(context, resource):
            _check_asked(loads, resource)
            await _have(context, resource, part, tell)
        part.status = "success"
    except (asyncio.CancelledError, DownloadStopped):
        part.status = "canceled"
        raise asyncio.CancelledError from None
    except CivitaiError as error:
        part.status, part.error = "error", context.sentence(error)
        raise
    finally:
        tell()


def _check_asked(loads: Mapping[str, str | CivitaiError] | None, resource: Resource) -> None:
    """Raises BadInput or the error of the look-up where the person was not asked about this resource."""
    if loads is None:
        return
    asked = loads.get(resource.hash)
    if isinstance(asked, CivitaiError):
        raise asked
    if asked is None:
        raise BadInput("The file has gone since the person at this ComfyUI was asked; send the command again.")


async def _have(context: LinkContext, resource: Resource, part: _Progress, tell: Callable[[], None]) -> None:
    version, file = await _looked_up(context, resource)
    async with context.loading.slot(resource):
        if context.cancelled(resource.hash):
            raise asyncio.CancelledError
        _check_rules(context, version, file)
        context.loading.rest[resource.hash] = stated_size(file) or 0
        part.status = "processing"
        tell()

        def moved(progress: DownloadProgress) -> None:
            part.moved(progress, time.monotonic())
            context.loading.rest[resource.hash] = max(0, (progress.of_bytes or 0) - progress.bytes)
            tell()

        def load() -> Coroutine[Any, Any, Downloaded]:
            return download_file(
                context.catalog,
                version,
                file,
                preview=_preview(version, resource),
                progress=moved,
                cancelled=lambda: context.cancelled(resource.hash),
            )

        loaded = await load_beside_others(load, lambda: context.cancelled(resource.hash))
    for note in loaded.notes:
        context.note(note)


async def load_beside_others(
    load: Callable[[], Coroutine[Any, Any, Downloaded]], cancelled: Callable[[], bool]
) -> Downloaded:
    """Load a file. One that came under this name meanwhile is another's: the bytes are here, and get another name."""
    try:
        return await _to_its_end(load(), cancelled)
    except DownloadTrouble as error:
        if type(error) is not DownloadTrouble or cancelled():
            raise
        return await _to_its_end(load(), cancelled)


async def _to_its_end(work: Coroutine[Any, Any, Downloaded], cancelled: Callable[[], bool]) -> Downloaded:
    """Wait for a download. Where the room cancelled it, it ends by itself, and may have arrived all the same; when this
    process ends it is torn down."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not cancelled():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, CivitaiError):
                await task
            raise
        return await task


async def _is_here(context: LinkContext, resource: Resource) -> bool:
    """Whether a file with these bytes is in a folder of this type already. Raises BadInput where it is in another."""

    def look() -> list[str]:
        files = context.catalog.index.files().by_hash.get(resource.hash, ())
        return [file.folder for file in files if file.sha256 == resource.hash and file.proved and file.is_as_hashed()]

    folders = await asyncio.to_thread(look)
    if folders and not set(folders) & set(FOLDERS[resource.type]):
        raise BadInput(f"This file is here already, but not as a {resource.type}: it is in the folder {folders[0]}.")
    return bool(folders)


def _check_kind(resource: Resource, version: ModelVersion, file: ModelFile) -> None:
    """Raises FileRefused where CivitAI says that the file is something else than the room does."""
    folder = place_of(version, file)[1]
    if folder not in FOLDERS[resource.type]:
        kind = version.model_type or version.type or "file of another type"
        raise FileRefused(f"CivitAI says that this file is a {kind}, not a {resource.type}; it is not loaded.")
    if not file.name.lower().endswith(endings_of(resource.type)):
        raise FileRefused(f"CivitAI's file has a name that no {resource.type} has; it is not loaded.")


def _check_rules(context: LinkContext, version: ModelVersion, file: ModelFile) -> None:
    """The person's own limits for what a room may load. Raises DownloadForbidden, FileRefused, NoRoom."""
    settings = context.settings
    if not settings.link_allow_pickle and not file.name.lower().endswith(_SAFE_ENDINGS):
        raise FileRefused(
            "The file is of a format that can run code when it is opened; CivitAI Link does not load such files here "
            "(setting link_allow_pickle)."
        )
    check_allowed(settings, file)
    size = stated_size(file)
    if not size:
        raise DownloadForbidden("CivitAI does not say how large the file is; CivitAI Link does not load it.")
    if size > settings.link_max_gb * GB:
        raise DownloadForbidden(
            f"The file has {size / GB:.2f} GB, more than CivitAI Link may load here (setting link_max_gb: "
            f"{settings.link_max_gb})."
        )
    place = Path(context.catalog.catalogs.folders.target(place_of(version, file)[1], "x").path).parent
    there = next((folder for folder in (place, *place.parents) if folder.is_dir()), place)
    promised = sum(rest for hash_, rest in context.loading.rest.items() if hash_ != file.sha256)
    if shutil.disk_usage(there).free - promised - size < settings.link_keep_free_gb * GB:
        raise NoRoom(
            f"The disk would have less than {settings.link_keep_free_gb} GB left, which CivitAI Link keeps free here "
            "(setting link_keep_free_gb)."
        )


def _preview(version: ModelVersion, resource: Resource) -> VersionImage | None:
    """The picture that the room names; how mature it is is known where it is one of the creator's."""
    known = next((image for image in version.images if image.url == resource.preview), None)
    return known or (VersionImage(resource.preview, "image", 0, 0, 0) if resource.preview else None)
