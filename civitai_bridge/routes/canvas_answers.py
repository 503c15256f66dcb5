"""What our page asks while a person builds a graph: what paying nodes would cost, and the nodes for what was pasted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ..errors import BadInput
from ..graphs.opened import open_graph
from ..graphs.paste import FLEET, SETTINGS, nodes_for, nodes_for_picture
from ..graphs.pricing import MOST_PRICED, PRICED, Sources, price_nodes
from ..resources.addresses import hosts_with
from ..resources.json_values import text
from ..wording import at_a_graph
from .context import Asked, Context

_LONGEST_NAME = 400


async def price_answer(context: Context, asked: Asked) -> Mapping[str, Any]:
    """`POST /civitai_bridge/price` with `{prompt, node?}`: the price of one node, or of every paying one. `total` is
    null where one of them cannot be priced. Raises BadInput, NoKey, BadSetting, StateTrouble."""
    opened = await asyncio.to_thread(open_graph, asked.body.get("prompt"), asked.body.get("workflow"))
    node = asked.body.get("node")
    if node is not None and str(node) not in opened.graph.nodes:
        raise BadInput(f"The graph has no node {str(node)[:40]!r}.")
    paying = [key for key, each in opened.graph.nodes.items() if each.kind == PRICED[0]]
    nodes = [str(node)] if node is not None else paying
    if len(nodes) > MOST_PRICED:
        raise BadInput(f"The graph has {len(nodes)} nodes that pay; at most {MOST_PRICED} are priced at once.")
    sources = Sources(await context.open_fleet(), await context.reader(), await context.catalog())
    priced = await price_nodes(opened, nodes, sources)
    prices = [each.price for each in priced]
    total = None if None in prices else sum(price for price in prices if price is not None)
    return {"nodes": [{**each.as_json(), "error": at_a_graph(each.error)} for each in priced], "total": total}


async def paste_answer(context: Context, asked: Asked) -> Mapping[str, Any]:
    """`POST /civitai_bridge/paste` with `{text}`, `{reference}` or `{image}` (the name of a picture in the input
    folder), and `to`: `settings` (the default) or `fleet`. `what` is `""` and there are no nodes where it is nothing of
    ours. Raises BadInput."""
    name, to = text(asked.body.get("image")), asked.body.get("to", SETTINGS)
    if to not in (SETTINGS, FLEET):
        raise BadInput(f"`to` must be {SETTINGS} or {FLEET}.")
    if name:
        if len(name) > _LONGEST_NAME:
            raise BadInput("The name of the picture is too long.")
        return nodes_for_picture(name, to).as_json()
    pasted = text(asked.body.get("text")) or text(asked.body.get("reference"))
    settings = await asyncio.to_thread(context.gate.settings)
    return (await asyncio.to_thread(nodes_for, pasted, to, hosts=hosts_with(settings.site_url))).as_json()
