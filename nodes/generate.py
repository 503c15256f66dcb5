"""Generate and Estimate: from a model reference to an IMAGE, and what it would cost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..civitai_bridge.errors import CivitaiError, Interrupted
from ..civitai_bridge.metadata.samplers import SAMPLER_NAMES, SCHEDULER_NAMES
from ..civitai_bridge.network.background import background_loop, until_cancelled
from ..civitai_bridge.orchestration.variants import paths
from .base import FreshNode, Node, output, report_text, schema
from .host.interrupt import NodeRun, settled
from .host.services import services
from .sockets import ADVANCED, AirOut, Generation, Loras, choice, number, reference_input, text_of, whole

if TYPE_CHECKING:
    from ..civitai_bridge.orchestration.fleet import Fleet
    from ..civitai_bridge.orchestration.outcome import Estimate, Outcome, Terms
    from ..civitai_bridge.orchestration.request import GenerationRequest, LoraInput

SEED_MAX = 2**53 - 1  # the largest whole number that every JSON reader and the page keep exact
_ENGINES_OWN = "0 = what the engine itself would take."
_SIZE = "Pixels; 0 = what the engine itself would take. Rounded to its step."
# The inputs of both nodes. Their order is the widget order and is frozen: new ones are optional and come last.
INPUTS = (
    reference_input(
        "model",
        default="",
        tooltip="Which model: a version id, a CivitAI address, an AIR, a hash, or a wire from Resolve. "
        "May be empty when `engine` names one with its own model.",
    ),
    io.String.Input(
        "prompt", multiline=True, default="", tooltip="What to draw. Sent as written: LoRA tags are not read."
    ),
    io.String.Input(
        "negative_prompt",
        multiline=True,
        default="",
        optional=True,
        tooltip="What to avoid, where the engine takes it.",
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
    whole("width", 0, 0, 16384, _SIZE, step=8),
    whole("height", 0, 0, 16384, _SIZE, step=8),
    whole("steps", 0, 0, 1000, _ENGINES_OWN),
    number("cfg", 0.0, 100.0, 0.1, "Guidance; 0 = what the engine itself would take."),
    choice("sampler_name", list(SAMPLER_NAMES), "In ComfyUI's spelling; auto = the engine's own.", **ADVANCED),
    choice("scheduler", list(SCHEDULER_NAMES), "In ComfyUI's spelling; auto = the engine's own.", **ADVANCED),
    choice(
        "engine", ["auto", *paths()], "auto = by the model's family. Any other engine of CivitAI's fleet can be named."
    ),
    choice(
        "operation",
        ["auto", "create", "variant", "edit"],
        "auto: without an image create; with one a variant where the engine offers it and denoise is below 1, else "
        "edit.",
        **ADVANCED,
    ),
    number("denoise", 0.7, 1.0, 0.01, "Only with `image`: how far the result may go from it.", **ADVANCED),
    whole("clip_skip", 0, 0, 12, _ENGINES_OWN, **ADVANCED),
    reference_input(
        "vae", default="", optional=True, tooltip="A VAE, by any reference; empty = the model's own.", **ADVANCED
    ),
    choice("output_format", ["png", "jpeg", "webp"], "What the fleet sends.", **ADVANCED),
    choice(
        "mature_content",
        ["auto", "blocked", "allowed"],
        "auto leaves it to CivitAI; allowed needs the setting of that name and is paid with bought Buzz only.",
        **ADVANCED,
    ),
    whole("max_buzz", 0, 0, 1_000_000, "Never pay more than this for this node; 0 = the limits of the settings."),
    io.Boolean.Input(
        "reuse_paid",
        default=True,
        optional=True,
        tooltip="Answer the same request from what was already bought. Off: buy it again.",
    ),
    whole(
        "wait_minutes",
        30,
        1,
        1440,
        "How long this node waits. The job goes on and can be collected later.",
        **ADVANCED,
    ),
    Loras.Input("loras", optional=True, tooltip="LoRAs with their strengths, for example from Image Data."),
    io.Image.Input("image", optional=True, tooltip="A source picture: the first of the batch is sent along as PNG."),
    io.Mask.Input("mask", optional=True, tooltip="Where to change it, for engines that take a mask: white may change."),
    Generation.Input("generation", optional=True, tooltip="Fills whatever stands at its default."),
    choice(
        "missing",
        ["error", "skip"],
        "When a LoRA cannot be named to CivitAI: stop before the price, or order without it and say so.",
        **ADVANCED,
    ),
    io.String.Input(
        "tags",
        default="",
        optional=True,
        tooltip="Words to find the workflow again by, commas between: at most 8, of 200 characters each. They change "
        "neither the picture nor what counts as the same request.",
        **ADVANCED,
    ),
)
# Inputs that a request takes by the same name and as they are.
_PLAIN = (
    *("prompt", "negative_prompt", "seed", "quantity", "width", "height", "steps", "cfg", "sampler_name", "scheduler"),
    *("engine", "operation", "denoise", "clip_skip", "output_format", "mature_content"),
)


class CivitaiBridgeGenerate(Node):
    """Generate: an order in, paid pictures out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeGenerate",
            display_name="CivitAI Generate",
            description="Has images made on CivitAI's fleet: at a price that is asked first, paid once, kept on disk. "
            "The same request again costs nothing.",
            search_aliases=["civitai", "buzz", "remote", "cloud", "text to image"],
            inputs=list(INPUTS),
            outputs=[
                io.Image.Output("images", tooltip="The pictures that came, as one batch."),
                io.Mask.Output("mask", tooltip="1 - alpha; zeros where the pictures have none."),
                Generation.Output("generation", tooltip="What was really asked and came back."),
                io.String.Output("workflow_id", tooltip="CivitAI's name for the job."),
                AirOut.Output("air", tooltip="The model's AIR as CivitAI gave it."),
                io.Float.Output("cost", tooltip="Buzz, refunds taken off."),
                io.String.Output(
                    "blob_urls", tooltip="Addresses of the pictures, one a line. They are signed: do not share them."
                ),
                io.String.Output("report", tooltip="What happened, in sentences."),
            ],
        )

    @classmethod
    async def execute(cls, **inputs: Any) -> io.NodeOutput:
        from .tensors import to_tensor

        fleet, outcome, images, mask, notes = await cls.run(lambda run: _buy(run, inputs))
        # The prompt has the pictures. A node that was torn down never comes here: its pictures wait in the journal.
        background_loop().start(fleet.collected(outcome.key))
        report = report_text("\n".join([outcome.report, *notes]))
        return output(
            to_tensor(images),
            to_tensor(mask),
            outcome.generation,
            outcome.workflow_id,
            outcome.air,
            outcome.cost,
            "\n".join(outcome.blob_urls),
            report,
            report=report,
        )


