"""Rows of `make bench` about ComfyUI's graphs: a page of 300 nodes with two subgraphs, opened and read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from metadata import best_of

from civitai_bridge.graphs.analysis import Rules, analyse
from civitai_bridge.graphs.models import models_of
from civitai_bridge.graphs.opened import open_graph, open_graph_text
from civitai_bridge.metadata.comfy.reader import read_comfy
from civitai_bridge.orchestration.limits import Limits

NODES, INSIDE, GRAPH_MS, PANEL_MS = 300, 120, 10, 50
# The nodes of a subgraph, over and over: what it does to a model, a prompt and a picture. (class, outputs, inputs as
# (name, type), widget values)
KINDS: tuple[tuple[str, str, tuple[tuple[str, str], ...], list[Any]], ...] = (
    ("LoraLoader", "MODEL CLIP", (("model", "MODEL"), ("clip", "CLIP")), ["ink {}.safetensors", 0.5, 0.5]),
    ("CLIPTextEncode", "CONDITIONING", (("clip", "CLIP"),), ["a red kite over dunes, number {}"]),
    ("CLIPTextEncode", "CONDITIONING", (("clip", "CLIP"),), ["fog {}"]),
    ("ConditioningCombine", "CONDITIONING", (("conditioning_1", "CONDITIONING"), ("conditioning_2", "CONDITIONING")), []),
    ("KSampler", "LATENT", (("model", "MODEL"), ("positive", "CONDITIONING"), ("negative", "CONDITIONING"), ("latent_image", "LATENT")),
     [4242, "fixed", 21, 6.0, "euler_ancestral", "karras", 0.5]),
    ("LatentUpscaleBy", "LATENT", (("samples", "LATENT"),), ["bicubic", 1.5]),
    ("VAEDecode", "IMAGE", (("samples", "LATENT"), ("vae", "VAE")), []),
    ("PreviewImage", "", (("images", "IMAGE"),), []),
)  # fmt: skip
BORDER = ("MODEL", "CLIP", "VAE", "LATENT", "CONDITIONING")


def drawn(
    count: int, last: dict[str, tuple[int, int]], number: int = 0
) -> tuple[list[Any], list[Any], dict[str, tuple[int, int]]]:
    """`count` nodes, each wired to the nearest before it that gives its types; nodes, links, and what gives each type."""
    nodes, links, last = [], [], dict(last)
    for place in range(count):
        kind, outputs, inputs, values = KINDS[place % len(KINDS)]
        key, slots = place + 1, []
        for slot, (name, of_type) in enumerate(inputs):
            links.append({"id": len(links) + 1, "origin_id": last[of_type][0], "origin_slot": last[of_type][1], "target_id": key, "target_slot": slot, "type": of_type})  # fmt: skip
            slots.append({"name": name, "type": of_type, "link": len(links)})
        made = [{"name": one, "type": one} for one in outputs.split()]
        nodes.append({"id": key, "type": kind, "mode": 0, "inputs": slots, "outputs": made,
                      "widgets_values": [value.format(number + place) if isinstance(value, str) else value for value in values]})  # fmt: skip
        last |= {of_type: (key, slot) for slot, of_type in enumerate(outputs.split())}
    return nodes, links, last


def page() -> str:
    """Loader and latent, two instances of subgraphs of 120 nodes behind one another, and the rest of 300 nodes."""
    start = {of_type: (-10, slot) for slot, of_type in enumerate(BORDER)}
    definitions = []
    for number in range(2):
        nodes, links, last = drawn(INSIDE, start, number * INSIDE)
        for slot, of_type in enumerate(BORDER):
            origin = last[of_type]
            links.append(
                {
                    "id": len(links) + 1,
                    "origin_id": origin[0],
                    "origin_slot": origin[1],
                    "target_id": -20,
                    "target_slot": slot,
                }
            )
        definitions.append({"id": f"sub {number}", "nodes": nodes, "links": links, "inputs": [{"name": one} for one in BORDER], "outputs": [{"name": one} for one in BORDER]})  # fmt: skip
    first = [
        {"id": 900, "type": "CheckpointLoaderSimple", "inputs": [], "outputs": [{"type": one} for one in ("MODEL", "CLIP", "VAE")], "widgets_values": ["dune.safetensors"]},
        {"id": 901, "type": "EmptyLatentImage", "inputs": [], "outputs": [{"type": "LATENT"}], "widgets_values": [640, 448, 1]},
        {"id": 902, "type": "CLIPTextEncode", "inputs": [{"name": "clip", "type": "CLIP", "link": 9000}], "outputs": [{"type": "CONDITIONING"}], "widgets_values": ["a boat"]},
    ]  # fmt: skip
    links: list[Any] = [[9000, 900, 1, 902, 0, "CLIP"]]
    last = {"MODEL": (900, 0), "CLIP": (900, 1), "VAE": (900, 2), "LATENT": (901, 0), "CONDITIONING": (902, 0)}
    for number in range(2):
        key = 910 + number
        for slot, of_type in enumerate(BORDER):
            links.append([9100 + 10 * number + slot, *last[of_type], key, slot, of_type])
        first.append({"id": key, "type": f"sub {number}", "inputs": [{"name": one, "type": one, "link": 9100 + 10 * number + slot} for slot, one in enumerate(BORDER)],
                      "outputs": [{"type": one} for one in BORDER], "widgets_values": []})  # fmt: skip
        last = {of_type: (key, slot) for slot, of_type in enumerate(BORDER)}
    nodes, more, _ = drawn(NODES - 2 * INSIDE - len(first), last)
    return json.dumps({"nodes": [*first, *nodes], "links": [*links, *more], "definitions": {"subgraphs": definitions}})


def reading(row: Callable[..., None]) -> None:
    text = page()
    data = read_comfy(workflow=text)
    assert data is not None and data.seed == 4242 and len(data.networks) == 30 and data.width == 640
    took = best_of(9, lambda: read_comfy(workflow=text)) * 1000
    row("a graph of 300 nodes with two subgraphs, read", took, f"<= {GRAPH_MS} ms", took <= GRAPH_MS,
        "from its text, best of 9 rounds", "ms")  # fmt: skip


def queued() -> str:
    """The same 300 nodes as they are queued, every eighth of them one that pays, as the page sends them."""
    opened = open_graph_text(page())
    nodes: dict[str, Any] = {}
    for place, (key, node) in enumerate(opened.graph.nodes.items()):
        inputs = {name: list(value) if isinstance(value, tuple) else value for name, value in node.inputs.items()}
        if place % 8 == 7:
            inputs |= {"model": "128078", "prompt": "a red kite over dunes " * 20, "quantity": 2, "max_buzz": 20}
        nodes[key] = {"class_type": "CivitaiBridgeGenerate" if place % 8 == 7 else node.kind, "inputs": inputs}
    return json.dumps(nodes)


def looked_at(row: Callable[..., None]) -> None:
    """What the panel before a paid run needs of a graph."""
    text = queued()
    rules = Rules(
        Limits(1000, 5000),
        {"site": ("s",), "fleet": ("f",), "media": ("m",), "storage": ("x",)},
        makes_lists=lambda _: False,
    )

    def look() -> tuple[int, int]:
        opened = open_graph(json.loads(text))
        return len(analyse(opened, rules).paying), len(models_of(opened))

    paying, models = look()
    assert paying >= 30 and models >= 30, (paying, models)
    took = best_of(9, look) * 1000
    row("a graph of 300 nodes, analysed for the panel", took, f"<= {PANEL_MS} ms", took <= PANEL_MS,
        f"{paying} paying nodes, {models} models; from its text, best of 9 rounds", "ms")  # fmt: skip
