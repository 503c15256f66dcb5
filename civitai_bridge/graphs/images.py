"""The models of the images on CivitAI that a graph's nodes name: what is sampled from them needs those files, and no
input of the graph says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from ..errors import CivitaiError
from ..metadata.generation import UsedResource
from ..website import ImageData
from .models import DISK, FLEET, IS_REMOTE, NamedModel
from .opened import OpenedGraph

MOST_IMAGES = 10  # of one graph that CivitAI is asked about
Read = Callable[[str], Awaitable[ImageData]]
_IMAGE_DATA = "CivitaiBridgeImageData"
# Our nodes that use files of this disk; a graph with one of them does not order everything from the fleet.
_LOCAL = frozenset(
    f"CivitaiBridge{name}" for name in ("ApplyLoras", "CatalogCheck", "Download", "LoraStack", "Resolve")
)
_FOLDERS = {"lora": "loras", "lyco": "loras", "checkpoint": "checkpoints", "vae": "vae", "embedding": "embeddings"}


def images_of(opened: OpenedGraph) -> tuple[tuple[str, str], ...]:
    """(node, reference) of each image on CivitAI that the graph reads."""
    references = (
        (key, node.inputs.get("reference")) for key, node in opened.graph.nodes.items() if node.kind == _IMAGE_DATA
    )
    return tuple((key, text.strip()) for key, text in references if isinstance(text, str) and text.strip())


async def models_of_images(opened: OpenedGraph, read: Read) -> tuple[tuple[NamedModel, ...], str]:
    """The models that made those images, as the nodes that read them name them, and why some are not known."""
    kinds = {node.kind for node in opened.graph.nodes.values()}
    place = FLEET if any(map(IS_REMOTE, kinds)) and not kinds & _LOCAL else DISK
    named: list[NamedModel] = []
    silent = ""
    for key, reference in images_of(opened)[:MOST_IMAGES]:
        try:
            data = (await read(reference)).data
        except CivitaiError as error:
            silent = silent or str(error)
            continue
        used = (*filter(None, (data.model,)), *data.resources)
        named += _named(key, opened.titles.get(key) or _IMAGE_DATA, used, place)
    return tuple(named), silent


def _named(key: str, title: str, resources: tuple[UsedResource, ...], place: str) -> Iterator[NamedModel]:
    """Each that CivitAI knows, once."""
    seen: set[str] = set()
    for used in resources:
        reference = str(used.version_id) if used.version_id else used.air
        if reference and reference not in seen and used.kind != "upscaler":
            seen.add(reference)
            kind = "" if used.kind == "other" else used.kind
            yield NamedModel(
                key, title, "reference", used.name or reference, kind, _FOLDERS.get(kind, ""), reference, place
            )
