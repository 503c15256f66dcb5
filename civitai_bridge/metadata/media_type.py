"""What kind of making a picture or video shows: from text or from a picture, an image or a video.

The words are those of CivitAI's `process` and `workflow` fields and of its techniques, old and new spellings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .generation import GenerationData

_DIRECTIONS = {"txt2img": "t2i", "img2img": "i2i", "txt2vid": "t2v", "img2vid": "i2v", "vid2vid": "v2v"}
_WORDS = {
    "txt2img-hires": "txt2img", "txt2imghires": "txt2img", "inpainting": "img2img", "ref2vid": "img2vid",
    "image:create": "txt2img", "image:draft": "txt2img", "image:edit": "img2img", "image:upscale": "img2img",
    "image:remove-background": "img2img", "image:face-fix": "img2img", "image:hires-fix": "img2img",
    "video:create": "txt2vid", "video:animate": "img2vid", "video:first-last-frame": "img2vid",
    "video:ref2vid": "img2vid",
}  # fmt: skip
_DIRECTIONS_OF = {"video": ("t2v", "i2v", "v2v"), "image": ("t2i", "i2i")}
_FROM_PICTURE = ("sourceImage", "images", "Mask blur", "mask_blur")


def direction(word: object) -> str:
    """`t2i`, `i2i`, `t2v`, `i2v` or `v2v` for a word of `process`, `workflow` or a technique; `""` for any other.

    assert direction("img2img:upscale + ControlNet") == "i2i"
    """
    if not isinstance(word, str):
        return ""
    text = word.lower().partition(" + ")[0].strip()
    text = _WORDS.get(text, text).partition(":")[0]
    text = "img2img" if text.startswith("img2img-") else _WORDS.get(text, text)
    return _DIRECTIONS.get(text, "")


def detected_type(
    data: GenerationData,
    *,
    media_type: str = "",
    workflow: object = "",
    techniques: Iterable[object] = (),
    meta: Mapping[str, object] | None = None,
    graph: str = "",
) -> str:
    """`t2i`, `i2i`, `t2v`, `i2v` or `unknown`: the first word that fits the media type (a video's stored process is
    usually a meaningless `txt2img`), else what a ComfyUI graph showed (`graph`), else what the settings look like.

    Video from video is told as `i2v`; the caller says so in a note."""
    media_type = media_type or data.media_type
    if media_type not in _DIRECTIONS_OF:
        return "unknown"
    settings = {**data.extra, **(meta or {})}
    for word in (data.process, workflow, *(data.techniques or techniques)):
        kind = direction(word)
        if kind in _DIRECTIONS_OF[media_type]:
            return "i2v" if kind == "v2v" else kind
    if graph in _DIRECTIONS_OF[media_type]:
        return graph
    from_picture = any(settings.get(name) for name in _FROM_PICTURE)
    base = data.base_model.lower()
    if media_type == "video":
        return "i2v" if from_picture or ("i2v" in base and "ti2v" not in base) else "t2v"
    return "i2i" if from_picture or (data.denoise is not None and data.denoise < 1) else "t2i"
