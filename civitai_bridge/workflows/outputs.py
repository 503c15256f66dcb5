"""What a step made, wherever in its answer it stands: pictures, videos, sounds, 3D, SVG, files, and words.

The contract puts blobs below `output` under many names (`images`, `video`, `additionalVideos`, `blob`, `blobs`,
`image`, `audioBlob`, `model`, `svg`, `frames`, …), recorded answers leave their `type` out, older descriptions have
`jobs[].result.blobs[]` with `blobId`. So the whole output is walked: an object with an id, and with `available`, an
address or a media type, is a blob.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..orchestration.workflow import reason_in_words
from ..resources.json_values import decimal, integer, items, mapping, objects, text

IMAGE, VIDEO, AUDIO, MODEL, SVG, ARCHIVE, FILE, TEXT = (
    "image", "video", "audio", "model3d", "svg", "archive", "file", "text",
)  # fmt: skip
DEEPEST = 24  # levels of an output that are walked; the contract's deepest (repeat, training) has eight

# CivitAI's site has its ratings as bits; the contract has them as words.
_LEVELS = {1: "pg", 2: "pg13", 4: "r", 8: "x", 16: "xxx", 32: "blocked"}
_TYPES = {"image": IMAGE, "video": VIDEO, "audio": AUDIO, "model3d": MODEL}
_ENDINGS = {
    **dict.fromkeys(("png", "jpg", "jpeg", "webp", "gif", "avif"), IMAGE),
    **dict.fromkeys(("mp4", "webm", "mov", "mkv"), VIDEO),
    **dict.fromkeys(("mp3", "wav", "flac", "ogg", "m4a", "aac"), AUDIO),
    **dict.fromkeys(("glb", "gltf", "fbx", "obj", "stl", "ply", "usdz"), MODEL),
    "svg": SVG, "zip": ARCHIVE, "tar": ARCHIVE,
}  # fmt: skip
_NAMES = {
    **dict.fromkeys(("images", "image", "frames", "thumbnail"), IMAGE),
    **dict.fromkeys(("video", "videos", "additionalVideos", "videoBlob"), VIDEO),
    **dict.fromkeys(("audio", "audios", "audioBlob"), AUDIO),
    **dict.fromkeys(("model", "fbxModel", "riggedModel", "riggedFbxModel", "animatedModel", "animatedFbxModel"), MODEL),
    "basicAnimations": MODEL, "svg": SVG,
}  # fmt: skip
# Members that are words for a person, in the order in which they are listed.
_WORDS = (
    *("tags", "rating", "caption", "text", "enhancedPrompt", "enhancedNegativePrompt", "issues", "recommendations"),
    *("labels", "hashes", "choices", "results", "message"),
)


@dataclass(frozen=True)
class Output:
    """One thing that a step made, or was to make.

    `index` is its place among the step's outputs, from 0; `place` where it stands in the answer (`output.images[0]`).
    `url` is signed: kept out of `repr`, logs and texts; `""` = none. `text` is the content of a `text`. `seconds` is a
    duration, `mime` and `nsfw_level` (`pg` … `xxx`, `na`) are the service's words."""

    step: str
    step_index: int
    index: int
    kind: str
    place: str
    id: str = ""
    available: bool = False
    url: str = field(default="", repr=False)
    blocked_reason: str = ""
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    mime: str = ""
    nsfw_level: str = ""
    text: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_withheld(self) -> bool:
        """Whether moderation keeps it back, by the workflow's own word."""
        return bool(self.blocked_reason) and not (self.available and self.url)

    @property
    def absence(self) -> str:
        """Why it cannot be had now, in words; `""` where nothing speaks against it."""
        if self.is_withheld:
            return reason_in_words(self.blocked_reason)
        if self.kind == TEXT or self.available:
            return ""
        return "it is not there (not made yet, withheld, or no longer kept)"