class CivitaiBridgeEstimate(FreshNode):
    """Estimate: an order in, its price out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeEstimate",
            display_name="CivitAI Estimate",
            description="Asks what the same inputs would cost on CivitAI's fleet. Buys nothing.",
            search_aliases=["civitai", "buzz", "price", "cost"],
            inputs=list(INPUTS),
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

        async def ask(run: NodeRun) -> tuple[Estimate, tuple[str, ...]]:
            fleet = await services().fleet()
            request, terms, notes = await _order({**inputs, "missing": "skip"}, run.prompt_id)
            return await fleet.estimate(request, terms, Caller(cancelled=run.cancelled)), notes

        estimate, notes = await cls.look(ask, "Asking the price")
        report = report_text("\n".join([estimate.report, *notes]))
        return output(float(estimate.cost), estimate.affordable, report, report=report)


def _stopped() -> CivitaiError:
    return Interrupted("Cancelled before anything was bought.")


async def _buy(run: NodeRun, inputs: dict[str, Any]) -> tuple[Fleet, Outcome, Any, Any, list[str]]:
    """Buy on the background loop, decode beside it: images, mask and notes."""
    from ..civitai_bridge.errors import BlobDamaged
    from ..civitai_bridge.orchestration.outcome import Caller
    from ..civitai_bridge.pictures import batch

    fleet = await services().fleet()
    request, terms, notes = await until_cancelled(_order(inputs, run.prompt_id), run.cancelled, _stopped)
    if run.node_id:
        terms = replace(terms, asked_by=f"{terms.asked_by}, node {run.node_id}")
    await settled()
    outcome = await fleet.generate(request, terms, Caller(run.show, run.cancelled, run.left))
    paths = [picture.path for picture in outcome.pictures]
    try:
        images, mask, scaled = await asyncio.to_thread(batch, paths)
        return fleet, outcome, images, mask, [*notes, *scaled]
    except BlobDamaged:
        await asyncio.to_thread(fleet.results.set_aside_damaged, [path.name for path in paths])
        raise


async def _order(inputs: dict[str, Any], prompt_id: str) -> tuple[GenerationRequest, Terms, tuple[str, ...]]:
    """The request with everything that a wired generation and this machine tell, its terms, and what is left out."""
    from ..civitai_bridge.catalog.name_loras import name_loras
    from ..civitai_bridge.orchestration.fill import completed

    async def names(loras: Sequence[LoraInput]) -> list[str]:
        return await name_loras(await services().catalog(), loras)

    request, terms = await asyncio.to_thread(read_inputs, inputs, prompt_id)
    missing = str(inputs.get("missing") or "error")
    request, notes = await completed(request, inputs.get("generation"), names, missing=missing)
    return request, terms, notes


def read_inputs(inputs: dict[str, Any], prompt_id: str) -> tuple[GenerationRequest, Terms]:
    """The node's inputs as a request and its terms; what is absent stands at its default. Raises NotAPicture."""
    from ..civitai_bridge.orchestration.fill import lora_inputs
    from ..civitai_bridge.orchestration.outcome import Terms
    from ..civitai_bridge.orchestration.request import GenerationRequest
    from ..civitai_bridge.orchestration.tags import split_tags
    from .tensors import png_of_image, png_of_mask

    image, mask = inputs.get("image"), inputs.get("mask")
    request = GenerationRequest(
        model=text_of(inputs.get("model")),
        vae=text_of(inputs.get("vae")),
        loras=lora_inputs(inputs.get("loras") or ()),
        image=None if image is None else png_of_image(image),
        mask=None if mask is None else png_of_mask(mask),
        tags=split_tags(text_of(inputs.get("tags"))),
        **{name: inputs[name] for name in _PLAIN if inputs.get(name) is not None},
    )
    terms = Terms(
        max_buzz=int(inputs.get("max_buzz") or 0) or None,  # on a node 0 names no limit
        reuse_paid=inputs.get("reuse_paid") is not False,
        wait_minutes=float(inputs.get("wait_minutes") or 30),
        prompt_id=prompt_id,
        asked_by="CivitAI Generate",
    )
    return request, terms
