"""Generate and Estimate: from a model reference to an IMAGE, and what it would cost."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from . import host
from .sockets import AirOut, Fresh, Generation, Loras, node_id, reference_input, schema, text_of

if TYPE_CHECKING:
    from ..civitai_bridge.orchestration.fleet import Fleet
    from ..civitai_bridge.orchestration.outcome import Outcome, Terms
    from ..civitai_bridge.orchestration.request import GenerationRequest

# Inputs that a request takes by the same name and as they are.
_PLAIN = (
    *("prompt", "negative_prompt", "seed", "quantity", "width", "height", "steps", "cfg", "sampler_name", "scheduler"),
    *("engine", "operation", "denoise", "clip_skip", "output_format", "mature_content"),
)
SEED_MAX = 2**53 - 1  # the largest whole number that every JSON reader and the page keep exact


@functools.cache
def generate_inputs() -> tuple[Any, ...]:
    """The inputs of both nodes. Their order is the widget order and is frozen: new ones are optional and come last."""
    from ..civitai_bridge.metadata.samplers import SAMPLER_NAMES, SCHEDULER_NAMES
    from ..civitai_bridge.orchestration.variants import paths

    def combo(name: str, options: list[str], tooltip: str, default: str | None = None) -> Any:
        return io.Combo.Input(name, options=options, default=default or options[0], optional=True, tooltip=tooltip)

    def whole(name: str, default: int, low: int, high: int, tooltip: str, **more: Any) -> Any:
        return io.Int.Input(name, default=default, min=low, max=high, optional=True, tooltip=tooltip, **more)

    return (
        reference_input(
            "model",
            default="",
            tooltip="Which model: a version id, a CivitAI address, an AIR, a hash, or a wire from Resolve. "
            "May be empty when `engine` names one with its own model.",
        ),
        io.String.Input(
            "prompt", multiline=True, default="", tooltip=("What to draw. Sent as written: LoRA tags are not read.")
        ),
        io.String.Input(
            "negative_prompt",
            multiline=True,
            default="",
            optional=True,
            tooltip=("What to avoid, where the engine takes it."),
        ),
        whole(
            "seed",
            0,
            0,
            SEED_MAX,
            "The same seed and settings are the same purchase and are answered from disk. Picture i uses seed + i.",
            control_after_generate="fixed",
        ),
        whole("quantity", 1, 1, 12, "How many pictures. Each is paid."),
        whole("width", 0, 0, 16384, "Pixels; 0 = what the engine itself would take. Rounded to its step.", step=8),
        whole("height", 0, 0, 16384, "Pixels; 0 = what the engine itself would take. Rounded to its step.", step=8),
        whole("steps", 0, 0, 1000, "0 = what the engine itself would take."),
        io.Float.Input(
            "cfg",
            default=0.0,
            min=0.0,
            max=100.0,
            step=0.1,
            optional=True,
            tooltip="Guidance; 0 = what the engine itself would take.",
        ),
        combo("sampler_name", list(SAMPLER_NAMES), "In ComfyUI's spelling; auto = the engine's own."),
        combo("scheduler", list(SCHEDULER_NAMES), "In ComfyUI's spelling; auto = the engine's own."),
        combo(
            "engine",
            ["auto", *paths()],
            ("auto = by the model's family. Any other engine of CivitAI's fleet can be named."),
        ),
        combo(
            "operation",
            ["auto", "create", "variant", "edit"],
            "auto: without an image create; with one a variant where the engine offers it and denoise is below "
            "1, else edit.",
        ),
        io.Float.Input(
            "denoise",
            default=0.7,
            min=0.0,
            max=1.0,
            step=0.01,
            optional=True,
            tooltip="Only with `image`: how far the result may go from it.",
        ),
        whole("clip_skip", 0, 0, 12, "0 = what the engine itself would take."),
        reference_input("vae", default="", optional=True, tooltip="A VAE, by any reference; empty = the model's own."),
        combo("output_format", ["png", "jpeg", "webp"], "What the fleet sends."),
        combo(
            "mature_content",
            ["auto", "blocked", "allowed"],
            "auto leaves it to CivitAI; allowed needs the setting of that name and is paid with bought Buzz only.",
        ),
        whole("max_buzz", 0, 0, 1_000_000, "Never pay more than this for this node; 0 = the limits of the settings."),
        io.Boolean.Input(
            "reuse_paid",
            default=True,
            optional=True,
            tooltip="Answer the same request from what was already bought. Off: buy it again.",
        ),
        whole("wait_minutes", 30, 1, 1440, "How long this node waits. The job goes on and can be collected later."),
        Loras.Input("loras", optional=True, tooltip="LoRAs with their strengths, for example from Image Data."),
        io.Image.Input(
            "image", optional=True, tooltip=("A source picture: the first of the batch is sent along as PNG.")
        ),
        io.Mask.Input(
            "mask", optional=True, tooltip=("Where to change it, for engines that take a mask: white may change.")
        ),
        Generation.Input("generation", optional=True, tooltip="Fills whatever stands at its default."),
    )


class CivitaiBridgeGenerate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeGenerate",
            display_name="CivitAI Generate",
            description="Has images made on CivitAI's fleet: at a price that is asked first, paid once, kept on disk. "
            "The same request again costs nothing.",
            search_aliases=["civitai", "buzz", "remote", "cloud", "text to image"],
            inputs=list(generate_inputs()),
            outputs=[
                io.Image.Output("images", tooltip="The pictures that came, as one batch."),
                io.Mask.Output("mask", tooltip="1 - alpha; zeros where the pictures have none."),
                Generation.Output("generation", tooltip="What was really asked and came back."),
                io.String.Output("workflow_id", tooltip="CivitAI's name for the job."),
                AirOut.Output("air", tooltip="The model's AIR as CivitAI gave it."),
                io.Float.Output("cost", tooltip="Buzz, refunds taken off."),
                io.String.Output(
                    "blob_urls", tooltip=("Addresses of the pictures, one a line. They are signed: do not share them.")
                ),
                io.String.Output("report", tooltip="What happened, in sentences."),
            ],
        )

    @classmethod
    async def execute(cls, **inputs: Any) -> io.NodeOutput:
        from ..civitai_bridge.pictures import batch
        from .tensors import to_tensor

        bridge, outcome, (images, mask, notes) = await host.interruptible(
            lambda ticket: _buy(ticket, inputs, batch), node_id(cls)
        )
        host.collected(bridge, outcome.key)
        report = "\n".join([outcome.report, *left_out(inputs), *notes])
        return io.NodeOutput(
            to_tensor(images),
            to_tensor(mask),
            outcome.generation,
            outcome.workflow_id,
            outcome.air,
            outcome.cost,
            "\n".join(outcome.blob_urls),
            report,
            ui={"text": [report]},
        )


class CivitaiBridgeEstimate(Fresh):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeEstimate",
            display_name="CivitAI Estimate",
            description="Asks what the same inputs would cost on CivitAI's fleet. Buys nothing.",
            search_aliases=["civitai", "buzz", "price", "cost"],
            inputs=list(generate_inputs()),
            outputs=[
                io.Float.Output("cost", tooltip="Buzz."),
                io.Boolean.Output("affordable", tooltip="Whether the wallets that may pay hold that much."),
                io.String.Output("report", tooltip="The price and what would be sent, in sentences."),
            ],
            is_output_node=True,
        )

    @classmethod
    async def execute(cls, **inputs: Any) -> io.NodeOutput:
        from ..civitai_bridge.orchestration.outcome import Caller

        async def ask(ticket: host.NodeRun) -> Any:
            bridge = await host.bridge()
            wanted, terms = await asyncio.to_thread(read_inputs, inputs, ticket.prompt_id)
            return await bridge.estimate(wanted, terms, Caller(cancelled=ticket.cancelled))

        estimate = await host.interruptible(ask, node_id(cls))
        report = "\n".join([estimate.report, *left_out(inputs)])
        return io.NodeOutput(float(estimate.cost), estimate.affordable, report, ui={"text": [report]})


async def _buy(ticket: host.NodeRun, inputs: dict[str, Any], batch: Any) -> tuple[Fleet, Outcome, Any]:
    """On the background loop: buy, then decode off the loop."""
    from ..civitai_bridge.errors import BlobDamaged
    from ..civitai_bridge.orchestration.outcome import Caller

    bridge = await host.bridge()
    wanted, terms = await asyncio.to_thread(read_inputs, inputs, ticket.prompt_id)
    await host.settled()
    outcome = await bridge.generate(wanted, terms, Caller(ticket.show, ticket.cancelled, ticket.left))
    try:
        return bridge, outcome, await asyncio.to_thread(batch, [picture.path for picture in outcome.pictures])
    except BlobDamaged:
        await asyncio.to_thread(bridge.results.set_aside_damaged, [picture.path.name for picture in outcome.pictures])
        raise


def read_inputs(inputs: dict[str, Any], prompt_id: str) -> tuple[GenerationRequest, Terms]:
    """The node's inputs as a request and its terms; what is absent stands at its default."""
    from ..civitai_bridge.orchestration.outcome import Terms
    from ..civitai_bridge.orchestration.request import GenerationRequest, LoraInput
    from .tensors import png_of_image, png_of_mask

    given = {name: inputs[name] for name in _PLAIN if inputs.get(name) is not None}
    loras = tuple(
        LoraInput(
            text_of(lora.get("air") or lora.get("version_id") or lora.get("hash")),
            float(lora.get("strength", 1.0)),
            str(lora.get("name") or ""),
        )
        for lora in inputs.get("loras") or ()
        if float(lora.get("strength", 1.0))  # weight 0 is off
    )
    image, mask = inputs.get("image"), inputs.get("mask")
    wanted = GenerationRequest(
        model=text_of(inputs.get("model")),
        vae=text_of(inputs.get("vae")),
        loras=loras,
        image=None if image is None else png_of_image(image),
        mask=None if mask is None else png_of_mask(mask),
        **given,
    )
    terms = Terms(
        max_buzz=int(inputs.get("max_buzz") or 0),
        reuse_paid=inputs.get("reuse_paid") is not False,
        wait_minutes=float(inputs.get("wait_minutes") or 30),
        prompt_id=prompt_id,
    )
    return filled(wanted, inputs.get("generation")), terms


