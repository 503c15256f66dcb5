"""What each class of node does besides computing: pays, writes, loads files, speaks to hosts. As data, one line each.

Our own classes are known one by one; a newer one of ours that has a `max_buzz` counts as one that pays. CivitAI's own
pack pays too, past our limits. What the nodes of other packs do is not known here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..metadata.comfy.nodes import row

SITE, FLEET, MEDIA, STORAGE = "site", "fleet", "media", "storage"
_OURS = "CivitaiBridge"


@dataclass(frozen=True)
class Deed:
    """What a node of a class does when it runs.

    `pays`: it may spend Buzz; `limited`: within the limits of our settings. `speaks` names the services it may ask.
    `writes` says what it may write, in words. `downloads`: it may load a model file, where the setting lets graphs do
    so. `asks`: a person is to see it before."""

    pays: bool = False
    limited: bool = True
    speaks: tuple[str, ...] = ()
    writes: str = ""
    downloads: bool = False
    asks: bool = False


_BUYS = Deed(pays=True, speaks=(SITE, FLEET, STORAGE), asks=True)
_LOOKS = Deed(speaks=(SITE,))
_DEEDS: Mapping[str, Deed] = {
    **{
        f"{_OURS}{name}": _BUYS
        for name in (
            "Generate", "GenerateEngine", "GenerateVideo", "Upscale", "RemoveBackground", "TagImage", "CaptionImage",
            "EnhancePrompt", "UpscaleVideo", "InterpolateVideo",
        )
    },
    **{
        f"{_OURS}{name}": _LOOKS
        for name in (
            "ImageData", "ReadImage", "ReadText", "Resolve", "CatalogCheck", "ApplyLoras", "LoraStack", "LoraList",
        )
    },
    f"{_OURS}Estimate": Deed(speaks=(SITE, FLEET)),
    f"{_OURS}WorkflowImages": Deed(speaks=(SITE, FLEET, STORAGE)),
    f"{_OURS}WorkflowQuery": Deed(speaks=(FLEET,)),
    f"{_OURS}GenerationSettings": Deed(),
    f"{_OURS}PromptSheet": Deed(),
    f"{_OURS}CatalogAdd": Deed(speaks=(SITE,), writes="an entry in models.json", asks=True),
    f"{_OURS}CatalogPromote": Deed(speaks=(SITE,), writes="an entry in loras.json", asks=True),
    f"{_OURS}Download": Deed(speaks=(SITE, MEDIA, STORAGE), writes="a model file", downloads=True, asks=True),
    f"{_OURS}SaveImage": Deed(writes="pictures in the output folder"),
    f"{_OURS}SaveVideo": Deed(writes="videos in the output folder"),
}  # fmt: skip
_APPLIES = f"{_OURS}ApplyLoras"
_OF_CIVITAI = Deed(pays=True, limited=False, speaks=(FLEET, STORAGE), asks=True)
_NOTHING = Deed()
# Classes of CivitAI's own pack that only name something; the rest of it orders from the fleet.
_OF_CIVITAI_FREE = frozenset({"CivitaiModelSelector", "CivitaiLoraLoader"})
_ITS_FAMILIES = (
    "CivitaiAudio", "CivitaiChat", "CivitaiImage", "CivitaiMedia", "CivitaiOffload", "CivitaiPolyGen", "CivitaiPrompt",
    "CivitaiTextTo", "CivitaiTraining", "CivitaiTranscription", "CivitaiVideo",
)  # fmt: skip
_SAVES = re.compile(r"^(?:Save[A-Z]\w*|VHS_VideoCombine|Image ?Save.*|SaveImage.*)$")
_MADE_BY_CORE = ("SaveLatent", "SaveLoRA", "ModelSave", "CheckpointSave", "CLIPSave", "VAESave", "ModelMergeSave")


def deed_of(kind: str, inputs: Mapping[str, Any]) -> Deed:
    """What a node does; its `inputs` only make it more, never less, but for a switch that is plainly off."""
    deed = _of_class(kind)
    if kind.startswith(_OURS) and kind not in _DEEDS:
        return _BUYS if "max_buzz" in inputs else Deed(speaks=(SITE, FLEET), asks=True)
    if kind == _APPLIES and inputs.get("missing", "error") not in ("error", "skip"):
        return Deed(speaks=(SITE, MEDIA, STORAGE), writes="LoRA files that are missing", downloads=True, asks=True)
    if kind == f"{_OURS}Download" and inputs.get("allow_download", False) is False:
        return _LOOKS
    return deed


@lru_cache(4096)
def _of_class(kind: str) -> Deed:
    if kind in _DEEDS:
        return _DEEDS[kind]
    if _is_of_civitai(kind):
        return _OF_CIVITAI
    if kind in _MADE_BY_CORE:
        return Deed(writes="model files in the output folder")
    return Deed(writes="files in the output folder") if _SAVES.match(kind) else _NOTHING


def _is_of_civitai(kind: str) -> bool:
    """Whether a class is of CivitAI's own pack and orders from the fleet; newer ones are told by their names."""
    if kind.startswith(_OURS) or not re.match(r"Civitai[A-Z]", kind) or kind in _OF_CIVITAI_FREE:
        return False
    return bool(row(kind)) or kind.startswith(_ITS_FAMILIES)
