"""Statuses on their way to the room: held until the room is joined, the newest of each command alone, never one after
the final one.

What was sent shortly before a connection was lost may have been lost with it, and nothing is acknowledged: after a
rejoin the newest status of each living or just-ended command goes out again, word for word."""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

LARGEST = 900_000  # bytes of one message; at 1,000,000 Socket.IO's default closes the connection without a word
FINAL = frozenset({"success", "error", "canceled"})
LIST = "resources:list"
_REPLACING = (LIST, "activities:list", "activities:clear")
_MOST_LISTS = 3  # of those, for each may be as large as a message can be
_MOST_KEPT = 200  # ended commands that a rejoin may repeat

Status = Mapping[str, Any]
Entry = TypeVar("Entry")
Key = tuple[str, str]  # type in lower case, id: a cancel may have the id of the command that it cancels


@dataclass
class _Kept:
    status: Status
    ended: float | None  # when, by the clock; None while the command lives


class Outbox:
    """Used on one loop. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, resend: float = 120.0) -> None:
        self._clock, self._resend = clock, resend
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._due: OrderedDict[Key, None] = OrderedDict()
        self._pushed: Status | None = None  # the newest list that nobody asked for
        self._wake = asyncio.Event()
        self._puts = 0  # since old ones were forgotten last

    def put(self, status: Status) -> None:
        """Send a status as soon as the room is joined, in place of an earlier one of the same command."""
        key = (str(status.get("type", "")).lower(), str(status.get("id", "")))
        kept = self._kept.get(key)
        if kept is not None and kept.ended is not None:
            return  # it has ended; whatever comes late is none of the room's business
        self._kept[key] = _Kept(status, self._clock() if status.get("status") in FINAL else None)
        self._due.pop(key, None)
        self._due[key] = None  # behind a list that was made before it
        self._wake.set()
        self._puts += 1
        if self._puts * 2 > len(self._kept):  # a look at all of them at each one would take long in a flood
            self._forget_old()

    def push(self, status: Status) -> None:
        """Send a list that nobody asked for, in place of an earlier one; a rejoin makes a new one."""
        self._pushed = status
        self._wake.set()

    def knows(self, type_: str, id_: str) -> bool:
        """Whether a command lives here, or ended a moment ago."""
        return (type_.lower(), id_) in self._kept

    def again(self, type_: str, id_: str) -> None:
        """Send the newest status of a command once more, where it is known here."""
        if self.knows(type_, id_):
            self._due[type_.lower(), id_] = None
            self._wake.set()

    def rejoined(self) -> None:
        """Everything that lives, or ended a moment ago, is due again: lists first, for a page puts them in the place of
        all that it knows, and they may be older than the rest."""
        self._forget_old()
        self._due.clear()
        self._due.update(dict.fromkeys(sorted(self._kept, key=lambda key: key[0] not in _REPLACING)))
        self._wake.set()

    def forget_ended(self, types: Collection[str]) -> None:
        """Repeat no more how commands of these types ended: the room has cleared them away."""
        for key in [key for key, kept in self._kept.items() if key[0] in types and kept.ended is not None]:
            if key not in self._due:
                del self._kept[key]

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be sent."""
        return not self._due and self._pushed is None

    async def send_all(self, emit: Callable[[Status], Awaitable[None]]) -> None:
        """Send what is due, for as long as the room is joined; ends when it is cancelled, or with what `emit` raises.
        What could not be sent stays due."""
        while True:
            await self._wake.wait()
            while self._due:
                key = next(iter(self._due))
                kept = self._kept.get(key)
                if kept is not None:
                    await emit(fitting(kept.status))
                if self._kept.get(key) is kept:  # else a newer one came meanwhile
                    self._due.pop(key, None)
            pushed, self._pushed = self._pushed, None
            if pushed is not None:
                await emit(pushed)
            if not self._due and self._pushed is None:
                self._wake.clear()

    def _forget_old(self) -> None:
        self._puts, now = 0, self._clock()
        lists = [key for key in self._kept if key[0] == LIST and key not in self._due]
        for key in lists[:-_MOST_LISTS]:
            del self._kept[key]
        ended = {key: kept.ended for key, kept in self._kept.items() if kept.ended is not None and key not in self._due}
        spare = len(ended) - _MOST_KEPT
        for number, (key, moment) in enumerate(ended.items()):
            if number < spare or now - moment > self._resend:
                del self._kept[key]


def first_that_fit(entries: Iterable[Entry], room: int) -> list[Entry]:
    """The first entries of a list that have `room` bytes together; no later one is looked at."""
    fit = []
    for entry in entries:
        room -= len(json.dumps(entry)) + 2  # a comma and a space
        if room < 0:
            break
        fit.append(entry)
    return fit


def fitting(status: Status) -> Status:
    """A status that the relay lets through: one that is too large becomes an error that says so."""
    if str(status.get("type")).lower() == LIST:
        return status  # made to fit when it was listed
    if len(json.dumps(status)) <= LARGEST:
        return status
    if "resources" in status:  # a row for each of many; how all of them together stand is said beside them
        return fitting({key: value for key, value in status.items() if key != "resources"})
    rest = {key: status[key] for key in ("id", "type", "createdAt", "updatedAt", "resource") if key in status}
    return {**rest, "status": "error", "error": "The answer is too large for CivitAI's relay."}
