"""What a file is by its first bytes, and which ending its name may have: only endings of this table are ever given."""

from __future__ import annotations

from ..errors import BlobDamaged
from ..pictures import Size, check, kind_of, measure
from .outputs import IMAGE, Output

# Kind by first bytes -> its endings, the usual one first.
_ENDINGS = {
    "png": ("png",), "jpeg": ("jpeg", "jpg"), "webp": ("webp",), "gif": ("gif",), "avif": ("avif",),
    "mp4": ("mp4", "m4v", "mov", "m4a"), "webm": ("webm", "mkv"), "mp3": ("mp3",), "wav": ("wav",), "flac": ("flac",),
    "ogg": ("ogg", "opus"), "glb": ("glb",), "fbx": ("fbx",), "zip": ("zip", "usdz"), "svg": ("svg",),
}  # fmt: skip
_PICTURES = frozenset({"png", "jpeg", "webp"})
_IMAGES = _PICTURES | {"gif", "avif", "svg"}
# What cannot be told by bytes, by the ending of its id.
_TAKEN = frozenset({"tar", "obj", "stl", "ply", "gltf", "aac", "txt", "json", "bin", "safetensors"})
_BY_MIME = {"text/plain": "txt", "application/json": "json", "application/x-tar": "tar", "model/obj": "obj"}
# Every ending that is ever given.
ENDINGS = frozenset(ending for known in _ENDINGS.values() for ending in known) | _TAKEN
HEAD = 512  # bytes in which a kind can be told


def sniff(head: bytes) -> str:
    """`png`, `mp4`, `glb`, … by the first bytes; `page` for HTML, `""` for what is not known.

    assert sniff(b"\\x1aE\\xdf\\xa3") == "webm" and sniff(b"<!DOCTYPE html>") == "page"
    """
    if kind := kind_of(head):
        return kind
    if head[4:8] == b"ftyp":
        return "avif" if head[8:12] in (b"avif", b"avis") else "mp4"
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    marks = (
        (b"GIF8", "gif"), (b"\x1aE\xdf\xa3", "webm"), (b"ID3", "mp3"), (b"\xff\xfb", "mp3"), (b"fLaC", "flac"),
        (b"OggS", "ogg"), (b"glTF", "glb"), (b"Kaydara FBX", "fbx"), (b"PK\x03\x04", "zip"),
    )  # fmt: skip
    if known := next((kind for mark, kind in marks if head.startswith(mark)), ""):
        return known
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<?xml")) and b"<svg" not in start:
        return "page" if b"html" in start else ""
    return "svg" if b"<svg" in start else ""


def ending_for(output: Output, kind: str) -> str:
    """The ending of a file's name: that of the blob's id where the bytes agree, else the kind's usual one, else one of
    the few that bytes do not tell; `bin` for everything else."""
    named = output.id.rpartition(".")[2].lower() if "." in output.id else ""
    if kind in _ENDINGS:
        return named if named in _ENDINGS[kind] else _ENDINGS[kind][0]
    return named if named in _TAKEN else _BY_MIME.get(output.mime.partition(";")[0].lower(), "bin")


def verify(content: bytes, output: Output, *, decode: bool) -> Size | None:
    """See that bytes are what the output was to be: something, no page, and of an image a whole picture, whose size is
    given. `decode` reads its pixels as well, for bytes whose length nobody stated. Of anything else the
    beginning is enough. Slow, for a thread. Raises BlobDamaged."""
    kind = sniff(content[:HEAD])
    if not content:
        raise BlobDamaged("It arrived without a byte.", blob_id=output.id)
    if kind == "page":
        raise BlobDamaged("A page arrived in place of it.", blob_id=output.id)
    if output.kind != IMAGE:
        return None
    if kind not in _IMAGES:
        raise BlobDamaged("What arrived is no picture.", blob_id=output.id)
    if kind not in _PICTURES:
        return None
    whole = check if decode or kind == "png" else measure
    return whole(content, blob_id=output.id)
