"""What is answered about resources, downloads and scans: with `as_json()` for programs and `report` for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..model_files.indexed import Ownership
from ..model_files.scan import ScanReport
from ..resources.version import ModelVersion
from .entries import Entry
from .places import Place

PRESENT, MISSING, NOT_FOUND, UNKNOWN = "present", "missing", "not_found", "unknown"
DOWNLOADED = "downloaded"
ADDED, ALREADY, RESTRICTED, REMOVED, PROMOTED = "added", "already_exists", "restricted", "removed", "promoted"
_MEMBERS = {
    ADDED: ("status", "file", "name", "category", "dest"),
    ALREADY: ("status", "file"),
    RESTRICTED: ("status", "reason"),
    REMOVED: ("status", "file"),
}


@dataclass(frozen=True)
class Note:
    """What a status cannot say; `code` is for programs."""

    code: str
    text: str


@dataclass(frozen=True)
class Part:
    """One of several files of a version, as CivitAI names it; `place` is None where it is not here."""

    file_id: int
    name: str
    type: str
    place: Place | None = None

    @property
    def status(self) -> str:
        return PRESENT if self.place else MISSING

    def as_json(self) -> dict[str, Any]:
        """Ids are 0 where the catalog does not name them."""
        path = self.place.path if self.place else None
        return {"file_id": self.file_id, "name": self.name, "type": self.type, "status": self.status, "path": path}


@dataclass(frozen=True)
class Located:
    """The one answer about a resource and its file, which every face gives.

    `status` is `present` (an entry and its file), `missing` (an entry without its file), `not_found` (no entry) or
    `unknown` (nobody can say which version is meant, or what is in the file). `how` is what decided: `version id`,
    `full hash`, `short hash`, `name`, or `file` where the index of files led back to the entry. `entry` and `place` are
    None where there is none; `place` is where the file really is, whatever its entry calls it. `changed`: the file was
    written since it was hashed. `parts` are the files of a version that has several."""

    status: str
    how: str = ""
    entry: Entry | None = None
    place: Place | None = None
    notes: tuple[Note, ...] = field(default=())
    changed: bool = False
    parts: tuple[Part, ...] = ()

    @property
    def file(self) -> str:
        """What the file on disk is called, below its model folder; `""` where none is here."""
        return self.place.name if self.place else ""

    @property
    def loader_name(self) -> str:
        """The name for a loader of ComfyUI; `""` where no file is here, outside of ComfyUI's folders, and where nobody
        knows what is in it."""
        return self.place.name if self.place and self.place.folder and not self.changed else ""

    @property
    def path(self) -> str | None:
        return self.place.path if self.place else None

    @property
    def catalog(self) -> str | None:
        """`models.json` or `loras.json`, None where neither has it."""
        return self.entry.catalog if self.entry else None

    @property
    def is_here(self) -> bool:
        """Whether its file is on disk, catalogued or not."""
        return self.place is not None and not self.changed and not self.has_note("ambiguous")

    def has_note(self, *codes: str) -> bool:
        """Whether one of these codes is noted."""
        return any(note.code in codes for note in self.notes)

    def facts(self) -> dict[str, Any]:
        """The members that are the same wherever a program is told of a file."""
        return {
            "path": self.path,
            "loader_name": self.loader_name,
            "catalog": self.catalog,
            "changed": self.changed,
            "parts": [part.as_json() for part in self.parts],
        }

    def as_json(self) -> dict[str, Any]:
        """The members that the routes add to a resource. `catalog_file` and `catalog_dest` name the file as it is now,
        where it was renamed since it was catalogued."""
        entry, place = self.entry, self.place
        members: dict[str, Any] = {"catalog_status": self.status, "catalog_file": None}
        if entry is not None:
            is_renamed = place is not None and bool(place.folder) and self.has_note("same_bytes")
            file, dest = (place.name, place.folder) if place is not None and is_renamed else (entry.file, entry.dest)
            members.update(catalog_file=file, catalog_dest=dest, catalog_name=entry.name)
        if self.notes:
            members["catalog_notes"] = [note.text for note in self.notes]
        return {**members, **self.facts()}

    def sentence(self) -> str:
        """One line for a report."""
        file = f" ({self.entry.file})" if self.entry else (f" ({self.file})" if self.file else "")
        return " ".join([f"{self.status}{file}.", *(note.text for note in self.notes)])


@dataclass(frozen=True)
class Answer:
    """One resource and its status. `version` is what CivitAI says of it, None where it was not asked or knows none."""

    text: str
    located: Located
    version: ModelVersion | None = None

    @property
    def name(self) -> str:
        entry, version = self.located.entry, self.version
        if version is not None and version.name:
            return version.title
        return (entry.name or entry.file) if entry else self.located.file or self.text

    @property
    def version_id(self) -> int | None:
        entry = self.located.entry
        return self.version.version_id if self.version else entry.version_id if entry else None

    def as_json(self) -> dict[str, Any]:
        entry, located = self.located.entry, self.located
        return {
            "reference": self.text,
            "status": located.status,
            "name": self.name,
            "version_id": self.version_id,
            "base_model": self.version.base_model if self.version else entry.base_model if entry else "",
            "category": entry.category if entry else None,
            "dest": entry.dest if entry else None,
            "file": entry.file if entry else None,
            "how": located.how,
            "notes": [note.text for note in located.notes],
            **located.facts(),
        }

    @property
    def report(self) -> str:
        named = f"{self.text} = {self.name}" if self.name != self.text else self.text
        return f"{named}: {self.located.sentence()}"


@dataclass(frozen=True)
class Checked:
    """`note` says why more may be here than was found."""

    answers: tuple[Answer, ...]
    note: str = ""

    @property
    def all_present(self) -> bool:
        """Whether every file is on disk, catalogued or not."""
        return all(answer.located.is_here for answer in self.answers)

    @property
    def missing(self) -> str:
        """What is not here, one reference a line."""
        return "\n".join(answer.text for answer in self.answers if not answer.located.is_here)

    def as_json(self) -> dict[str, Any]:
        resources = [answer.as_json() for answer in self.answers]
        note = {"note": self.note} if self.note else {}
        return {"all_present": self.all_present, "resources": resources, **note}

    @property
    def report(self) -> str:
        if not self.answers:
            return "Nothing was asked for."
        count = {status: 0 for status in (PRESENT, MISSING, NOT_FOUND, UNKNOWN)}
        for answer in self.answers:
            count[answer.located.status] += 1
        total = ", ".join(f"{number} {status}" for status, number in count.items() if number)
        lines = [*(answer.report for answer in self.answers), f"{total.replace('_', ' ')}."]
        return "\n".join([self.note, *lines] if self.note else lines)


@dataclass(frozen=True)
class Added:
    """What became of adding or removing. `also` are the other files of which an entry was removed."""

    status: str
    file: str = ""
    name: str = ""
    category: str = ""
    dest: str = ""
    reason: str = ""
    also: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The members that `POST /admin/civitai/add/{version_id}` answers with for each status."""
        members = {member: getattr(self, member) for member in _MEMBERS[self.status]}
        return {**members, "more": list(self.also)} if self.also else members

    @property
    def report(self) -> str:
        """One sentence for a person."""
        match self.status:
            case "added":
                return f"Added: {self.name} ({self.file} in {self.dest})."
            case "already_exists":
                return f"It is in the catalog already: {self.file}."
            case "removed":
                return f"Removed: {', '.join((self.file, *self.also))}."
        return f"Not added. {self.reason}."


