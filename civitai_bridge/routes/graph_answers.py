"""What our page asks about the graph on its canvas: what it will do, what models it needs, that a person agreed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from ..graphs.analysis import analyse
from ..graphs.consents import agree, agreed_to
from ..graphs.images import images_of
from ..graphs.opened import OpenedGraph, open_graph
from ..graphs.rules import rules_of
from .context import Asked, Context

if TYPE_CHECKING:
    from ..settings import Settings

_MODELS = ("none", "local", "asked")


async def graph_answer(context: Context, asked: Asked) -> Mapping[str, Any]:
    """`POST /civitai_bridge/graph` with `{prompt, workflow?, batch?, models?}`: what the graph will do in `batch` runs,
    and the models that it needs: `none`, `local` (by catalogs and disk alone) or `asked` (CivitAI says the rest, and
    what made the images that the graph reads; `images` are those)."""
    body = asked.body
    models, runs = body.get("models", "local"), body.get("batch", 1)
    if models not in _MODELS:
        raise BadInput(f"`models` must be one of: {', '.join(_MODELS)}.")
    if type(runs) is not int or runs < 1:
        raise BadInput("`batch` must be how often the graph is queued, a whole number from 1 on.")
    settings = await asyncio.to_thread(context.gate.settings)
    opened, answer = await asyncio.to_thread(_analysed, context, body, settings, runs)
    if models == "none":
        return answer
    from ..graphs.needs import needs

    catalog = await context.catalog()
    reader = await context.reader()
    needed = await needs(opened, catalog, ask=models == "asked", listed=context.host.listed, read=reader.image)
    return {**answer, **needed.as_json(), "images": [reference for _, reference in images_of(opened)]}


def _analysed(
    context: Context, body: Mapping[str, Any], settings: Settings, runs: int
) -> tuple[OpenedGraph, dict[str, Any]]:
    """The graph, and the answer on what it does and what was agreed to."""
    opened = open_graph(body.get("prompt"), body.get("workflow"))
    rules = rules_of(settings, context.host.makes_lists)
    analysis = analyse(opened, rules)
    most, agreed = analysis.most_of(runs, rules.limits), agreed_to(settings.home, analysis.hash)
    is_agreed = agreed is not None and agreed >= most
    answer = {
        **analysis.as_json(),
        "asks": analysis.asks and not is_agreed,
        "most_buzz": most,
        "agreed": agreed,
        "sandbox": settings.sandbox,
        "damage": settings.damage or None,
        "models": [],
    }
    return opened, answer


async def consent_answer(context: Context, asked: Asked) -> Mapping[str, Any]:
    """`POST /civitai_bridge/consent` with `{hash, most_buzz}`: a person has seen what a graph will do and agreed."""

    def keep() -> int:
        return agree(context.gate.settings().home, asked.body.get("hash"), asked.body.get("most_buzz"))

    most = await asyncio.to_thread(keep)
    return {"hash": asked.body.get("hash"), "agreed": most}
