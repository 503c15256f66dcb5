"""NovelAI: PNG texts `Software` = NovelAI, `Comment` = JSON, `Description` = the prompt, `Source` = the model.

WebP, JPEG and the pixels themselves ("stealth") hold the same texts as members of one JSON object."""

from __future__ import annotations

from collections.abc import Mapping

from ..resources.json_values import mapping, number, objects, text, whole
from .generation import GenerationData, by_list
from .quantities import guidance_scale, pixels, step_count
from .resources import join, named_embeddings
from .tables import Row, decoded_object, rest_of, take, word

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
    document = decoded_object(texts.get("Comment", ""))
    is_named = texts.get("Software") == "NovelAI"
    if document is None or not (is_named or ("uc" in document and "sampler" in document)):
        return None
    notes: list[str] = []
    fields = take(document, _TABLE, notes)
    fields.setdefault("prompt", texts.get("Description", ""))
    for key, name in (("v4_prompt", "prompt"), ("v4_negative_prompt", "negative_prompt")):
        if caption := _caption(document.get(key)):
            fields[name] = caption
    sampler = document.pop("sampler", None)
    if isinstance(sampler, str):
        fields["sampler"] = _SAMPLERS.get(sampler, sampler)
        if sampler not in _SAMPLERS:
            notes.append(f"The sampler {sampler[:60]!r} is unknown; nothing stands in for it.")
    schedule = document.pop("noise_schedule", None)
    if isinstance(schedule, str):
        fields["scheduler"] = _SCHEDULES.get(schedule, schedule)
    fields["detected_type"] = _TYPES.get(str(document.get("request_type")), "")
    fields["model_name"] = texts.get("Source", "")
    fields["software"] = "NovelAI"
    prompts = ("prompt", "negative_prompt")
    embeddings = [embedding for name in prompts for embedding in named_embeddings(fields.get(name, ""), name)]
    fields.update(by_list(join(embeddings, notes)))
    extra = rest_of(document)
    return GenerationData(source="novelai", notes=tuple(notes), extra=extra, texts=dict(texts), **fields)


def texts_of_object(whole_text: str) -> dict[str, str]:
    """NovelAI's texts where they are members of one JSON object; empty for any other text."""
    document = decoded_object(whole_text) if '"Comment"' in whole_text else None
    if document is None or not isinstance(document.get("Comment"), str):
        return {}
    return {name: value for name, value in document.items() if isinstance(value, str)}


def _caption(value: object) -> str:
    """The prompt of version 4: a base caption and one for each character."""
    caption = mapping(mapping(value).get("caption"))
    characters = (character.get("char_caption") for character in objects(caption.get("char_captions")))
    return " | ".join(filter(None, map(text, (caption.get("base_caption"), *characters))))
