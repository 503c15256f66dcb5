"""A request and the files that it means, as a graph of core's own nodes in ComfyUI's API format. Pure.

    loader -> hypernetworks, LoRAs -> (clip skip) -> two prompts -+
    empty latent, or picture -> VAEEncode -> (mask) --------------+-> KSampler -> VAEDecode -> PreviewImage

There is one sampler for each of `quantity`, so that all pictures are one prompt of ComfyUI's queue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .families import Family
from .files import CHECKPOINTS, AppliedNetwork, ModelFiles
from .prompt import Prompts
from .request import LORA, ImageRequest

Link = list[Any]  # [node id, number of its output]
Graph = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class SourcePictures:
    """What the graph begins from, as PNG, all of one size: the picture, and the mask where white is to be repainted."""

    init: bytes = field(repr=False)
    mask: bytes | None = field(repr=False, default=None)


@dataclass(frozen=True)
class GraphJob:
    """A graph for ComfyUI's queue. `samplers` are the nodes that take the time, `outputs` those whose pictures are
    wanted, in order. `sources` are the PNG bytes that a LoadImage or LoadImageMask node is to load, by its id."""

    graph: Graph
    samplers: tuple[str, ...]
    outputs: tuple[str, ...]
    sources: Mapping[str, bytes] = field(default_factory=dict, repr=False)


# Runs a job on ComfyUI's own queue. It is made when its turn comes, how far it is (0 to 1) is told, and the pictures of
# all outputs come as PNG. Raises CivitaiError with a sentence for a room; cancelled, it stops its own prompt alone.
MakeJob = Callable[[], Awaitable[GraphJob]]
Generate = Callable[[MakeJob, Callable[[float], None]], Awaitable[Sequence[bytes]]]


@dataclass(frozen=True)
class Sampled:
    """The values that the sampler gets, those of the family standing in for what the room did not say."""

    sampler: str
    scheduler: str
    steps: int
    cfg: float
    width: int
    height: int


def sampled(request: ImageRequest, family: Family, size: tuple[int, int] | None = None) -> Sampled:
    """What is really sampled; `size` is that of the picture that it begins from."""
    width, height = size or (request.width or family.side, request.height or family.side)
    chosen = request.sampler
    return Sampled(
        sampler=chosen.sampler if chosen else family.sampler,
        scheduler=(chosen.scheduler if chosen else "") or family.scheduler,
        steps=request.steps or family.steps,
        cfg=family.cfg if request.cfg is None else request.cfg,
        width=width,
        height=height,
    )


def build_graph(
    request: ImageRequest,
    files: ModelFiles,
    prompts: Prompts,
    values: Sampled,
    sources: SourcePictures | None = None,
    *,
    again: str = "",
) -> GraphJob:
    """The graph of a request. `again` is a text that no other job has: core answers a node that it ran before from its
    memory, and what that points to is a file that is gone."""
    nodes, family, loaded = _Nodes(), files.family, {}
    model, clip, vae = _load(nodes, files)
    model, clip = _networks(nodes, prompts.networks, model, clip)
    if family.shift:
        model = nodes.add("ModelSamplingAuraFlow", model=model, shift=family.shift)
    positive, negative = _encode(nodes, request, prompts, values, family, clip)
    if sources is None:
        size = {"width": values.width, "height": values.height}
        latent = nodes.add(family.latent, **size, batch_size=request.batch_size)
    else:
        positive, negative, latent = _begin(nodes, sources, loaded, files.inpainting, positive, negative, vae)
        if request.batch_size > 1:
            latent = nodes.add("RepeatLatentBatch", samples=latent, amount=request.batch_size)
    sampling = {
        "steps": values.steps, "cfg": 1.0 if family.guidance else values.cfg, "sampler_name": values.sampler,
        "scheduler": values.scheduler, "denoise": request.denoise if sources else 1.0, "model": model,
        "positive": positive, "negative": negative, "latent_image": latent,
    }  # fmt: skip
    samplers, outputs = [], []
    for number in range(request.quantity):
        samples = nodes.add("KSampler", seed=request.seed + number * request.batch_size, **sampling)
        pixels = nodes.add("VAEDecode", samples=samples, vae=vae)
        samplers.append(samples[0])
        outputs.append(nodes.add("PreviewImage", images=pixels, again=again)[0])
    return GraphJob(nodes.graph, tuple(samplers), tuple(outputs), loaded)


class _Nodes:
    """The nodes as they come; each has a number for its id."""

    def __init__(self) -> None:
        self.graph: Graph = {}

    def add(self, class_type: str, output: int = 0, /, **inputs: Any) -> Link:
        """A node, and its first output or another one."""
        node = str(len(self.graph) + 1)
        self.graph[node] = {"class_type": class_type, "inputs": inputs}
        return [node, output]


def _load(nodes: _Nodes, files: ModelFiles) -> tuple[Link, Link, Link]:
    if files.folder == CHECKPOINTS:
        model = nodes.add("CheckpointLoaderSimple", ckpt_name=files.model)
    else:
        model = nodes.add("UNETLoader", unet_name=files.model, weight_dtype="default")
    clip = _load_encoders(nodes, files) if files.encoders else [model[0], 1]
    vae = nodes.add("VAELoader", vae_name=files.vae) if files.vae else [model[0], 2]
    return model, clip, vae


def _load_encoders(nodes: _Nodes, files: ModelFiles) -> Link:
    is_one = len(files.encoders) == 1
    names = {"clip_name" if is_one else f"clip_name{place}": name for place, name in enumerate(files.encoders, 1)}
    kind = {"type": files.family.encoder_type} if files.family.encoder_type else {}
    return nodes.add(files.family.loader, **names, **kind)


def _networks(nodes: _Nodes, networks: Sequence[AppliedNetwork], model: Link, clip: Link) -> tuple[Link, Link]:
    for network in networks:
        if network.kind == LORA:
            weights = {"strength_model": network.strength, "strength_clip": network.clip_strength}
            model = nodes.add("LoraLoader", model=model, clip=clip, lora_name=network.file, **weights)
            clip = [model[0], 1]
        else:
            model = nodes.add(
                "HypernetworkLoader", model=model, hypernetwork_name=network.file, strength=network.strength
            )
    return model, clip


def _encode(
    nodes: _Nodes, request: ImageRequest, prompts: Prompts, values: Sampled, family: Family, clip: Link
) -> tuple[Link, Link]:
    if family.clip_skip and request.clip_skip > 1:
        clip = nodes.add("CLIPSetLastLayer", clip=clip, stop_at_clip_layer=-request.clip_skip)
    positive = nodes.add("CLIPTextEncode", text=prompts.positive, clip=clip)
    negative = nodes.add("CLIPTextEncode", text=prompts.negative, clip=clip)
    if family.guidance:
        positive = nodes.add("FluxGuidance", conditioning=positive, guidance=values.cfg)
    return positive, negative


def _begin(
    nodes: _Nodes,
    sources: SourcePictures,
    loaded: dict[str, bytes],
    inpainting: bool,
    positive: Link,
    negative: Link,
    vae: Link,
) -> tuple[Link, Link, Link]:
    """The latent of the picture, with the mask where there is one; a model that was trained for it gets the mask with
    the prompts."""
    pixels = nodes.add("LoadImage", image="")
    loaded[pixels[0]] = sources.init
    if sources.mask is None:
        return positive, negative, nodes.add("VAEEncode", pixels=pixels, vae=vae)
    mask = nodes.add("LoadImageMask", image="", channel="red")
    loaded[mask[0]] = sources.mask
    if inpainting:
        parts = {"positive": positive, "negative": negative, "vae": vae, "pixels": pixels, "mask": mask}
        node = nodes.add("InpaintModelConditioning", **parts, noise_mask=True)[0]
        return [node, 0], [node, 1], [node, 2]
    latent = nodes.add("VAEEncode", pixels=pixels, vae=vae)
    return positive, negative, nodes.add("SetLatentNoiseMask", samples=latent, mask=mask)
