"""What the desk answers: values with `as_json()` for programs and `report` for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..model_files.indexed import Ownership
from ..model_files.scan import ScanReport
from ..resources.version import ModelVersion
from .check import MISSING, NOT_FOUND, PRESENT, UNKNOWN, Located

DOWNLOADED = "downloaded"


@dataclass(frozen=True)
class Answer:
    """One resource and its status. `resource` is what CivitAI says of it, None where it was not asked or knows none."""

    text: str
    located: Located
    resource: ModelVersion | None = None

    @property
    def name(self) -> str:
        entry, resource = self.located.entry, self.resource
        if resource is not None and resource.name:
            return resource.title
        return (entry.name or entry.file) if entry else self.located.file or self.text

    @property
    def version_id(self) -> int | None:
        entry = self.located.entry
        return self.resource.version_id if self.resource else entry.version_id if entry else None

    def as_json(self) -> dict[str, Any]:
        entry, located = self.located.entry, self.located
        return {
            "reference": self.text,
            "status": located.status,
            "name": self.name,
            "version_id": self.version_id,
            "base_model": self.resource.base_model if self.resource else entry.base_model if entry else "",
            "catalog": entry.catalog if entry else None,
            "category": entry.category if entry else None,
            "dest": entry.dest if entry else None,
            "file": entry.file if entry else None,
            "path": located.place.path if located.place else None,
            "how": located.how,
            "notes": [shade.text for shade in located.shades],
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
        return all(answer.located.status == PRESENT for answer in self.answers)

    @property
    def missing(self) -> str:
        """What is not here, one reference a line."""
        return "\n".join(answer.text for answer in self.answers if answer.located.status != PRESENT)

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"all_present": self.all_present}
        found["resources"] = [answer.as_json() for answer in self.answers]
        return {**found, "note": self.note} if self.note else found

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
        what = {DOWNLOADED: "Downloaded", PRESENT: "Here already"}[self.status]
        return "\n".join([f"{what}: {self.name} -> {self.path}", *self.notes])


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
            "new": [{"sha256": one.sha256, "version_id": one.version_id, **one.about} for one in self.described],
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
        lines += [f"New: {one.about.get('name')} ({one.about.get('base_model')})" for one in self.described[:20]]
        if len(self.described) > 20:
            lines.append(f"… and {len(self.described) - 20} more.")
        if disk.stopped:
            lines.append("It was stopped; the next scan goes on from there.")
        if self.trouble:
            lines.append(f"CivitAI could not be asked about all of them: {self.trouble}")
        return "\n".join([*lines, *disk.troubles])
