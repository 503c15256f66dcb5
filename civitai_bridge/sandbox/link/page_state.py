"""What a page of the site makes of the statuses that an agent sends, and what it would stumble over.

Only `commandStatus` is read. A list replaces the list of installed files, `activities:list` and `activities:clear`
replace the activities, `activities:cancel` is ignored, and everything else is put among the activities by its id."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

FINAL = ("success", "error", "canceled")
STATUSES = ("pending", "processing", *FINAL)
_SHOWN = ("resources:add", "resources:remove")  # what the page draws among the activities
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass
class PageState:
    """`resources` and `activities` as the page shows them; `statuses` are all that came for an id, in order (`ID TYPE`
    for a cancel that has the id of the add); `complaints` say in words where a message would break the page or its
    promises."""

    resources: list[Any] = field(default_factory=list)
    activities: list[dict[str, Any]] = field(default_factory=list)
    statuses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    lists: int = 0

    def take(self, status: Any, asked: Sequence[Mapping[str, Any]] = ()) -> None:
        """One `commandStatus`; `asked` are the commands of its id that this page sent."""
        if not isinstance(status, dict) or not isinstance(status.get("type"), str):
            self.complaints.append(f"a status without a type: {str(status)[:200]}")
            return
        kind, name = status["type"], status.get("id")
        if isinstance(name, str):
            own = name if not asked or asked[0].get("type") == kind else f"{name} {kind}"
            self.statuses.setdefault(own, []).append(status)
            self._judge(status, own, asked)
        match kind:
            case "activities:cancel":
                return
            case "resources:list":
                self._replace_list(status)
            case "activities:list" | "activities:clear":
                if not isinstance(status.get("activities"), list):
                    self.complaints.append(f"{kind} without activities, which ends the page's worker")
                    return
                self.activities = [each for each in status["activities"] if isinstance(each, dict)]
            case _:
                self.activities = [each for each in self.activities if each.get("id") != name]
                self.activities.append(status)

    def final(self, name: str) -> dict[str, Any] | None:
        """The first final status of an id."""
        return next((each for each in self.statuses.get(name, ()) if each.get("status") in FINAL), None)

    def installed(self, sha256: str) -> str:
        """What the button on a model's page says: `installed`, `downloading` or `download`."""
        same = [each for each in self.resources if isinstance(each, dict) and each.get("hash") == sha256.lower()]
        if not same:
            return "download"
        return "downloading" if any(each.get("downloading") for each in same) else "installed"

    def _replace_list(self, status: Mapping[str, Any]) -> None:
        if not isinstance(status.get("resources"), list):
            if status.get("status") != "error":
                self.complaints.append("resources:list without resources")
            return
        self.lists += 1
        self.resources = status["resources"]
        for each in self.resources:
            if not isinstance(each, dict) or not {"type", "hash", "name", "hasPreview"} <= set(each):
                self.complaints.append(f"a list entry that lacks fields: {str(each)[:200]}")
            elif not _HASH.fullmatch(str(each["hash"])):
                self.complaints.append(f"a list entry whose hash is not 64 small hex digits: {each['hash']!r}")
            elif str(each.get("path") or "x").startswith(("/", "\\")) or re.match(r"[A-Za-z]:", str(each.get("path"))):
                self.complaints.append(f"a list entry with a path of the machine: {each['path']!r}")

    def _judge(self, status: Mapping[str, Any], name: str, asked: Sequence[Mapping[str, Any]]) -> None:
        word, kinds = status.get("status"), [command.get("type") for command in asked]
        if word not in STATUSES:
            self.complaints.append(f"{name}: no status of the protocol: {word!r}")
        if asked and status["type"] not in kinds:
            self.complaints.append(f"{name}: answered as {status['type']}, asked as {kinds}")
        if word == "error" and len(str(status.get("error") or "")) < 15:
            self.complaints.append(f"{name}: an error without a sentence: {status.get('error')!r}")
        progress = status.get("progress")
        if progress is not None and not (isinstance(progress, (int, float)) and 0 <= progress <= 100):
            self.complaints.append(f"{name}: progress is {progress!r}")
        if not _is_date(status.get("updatedAt")):
            self.complaints.append(f"{name}: updatedAt is {status.get('updatedAt')!r}")
        self._judge_end(name)
        if status["type"] in _SHOWN and not any(isinstance(command.get("resources"), list) for command in asked):
            self._judge_resource(status)

    def _judge_end(self, name: str) -> None:
        """A final status may come again after a reconnect, but never another one, and nothing else after it."""
        words = [each.get("status") for each in self.statuses[name]]
        first = next((word for word in words if word in FINAL), None)
        if first is not None and any(word != first for word in words[words.index(first) :]):
            self.complaints.append(f"{name}: after its end came more: {' '.join(map(str, words))}")

    def _judge_resource(self, status: Mapping[str, Any]) -> None:
        resource = status.get("resource")
        if not isinstance(resource, dict):
            if status.get("status") != "error":  # a command without a resource can only be answered with an error
                self.complaints.append(f"{status['id']}: {status['type']} without resource, which ends the page")
        elif resource.get("hash") != str(resource.get("hash", "")).lower():
            self.complaints.append(f"{status['id']}: the hash came back in capitals")


def _is_date(text: Any) -> bool:
    if not isinstance(text, str) or not re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text):
        return False
    try:
        datetime.fromisoformat(re.sub(r"Z$", "+00:00", text))
    except ValueError:
        return False
    return True
