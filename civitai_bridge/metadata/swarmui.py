"""SwarmUI: JSON with `sui_image_params`, `sui_models`, `sui_extra_data` (facts/site-api.md §2.5)."""

from __future__ import annotations

import re
from typing import Any

from ..resources.hashes import normal_hash
from ..resources.json_values import number, whole
from .generation import GenerationData, Upscale, UsedResource, by_list
from .prompt import name_key
from .quantities import guidance_scale, pixels, shown, step_count
from .resources import join, kind_of, named_embeddings, tagged
from .tables import Row, decoded_object, kept, objects, take, word

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
    whole_text = decoded_object(text) if "sui_image_params" in text else None
    said = whole_text.get("sui_image_params") if whole_text else None
    if whole_text is None or not isinstance(said, dict):
        return None
    notes: list[str] = []
    fields = take(said, _TABLE, notes)
    upscale = take(said, _UPSCALE, notes)
    if upscale:
        fields["upscale"] = Upscale(**upscale)
    # "StopAtClipLayer" counts from the end, as ComfyUI does.
    layer = whole(said.get("clipstopatlayer"))
    if layer is not None and layer < 0:
        fields["clip_skip"] = -layer
        del said["clipstopatlayer"]
    if "initimagecreativity" in said:
        fields.update(take(said, (("initimagecreativity", "denoise", number),), notes))
    networks = [*_listed(said, notes)]
    for name, source in (("prompt", "prompt"), ("negative_prompt", "negative_prompt")):
        prompt = fields.get(name, "")
        networks += tagged(prompt, source, notes)
        networks += [UsedResource("", 1.0, m[1].strip(), "embedding", source=source) for m in _EMBED.finditer(prompt)]
        networks += named_embeddings(prompt, source)
    networks += _models(whole_text, fields)
    fields.update(by_list(join(networks, notes)))
    rest = kept({**said, **{k: v for k, v in whole_text.items() if k not in ("sui_image_params", "sui_models")}})
    return GenerationData(source="swarmui", notes=tuple(notes), extra=rest, texts={"parameters": text}, **fields)


def _listed(said: dict[str, Any], notes: list[str]) -> list[UsedResource]:
    """`loras` and `loraweights`, two lists side by side."""
    names, weights = said.pop("loras", None), said.pop("loraweights", None)
    names = names.split(",") if isinstance(names, str) else names
    weights = weights.split(",") if isinstance(weights, str) else weights
    found = []
    for i, name in enumerate(names if isinstance(names, list) else ()):
        if not isinstance(name, str) or not name.strip():
            continue
        value = weights[i] if isinstance(weights, list) and i < len(weights) else 1.0
        weight = number(value)
        if weight is None:
            notes.append(f"The weight of {name[:60]} (1 stands in) is not known: {shown(value)}.")
        found.append(UsedResource("", 1.0 if weight is None else weight, name.strip(), source="file"))
    return found


def _models(whole_text: dict[str, Any], fields: dict[str, Any]) -> list[UsedResource]:
    """`sui_models`: the hashes of what took part; the first of param `model` is the model."""
    found = []
    for one in objects(whole_text.get("sui_models")):
        name, hash = word(one.get("name")) or "", normal_hash(one.get("hash"))[:12]
        kind, weight = kind_of(one.get("param")), number(one.get("weight"))
        if one.get("param") == "model" and "model_hash" not in fields:
            fields["model_hash"] = hash
            fields.setdefault("model_name", name)
        elif one.get("param") == "vae" and name_key(fields.get("vae", name)) == name_key(name):
            fields.update(vae=name, vae_hash=hash)
        elif name:
            source = "hashes" if weight is None else "file"
            found.append(UsedResource("", 1.0 if weight is None else weight, name, kind, hash=hash, source=source))
    return found
