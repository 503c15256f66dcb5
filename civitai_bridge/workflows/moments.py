"""Days and moments as a person types them and as the service writes them; everything is UTC unless it says otherwise.

A day alone means the whole of it: from its first moment, and as an end up to the first moment of the next day, which is
no longer part of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ..errors import BadInput
from ..resources.moments import moment_of

_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})")


@dataclass(frozen=True)
class Window:
    """Between two moments; None = open. `ends_before` = `end` itself is outside (the end of a whole day)."""

    begin: datetime | None = None
    end: datetime | None = None
    ends_before: bool = False

    def holds(self, moment: datetime | None) -> bool:
        """Whether a moment lies within; an unknown one does, for nothing speaks against it."""
        if moment is None:
            return True
        if self.begin is not None and moment < self.begin:
            return False
        return self.end is None or (moment < self.end if self.ends_before else moment <= self.end)


ALWAYS = Window()


def window(begin: str = "", end: str = "", names: tuple[str, str] = ("--from", "--to")) -> Window:
    """The window between two texts, `""` = open. Raises BadInput, which calls them by their `names`.

    assert window("2024-01-20", "2024-01-20").end == datetime(2024, 1, 21, tzinfo=timezone.utc)
    """
    first = _read(begin, names[0])[0] if begin.strip() else None
    last, is_day = _read(end, names[1]) if end.strip() else (None, False)
    if last is not None and is_day:
        last += timedelta(days=1)
    if first is not None and last is not None and (first > last or (is_day and first == last)):
        raise BadInput(f"{names[0]} ({begin.strip()}) is after {names[1]} ({end.strip()}): nothing can lie between.")
    return Window(first, last, is_day)


def written(moment: datetime) -> str:
    """A moment as the service takes it.

    assert written(datetime(2024, 1, 20, tzinfo=timezone.utc)) == "2024-01-20T00:00:00Z"
    """
    text = moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat()
    return f"{text}Z"


def _read(text: str, name: str) -> tuple[datetime, bool]:
    """A moment, and whether it is a whole day."""
    text = text.strip()
    if match := _DAY.fullmatch(text):
        try:
            moment = datetime(*map(int, match.groups()), tzinfo=timezone.utc)  # type: ignore[misc]
            return moment, (moment + timedelta(days=1)) > moment  # year 9999 has no next day
        except (ValueError, OverflowError):
            pass
    elif (moment := moment_of(text)) is not None:
        return moment, False
    raise BadInput(
        f"{name} is {text[:60]!r}, which is no date. Write a day (2024-01-20) or a moment "
        "(2024-01-20T06:00:00Z), in UTC."
    )
