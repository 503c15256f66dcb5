"""What kind of picture a graph makes: from a text or from a picture, an image or a video."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .graph import Graph, Wire, ancestors, descendants
from .latents import latent_of

_VIDEOS = re.compile(
    r"video|savewebm|wanimageto|ltxv|cosmos|svd_|saveanimated|animatediff|cogvideo|mochi|framepack", re.I
)
_INTO_VIDEO = re.compile(
    r"(image|img|frame)s?to?2?video|i2v|img2vid|image_?clip_?encode|imageencode|image2video|svd_", re.I
)
_EDITS = ("ReferenceLatent", "ImageEdit", "InpaintModel", "ForInpaint")


def picture_kind(graph: Graph, samplers: Sequence[str], used: Sequence[str], denoise: float | None) -> str:
    """`t2i`, `i2i`, `t2v` or `i2v`, by the samplers and the nodes that take part."""
    loads = {key for key in used if "LoadImage" in graph.kind(key) or "LoadVideo" in graph.kind(key)}
    fed = descendants(graph, loads)
    if any(map(_VIDEOS.search, {node.kind for node in graph.nodes.values()})):
        return "i2v" if any(key in fed and _INTO_VIDEO.search(graph.kind(key)) for key in used) else "t2v"
    for key in samplers[:1]:
        latent = latent_of(graph.inputs(key))
        behind = set(ancestors(graph, [latent.node])) if isinstance(latent, Wire) else set()
        if loads & behind and (denoise is None or denoise < 1):
            return "i2i"
    edits = (key for key in used if any(word in graph.kind(key) for word in _EDITS))
    return "i2i" if any(key in fed for key in edits) else "t2i"
