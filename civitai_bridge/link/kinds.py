"""Resource types of the wire against ComfyUI's folders, and a room's resource as a value.

A resource that a room names is looked at field by field; only its hash decides what is loaded or removed. Its name and
its address are never used for a path or a request: folder, name and address come from CivitAI's answer for the hash."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from ..errors import BadInput
from ..model_files.indexed import ModelPath
from ..model_files.names import MODEL_ENDINGS, safe_name
from ..network.addresses import may_be_public
from ..network.hosts import is_loopback
from ..resources.plain_text import one_line

_HASH = re.compile(r"[0-9a-fA-F]{64}")
_LONGEST_NAME = 200  # bytes, as names of files are cut
_LONGEST_TEXT = 300  # characters of what is only shown
_LONGEST_ADDRESS = 4096
MOST_RESOURCES = 100  # in one command

# The site's spelling -> the folder keys of ComfyUI that such a file may be in; the first is its own. Other model types
# (Poses, Wildcards, Workflows, …) are no model files.
FOLDERS: Mapping[str, tuple[str, ...]] = {
    "Checkpoint": ("checkpoints", "diffusion_models"),
    "CheckpointConfig": ("configs", "checkpoints"),
    "LORA": ("loras",),
    "LoCon": ("loras",),
    "DoRA": ("loras",),
    "TextualInversion": ("embeddings",),
    "VAE": ("vae",),
    "Controlnet": ("controlnet",),
    "Upscaler": ("upscale_models",),
    "Hypernetwork": ("hypernetworks",),
    "UNet": ("diffusion_models", "checkpoints"),
    "TextEncoder": ("text_encoders",),
    "CLIP": ("text_encoders",),
    "CLIPVision": ("clip_vision",),
    "MotionModule": ("animatediff_models",),
}
# What the document and other agents call them.
_ALIASES = {
    "hypernet": "Hypernetwork", "embedding": "TextualInversion", "lycoris": "LoCon", "model": "Checkpoint",
    "diffusionmodel": "UNet", "diffusion_model": "UNet", "text_encoder": "TextEncoder", "config": "CheckpointConfig",
    "negative": "TextualInversion", "upscale": "Upscaler",
}  # fmt: skip
_SPELLING = {name.lower(): name for name in FOLDERS}
# ComfyUI's folder -> how its files are called in a list.
_LISTED_AS = {folders[0]: name for name, folders in reversed(FOLDERS.items()) if name not in ("CLIP", "LoCon", "DoRA")}
_KEPT = ("type", "hash", "name", "path", "modelName", "modelVersionName", "previewImage")
LISTED_FOLDERS = tuple(_LISTED_AS)
_CONFIG_ENDINGS = (".yaml", ".yml")


def site_type(name: object) -> str:
    """A resource type in the site's spelling, from any; `""` for what is none.

    assert site_type("lora") == "LORA" and site_type("hypernet") == "Hypernetwork" and site_type(7) == ""
    """
    key = name.strip().lower() if isinstance(name, str) else ""
    return _SPELLING.get(key) or _ALIASES.get(key, "")


def listed_type(folder: str) -> str:
    """How a list calls the files of a folder; `""` for folders that no list has."""
    return _LISTED_AS.get(folder, "")


def endings_of(type_: str) -> tuple[str, ...]:
    """The endings that a file of a type may have. What may run code is refused by the settings, not here."""
    return _CONFIG_ENDINGS if type_ == "CheckpointConfig" else MODEL_ENDINGS


@dataclass(frozen=True)
class Resource:
    """A resource that a room names. `hash` is a SHA-256 in lower case; `type` is in the site's spelling, `""` where the
    room names none; `path` is what a list of ours called it. The others are only shown, or passed to the fetcher of
    pictures."""

    hash: str
    type: str = ""
    name: str = ""
    path: str = ""
    model_name: str = ""
    version_name: str = ""
    preview: str = ""

    @property
    def title(self) -> str:
        """What a person calls it."""
        return " ".join(filter(None, (self.model_name, self.version_name))) or self.name or self.hash[:12]

    def as_json(self) -> dict[str, Any]:
        """As a status repeats it: what is known of it alone, the hash in lower case. Its address is not repeated, for
        it may be signed."""
        named = {"path": self.path, "modelVersionName": self.version_name, "previewImage": self.preview}
        shown = {key: value for key, value in named.items() if value}
        return {"type": self.type, "hash": self.hash, "name": self.name, "modelName": self.model_name, **shown}


def read_resources(fields: Mapping[str, Any], *, site_url: str = "", loads: bool = True) -> tuple[Resource, ...]:
    """The resources of a command: one as `resource` (the wire), several as `resources` (the document); one that has
    both means the first, which is what its statuses and its line in the log name. The same hash twice is one. Where the
    command `loads` nothing, a type is not needed, and name and address may be any. Raises BadInput with a sentence that
    repeats nothing of what was sent."""
    single, several = fields.get("resource"), fields.get("resources")
    if single is not None or several is None:
        several = [single]
    if not isinstance(several, list) or not several:
        raise BadInput("The command names no resource.")
    if len(several) > MOST_RESOURCES:
        raise BadInput(f"The command names more than {MOST_RESOURCES} resources; send fewer at once.")
    resources = [read_resource(each, site_url=site_url, loads=loads) for each in several]
    return tuple({each.hash: each for each in resources}.values())


def read_resource(data: object, *, site_url: str = "", loads: bool = True) -> Resource:
    """One resource, see `read_resources`. Raises BadInput."""
    if not isinstance(data, Mapping):
        raise BadInput("The command names no resource.")
    hash_, type_ = data.get("hash"), site_type(data.get("type"))
    if not isinstance(hash_, str) or not _HASH.fullmatch(hash_):
        raise BadInput("The resource has no SHA-256 of 64 hex digits; without it nothing can be checked.")
    if (loads or data.get("type") is not None) and not type_:
        raise BadInput(f"The resource is of a type that has no place here; there are: {', '.join(FOLDERS)}.")
    if loads:
        _check_name(data.get("name"))
        _check_address(data.get("url"), site_url)
    preview = data.get("previewImage")
    return replace(_shown(data), hash=hash_.lower(), type=type_, preview=_text(preview, _LONGEST_ADDRESS))


def listed_path(file: ModelPath) -> str:
    """What a list calls a file: ComfyUI's name for it below the folder's key."""
    return f"{file.folder}/{file.name}".replace("\\", "/")


def shown_path(file: ModelPath) -> str:
    """That name as it comes back in a command, of which texts are cut."""
    return _text(listed_path(file), _LONGEST_TEXT)


def echoed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What every status of a command about resources repeats, whether it can be obeyed or not: pages read
    `resource.modelName` of each message without a look whether it is there."""
    several, single = fields.get("resources"), fields.get("resource")
    each = [_shown(data).as_json() for data in (several if isinstance(several, list) else [])[:MOST_RESOURCES]]
    if each and single is None:
        return {"resource": each[0], "resources": each}
    return {"resource": _shown(single).as_json()}


