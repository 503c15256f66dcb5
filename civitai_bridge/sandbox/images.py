"""The images that the sandbox's site knows: one of each family of site-api §9.2–9.3.

`meta` is what the uploader's file held, as the site stores it (§1.7): Comfy graphs are text, numbers are already
numbers. What the two routes make of it is computed here as the site does it (§1.5–1.8).
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

from . import files
from . import models as catalogue
from .wire import UNDEFINED

LEVELS = {1: "None", 2: "Soft", 4: "Mature", 8: "X", 16: "X", 32: "Blocked"}
_ENDINGS = {"image": "jpeg", "video": "mp4", "audio": "mp3"}
_STRENGTH_TYPES = ("TextualInversion", "LORA", "DoRA", "LoCon")
_LEFT_OUT = ("external", "Clip skip")
_COUNTS = ("cryCount", "laughCount", "likeCount", "dislikeCount", "heartCount", "commentCount")
_THEN = "2026-02-03T04:05:06.789Z"


@dataclass(frozen=True)
class Image:
    """One image. `resources` are what the site resolved at its upload: version id and weight, or None. `shown` False =
    private, unpublished or under review: REST does not list it, tRPC gives it all the same."""

    id: int
    post_id: int
    meta: dict[str, Any] | None = None
    type: str = "image"
    level: int = 1
    hidden: bool = False
    shown: bool = True
    resources: tuple[tuple[int, float | None], ...] = ()
    process: str | None = "txt2img"
    tools: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    display_keys: tuple[str, ...] = ()
    width: int = 832
    height: int = 1216
    base: str = "SDXL 1.0"
    likes: int = 1

    @property
    def uuid(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"sandbox image {self.id}"))

    @property
    def open_meta(self) -> dict[str, Any] | None:
        return None if self.hidden else _said(self.meta)


@dataclass(frozen=True)
class _Hash:
    """Stands for a hash of a version's first file until it is asked for; `head` is the first 12 digits of the whole
    file's SHA-256, as Forge writes it."""

    version_id: int
    kind: str = "AutoV2"
    before: str = ""

    def __str__(self) -> str:
        found = files.fast_hashes(catalogue.VERSIONS[self.version_id].files[0])
        return self.before + (found["SHA256"][:12] if self.kind == "head" else found[self.kind]).lower()


