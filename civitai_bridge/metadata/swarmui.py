"""SwarmUI: JSON with `sui_image_params`, `sui_models`, `sui_extra_data`.

Source: https://github.com/mcmonkeyprojects/SwarmUI/blob/master/docs/Image%20Metadata%20Format.md"""

from __future__ import annotations

import re
from typing import Any

from ..resources.hashes import AUTO_V3, normal_hash
from ..resources.json_values import items, number, objects, whole
from .generation import GenerationData, Upscale, UsedResource, by_list
from .prompt import name_key
from .quantities import guidance_scale, pixels, step_count, weight_of
from .resources import in_prompts, join, kind_of
from .tables import Row, decoded_object, rest_of, take, word

_TABLE: tuple[Row, ...] = (
    ("prompt", "prompt", word),
    ("negativeprompt", "negative_prompt", word),
    ("model", "model_name", word),
    ("seed", "seed", whole),
    ("steps", "steps", step_count),
    ("cfgscale", "cfg", guidance_scale),
    ("fluxguidancescale", "guidance", guidance_scale),
    ("sampler", "sampler", word),
    ("scheduler", "scheduler", word),
    ("width", "width", pixels),
    ("height", "height", pixels),
    ("vae", "vae", word),
    ("swarm_version", "software", word),
    ("swarmVersion", "software", word),
)
_UPSCALE: tuple[Row, ...] = (
    ("refinerupscale", "scale", number),
    ("refinerupscalemethod", "upscaler", word),
    ("refinersteps", "steps", step_count),
    ("refinercontrolpercentage", "denoise", number),
)
_EMBED = re.compile(r"<embed(?:ding)?:([^<>:\n]+)>", re.IGNORECASE)


def read_swarmui(text: str) -> GenerationData | None:
    """What SwarmUI wrote; None when the text is not its own."""
    document = decoded_object(text) if "sui_image_params" in text else None
    params = document.get("sui_image_params") if document else None
    if document is None or not isinstance(params, dict):
        return None
    notes: list[str] = []
    fields = take(params, _TABLE, notes)
    if upscale := take(params, _UPSCALE, notes):
        fields["upscale"] = Upscale(**upscale)
    # "StopAtClipLayer" counts from the end, as ComfyUI does.
    layer = whole(params.get("clipstopatlayer"))
    if layer is not None and layer < 0:
        fields["clip_skip"] = -layer
        del params["clipstopatlayer"]
    if "initimagecreativity" in params:
        fields.update(take(params, (("initimagecreativity", "denoise", number),), notes))
    resources = [*_listed(params, notes), *in_prompts(fields, notes), *_embeddings(fields), *_models(document, fields)]
    fields.update(by_list(join(resources, notes)))
    others = {key: value for key, value in document.items() if key not in ("sui_image_params", "sui_models")}
    extra = rest_of({**params, **others})
    return GenerationData(source="swarmui", notes=tuple(notes), extra=extra, texts={"parameters": text}, **fields)


def _embeddings(fields: dict[str, Any]) -> list[UsedResource]:
    """Embeddings as SwarmUI spells them: `<embed:name>`."""
    return [
        UsedResource("", 1.0, match[1].strip(), "embedding", source=source)
        for source in ("prompt", "negative_prompt")
        for match in _EMBED.finditer(fields.get(source, ""))
    ]


def _listed(params: dict[str, Any], notes: list[str]) -> list[UsedResource]:
    """`loras` and `loraweights`, two lists side by side."""
    names, weights = params.pop("loras", None), params.pop("loraweights", None)
    names = names.split(",") if isinstance(names, str) else items(names)
    weights = weights.split(",") if isinstance(weights, str) else items(weights)
    loras = []
    for index, name in enumerate(names):
        if isinstance(name, str) and name.strip():
            weight = weight_of(name, weights[index] if index < len(weights) else 1.0, notes)
            loras.append(UsedResource("", weight, name.strip(), source="file"))
    return loras


def _models(document: dict[str, Any], fields: dict[str, Any]) -> list[UsedResource]:
    """`sui_models`: the hashes of what took part; the first of param `model` is the model."""
    resources = []
    for model in objects(document.get("sui_models")):
        name, hash = word(model.get("name")) or "", normal_hash(model.get("hash"))[:AUTO_V3]
        kind, weight = kind_of(model.get("param")), number(model.get("weight"))
        if model.get("param") == "model" and "model_hash" not in fields:
            fields["model_hash"] = hash
            fields.setdefault("model_name", name)
        elif model.get("param") == "vae" and name_key(fields.get("vae", name)) == name_key(name):
            fields.update(vae=name, vae_hash=hash)
        elif name:
            source = "hashes" if weight is None else "file"
            resources.append(UsedResource("", 1.0 if weight is None else weight, name, kind, hash=hash, source=source))
    return resources
