"""What kind of making a picture tells of: text to image, image to image, text to video, image to video."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .generation import GenerationData

_DIRECTIONS = {"txt2img": "t2i", "img2img": "i2i", "txt2vid": "t2v", "img2vid": "i2v", "vid2vid": "v2v"}
# CivitAI's other words for a process, old and new -> the five above.
_PROCESSES = {
    "txt2img-hires": "txt2img", "txt2imghires": "txt2img", "inpainting": "img2img", "ref2vid": "img2vid",
    "image:create": "txt2img", "image:draft": "txt2img", "image:edit": "img2img", "image:upscale": "img2img",
    "image:remove-background": "img2img", "image:face-fix": "img2img", "image:hires-fix": "img2img",
    "video:create": "txt2vid", "video:animate": "img2vid", "video:first-last-frame": "img2vid",
    "video:ref2vid": "img2vid",
}  # fmt: skip
_FITTING = {"video": ("t2v", "i2v", "v2v"), "image": ("t2i", "i2i")}
_SOURCE_PICTURES = ("sourceImage", "images", "Mask blur", "mask_blur")


def direction(process: object) -> str:
    """`t2i`, `i2i`, `t2v`, `i2v` or `v2v` for a word of `process`, `workflow` or a technique; `""` for any other.

    assert direction("img2img:upscale + ControlNet") == "i2i"
    """
    if not isinstance(process, str):
        return ""
    text = process.lower().partition(" + ")[0].strip()
    text = _PROCESSES.get(text, text).partition(":")[0]
    text = "img2img" if text.startswith("img2img-") else _PROCESSES.get(text, text)
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
    """`t2i`, `i2i`, `t2v`, `i2v` or `unknown`. `graph` is what a ComfyUI graph showed.

    A word of CivitAI counts where it fits the media type: for a video uploaded from elsewhere CivitAI keeps `txt2img`
    as process. Video from video is told as `i2v`; the caller says so in a note."""
    media_type = media_type or data.media_type
    if media_type not in _FITTING:
        return "unknown"
    for process in (data.process, workflow, *(data.techniques or techniques)):
        kind = direction(process)
        if kind in _FITTING[media_type]:
            return "i2v" if kind == "v2v" else kind
    if graph in _FITTING[media_type]:
        return graph
    settings = {**data.extra, **(meta or {})}
    from_picture = any(settings.get(name) for name in _SOURCE_PICTURES)
    base_model = data.base_model.lower()
    if media_type == "video":
        return "i2v" if from_picture or ("i2v" in base_model and "ti2v" not in base_model) else "t2v"
    return "i2i" if from_picture or (data.denoise is not None and data.denoise < 1) else "t2i"
