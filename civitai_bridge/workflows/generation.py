"""What made the pictures of a workflow, read from the input that CivitAI keeps of its steps: nothing is guessed.

Where a step changed the pictures of another one, what made them is the other's; the notes say what else happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import InvalidAir
from ..metadata.comfy.reader import read_graph
from ..metadata.generation import GenerationData, UsedResource, by_list
from ..metadata.samplers import read_label, sampling_of_order
from ..orchestration.variants import MODEL_FIELDS, Variant, variants
from ..resources.air import Air
from ..resources.json_values import decimal, items, mapping, text, whole
from .details import StepDetails, WorkflowDetails
from .outputs import Output

IMAGE_GEN, TEXT_TO_IMAGE, COMFY = "imageGen", "textToImage", "comfy"
_SEEDED = (IMAGE_GEN, TEXT_TO_IMAGE)  # picture i is made from seed + i

# What the older step calls its samplers -> the labels that they stand for; `undefined` says nothing.
_SCHEDULERS = {
    "eulerA": "Euler a", "euler": "Euler", "lms": "LMS", "heun": "Heun", "dpM2": "DPM2", "dpM2A": "DPM2 a",
    "dpM2SA": "DPM++ 2S a", "dpM2M": "DPM++ 2M", "dpmsde": "DPM++ SDE", "dpmFast": "DPM fast",
    "dpmAdaptive": "DPM adaptive", "lmsKarras": "LMS Karras", "dpM2Karras": "DPM2 Karras",
    "dpM2AKarras": "DPM2 a Karras",
    "dpM2SAKarras": "DPM++ 2S a Karras", "dpM2MKarras": "DPM++ 2M Karras", "dpmsdeKarras": "DPM++ SDE Karras",
    "ddim": "DDIM", "plms": "PLMS", "uniPC": "UniPC", "lcm": "LCM", "ddpm": "DDPM", "deis": "DEIS",
    "dpM3MSDE": "DPM++ 3M SDE",
}  # fmt: skip
_KINDS = {"lora": "lora", "dora": "lora", "lycoris": "lyco", "embedding": "embedding", "vae": "vae"}


def generation_of(
    workflow: WorkflowDetails, pictures: Sequence[Output], missing: Mapping[int, str], source: str
) -> GenerationData:
    """What made these pictures of a workflow; `missing` are the reasons of others by their places in the step, `source`
    is who says it. The seed is that of place 0, and is left out where the pictures do not come from one step that
    counts it up. Never raises for odd content."""
    makers = [step for step in workflow.steps if step.index in {picture.step_index for picture in pictures}]
    maker = _maker(workflow, makers)
    if maker is None:
        return GenerationData(source=source, workflow_id=workflow.id, cost=paid(workflow))
    members = _READERS.get(maker.type, _plain)(maker)
    is_one_step = len(makers) == 1 and makers[0].index == maker.index
    if not (is_one_step and (maker.type in _SEEDED or len(pictures) == 1)):
        members["seed"] = None
    types = dict.fromkeys(step.type for step in makers if step.index != maker.index)
    notes = [f"Pictures of {', '.join(types)} are among them."] if types else []
    return GenerationData.of(
        {
            **members,
            "workflow_id": workflow.id,
            "cost": paid(workflow),
            "arrived": tuple(picture.index for picture in pictures) if is_one_step else (),
            "missing": dict(missing) if is_one_step else {},
            "source": source,
            "notes": (*members.get("notes", ()), *notes),
        }
    )


def paid(workflow: WorkflowDetails) -> float:
    """Net Buzz of a workflow: what the wallets paid less what came back; its price where no wallet is named."""
    summary = workflow.summary
    if summary.transactions:
        return float(summary.debited - summary.credited)
    return float(summary.cost or 0)


def _maker(workflow: WorkflowDetails, makers: Sequence[StepDetails]) -> StepDetails | None:
    """The step whose input tells how the pictures came to be: theirs, or the earlier one whose work they changed."""
    telling = (step for step in (*makers, *workflow.steps) if step.prompt or step.type in _READERS)
    return next(telling, next(iter(makers), None))


def _image_gen(step: StepDetails) -> dict[str, Any]:
    asked, variant = step.input, _variant_of(step.input)
    guided = variant.guidance_field if variant else "guidanceScale"
    sampling = sampling_of_order(asked)
    air = next((text(asked.get(name)) for name in MODEL_FIELDS if _air(asked.get(name))), "")
    return {
        **_common(asked),
        **_model(air),
        **by_list([*_loras(asked.get("loras")), *_more_resources(asked)]),
        "cfg": decimal(asked.get("cfgScale")) if guided != "cfgScale" else None,
        "guidance": decimal(asked.get(guided)) if guided else None,
        "sampler": sampling.sampler,
        "scheduler": sampling.scheduler,
        "denoise": _first(decimal, asked, "denoiseStrength", "strength"),
        "engine": variant.path if variant else _path_of(asked),
    }


def _text_to_image(step: StepDetails) -> dict[str, Any]:
    asked = {**mapping(step.input.get("params")), **step.input}
    word = text(asked.get("scheduler"))
    sampling, notes = read_label(_SCHEDULERS.get(word, word))
    return {
        **_common(asked),
        **_model(text(asked.get("model"))),
        **by_list(_networks(mapping(asked.get("additionalNetworks")))),
        "cfg": decimal(asked.get("cfgScale")),
        "sampler": sampling.sampler,
        "scheduler": sampling.scheduler,
        "denoise": decimal(asked.get("sourceImageDenoiseStrenght")) if asked.get("sourceImage") else None,
        "engine": text(asked.get("engine")) or TEXT_TO_IMAGE,
        "notes": notes if word != "undefined" else (),
    }


def _comfy(step: StepDetails) -> dict[str, Any]:
    graph = {
        key: {**node, "class_type": node.get("class_type") or node.get("classType")}
        for key, node in mapping(step.input.get("comfyWorkflow")).items()
        if isinstance(node, Mapping)
    }
    data = read_graph(graph) if graph else None
    return {**(vars(data) if data is not None else {}), "engine": COMFY}


def _plain(step: StepDetails) -> dict[str, Any]:
    engine = text(step.input.get("engine"))
    return {**_common(step.input), "engine": f"{step.type}/{engine}" if engine else step.type}


_READERS: Mapping[str, Callable[[StepDetails], dict[str, Any]]] = {
    IMAGE_GEN: _image_gen, TEXT_TO_IMAGE: _text_to_image, COMFY: _comfy,
}  # fmt: skip


def _common(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "prompt": text(asked.get("prompt")),
        "negative_prompt": text(asked.get("negativePrompt")),
        "seed": whole(asked.get("seed")),
        "steps": _first(whole, asked, "steps", "numInferenceSteps"),
        "width": whole(asked.get("width")),
        "height": whole(asked.get("height")),
        "clip_skip": whole(asked.get("clipSkip")),
    }


def _first(read: Callable[[Any], Any], asked: Mapping[str, Any], *names: str) -> Any:
    return next((value for name in names if (value := read(asked.get(name))) is not None), None)


def _variant_of(asked: Mapping[str, Any]) -> Variant | None:
    """The variant whose discriminators an input has, the most particular one; None where the table has none."""
    fitting = [
        variant
        for operations in variants().values()
        for variant in operations.values()
        if all(asked.get(name) == value for name, value in variant.selectors.items())
    ]
    return max(fitting, key=lambda variant: len(variant.selectors), default=None)


def _path_of(asked: Mapping[str, Any]) -> str:
    """An engine that the table does not have yet, by its words as far as they name no resource."""
    words = (text(asked.get(name)) for name in ("engine", "ecosystem", "model", "version"))
    return "/".join(word for word in words if word and not _air(word))


def _air(value: Any) -> Air | None:
    try:
        air = Air.parse(value) if isinstance(value, str) and ":" in value else None
    except InvalidAir:
        return None
    return air if air is not None and air.version_id else None


def _model(air: str) -> dict[str, Any]:
    known = _air(air)
    return {"model_air": air, "model_version_id": known.version_id if known else None} if air else {}


def _used(air: str, strength: Any = None, kind: str = "") -> UsedResource:
    known, weight = _air(air), decimal(strength)
    kind = _KINDS.get((kind or (known.type if known else "")).lower(), "lora")
    return UsedResource(
        air, 1.0 if weight is None else weight, kind=kind, version_id=known.version_id if known else None
    )


def _loras(value: Any) -> list[UsedResource]:
    """A map AIR -> strength, or a list of `{air, strength}`."""
    if isinstance(value, Mapping):
        return [_used(str(air), strength) for air, strength in value.items()]
    entries = (mapping(entry) for entry in items(value))
    return [_used(text(entry.get("air")), entry.get("strength")) for entry in entries if entry.get("air")]


def _networks(value: Mapping[str, Any]) -> list[UsedResource]:
    """The older step's map of everything but the model: LoRAs, embeddings and VAEs with their strength."""
    return [_used(str(air), mapping(own).get("strength"), text(mapping(own).get("type"))) for air, own in value.items()]


def _more_resources(asked: Mapping[str, Any]) -> list[UsedResource]:
    more = [_used(air, kind="embedding") for air in map(text, items(asked.get("embeddings"))) if air]
    return [*more, _used(text(asked.get("vaeModel")), kind="vae")] if text(asked.get("vaeModel")) else more
