"""NovelAI: PNG texts `Software` = NovelAI, `Comment` = JSON, `Description` = the prompt, `Source` = the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..resources.json_values import number, whole
from .generation import GenerationData, by_list
from .quantities import guidance_scale, pixels, step_count
from .resources import join, named_embeddings
from .tables import Row, decoded_object, kept, objects, take, word

_TABLE: tuple[Row, ...] = (
    ("prompt", "prompt", word),
    ("uc", "negative_prompt", word),
    ("seed", "seed", whole),
    ("steps", "steps", step_count),
    ("scale", "cfg", guidance_scale),
    ("width", "width", pixels),
    ("height", "height", pixels),
    ("strength", "denoise", number),
)
_SAMPLERS = {
    "k_euler": "euler", "k_euler_ancestral": "euler_ancestral", "k_lms": "lms", "k_heun": "heun", "k_dpm_2": "dpm_2",
    "k_dpm_2_ancestral": "dpm_2_ancestral", "k_dpm_fast": "dpm_fast", "k_dpm_adaptive": "dpm_adaptive",
    "k_dpmpp_2m": "dpmpp_2m", "k_dpmpp_2m_sde": "dpmpp_2m_sde", "k_dpmpp_sde": "dpmpp_sde",
    "k_dpmpp_2s_ancestral": "dpmpp_2s_ancestral", "ddim": "ddim", "ddim_v3": "ddim",
}  # fmt: skip
_SCHEDULES = {"karras": "karras", "exponential": "exponential", "native": "normal"}
_TYPES = {"PromptGenerateRequest": "t2i", "Img2ImgRequest": "i2i", "NativeInfillingRequest": "i2i"}


def read_novelai(texts: Mapping[str, str]) -> GenerationData | None:
    """What NovelAI's texts say; None when they are not its own."""
    comment = texts.get("Comment", "")
    said = decoded_object(comment)
    ours = texts.get("Software") == "NovelAI" or (said is not None and "uc" in said and "sampler" in said)
    if said is None or not ours:
        return None
    notes: list[str] = []
    fields = take(said, _TABLE, notes)
    fields.setdefault("prompt", texts.get("Description", ""))
    for key, name in (("v4_prompt", "prompt"), ("v4_negative_prompt", "negative_prompt")):
        if text := _caption(said.get(key)):
            fields[name] = text
    sampler = said.pop("sampler", None)
    if isinstance(sampler, str):
        fields["sampler"] = _SAMPLERS.get(sampler, sampler)
        if sampler not in _SAMPLERS:
            notes.append(f"The sampler {sampler[:60]!r} is unknown; nothing stands in for it.")
    schedule = said.pop("noise_schedule", None)
    if isinstance(schedule, str):
        fields["scheduler"] = _SCHEDULES.get(schedule, schedule)
    fields["detected_type"] = _TYPES.get(str(said.get("request_type")), "")
    fields["model_name"] = texts.get("Source", "")
    fields["software"] = "NovelAI"
    networks = [one for name in ("prompt", "negative_prompt") for one in named_embeddings(fields.get(name, ""), name)]
    fields.update(by_list(join(networks, notes)))
    return GenerationData(source="novelai", notes=tuple(notes), extra=kept(said), texts=dict(texts), **fields)


def _caption(value: Any) -> str:
    """The prompt of version 4: a base caption and one for each character."""
    caption = value.get("caption") if isinstance(value, Mapping) else None
    if not isinstance(caption, Mapping):
        return ""
    parts = [caption.get("base_caption"), *(one.get("char_caption") for one in objects(caption.get("char_captions")))]
    return " | ".join(part for part in parts if isinstance(part, str) and part)