def _said(value: Any) -> Any:
    """What was stored, with the hashes in their places."""
    if isinstance(value, dict):
        return {key: _said(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_said(inner) for inner in value]
    return str(value) if isinstance(value, _Hash) else value


# --- what the files said ---------------------------------------------------------------------------------------------

_A1111: dict[str, Any] = {
    "prompt": "portrait of a sailor, storybook light, <lora:storybookLight_v2:0.8> <lora:harbour ink:-0.5>",
    "negativePrompt": "lowres, badhandsaway, blurry",
    "steps": 28,
    "sampler": "DPM++ 2M Karras",
    "cfgScale": 6.5,
    "seed": 1234567890,
    "width": 832,
    "height": 1216,
    "clipSkip": 2,
    "Model": "sdXL_v10VAEFix",
    "Model hash": _Hash(128078),
    "VAE": "clearSkyVAE_v1.safetensors",
    "Version": "v1.10.1",
    "Schedule type": "Karras",
    "hashes": {
        "model": _Hash(128078),
        "vae": _Hash(300005),
        "lora:storybookLight_v2": _Hash(300001, before="0x"),
        "lora:nobody knows": "a1b2c3d4e5f6",
        "embed:badhandsaway": _Hash(300031),
    },
    "TI hashes": {"badhandsaway": _Hash(300031)},
    "resources": [
        {"type": "lora", "name": "storybookLight_v2", "weight": 0.8, "hash": _Hash(300001, "AutoV3")},
        {"type": "lora", "name": "nobody knows", "hash": "a1b2c3d4e5f6", "unmatched": True},
        {"type": "model", "name": "sdXL_v10VAEFix", "hash": _Hash(128078)},
    ],
}
_GRAPH: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 42, "steps": 20, "cfg": 5.5, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1.0,
            "model": ["10", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sdXL_v10VAEFix.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 1024, "height": 1024, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse at dusk, wide angle", "clip": ["10", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "embedding:badhandsaway, lowres", "clip": ["10", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "x"}},
    "10": {
        "class_type": "LoraLoader",
        "inputs": {
            "lora_name": "storybookLight_v2.safetensors", "strength_model": 0.7, "strength_clip": 0.6,
            "model": ["4", 0], "clip": ["4", 1],
        },
    },
}  # fmt: skip
_COMFY: dict[str, Any] = {
    "prompt": "a lighthouse at dusk, wide angle",
    "negativePrompt": "embedding:badhandsaway, lowres",
    "cfgScale": 5.5,
    "steps": 20,
    "seed": 42,
    "sampler": "DPM++ 2M Karras",
    "scheduler": "karras",
    "denoise": 1,
    "width": 1024,
    "height": 1024,
    "engine": "ComfyUI",
    "Model": "sdXL_v10VAEFix",
    "models": ["sdXL_v10VAEFix.safetensors"],
    "vaes": [],
    "upscalers": [],
    "controlNets": [],
    "additionalResources": [
        {"name": "storybookLight_v2.safetensors", "type": "lora", "strength": 0.7, "strengthClip": 0.6}
    ],
    "comfy": json.dumps({"prompt": _GRAPH, "workflow": {"nodes": [], "links": [], "version": 0.4}}),
}
_ON_SITE: dict[str, Any] = {
    "prompt": "a harbour at dawn, soft glow",
    "negativePrompt": "lowres",
    "steps": 30,
    "cfgScale": 5,
    "sampler": "Euler a",
    "seed": 11,
    "clipSkip": 2,
    "width": 832,
    "height": 1216,
    "workflow": "txt2img",
    "ecosystem": "SDXL",
    "aspectRatio": "2:3",
    "Created Date": "2026-02-25T2209:08.1234567Z",
    "civitaiResources": [
        {"type": "checkpoint", "modelVersionId": 128078},
        {"type": "lora", "weight": 0.7, "modelVersionId": 300001},
    ],
}
# Twenty networks: the site knows ten of them by version; the other ten are only named by a short hash. One of these is
# the head of a whole file's SHA-256, as Forge writes it, and takes a second question.
_TWENTY: dict[str, Any] = {
    "prompt": "twenty palettes " + " ".join(f"<lora:palette{n:02}_v1:0.{n:02}>" for n in range(1, 21)),
    "steps": 20,
    "sampler": "Euler a",
    "cfgScale": 7,
    "seed": 20,
    "width": 1024,
    "height": 1024,
    "hashes": {
        f"lora:palette{n + 1:02}_v1": _Hash(300201 + 2 * n, "head" if n == 10 else ("AutoV3" if n % 2 else "AutoV2"))
        for n in range(10, 20)
    },
    "resources": [
        {"type": "lora", "name": f"palette{n:02}_v1", "weight": n / 100, "unmatched": n > 10} for n in range(1, 21)
    ],
}


def _video(process: str, engine: str, **more: Any) -> dict[str, Any]:
    return {
        "engine": engine, "process": process, "prompt": "waves roll in, slow pan", "duration": 5, "aspectRatio": "16:9",
        "seed": 77, "civitaiResources": [{"type": "lora", "weight": 1, "modelVersionId": 300099}], **more,
    }  # fmt: skip


_ALL = (
    Image(
        900001, 800001, _ON_SITE, resources=((128078, None), (300001, 0.7)), display_keys=("seed", "steps", "cfgScale")
    ),
    Image(900002, 800001, _A1111, resources=((128078, None), (300001, 0.8), (300031, None))),
    Image(
        900003,
        800001,
        _COMFY,
        width=1024,
        height=1024,
        resources=((128078, None),),
        tools=("ComfyUI",),
        techniques=("workflow",),
    ),
    Image(900004, 800002, _A1111, hidden=True, resources=((128078, None), (300001, 0.8))),
    Image(900005, 800002, None, process=None),
    Image(
        900006,
        800003,
        _video(
            "img2vid", "wan", sourceImage={"url": "https://image.civitai.com/x/y/z.jpeg", "width": 832, "height": 480}
        ),
        type="video",
        resources=((300099, 1.0),),
        base="Wan Video 2.2 I2V-A14B",
        width=832,
        height=480,
        techniques=("img2vid",),
    ),
    Image(
        900007,
        800003,
        _video("vid2vid:edit", "wan", workflow="vid2vid:edit"),
        type="video",
        techniques=("vid2vid",),
        width=832,
        height=480,
    ),
    Image(900008, 800003, {"prompt": "a boat turns"}, type="video", width=832, height=480),
    Image(900009, 800004, {**_A1111, "prompt": "a mature picture"}, level=8, resources=((128078, None),)),
    Image(
        900010,
        800005,
        {**_COMFY, "comfy": '{"prompt": ' + json.dumps(_GRAPH) + ', "workflow": undefined}'},
        resources=((128078, None),),
    ),
    Image(900011, 800006, _TWENTY, resources=tuple((300201 + 2 * n, (n + 1) / 100) for n in range(10))),
    Image(
        900012,
        800005,
        {
            "prompt": "a swarm",
            "negativePrompt": "few",
            "cfgScale": 7,
            "steps": 20,
            "seed": 5,
            "width": 512,
            "height": 512,
            "originalSampler": "euler",
            "sampler": "Euler",
            "scheduler": "normal",
            "version": "0.9.4",
            "Model": "dreamShaper_8",
            "resources": [{"type": "lora", "name": "harbourInk_v1", "weight": 0.6, "hash": _Hash(300003, "head")}],
        },
        resources=((300003, 0.6),),
        base="SD 1.5",
        width=512,
        height=512,
    ),
    Image(
        900013,
        800005,
        {
            "prompt": "a ruin",
            "negativePrompt": "new",
            "cfgScale": 4,
            "steps": 12,
            "seed": 6,
            "sampler": "Euler a",
            "width": 1024,
            "height": 1024,
            "Model": "sdXL_v10",
            "Model hash": _Hash(126601),
            "software": "RuinedFooocus",
            "other": {"base": 1},
        },
        resources=((126601, None),),
    ),
    Image(
        900014,
        800007,
        {
            **_ON_SITE,
            "civitaiResources": [
                {"type": "checkpoint", "modelVersionId": 128713},
                {"type": "lycoris", "weight": 0.4, "modelVersionId": 300087},
                {"type": "embed", "weight": 1, "modelVersionId": 300031},
                {"weight": 0.9, "modelVersionId": 300003},
            ],
        },
        resources=((128713, None), (300087, 0.4), (300031, 1.0), (300003, 0.9)),
        base="SD 1.5",
    ),
    Image(900015, 800008, _A1111, shown=False, resources=((128078, None),)),
    Image(
        900016,
        800007,
        {**_A1111, "prompt": "again <lora:harbourInk_v1:1>", "Denoising strength": "0.45"},
        process="img2img",
        techniques=("img2img",),
        resources=((128713, None), (300003, 1.0)),
    ),
    Image(
        900017,
        800007,
        {**_A1111, "Mask blur": "4", "Denoising strength": "0.6"},
        process="inpainting",
        resources=((128078, None),),
    ),
    Image(
        900018,
        800007,
        {
            **_A1111,
            "Hires upscale": "1.5",
            "Hires upscaler": "4xFour",
            "Denoising strength": "0.3",
            "ControlNet 0": {"Module": "canny", "Weight": "1"},
        },
        process="txt2imgHiRes",
        resources=((128078, None),),
    ),
    Image(
        900019,
        800003,
        {"engine": "ace", "process": "txt2music", "prompt": "a song of the sea"},
        type="audio",
        width=0,
        height=0,
    ),
    Image(
        900020,
        800005,
        {
            **_A1111,
            "resources": [],
            "hashes": {
                "model": _Hash(128713),
                "lora:harbourInk_v1": _Hash(300003, "head"),
                "lora:empty": "e3b0c44298fc",
                "LORA:fineLines": _Hash(300087, "AutoV3"),
                "lora:long": _Hash(300019, "SHA256"),
                "lora:gone": "000000000000",
            },
        },
        base="SD 1.5",
    ),
    Image(
        900021,
        800001,
        {
            **_ON_SITE,
            "extra": {"remixOfId": 900002},
            "external": {
                "source": {"name": "Elsewhere", "homepage": "https://example.com"},
                "details": {"mood": "calm"},
                "createUrl": "https://example.com/new",
            },
        },
        resources=((128078, None), (300001, None)),
        level=2,
    ),
    Image(
        900022,
        800003,
        _video("txt2vid", "kling", civitaiResources=[]),
        type="video",
        width=1280,
        height=720,
        techniques=("txt2vid",),
    ),
    Image(900023, 800008, {"prompt": "blocked"}, level=32),
    Image(900024, 800001, {"prompt": "for grown-ups", "seed": 9}, level=4, likes=9),
    Image(
        900025,
        800005,
        {"prompt": "", "seed": 2**60, "Model": {"Name": "x"}, "Clip skip": "2"},
        resources=((290640, None),),
        base="Pony",
    ),
    Image(900026, 800002, {**_ON_SITE, "external": {"source": {"name": "Elsewhere"}}}, hidden=True),
    Image(900027, 800009, {"prompt": "a text in all its length " + "x" * 100_000}, level=1),
)
IMAGES: dict[int, Image] = {image.id: image for image in _ALL}


# --- tRPC ------------------------------------------------------------------------------------------------------------


def generation_data(image: Image) -> dict[str, Any]:
    """The payload of `image.getGenerationData` (site-api §1.5); `UNDEFINED` where the site sets nothing."""
    stored = image.open_meta
    meta = _shown_meta(stored) if stored is not None else None
    external = (image.meta or {}).get("external", UNDEFINED)
    remix = stored.get("extra", {}).get("remixOfId") if stored else None
    on_site = _on_site(meta)
    return {
        "type": image.type,
        "onSite": on_site,
        "process": UNDEFINED if meta is None else _process(image, meta),
        "meta": meta,
        "displayKeys": list(image.display_keys) if on_site else UNDEFINED,
        "resources": [_resource(image, *pair) for pair in image.resources],
        "tools": [
            {"id": n + 1, "name": name, "icon": None, "domain": None, "priority": n + 1, "notes": None}
            for n, name in enumerate(image.tools)
        ],
        "techniques": [{"id": n + 1, "name": name, "notes": None} for n, name in enumerate(image.techniques)],
        "external": external,
        "canRemix": bool(meta and meta.get("prompt")),
        "remixOfId": UNDEFINED if remix is None else remix,
    }


def _shown_meta(stored: dict[str, Any]) -> dict[str, Any]:
    """Nulls and empty lists go, `Clip skip` becomes clipSkip, `external` is lifted out, Comfy text becomes objects."""
    meta = {k: v for k, v in stored.items() if k not in _LEFT_OUT and v is not None and v != [] and v != ""}
    if "Clip skip" in stored:
        meta.setdefault("clipSkip", float(stored["Clip skip"]))
    if isinstance(meta.get("comfy"), str):
        try:
            meta["comfy"] = json.loads(meta["comfy"])
        except ValueError:
            meta["comfy"] = {}
    return meta


def _on_site(meta: dict[str, Any] | None) -> bool:
    if not meta or not meta.get("civitaiResources") or "Version" in meta:
        return False
    return str(meta.get("Model", "urn:air:")).startswith("urn:air:")


def _process(image: Image, meta: dict[str, Any]) -> Any:
    """How the site names the way a picture was made (site-api §1.6)."""
    process = (meta.get("process") or meta.get("type")) if "engine" in meta else ""
    if process:
        return process
    if "comfy" in meta:
        return "comfy" + (" + ControlNet" if meta.get("controlNets") else "")
    process = "txt2img + Hi-Res" if image.process == "txt2imgHiRes" else image.process
    if process and any(key.lower().startswith("controlnet") for key in meta):
        process += " + ControlNet"
    return process or UNDEFINED


def _resource(image: Image, version_id: int, weight: float | None) -> dict[str, Any]:
    version = catalogue.VERSIONS[version_id]
    return {
        "imageId": image.id,
        "modelVersionId": version_id,
        "strength": weight if weight and version.type in _STRENGTH_TYPES else UNDEFINED,
        "modelId": version.model_id,
        "modelName": version.model,
        "modelType": version.type,
        "versionId": version_id,
        "versionName": version.name,
        "baseModel": version.base,
    }


# --- REST ------------------------------------------------------------------------------------------------------------


def listed(image: Image, media: str, *, with_meta: bool, wrapped: bool, with_tags: bool) -> dict[str, Any]:
    """An item of `/images` (site-api §3.5, §1.8): the raw stored meta, wrapped once more for some queries."""
    meta: Any = image.open_meta if with_meta else None
    item = {
        "id": image.id,
        "url": address(image, media),
        "hash": "U5F5vH00~q00~q00M{00" if image.type != "audio" else None,
        "width": image.width,
        "height": image.height,
        "nsfwLevel": LEVELS[image.level],
        "type": image.type,
        "nsfw": image.level > 3,
        "browsingLevel": image.level,
        "createdAt": _THEN,
        "postId": image.post_id,
        "stats": {**dict.fromkeys(_COUNTS, 0), "likeCount": image.likes},
        "meta": {"id": image.id, "meta": meta} if wrapped and with_meta else meta,
        "username": "sandbox",
        "baseModel": image.base,
        "modelVersionIds": [version_id for version_id, _ in image.resources],
    }  # fmt: skip
    return item | ({"tags": [{"id": 1, "name": "sea"}]} if with_tags else {})


def address(image: Image, media: str) -> str:
    return f"{media}/sandbox/{image.uuid}/original=true/{image.uuid}.{_ENDINGS[image.type]}"