def left_out(inputs: dict[str, Any]) -> list[str]:
    """What a wired generation says and the order does not hold, in sentences: it is paid for without it."""
    from ..civitai_bridge.metadata.generation import LORA_KINDS, loras_of
    from ..civitai_bridge.metadata.samplers import SAMPLER_NAMES, SCHEDULER_NAMES

    generation, lines = inputs.get("generation"), []
    if generation is None:
        return lines
    if not inputs.get("loras"):
        names = [one["name"] or one["hash"] for one in loras_of(generation) if one["strength"] and not _named(one)]
        lines += [f"LoRA {name} of the generation is not known to CivitAI and was left out." for name in names]
    names = [one.name or one.hash for one in generation.networks if one.kind not in LORA_KINDS]
    lines += [f"{name} of the generation is no LoRA and was left out." for name in names]
    lines += [f"The embedding {one.name or one.hash} was left out: orders take none." for one in generation.embeddings]
    if generation.vae and not text_of(inputs.get("vae")):
        lines.append(f"The VAE {generation.vae} was left out; `vae` takes one.")
    for name, known in (("sampler", SAMPLER_NAMES), ("scheduler", SCHEDULER_NAMES)):
        said = getattr(generation, name)
        if said and said not in known and inputs.get("sampler_name" if name == "sampler" else name) in (None, "auto"):
            lines.append(f"The {name} {said!r} is not known here; the engine's own is used.")
    return lines


