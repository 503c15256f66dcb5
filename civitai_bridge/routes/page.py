"""The routes of our own page, as lines of the table; what each answers is loaded when it is first asked.

graph, consent          what the graph on the canvas will do, and that a person agreed to it
account, doctor         whose key, what was spent and what is left, what waits, what stands in the way
collect                 pictures that were paid and not yet fetched, into the output folder
download, downloads     a model file, with its progress as events to the page that asked; cancel
preview                 a small picture from CivitAI's media hosts
settings                what may be set; what loosens a safety setting needs the admin token once
link, link/…            CivitAI Link: how it stands, its log and trash; pair, unpair, answer, cancel, restore, empty
price, paste            what a paying node would cost; the nodes for what was pasted
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .context import Asked, Bytes, Context, Route, Story

LARGEST_GRAPH = 16 * 2**20  # bytes of a graph in a request
LARGEST_TEXT = 2**20  # … and of a text that was pasted
_SLOW = 300.0  # seconds for what fetches pictures


async def _graph(context: Context, asked: Asked) -> Mapping[str, Any]:
    from .graph_answers import graph_answer

    return await graph_answer(context, asked)


async def _consent(context: Context, asked: Asked) -> Mapping[str, Any]:
    from .graph_answers import consent_answer

    return await consent_answer(context, asked)


async def _account(context: Context, asked: Asked) -> Mapping[str, Any]:
    from .account_answers import account_answer

    return await account_answer(context, asked)


async def _doctor(context: Context, asked: Asked) -> Mapping[str, Any]:
    from .account_answers import doctor_answer

    return await doctor_answer(context, asked)


async def _collect(context: Context, asked: Asked) -> Mapping[str, Any]:
    from .collecting import collect_answer

    return await collect_answer(context, asked)


async def _download(context: Context, asked: Asked) -> Mapping[str, Any]:
    from .downloads import download_answer

    return await download_answer(context, asked)


async def _downloads(context: Context, asked: Asked) -> Mapping[str, Any]:
    from .downloads import downloads_answer

    return await downloads_answer(context, asked)


async def _cancel_download(context: Context, asked: Asked) -> Mapping[str, Any]:
    from .downloads import cancel_answer

    return await cancel_answer(context, asked)


async def _preview(context: Context, asked: Asked) -> Bytes:
    from .preview import preview_answer

    return await preview_answer(context, asked)


async def _settings(context: Context, asked: Asked) -> Mapping[str, Any]:
    from .setting_answers import settings_answer

    return await settings_answer(context, asked)


async def _setting(context: Context, asked: Asked) -> Mapping[str, Any]:
    from .setting_answers import setting_answer

    return await setting_answer(context, asked)


def _link(name: str) -> Story:
    """An answer to the Link panel by its name; loaded when it is first asked."""

    async def tell(context: Context, asked: Asked) -> Mapping[str, Any] | Bytes:
        from .link import LINK_ANSWERS

        return await LINK_ANSWERS[name](context, asked)

    return tell


async def _price(context: Context, asked: Asked) -> Mapping[str, Any]:
    from .canvas_answers import price_answer

    return await price_answer(context, asked)


async def _paste(context: Context, asked: Asked) -> Mapping[str, Any]:
    from .canvas_answers import paste_answer

    return await paste_answer(context, asked)


PAGE_ROUTES: tuple[Route, ...] = (
    Route("POST", "/civitai_bridge/graph", _graph, LARGEST_GRAPH),
    Route("POST", "/civitai_bridge/consent", _consent),
    Route("GET", "/civitai_bridge/account", _account),
    Route("GET", "/civitai_bridge/doctor", _doctor, patience=_SLOW),
    Route("POST", "/civitai_bridge/collect", _collect, patience=_SLOW),
    Route("POST", "/civitai_bridge/download", _download),
    Route("GET", "/civitai_bridge/downloads", _downloads),
    Route("POST", "/civitai_bridge/download/cancel", _cancel_download),
    Route("GET", "/civitai_bridge/preview", _preview),
    Route("GET", "/civitai_bridge/settings", _settings),
    Route("POST", "/civitai_bridge/settings", _setting),
    Route("GET", "/civitai_bridge/link", _link("status")),
    Route("GET", "/civitai_bridge/link/log", _link("log")),
    Route("GET", "/civitai_bridge/link/trash", _link("trash")),
    Route("POST", "/civitai_bridge/link/pair", _link("pair")),
    Route("POST", "/civitai_bridge/link/unpair", _link("unpair")),
    Route("POST", "/civitai_bridge/link/answer", _link("answer")),
    Route("POST", "/civitai_bridge/link/cancel", _link("cancel")),
    Route("POST", "/civitai_bridge/link/trash/restore", _link("restore")),
    Route("POST", "/civitai_bridge/link/trash/empty", _link("empty"), patience=_SLOW),
    Route("POST", "/civitai_bridge/price", _price, LARGEST_GRAPH),
    Route("POST", "/civitai_bridge/paste", _paste, LARGEST_TEXT),
)
