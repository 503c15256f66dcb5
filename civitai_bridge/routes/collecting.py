"""Pictures that were paid and that nobody has been given yet, into the folder where the server's pictures go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, StateTrouble
from ..model_files.atomic import reason
from ..orchestration.hand_over import pictures_of
from ..orchestration.purchase import UNDER_WAY
from ..orchestration.report import place_of
from ..orchestration.saving import check_folder, save_pictures
from .context import Asked, Context

if TYPE_CHECKING:
    from ..orchestration.fleet import Fleet
    from ..orchestration.outcome import BoughtPicture
    from ..orchestration.purchase import Purchase

SUBFOLDER = "civitai"  # of the output folder


async def collect_answer(context: Context, asked: Asked) -> Mapping[str, Any]:
    """`POST /civitai_bridge/collect` with `{key?}`: look after what waits (or one purchase) and write what came to
    `civitai/` in the output folder; what is there is never written over. Buys nothing. Raises BadInput, NoKey,
    StateTrouble and what the fleet raises."""
    key = asked.body.get("key", "")
    if not isinstance(key, str):
        raise BadInput("Send the `key` of a purchase as a text; without one all that waits is collected.")
    output = await asyncio.to_thread(context.host.output)
    if output is None:
        raise BadInput("This server has no folder for pictures. Run `civitai-bridge journal resume --output DIR`.")
    folder = output / SUBFOLDER
    fleet = await context.open_fleet()
    try:
        await asyncio.to_thread(check_folder, folder)
        return await _collected(context, fleet, key, folder)
    except StateTrouble as error:
        if isinstance(error.__cause__, OSError):  # its sentence names a folder of the server
            why = f"The output folder of this server cannot be written: {reason(error.__cause__)}."
            raise StateTrouble(f"{why} What was paid is kept and can be collected later.") from error
        raise


async def _collected(context: Context, fleet: Fleet, key: str, folder: Path) -> dict[str, Any]:
    async with context.collecting:  # a second tab that asks meanwhile finds nothing left
        purchases = await fleet.resume(key)
        collected = [await _saved(fleet, purchase, folder) for purchase in purchases]
    count = sum(len(entry["files"]) for entry in collected)
    pictures = "1 picture is" if count == 1 else f"{count} pictures are"
    message = f"{pictures} in {SUBFOLDER}/ of the output folder." if count else "Nothing was there to collect."
    if working := sum(purchase.state in UNDER_WAY for purchase in purchases):
        message += f" {'One order is' if working == 1 else f'{working} orders are'} still under way."
    return {"collected": collected, "message": message}


async def _saved(fleet: Fleet, purchase: Purchase, folder: Path) -> dict[str, Any]:
    """Write the pictures of one purchase, each once; only then, or where there are none to come, is it collected."""
    pictures = await asyncio.to_thread(pictures_of, purchase, fleet.results)
    files = await asyncio.to_thread(_written, purchase.workflow_id, pictures, folder)
    is_whole = len(files) == sum(slot.fetched for slot in purchase.slots)  # else a kept one is damaged: fetched again
    # What is not over may have got pictures since it was read; they are written the next time.
    is_over = purchase.state not in UNDER_WAY and not any(slot.pending for slot in purchase.slots)
    if is_whole and is_over:
        await fleet.collected(purchase.key)
    return {
        "key": purchase.key,
        "workflow_id": purchase.workflow_id,
        "state": purchase.state,
        "cost": purchase.cost,
        "files": [{"filename": path.name, "subfolder": SUBFOLDER, "type": "output"} for path in files],
        "missing": [
            f"{place_of(slot, len(purchase.slots))} {'may still come' if slot.pending else 'is missing'}: "
            f"{slot.reason or 'not fetched yet'}"
            for slot in purchase.slots
            if not slot.fetched
        ],
        "error": purchase.error,
    }


def _written(workflow_id: str, pictures: Sequence[BoughtPicture], folder: Path) -> list[Path]:
    return save_pictures(workflow_id, pictures, folder, once=True) if pictures else []