@dataclass(frozen=True)
class Promoted:
    """What became of moving an entry to loras.json: `promoted` with file and category, or `already_exists`."""

    status: str
    file: str = ""
    category: str = ""

    def as_json(self) -> dict[str, Any]:
        """The members that `POST /admin/civitai/promote-to-lora/{version_id}` answers with."""
        if self.status == ALREADY:
            return {"status": ALREADY}
        return {"status": self.status, "file": self.file, "category": self.category}

    @property
    def report(self) -> str:
        """One sentence for a person."""
        if self.status == ALREADY:
            return "It is in loras.json already."
        return f"Moved to loras.json: {self.file} in {self.category}."


@dataclass(frozen=True)
class Downloaded:
    """A file that is here now. `status` is `downloaded`, or `present` where it was here before; `file` is its name for
    a loader, `""` where it lies outside ComfyUI's folders."""

    status: str
    file: str
    path: str
    dest: str
    name: str
    version_id: int
    size: int | None = None
    sha256: str = ""
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "status": self.status, "file": self.file, "path": self.path, "dest": self.dest, "name": self.name,
            "version_id": self.version_id, "size": self.size, "sha256": self.sha256, "notes": list(self.notes),
        }  # fmt: skip

    @property
    def report(self) -> str:
        verb = {DOWNLOADED: "Downloaded", PRESENT: "Here already"}[self.status]
        return "\n".join([f"{verb}: {self.name} -> {self.path}", *self.notes])


@dataclass(frozen=True)
class DownloadedFiles:
    """The files of a version that are here now, in CivitAI's order."""

    files: tuple[Downloaded, ...]

    def as_json(self) -> dict[str, Any]:
        """`status` is `downloaded` where one of them was loaded."""
        status = DOWNLOADED if any(file.status == DOWNLOADED for file in self.files) else PRESENT
        return {"status": status, "files": [file.as_json() for file in self.files]}

    @property
    def report(self) -> str:
        return "\n".join(file.report for file in self.files)


@dataclass(frozen=True)
class Scanned:
    """What lies in the folders, and how much of it CivitAI knows. `described` are the versions that were new; `trouble`
    says why it could not be asked."""

    disk: ScanReport
    identified: int
    unidentified: int
    catalogued: int
    described: tuple[Ownership, ...] = ()
    trouble: str = ""

    def as_json(self) -> dict[str, Any]:
        disk = self.disk
        return {
            "files": disk.files, "hashed": disk.hashed, "moved": disk.moved, "gone": disk.gone,
            "unchanged": disk.unchanged, "stopped": disk.stopped, "troubles": list(disk.troubles),
            "identified": self.identified, "unidentified": self.unidentified, "catalogued": self.catalogued,
            "new": [{"sha256": new.sha256, "version_id": new.version_id, **new.about} for new in self.described],
            "trouble": self.trouble or None,
        }  # fmt: skip

    @property
    def report(self) -> str:
        disk = self.disk
        lines = [
            f"{disk.files} model files: {disk.hashed} hashed, {disk.moved} moved, {disk.gone} gone, {disk.unchanged} "
            "unchanged.",
            f"CivitAI knows {self.identified} of them and does not know {self.unidentified}; {self.catalogued} are in "
            "a catalog.",
        ]
        lines += [f"New: {owner.about.get('name')} ({owner.about.get('base_model')})" for owner in self.described[:20]]
        if len(self.described) > 20:
            lines.append(f"… and {len(self.described) - 20} more.")
        if disk.stopped:
            lines.append("It was stopped; the next scan goes on from there.")
        if self.trouble:
            lines.append(f"CivitAI could not be asked about all of them: {self.trouble}")
        return "\n".join([*lines, *disk.troubles])