def _named(lora: dict[str, Any]) -> str:
    """How an order names a LoRA of a generation: what CivitAI resolved."""
    return str(lora["air"] or lora["version_id"] or "")


def filled(wanted: GenerationRequest, generation: Any) -> GenerationRequest:
    """Whatever stands at its default, filled from a CIVITAI_GENERATION."""
    from ..civitai_bridge.metadata.generation import loras_of
    from ..civitai_bridge.metadata.prompt import clean_prompt
    from ..civitai_bridge.metadata.samplers import SAMPLER_NAMES, SCHEDULER_NAMES
    from ..civitai_bridge.orchestration.request import GenerationRequest, LoraInput

    if generation is None:
        return wanted
    default = GenerationRequest()
    known = {
        "model": generation.model_air or str(generation.model_version_id or ""),
        "prompt": clean_prompt(generation.prompt),
        "negative_prompt": clean_prompt(generation.negative_prompt),
        "seed": generation.seed,
        "width": generation.width,
        "height": generation.height,
        "steps": generation.steps,
        "cfg": generation.cfg,
        "sampler_name": generation.sampler if generation.sampler in SAMPLER_NAMES else None,
        "scheduler": generation.scheduler if generation.scheduler in SCHEDULER_NAMES else None,
        "clip_skip": generation.clip_skip,
        "loras": tuple(
            LoraInput(_named(one), one["strength"], one["name"])
            for one in loras_of(generation)
            if _named(one) and one["strength"]
        ),
    }
    fill = {name: value for name, value in known.items() if value and getattr(wanted, name) == getattr(default, name)}
    return replace(wanted, **fill)
