"""Beside a model file: what other programs read there.

    NAME.civitai.info   CivitAI's description of the version as JSON, with the members that Civitai Helper
                        (scripts/ch_lib of butaixianran/Stable-Diffusion-Webui-Civitai-Helper) and LoRA Manager
                        (py/utils/models.py of willmiao/ComfyUI-Lora-Manager) read
    NAME.preview.png    a small picture of it, drawn again here

Nothing that is there already is written over; what a creator wrote is written as plain text."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import CivitaiError, NotAPicture
from ..network.fetch import Fetch
from ..network.hosts import is_loopback
from ..pictures import small_png
from ..resources.addresses import MEDIA_HOSTS, SITE, download_url
from ..resources.version import ModelFile, ModelVersion, VersionImage
from ..settings import BADGE, Settings
from .atomic import place_new, reason

_MOST_BYTES = 16 * 1024 * 1024  # of the picture that a preview is made from
_SECONDS = 10.0  # for which a preview is waited for
_PREVIEWS = tuple(f"{middle}.{kind}" for middle in (".preview", "") for kind in ("png", "jpg", "jpeg", "webp"))
_MILD = (1, 2)  # PG and PG-13
_SIZE = re.compile(r"/(?:original=true|width=\d+)(?=/[^/]+$)")  # the part of a media address that says how large


async def write_sidecars(
    path: Path,
    sha256: str,
    version: ModelVersion,
    file: ModelFile,
    settings: Settings,
    fetch: Fetch,
    *,
    preview: VersionImage | None = None,
) -> tuple[str, ...]:
    """Write both files beside the model file at `path`; what could not be written is a sentence each. A `preview` that
    somebody chose stands before the creator's pictures, by the same rules."""
    notes = []
    content = json.dumps(info(version, file, sha256, settings), indent=4, ensure_ascii=False).encode("utf-8", "replace")
    if note := await asyncio.to_thread(_place, path, ".civitai.info", content):
        notes.append(note)
    image = choose_preview(version, settings, preview)
    if image is not None and not any(_beside(path, ending).exists() for ending in _PREVIEWS):
        try:
            content = await asyncio.to_thread(small_png, await _picture(image.url, settings, fetch))
            note = await asyncio.to_thread(_place, path, ".preview.png", content)
        except (CivitaiError, NotAPicture) as error:
            note = f"There is no preview beside {path.name}: {error}"
        notes += [note] if note else []
    return tuple(notes)


def info(version: ModelVersion, file: ModelFile, sha256: str, settings: Settings) -> dict[str, Any]:
    """What NAME.civitai.info says. `file` comes first and is the primary one here, whichever CivitAI's is: programs
    take that one's hash and size for the file beside it."""
    files = [file, *(each for each in version.files if each.id != file.id)]
    members = {
        "id": version.version_id,
        "modelId": version.model_id,
        "name": version.version_name,
        "baseModel": version.base_model,
        "trainedWords": list(version.trained_words),
        "description": version.description,
        "publishedAt": version.published or None,
        "nsfwLevel": version.nsfw_level,
        "air": version.air,
        "model": {
            "name": version.name,
            "type": version.model_type,
            "nsfw": version.is_mature,
            "poi": False,
            "description": "",
            "tags": [],
        },
        "files": [_file(each, version, sha256 if each is file else each.sha256, each is file) for each in files],
        "images": [_image(image) for image in version.images if is_media_address(image.url, settings)],
        "downloadUrl": download_url(SITE, version.version_id),
    }
    return {**members, "sandbox": BADGE} if settings.sandbox else members


def _file(file: ModelFile, version: ModelVersion, sha256: str, is_primary: bool) -> dict[str, Any]:
    hashes = {kind: value.upper() for kind, value in file.hashes.items()}
    return {
        "id": file.id,
        "name": file.name,
        "type": file.type,
        "sizeKB": file.size_kb or 0,
        "primary": is_primary,
        "metadata": {"format": file.format or None, "fp": file.precision or None},
        "hashes": {**hashes, "SHA256": sha256.upper()} if sha256 else hashes,
        "downloadUrl": download_url(SITE, version.version_id, file.id),
    }


def _image(image: VersionImage) -> dict[str, Any]:
    return {
        "url": image.url,
        "type": image.type,
        "nsfwLevel": image.nsfw_level,
        "nsfw": image.nsfw_level > max(_MILD),
        "width": image.width,
        "height": image.height,
        "meta": None,
    }


def choose_preview(
    version: ModelVersion, settings: Settings, preview: VersionImage | None = None
) -> VersionImage | None:
    """The creator's first picture that anybody may see, else the first of all, unless the setting `mature_content` is
    `blocked`; None where there is none that a preview can be made of. One that somebody chose stands before them; how
    mature it is may not be known, and then `blocked` leaves it out."""
    if preview is not None and is_media_address(preview.url, settings):
        if settings.mature_content != "blocked" or preview.nsfw_level in _MILD:
            return preview
    pictures = [image for image in version.images if image.type == "image" and is_media_address(image.url, settings)]
    mild = [image for image in pictures if image.nsfw_level in _MILD]
    others = pictures if settings.mature_content != "blocked" else []
    return next(iter((*mild, *others)), None)


def is_media_address(url: str, settings: Settings) -> bool:
    """Whether an address is one of CivitAI's media hosts, or of a sandbox where that stands in for the site."""
    try:
        parts = urlsplit(url)
        is_sandbox = is_loopback(settings.site_url) and is_loopback(url)
        return is_sandbox or (parts.scheme == "https" and parts.hostname in MEDIA_HOSTS and parts.port in (None, 443))
    except ValueError:
        return False


async def _picture(url: str, settings: Settings, fetch: Fetch) -> bytes:
    """A small rendition of a picture; the picture itself where there is none. Raises BlobTrouble and its kin,
    Unreachable."""

    def is_allowed(address: str) -> bool:
        return is_media_address(address, settings)

    small = _SIZE.sub("/width=800", urlsplit(url).path)
    addresses = dict.fromkeys((urlsplit(url)._replace(path=small).geturl(), url))
    trouble: CivitaiError | None = None
    for address in addresses:
        try:
            fetched = await fetch(address, cap=_MOST_BYTES, timeout=_SECONDS, is_allowed=is_allowed)
            return fetched.content
        except CivitaiError as error:
            trouble = error
    assert trouble is not None
    raise trouble


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.stem + ending)


def _place(path: Path, ending: str, content: bytes) -> str:
    """Write a file beside the model's where there is none; why that was not possible, in a sentence."""
    name = _beside(path, ending).name
    try:
        place_new(path.parent, [name], content)
    except FileExistsError:
        pass  # a person's, or another program's
    except OSError as error:
        return f"{name} could not be written beside {path.name}: {reason(error)}."
    return ""
