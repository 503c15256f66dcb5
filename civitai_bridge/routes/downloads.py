"""What our page asks about model files: load one, how far it is, stop it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..catalog.answers import Downloaded
from ..errors import BadInput
from ..model_files.progress import DownloadProgress
from ..resources.json_values import text
from .context import Asked, Context
from .page_downloads import Download

EVENT = "civitai_bridge.download"
_LONGEST_REFERENCE = 500


async def download_answer(context: Context, asked: Asked) -> Mapping[str, Any]:
    """`POST /civitai_bridge/download` with `{reference, client_id?, all?}`: begin to load a model file (`all`: every
    file of its version); what loads already is not begun twice. A person asks, so `graph_downloads` does not hold it;
    the other rules do. Raises BadInput."""
    reference, client = text(asked.body.get("reference")).strip(), text(asked.body.get("client_id"))
    if not reference or len(reference) > _LONGEST_REFERENCE:
        raise BadInput("Send the model's `reference`: a version id, a CivitAI address, an AIR or a hash.")
    every = asked.body.get("all") is True
    if (loading := context.downloads.joined(reference, client, every=every)) is not None:
        return loading.as_json()

    async def load(progress: Callable[[DownloadProgress], None], cancelled: Callable[[], bool]) -> Iterable[Downloaded]:
        catalog = await context.catalog()
        if every:
            return (await catalog.download_all(reference, progress=progress, cancelled=cancelled)).files
        return [await catalog.download(reference, progress=progress, cancelled=cancelled)]

    def tell(download: Download) -> None:
        for page in download.clients:
            context.host.send(EVENT, download.as_json(), page)

    return context.downloads.begin(reference, client, load, tell, every=every).as_json()


async def downloads_answer(context: Context, asked: Asked) -> Mapping[str, Any]:
    """`GET /civitai_bridge/downloads?client_id=…`: those under way and the last that are over; the page of that client
    is told from now on how the former go on."""
    context.downloads.follow(asked.query.get("client_id", "")[:_LONGEST_REFERENCE])
    return {"downloads": [download.as_json() for download in context.downloads.all()]}


async def cancel_answer(context: Context, asked: Asked) -> Mapping[str, Any]:
    """`POST /civitai_bridge/download/cancel` with `{id}`. Raises BadInput."""
    return context.downloads.cancel(text(asked.body.get("id"))).as_json()
