"""What a person pastes -> a typed reference.

Understood: an AIR in any spelling, a version id, `…/models/ID`, `…/models/ID?modelVersionId=…`,
`…/model-versions/ID`, a download address, an image or post address, an address of the image CDN that carries the
image's id, a hash of each kind, a file name. Web addresses count by exact host only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from ..errors import InvalidAir, UnknownReference
from ..model_files.names import MODEL_ENDINGS
from .addresses import MEDIA_HOSTS, SITE_HOSTS
from .air import Air
from .hashes import bare_hash, is_of_nothing

# A short hash may be several kinds; the API tries them all, so one name a length is enough.
_HASH_KINDS = {8: "AutoV1 or CRC32", 10: "AutoV2", 12: "AutoV3", 64: "SHA256 or BLAKE3"}
_ENDINGS = (*MODEL_ENDINGS, ".zip")
LARGEST_ID = 2**31 - 1  # ids are int4 on the site; a larger one answers 500


@dataclass(frozen=True)
class AirReference:
    """An AIR, of CivitAI or of another source."""

    air: Air


@dataclass(frozen=True)
class VersionReference:
    """A model version, and one of its files where one is named."""

    version_id: int
    file_id: int | None = None


@dataclass(frozen=True)
class ModelReference:
    """A model without a version: its newest published one is meant."""

    model_id: int


@dataclass(frozen=True)
class HashReference:
    """`hash` is in lower case without `0x`; `kind` says in words what its length can be."""

    hash: str
    kind: str


@dataclass(frozen=True)
class FileReference:
    """The name of a model file, without its folder."""

    name: str


@dataclass(frozen=True)
class ImageReference:
    """An image or video by its id."""

    image_id: int


@dataclass(frozen=True)
class PostReference:
    """A post of images by its id."""

    post_id: int


Reference = (
    AirReference | VersionReference | ModelReference | HashReference | FileReference | ImageReference | PostReference
)


def read_reference(text: str, *, hosts: frozenset[str] = SITE_HOSTS) -> Reference:
    """Read what was pasted. Raises UnknownReference with a sentence; no request is made.

    assert read_reference("https://civitai.com/models/1?modelVersionId=2") == VersionReference(2)
    """
    text = text.strip().strip("\"'<>").strip()
    if not text:
        raise UnknownReference("No model is named. Paste a version id, a CivitAI address, an AIR or a hash.")
    if re.match(r"(?i)https?://", text):
        return _from_address(text, hosts)
    if re.match(r"(?i)((www|image)\.)?civitai\.(com|red|green)/", text):
        return _from_address("https://" + text, hosts)
    if re.fullmatch(r"\d{1,10}", text) and len(text) not in (8, 10):
        return VersionReference(_id(text))
    if reference := _hash(text):
        return reference
    if text.isascii() and text.isdigit():
        return VersionReference(_id(text))
    if text.lower().endswith(_ENDINGS) and "@" not in text and not text.lower().startswith("urn:"):
        return FileReference(text.replace("\\", "/").rsplit("/", 1)[-1])
    try:
        return AirReference(Air.parse(text))
    except InvalidAir as error:
        raise UnknownReference(
            f"{text[:80]!r} names nothing that can be looked up: it is no version id, CivitAI address, AIR "
            f"({error.reason}), "
            "hash or model file name."
        ) from error


def read_image_reference(text: str, *, hosts: frozenset[str] = SITE_HOSTS) -> ImageReference | PostReference:
    """Read what was pasted where an image is meant: a bare number is an image's id. Raises UnknownReference.

    assert read_image_reference("1234") == ImageReference(1234)
    """
    text = text.strip().strip("\"'<>").strip()
    if not text:
        raise UnknownReference("No image is named. Paste an image id, or the address of an image or a post.")
    if text.isascii() and text.isdigit():
        return ImageReference(_id(text))
    reference = read_reference(text, hosts=hosts)
    if isinstance(reference, (ImageReference, PostReference)):
        return reference
    raise UnknownReference(
        f"{text[:80]!r} names no image. Paste an image id, or the address of an image or a post on CivitAI."
    )


def _hash(text: str) -> HashReference | None:
    """A hash by its length. Eight or ten digits alone are read as a version id where they can be one."""
    digits = bare_hash(text)
    if len(digits) not in _HASH_KINDS:
        return None
    if is_of_nothing(digits):
        raise UnknownReference(
            "This is the hash of nothing, which some trainers write into their files; it names no model."
        )
    if not re.fullmatch(r"[0-9a-f]+", digits):
        return None
    if digits.isdigit() and digits == text and len(digits) <= 10 and int(digits) <= LARGEST_ID:
        return None
    return HashReference(digits, _HASH_KINDS[len(digits)])


def _from_address(text: str, hosts: frozenset[str]) -> Reference:
    try:
        parts = urlsplit(text)
        host, _ = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise UnknownReference("This web address cannot be read.") from error
    path = [segment for segment in parts.path.split("/") if segment]
    if host in MEDIA_HOSTS:
        return _from_media(path)
    if host not in hosts:
        raise UnknownReference(
            f"{host or 'This address'} is not CivitAI; only civitai.com, civitai.red and civitai.green are looked up."
        )
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    match path:
        case ["api", "download", "models", version, *_]:
            return VersionReference(_id(version), _id(query["fileId"]) if query.get("fileId") else None)
        case ["api", "v1", *rest] | ["api", *rest]:
            path = rest
    return _from_path(path, query)


def _from_path(path: list[str], query: dict[str, str]) -> Reference:
    """The pages of the site and the routes of its API have the same names."""
    match path:
        case ["images"] if query.get("imageId"):
            return ImageReference(_id(query["imageId"]))
        case ["images"] if query.get("postId"):
            return PostReference(_id(query["postId"]))
        case ["models", _, *_] if query.get("modelVersionId"):
            return VersionReference(_id(query["modelVersionId"]))
        case ["models", model, *_]:
            return ModelReference(_id(model))
        case ["model-versions", "by-hash", digits, *_] if reference := _hash(digits):
            return reference
        case ["model-versions", "mini", version, *_] | ["model-versions", version, *_]:
            return VersionReference(_id(version))
        case ["images", image, *_]:
            return ImageReference(_id(image))
        case ["posts", post, *_]:
            return PostReference(_id(post))
    raise UnknownReference("This CivitAI address is of no model, version, image or post.")


def _from_media(path: list[str]) -> Reference:
    """`/<token>/<uuid>/<params>/<name>.<ext>`: the name is the image's id in the addresses of models and versions, and
    only the uuid in those of images, which no route looks up."""
    name = path[-1].rsplit(".", 1)[0] if len(path) >= 3 else ""
    if re.fullmatch(r"\d{1,10}", name):
        return ImageReference(_id(name))
    raise UnknownReference(
        "This address is of a picture's file and does not say which image it is. Paste the address of its page "
        "(https://civitai.com/images/…), or save the picture and read the file."
    )


def _id(text: str) -> int:
    if not re.fullmatch(r"\d{1,10}", text) or not 0 < int(text) <= LARGEST_ID:
        raise UnknownReference(f"{text[:40]!r} is no id of CivitAI; ids are whole numbers from 1 to {LARGEST_ID}.")
    return int(text)
