"""What the page's Link panel asks. Nothing that it answers holds a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..link.runner import empty_trash, log_lines, removed_files, restore_file
from .context import Asked, Context, Story

_MOST_LINES = 1000


async def _status(context: Context, _: Asked) -> Mapping[str, Any]:
    """How the link stands, what is at work, what waits for the person."""
    return await context.link().status()


async def _log(context: Context, asked: Asked) -> Mapping[str, Any]:
    """What rooms asked for."""
    most = asked.query.get("take", "")
    number = int(most) if most.isascii() and most.isdigit() and len(most) < 6 else 100
    return {"lines": await log_lines(context.link(), min(number, _MOST_LINES))}


async def _trash(context: Context, _: Asked) -> Mapping[str, Any]:
    """What was removed."""
    return {"removed": await removed_files(context.link())}


async def _pair(context: Context, asked: Asked) -> Mapping[str, Any]:
    """Enter a code."""
    link = context.link()
    await link.pair(asked.body.get("code"))
    return await link.status()


async def _unpair(context: Context, _: Asked) -> Mapping[str, Any]:
    """Forget the key."""
    return {"unpaired": await context.link().unpair()}


async def _answer(context: Context, asked: Asked) -> Mapping[str, Any]:
    """Allow or deny what waits."""
    await context.link().answer(asked.body.get("number"), allow=asked.body.get("allow") is True)
    return {"answered": True}


async def _cancel(context: Context, asked: Asked) -> Mapping[str, Any]:
    """Stop what is at work."""
    await context.link().cancel(asked.body.get("id"))
    return {"canceled": True}


async def _restore(context: Context, asked: Asked) -> Mapping[str, Any]:
    """Bring a removed file back, and know it again."""
    restored = await restore_file(context.link(), asked.body.get("number"))
    await (await context.catalog()).scan(restored["folder"], identified=False)
    return restored


async def _empty(context: Context, asked: Asked) -> Mapping[str, Any]:
    """Delete removed files for good: those that the page shows, where it says which; a room may remove more
    meanwhile."""
    numbers = asked.body.get("numbers")
    return {"freed": await empty_trash(context.link(), numbers if isinstance(numbers, list) else None)}


LINK_ANSWERS: Mapping[str, Story] = {
    "status": _status,
    "log": _log,
    "trash": _trash,
    "pair": _pair,
    "unpair": _unpair,
    "answer": _answer,
    "cancel": _cancel,
    "restore": _restore,
    "empty": _empty,
}
