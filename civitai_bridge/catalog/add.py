"""A version of CivitAI into `models.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import BadInput, DownloadRefused, FileRefused
from ..model_files.names import safe_name, with_suffix
from ..resources.version import ModelFile, ModelVersion
from .answers import ADDED, ALREADY, RESTRICTED, Added
from .entries import LORAS, MODELS, Entry, entry_from_json, new_entry, place_of
from .store import CatalogStore


def restriction(version: ModelVersion) -> str:
    """Why a version is not added, `""` where it may be; in the order in which CivitAI's own site asks."""
    if version.usage_control == "Download" and version.paid:
        if version.paid_until:
            return f"This model is in early access until {version.paid_until} — it can be downloaded after buying it"
        return "This model is sold by its creator — it can be downloaded after buying it"
    return unavailable(version)


def unavailable(version: ModelVersion) -> str:
    """Why nobody can download a version, `""` where those can whom its creator lets: whether access was bought, the
    site knows."""
    if version.usage_control != "Download":
        return f"This model is '{version.usage_control}' only — download not allowed by the creator"
    if version.mode == "TakenDown":
        return "This model was taken down — it can no longer be downloaded"
    if version.mode:
        return "This model is archived — it can no longer be downloaded"
    if not version.files:
        return "This version has no file — there is nothing to download"
    return ""


def choose_file(version: ModelVersion, file_id: int | None = None) -> ModelFile:
    """The primary file, or the one of this id. Raises BadInput where there is none, FileRefused where a scan found
    danger in it, DownloadRefused for a version without files."""
    file = version.primary if file_id is None else version.file_of_id(file_id)
    if not version.files and (reason := restriction(version)):
        raise DownloadRefused(f"{reason}.")
    if file is None:
        ids = ", ".join(f"{each.id} ({each.name})" for each in version.files) or "none"
        raise BadInput(f"Version {version.version_id} has no file {file_id or ''}; it has {ids}.")
    if file.danger:
        raise FileRefused(f"CivitAI's scan found {file.danger} in {file.name}; it is neither added nor downloaded.")
    return file


def every_name_is_free(dest: str, name: str, file: ModelFile) -> bool:
    """For who does not look at the disk."""
    return True


def add(
    store: CatalogStore,
    version: ModelVersion,
    *,
    file_id: int | None = None,
    name: str = "",
    dest: str = "",
    is_free: Callable[[str, str, ModelFile], bool] = every_name_is_free,
) -> Added:
    """Put a version into models.json without downloading it. Asking twice changes nothing.

    `name` and `dest` are those of a file that was loaded already: then nothing restricts it any more. `is_free` says of
    a dest and a name whether no other file than this one has it; it may read files, so the catalogs are not held
    meanwhile. Raises BadInput, CatalogTrouble and its kin."""
    if not name and (reason := restriction(version)):
        return Added(RESTRICTED, reason=reason)
    file = choose_file(version, file_id)
    category, usual = place_of(version, file)
    dest = dest or usual
    names = [name] if name else [each for each in names_of(version, file) if is_free(dest, each, file)]
    with store.changing() as change:
        used: set[str] = set()
        for catalog in (change.load(MODELS), change.readable(LORAS)):
            for _, raw in catalog.document.entries():
                if _is_already(raw, version, file, exactly=file_id is not None):
                    return Added(ALREADY, file=str(raw.get("file") or ""))
                if not name and raw.get("dest") == dest and isinstance(other := raw.get("file"), str):
                    used.add(other.casefold())
        chosen = next((each for each in names if each.casefold() not in used), None)
        if chosen is None:
            raise BadInput(f"Every name for {file.name} is taken in {dest} by other files; move one of them away.")
        entry = new_entry(version, file, name=chosen, dest=dest)
        change.append(MODELS, category, entry)
    return Added(ADDED, file=chosen, name=entry["name"], category=category, dest=dest)


def is_entry_of(entry: Entry, version: ModelVersion, file: ModelFile) -> bool:
    """Whether an entry is of this file of the version. One that names no file's id, as older ones do, is known by a
    hash, and without any it is of the version's primary file."""
    if entry.version_id != version.version_id:
        return False
    if entry.file_id is not None:
        return entry.file_id == file.id
    if entry.hashes and file.hashes:
        return any(
            file.has_hash(value) or (value == entry.sha256 and file.has_hash(value[:10])) for value in entry.hashes
        )
    return file == version.primary


def _is_already(raw: Mapping[str, Any], version: ModelVersion, file: ModelFile, *, exactly: bool) -> bool:
    """Whether an entry is of the same version or the same bytes; `exactly` this file of the version where one was
    named."""
    entry = entry_from_json(raw)
    if entry.version_id == version.version_id and (not exactly or is_entry_of(entry, version, file)):
        return True
    return bool(file.sha256) and file.sha256 in entry.hashes


def names_of(version: ModelVersion, file: ModelFile) -> list[str]:
    """The file's own name, then ones with the version's id for where another file of the folder has it. Raises
    BadInput."""
    name = safe_name(file.name)
    if not name:
        raise BadInput(f"The file of version {version.version_id} has no usable name ({file.name!r}).")
    return [name, *(with_suffix(name, f"_{ids}") for ids in (version.version_id, f"{version.version_id}_{file.id}"))]
