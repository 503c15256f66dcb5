"""A scan: which files are here, whose bytes they are, and how many of them the catalogs know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ..errors import BadInput
from ..model_files.folders import Folders, folders_below
from ..model_files.index import HashIndex
from ..model_files.indexed import Ownership
from ..model_files.scan import ScanReport
from ..resources.version import ModelVersion
from ..website import SiteClient
from .answers import Scanned
from .query import Query
from .state import Catalogs

T = TypeVar("T")
_IDS_AT_ONCE, _DETAILS_AT_ONCE = 10_000, 100  # hashes that the two routes of CivitAI take in one request
_WITH_MODELS = ("checkpoints", "loras", "vae", "diffusion_models", "embeddings")


def chosen_folders(folder: str, folders: Folders) -> tuple[Folders, bool]:
    """The folders that a scan is to read, and whether these are all of them. `folder` is a key of ComfyUI, a path that
    one of them has, or a models root; `""` = all. Raises BadInput."""
    if not folder:
        if not folders:
            raise BadInput("No model folder is known here: set CIVITAI_BRIDGE_MODELS, or name a folder.")
        return folders, True
    if folder in folders:
        return {folder: folders[folder]}, False
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise BadInput(f"{folder} is no folder, and no folder key of ComfyUI ({', '.join(sorted(folders)) or 'none'}).")
    around = {key: [root for root in paths if _holds(Path(root), path)] for key, paths in folders.items()}
    if any(around.values()):
        return {key: roots for key, roots in around.items() if roots}, False
    below = {key: [root for root in roots if root.is_dir()] for key, roots in folders_below(path).items()}
    if not any(below.get(key) for key in _WITH_MODELS):
        raise BadInput(f"{folder} is no model folder of ComfyUI and has none in it (checkpoints, loras, vae, …).")
    return {key: roots for key, roots in below.items() if roots}, not folders


def _holds(root: Path, path: Path) -> bool:
    root = root.absolute()
    return path == root or root in path.parents


async def ask_owners(site: SiteClient, index: HashIndex) -> AsyncIterator[Ownership]:
    """Ask CivitAI whose the bytes are that it was never asked about; each answer is kept as it comes, and given when it
    is described for the first time. Raises ApiError and its kin, Unreachable."""
    for part in _parts(await asyncio.to_thread(index.unasked), _IDS_AT_ONCE):
        ids = await site.ids_by_hashes(part)
        owners = [
            Ownership(sha, ids[sha].version_id, ids[sha].model_id) if sha in ids else Ownership(sha, 0) for sha in part
        ]
        await asyncio.to_thread(index.own, owners)
    for part in _parts(await asyncio.to_thread(index.undescribed), _DETAILS_AT_ONCE):
        versions = await site.by_hashes(part)
        await asyncio.to_thread(_keep_details, index, part, versions)
        for sha, version in versions.items():
            if version.title:
                yield ownership(sha, version)


def _keep_details(index: HashIndex, asked: Iterable[str], versions: Mapping[str, ModelVersion]) -> None:
    stated = {sha: file.hashes for sha, version in versions.items() for file in version.files if file.has_hash(sha)}
    index.state(stated)
    owners = index.owners()
    # A version without a usable file has no details on CivitAI; it is not asked for again and again.
    nameless = [replace(owners[sha], about={"name": ""}) for sha in asked if sha not in versions]
    index.own([*(ownership(sha, version) for sha, version in versions.items()), *nameless])


def ownership(sha256: str, version: ModelVersion) -> Ownership:
    """That these bytes are a file of a version, as the index keeps it."""
    about = {"name": version.title, "base_model": version.base_model, "type": version.type, "air": version.air}
    return Ownership(sha256, version.version_id, version.model_id, about)


def count_known(
    catalogs: Catalogs, index: HashIndex, disk: ScanReport, described: Sequence[Ownership], trouble: str
) -> Scanned:
    """What a scan found, and how much of that CivitAI and the catalogs know."""
    files = list({file.path: file for file in index.files().all}.values())
    identified = sum(bool(file.version_id) for file in files)
    hashed = [Query(hashes=(file.sha256,), version_id=file.version_id or None) for file in files if file.sha256]
    catalogued = sum(located.entry is not None for located in catalogs.locate_all(hashed))
    return Scanned(disk, identified, len(hashed) - identified, catalogued, tuple(described), trouble)


def _parts(elements: Sequence[T], most: int) -> Iterable[Sequence[T]]:
    return (elements[start : start + most] for start in range(0, len(elements), most))