def kept_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a command as they may be written down: enough to obey it later, without addresses of files, which
    may be signed."""

    def kept(data: object) -> Any:
        if not isinstance(data, Mapping):
            return None
        return {
            key: data[key] for key in _KEPT if isinstance(data.get(key), str) and len(data[key]) <= _LONGEST_ADDRESS
        }

    both: dict[str, Any] = {}
    if fields.get("resource") is not None:
        both["resource"] = kept(fields["resource"]) or {}
    if isinstance(fields.get("resources"), list):
        both["resources"] = [kept(each) for each in fields["resources"][: MOST_RESOURCES + 1]]
    return both


def _shown(data: object) -> Resource:
    """A resource as it may be repeated, cut and cleaned, with what is wrong with it left out."""
    data = data if isinstance(data, Mapping) else {}
    hash_ = data.get("hash")
    return Resource(
        hash_.lower() if isinstance(hash_, str) and _HASH.fullmatch(hash_) else "",
        site_type(data.get("type")),
        _text(data.get("name"), _LONGEST_TEXT),
        _text(data.get("path"), _LONGEST_TEXT),
        _text(data.get("modelName"), _LONGEST_TEXT),
        _text(data.get("modelVersionName"), _LONGEST_TEXT),
    )


def _text(value: object, longest: int) -> str:
    if not isinstance(value, str):
        return ""
    return one_line(value[: 2 * longest])[:longest].encode("utf-8", "replace").decode()


def _check_name(name: object) -> None:
    """A name that a file may have; no folder, nothing that a system reads as a device or hides. It names nothing here,
    but who sends such a one is not to be served. Raises BadInput."""
    if name is None or name == "":
        return
    if not isinstance(name, str) or len(name) > _LONGEST_NAME or safe_name(name) != name:
        raise BadInput("The resource's name is none that a file may have.")


def _check_address(url: object, site_url: str) -> None:
    """An https address of the internet without a user in it (or of the sandbox that stands in for CivitAI). It is not
    followed, but who sends another one is not to be served. Raises BadInput."""
    if url is None or url == "":
        return
    try:
        if not isinstance(url, str) or len(url) > _LONGEST_ADDRESS:
            raise ValueError
        parts = urlsplit(url)
        is_public = parts.scheme == "https" and may_be_public(parts.hostname or "") and bool(parts.hostname)
        is_sandbox = is_loopback(site_url) and is_loopback(url)
        if not (is_public or is_sandbox) or parts.username is not None or parts.password is not None:
            raise ValueError
    except ValueError:
        raise BadInput("The resource's address is none of the internet's https addresses.") from None