def outputs_of_step(step: Mapping[str, Any], place: int) -> tuple[Output, ...]:
    """Everything that a step's JSON names as made; `place` is the step's own, from 0. Never raises."""
    name = text(step.get("name")) or f"${place}"
    found, seen = [], set()
    output = step.get("output")
    candidates = [*_blobs(output, "output", "", 0)]
    for number, job in enumerate(objects(step.get("jobs"))):
        candidates += _blobs(mapping(job.get("result")), f"jobs[{number}].result", "", 0)
    for where, member, blob in candidates:
        blob_id = text(blob.get("id") or blob.get("blobId"))
        if blob_id and blob_id in seen:
            continue
        seen.add(blob_id)
        found.append(_output(blob, name, place, len(found), where, member))
    for where, words in _words(mapping(output), bool(found)):
        found.append(Output(name, place, len(found), TEXT, where, available=True, text=words))
    return tuple(found)


def _output(blob: Mapping[str, Any], step: str, step_index: int, index: int, place: str, member: str) -> Output:
    reason = text(blob.get("blockedReason"))
    url, level = text(blob.get("url")), blob.get("nsfwLevel")
    milliseconds = decimal(blob.get("durationMs"))
    return Output(
        step,
        step_index,
        index,
        _kind(blob, member),
        place,
        id=text(blob.get("id") or blob.get("blobId")),
        available=blob.get("available") is True if "available" in blob else bool(url),
        url=url,
        blocked_reason="" if reason.lower() == "none" else reason,
        width=integer(blob.get("width")),
        height=integer(blob.get("height")),
        seconds=decimal(blob.get("duration")) if milliseconds is None else milliseconds / 1000,
        mime=text(blob.get("mimeType")),
        nsfw_level=text(level) or _LEVELS.get(integer(level) or 0, ""),
        raw=blob,
    )


def _kind(blob: Mapping[str, Any], member: str) -> str:
    """By its type, its media type, its id's ending, the member that it stands in; a draft's cache is a file."""
    blob_id, mime = text(blob.get("id") or blob.get("blobId")), text(blob.get("mimeType")).lower()
    by_ending = _ENDINGS.get(blob_id.rpartition(".")[2].lower(), "") if "." in blob_id else ""
    if member == "svg" or by_ending == SVG or "svg" in mime:
        return SVG
    if member == "draftCache":
        return FILE
    if "entryCount" in blob:
        return ARCHIVE
    by_type = _TYPES.get(text(blob.get("type")).lower(), "")
    by_mime = {"model": MODEL}.get(mime.partition("/")[0], _TYPES.get(mime.partition("/")[0], ""))
    return by_type or by_mime or by_ending or _NAMES.get(member, FILE)


def _blobs(value: Any, place: str, member: str, depth: int) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Place, the member's name and the object of every blob below a value, in reading order."""
    if depth > DEEPEST:
        return
    if isinstance(value, Mapping):
        if is_blob(value):
            yield place, member, value
            return
        for name, inner in value.items():
            if name in ("blobId", "blobIds"):
                bare = [inner] if isinstance(inner, str) else items(inner)
                yield from ((f"{place}.{name}", name, {"id": each, "available": True}) for each in bare if each)
            else:
                yield from _blobs(inner, f"{place}.{name}", name, depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _blobs(inner, f"{place}[{number}]", member, depth + 1)


def is_blob(value: Any) -> bool:
    """Whether a value of JSON names something that was made, or was to be made."""
    if not isinstance(value, Mapping):
        return False
    if "entryCount" in value and isinstance(value.get("url"), str):  # an archive has no id
        return True
    if not text(value.get("id") or value.get("blobId")):
        return False
    return "available" in value or isinstance(value.get("url"), str) or "mimeType" in value


def _words(output: Mapping[str, Any], has_blobs: bool) -> Iterator[tuple[str, str]]:
    """Place and text of what a step says in words; a video's `message` is a reason, not an output."""
    for name in _WORDS:
        value = output.get(name)
        if value in (None, "", [], {}) or (name == "message" and (has_blobs or "externalTOSViolation" in output)):
            continue
        if isinstance(value, list) and any(True for _ in _blobs(value, "", "", 0)):
            continue
        yield f"output.{name}", value if isinstance(value, str) else _listed(value)


def _listed(value: Any) -> str:
    """Tags with their scores as one line of tags, the surest first; anything else as JSON."""
    if isinstance(value, Mapping) and value and all(decimal(score) is not None for score in value.values()):
        return ", ".join(sorted(map(str, value), key=lambda tag: -float(value[tag])))
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return "\n".join(value)
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "(nested too deep to be shown)"
