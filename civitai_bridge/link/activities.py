"""Commands that are answered at once: what is at work and what was, cancelling it, and the list of model files."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..errors import BadInput
from .jobs import ABOUT_RESOURCES, Jobs
from .kinds import read_resources
from .listing import types_of
from .lists import Lists
from .message import Command
from .outbox import LARGEST, first_that_fit

MOST_LISTED = 60  # activities
_ENVELOPE = 1000  # bytes of a message beside its activities
_LARGEST_ACTIVITY = 20_000  # bytes

Quick = Callable[[Command, Jobs, Lists], Awaitable[Mapping[str, Any]]]


async def _activities(command: Command, jobs: Jobs, _: Lists) -> Mapping[str, Any]:
    """What is at work and what ended last, the newest first."""
    quantity = command.fields.get("quantity")
    most = quantity if isinstance(quantity, int) and 0 < quantity < MOST_LISTED else MOST_LISTED
    ended = await jobs.aside(jobs.book.finals, ABOUT_RESOURCES, MOST_LISTED)
    return {"activities": _fitting([*_at_work(jobs), *reversed(ended)][:most])}


async def _clear(_: Command, jobs: Jobs, __: Lists) -> Mapping[str, Any]:
    """Forget what has ended; what is at work stays."""
    await jobs.aside(jobs.book.clear)
    jobs.outbox.forget_ended(ABOUT_RESOURCES)
    return {"activities": _fitting(_at_work(jobs))}


def _fitting(activities: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first ones that have room in one message; of one about many resources the first resource alone."""
    return first_that_fit(map(_short, activities), LARGEST - _ENVELOPE)


def _short(activity: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(activity)) <= _LARGEST_ACTIVITY:
        return activity
    return {name: value for name, value in activity.items() if name != "resources"}


def nothing_of(command: Command, jobs: Jobs) -> dict[str, Any]:
    """What an error about a list holds in the list's place: pages put it where the list was, and read it without a look
    whether it is one."""
    if command.type in ("activities:list", "activities:clear"):
        return {"activities": _fitting(_at_work(jobs))}
    return {"resources": []} if command.type == "resources:list" else {}


def _at_work(jobs: Jobs) -> list[dict[str, Any]]:
    return [dict(job.status) for job in reversed(jobs.now.values()) if job.command.type in ABOUT_RESOURCES]


async def _cancel(command: Command, jobs: Jobs, _: Lists) -> Mapping[str, Any]:
    id_ = command.fields.get("activityId")
    job = jobs.now.get(id_) if isinstance(id_, str) else None
    if job is None:
        raise BadInput("Nothing with this activityId is at work here.")
    await jobs.cancel(job)
    return {"activityId": id_}


async def _cancel_add(command: Command, jobs: Jobs, _: Lists) -> Mapping[str, Any]:
    """The document's way: by the hashes of the resources, or with the id of the add itself."""
    has_resources = any(command.fields.get(name) is not None for name in ("resource", "resources"))
    resources = read_resources(command.fields, loads=False) if has_resources else ()
    adds = [job for job in jobs.now.values() if job.command.type == "resources:add"]
    own = [job for job in adds if job.command.id in (command.id, command.fields.get("activityId"))]
    rows = []
    for resource in resources:
        meant = [job for job in (own or adds) if resource.hash in job.hashes]
        for job in meant:
            await jobs.cancel(job, resource.hash)
        rows.append({**resource.as_json(), "status": "canceled" if meant else "error"})
    if not resources:
        for job in own:
            await jobs.cancel(job)
    if not (any(row["status"] == "canceled" for row in rows) if resources else own):
        raise BadInput("Nothing of this is being loaded here.")
    return {"resource": rows[0], "resources": rows} if rows else {}


async def _list(command: Command, _: Jobs, lists: Lists) -> Mapping[str, Any]:
    """`types` in any spelling; where none of those named is known, the list is empty rather than whole."""
    asked = command.fields.get("types")
    types = types_of(asked)
    if isinstance(asked, list) and asked and not types:
        return {"resources": []}
    return {"resources": (await lists.current(types)).entries}


QUICK: Mapping[str, Quick] = {
    "activities:list": _activities,
    "activities:clear": _clear,
    "activities:cancel": _cancel,
    "resources:list": _list,
    "resources:add:cancel": _cancel_add,
}
