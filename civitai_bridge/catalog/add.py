"""A version of CivitAI into `models.json`, and an entry out again; the answers of facts/catalog.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import BadInput, NotInCatalog, StillOnDisk
from ..model_files.names import safe_name, with_suffix
from ..resources.version import ModelFile, ModelVersion
from .check import Catalogs
from .entries import LORAS, MODELS, Entry, entry_from_json, new_entry, place_of
from .store import CatalogStore

ADDED, ALREADY, RESTRICTED, REMOVED = "added", "already_exists", "restricted", "removed"
_MEMBERS = {
    ADDED: ("status", "file", "name", "category", "dest"),
    ALREADY: ("status", "file"),
    RESTRICTED: ("status", "reason"),
    REMOVED: ("status", "file"),
}


@dataclass(frozen=True)
class Added:
    """What became of it; the members that a status has are in `as_json`, to the letter of facts/catalog.md. `more` are
    the other files of which an entry was removed."""

    status: str
    file: str = ""
    name: str = ""
    category: str = ""
    dest: str = ""
    reason: str = ""
    more: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        found = {member: getattr(self, member) for member in _MEMBERS[self.status]}
        return {**found, "more": list(self.more)} if self.more else found

    @property
    def report(self) -> str:
        """One sentence for a person."""
        match self.status:
            case "added":
                return f"Added: {self.name} ({self.file} in {self.dest})."
            case "already_exists":
                return f"It is in the catalog already: {self.file}."
            case "removed":
                return f"Removed: {', '.join((self.file, *self.more))}."
        return f"Not added. {self.reason}."


def restriction(resource: ModelVersion) -> str:
    """Why a version may not be downloaded, `""` where it may (site-api §8.5, in its order)."""
    if resource.usage_control != "Download":
        return f"This model is '{resource.usage_control}' only — download not allowed by the creator"
    if resource.paid:
        if resource.paid_until:
            return f"This model is in early access until {resource.paid_until} — it can be downloaded after buying it"
        return "This model is sold by its creator — it can be downloaded after buying it"
    if resource.mode == "TakenDown":
        return "This model was taken down — it can no longer be downloaded"
    if resource.mode:
        return "This model is archived — it can no longer be downloaded"
    if not resource.files:
        return "This version has no file — there is nothing to download"
    return ""


def choose_file(resource: ModelVersion, file_id: int | None = None) -> ModelFile:
    """The primary file, or the one of this id. Raises BadInput where there is none, or where a scan found danger in
    it."""
    if file_id is None:
        file = resource.primary
    else:
        file = next((one for one in resource.files if one.id == file_id), None)
    if not resource.files and (reason := restriction(resource)):
        raise BadInput(f"{reason}.")
    if file is None:
        ids = ", ".join(f"{one.id} ({one.name})" for one in resource.files) or "none"
        raise BadInput(f"Version {resource.version_id} has no file {file_id or ''}; it has {ids}.")
    if file.danger:
        raise BadInput(f"CivitAI's scan found {file.danger} in {file.name}; it is neither added nor downloaded.")
    return file


def everything_is_free(dest: str, name: str, file: ModelFile) -> bool:
    return True


def add(
    store: CatalogStore,
    resource: ModelVersion,
    *,
    file_id: int | None = None,
    name: str = "",
    dest: str = "",
    free: Callable[[str, str, ModelFile], bool] = everything_is_free,
) -> Added:
    """Put a version into models.json without downloading it. Asking twice changes nothing.

    `name` and `dest` are those of a file that was loaded already: then nothing restricts it any more. `free` says of a
    dest and a name whether no other file than this one lies there; it may read files, so the catalogs are not held
    meanwhile."""
    if not name and (reason := restriction(resource)):
        return Added(RESTRICTED, reason=reason)
    file = choose_file(resource, file_id)
    category, usual = place_of(resource, file)
    dest = dest or usual
    names = [name] if name else [one for one in names_of(resource, file) if free(dest, one, file)]
    with store.changing() as change:
        taken: set[str] = set()
        for catalog in (MODELS, LORAS):
            for _, raw in change.load(catalog).document.entries():
                if _is_already(raw, resource, file, exactly=file_id is not None):
                    return Added(ALREADY, file=str(raw.get("file") or ""))
                if not name and raw.get("dest") == dest and isinstance(other := raw.get("file"), str):
                    taken.add(other.casefold())
        chosen = next((one for one in names if one.casefold() not in taken), None)
        if chosen is None:
            raise BadInput(f"Every name for {file.name} is taken in {dest} by other files; move one of them away.")
        entry = new_entry(resource, file, name=chosen, dest=dest)
        change.append(MODELS, category, entry)
    return Added(ADDED, file=chosen, name=entry["name"], category=category, dest=dest)


def remove(catalogs: Catalogs, meant: Callable[[Entry], bool], what: str) -> Added:
    """Take the entries that are meant out of both catalogs; `what` says which these are. Raises StillOnDisk while a
    file of theirs is there, NotInCatalog."""
    with catalogs.store.changing() as change:
        found = [entry for name in (MODELS, LORAS) for entry in change.load(name).entries() if meant(entry)]
        if not found:
            raise NotInCatalog(f"{what} is in no catalog.", path=str(catalogs.store.folder))
        for entry in found:
            if place := catalogs.place(entry):
                raise StillOnDisk(
                    f"{entry.file} is on disk ({place.path}); its entry stays. Delete the file first.", path=place.path
                )
        for name in (MODELS, LORAS):
            change.take(name, meant)
    first, *more = dict.fromkeys(entry.file for entry in found)
    return Added(REMOVED, file=first, more=tuple(more))


def is_entry_of(entry: Entry, resource: ModelVersion, file: ModelFile) -> bool:
    """Whether an entry is of this file of the version. One that names no file's id, as older ones do, is known by a
    hash, and without any it is of the version's primary file."""
    if entry.version_id != resource.version_id:
        return False
    if entry.file_id is not None:
        return entry.file_id == file.id
    stated = {value.lower() for value in file.hashes.values()}
    if entry.hashes and stated:
        return not stated.isdisjoint((*entry.hashes, *(value[:10] for value in entry.hashes if len(value) == 64)))
    return file == resource.primary


def _is_already(raw: Mapping[str, Any], resource: ModelVersion, file: ModelFile, *, exactly: bool) -> bool:
    """Whether an entry is of the same version or the same bytes; `exactly` this file of the version where one was
    named."""
    entry = entry_from_json(raw)
    if entry.version_id == resource.version_id and (not exactly or is_entry_of(entry, resource, file)):
        return True
    sha = next((value.lower() for kind, value in file.hashes.items() if kind.upper() == "SHA256"), "")
    return bool(sha) and sha in entry.hashes


def names_of(resource: ModelVersion, file: ModelFile) -> list[str]:
    """The file's own name, then ones with the version's id for where another file of the folder has it."""
    name = safe_name(file.name)
    if not name:
        raise BadInput(f"The file of version {resource.version_id} has no usable name ({file.name!r}).")
    return [name, *(with_suffix(name, f"_{ids}") for ids in (resource.version_id, f"{resource.version_id}_{file.id}"))]
