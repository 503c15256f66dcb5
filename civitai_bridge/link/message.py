"""A room's command as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import BadInput
from ..model_files.names import is_text
from ..resources.plain_text import one_line

LONGEST_ID = 100  # characters; the site's ids are UUIDs of 36
_LONGEST_TYPE = 60
_LONGEST_DATE = 40
_ENVELOPE = frozenset({"id", "type", "createdAt", "updatedAt", "groupId", "version", "status"})


@dataclass(frozen=True)
class Command:
    """What a room asks for. `type` is in lower case (`resources:add`), `asked_type` as it was written, which answers
    repeat. `fields` is everything but the envelope: unchecked, a stranger's."""

    id: str
    type: str
    asked_type: str = ""
    created_at: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def envelope(self) -> dict[str, Any]:
        """What every status of this command begins with."""
        created = {"createdAt": self.created_at} if self.created_at else {}
        return {"id": self.id, "type": self.asked_type or self.type, **created}


def read_command(data: object) -> Command:
    """A message of the event `command`. Raises BadInput: without an id that can be answered there is nobody to
    answer."""
    if not isinstance(data, Mapping):
        raise BadInput("The command is no object.")
    id_, type_, created = data.get("id"), data.get("type"), data.get("createdAt")
    if not isinstance(id_, str) or not id_ or len(id_) > LONGEST_ID or not _is_plain(id_):
        raise BadInput(f"The command has no id of 1 to {LONGEST_ID} characters.")
    asked = one_line(type_)[:_LONGEST_TYPE].encode("utf-8", "replace").decode() if isinstance(type_, str) else ""
    created = created if isinstance(created, str) and len(created) <= _LONGEST_DATE and _is_plain(created) else ""
    fields = {key: value for key, value in data.items() if isinstance(key, str) and key not in _ENVELOPE}
    return Command(id_, asked.strip().lower(), asked, created, fields)


def _is_plain(text: str) -> bool:
    """Whether it is one line that can be written down: JSON may hold half a character."""
    return one_line(text) == text and is_text(text)
