"""Every sentence about what a picture says: model and resources with their sources, and what is not known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..metadata.generation import NETWORK_KINDS, GenerationData, UsedResource
from ..metadata.lookup import HashQuestion
from ..resources.json_values import number, whole
from .lookup import Identified

_MOST_LISTED = 20
_KINDS = {
    "lora": "LoRA", "lyco": "LyCORIS", "hypernet": "hypernetwork", "embedding": "embedding", "checkpoint": "checkpoint",
    "refiner": "refiner", "vae": "VAE", "upscaler": "upscaler", "controlnet": "ControlNet", "other": "resource",
}  # fmt: skip
_SOURCES = {
    "prompt": "the prompt", "negative_prompt": "the negative prompt", "hashes": "the list of hashes",
    "comfy": "the ComfyUI graph", "civitai_resources": "CivitAI's own list in the settings",
    "meta_resources": "the uploader's list of resources", "resources": "CivitAI", "file": "the file's settings",
}  # fmt: skip
_WEIGHED = (*NETWORK_KINDS, "embedding", "controlnet", "other")


def summary(data: GenerationData, *, asked: bool = True) -> tuple[str, ...]:
    """Model, resources and type in lines, each resource with its place of origin. `asked`: whether CivitAI was."""
    lines = []
    if (
        model := data.model_name
        or data.model_air
        or (f"version {data.model_version_id}" if data.model_version_id else "")
    ):
        unknown = ", not known on CivitAI" if asked else "; CivitAI was not asked"
        base = f" ({data.base_model})" if data.base_model else ""
        known = bool(data.model_air) or data.model_version_id is not None
        lines.append(f"Model: {model[:120]}{base}{'' if known else unknown}.")
    for used in data.resources[:_MOST_LISTED]:
        source = _SOURCES.get(used.source, "the data")
        about = f"{_title(used)}{_weight(used)}, from {source}{_unnamed(used)}{_trigger_words(used)}"
        lines.append(f"{_KINDS[used.kind]} {about}.")
    if (count := len(data.resources)) > _MOST_LISTED:
        lines.append(f"… and {count - _MOST_LISTED} more resources.")
    if data.detected_type:
        lines.append(f"Type: {data.detected_type}.")
    return tuple(lines)


def without_key(has_key: bool) -> tuple[str, ...]:
    """What the public list leaves out where nobody is logged in."""
    return () if has_key else ("Without an API key CivitAI does not say which resources it resolved.",)


def weightless(data: GenerationData) -> tuple[str, ...]:
    """Resources of the public list, which gives ids alone."""
    names = [_title(used) for used in (*data.networks, *data.embeddings) if used.source == "resources"]
    return (f"The public list gives no weights; 1 stands in for {_listing(names)}.",) if names else ()


def unweighed(data: GenerationData, resolved: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Networks whose strength CivitAI does not know, and nothing else says: those of a list of hashes, and the version
    of the image's post. `resolved` are the entries of its answer."""
    ids = {
        whole(entry.get("modelVersionId", entry.get("versionId")))
        for entry in resolved
        if number(entry.get("strength")) is None
    }
    unsaid = (used for used in data.networks if used.source == "resources" and used.version_id in ids)
    names = [(used.name or used.air or f"version {used.version_id}")[:80] for used in unsaid]
    return (f"CivitAI says no weight for {_listing(names)}; 1 stands in.",) if names else ()


def hashed(data: GenerationData) -> tuple[str, ...]:
    """Networks that only a list of hashes names: they took part, and nobody says how strongly."""
    names = [_title(used) for used in data.networks if used.source == "hashes"]
    return (f"A list of hashes gives no weights; 1 stands in for {_listing(names)}.",) if names else ()


def of_post(post_id: int, first: int, others: tuple[int, ...]) -> tuple[str, ...]:
    """Which image of a post is told about, and the ids of its other images."""
    if not others:
        return (f"Post {post_id} has this one image.",)
    listed = ", ".join(map(str, others[:_MOST_LISTED])) + ("" if len(others) <= _MOST_LISTED else ", …")
    return (f"Image {first} is the first of post {post_id}; its others are {listed}.",)


def question(asked: HashQuestion) -> str:
    """The resource that a hash is asked for."""
    return f"{_KINDS[asked.kind]} {asked.name[:80] or 'without a name'}"


def hits(known: Mapping[str, UsedResource], names: Mapping[str, str]) -> list[str]:
    """What look-ups by hash found."""
    return [f"Found by hash {key}: {name} is {_title(known[key])}." for key, name in names.items() if key in known]


def misses(
    answers: Identified[Any], names: Mapping[Any, str], quiet: Iterable[Any] = ()
) -> tuple[list[str], dict[str, str]]:
    """What no look-up named, told apart: what CivitAI does not know (but for the `quiet`, of which enough is known),
    and what could not be asked, with the reason."""
    expected = names.keys() - set(quiet)
    missing = [names[key] for key, version in answers.items() if version is None and key in expected]
    return missing, {names[key]: str(error) for key, error in answers.unknown.items()}


def unnamed(missing: Sequence[str], unasked: Mapping[str, str]) -> list[str]:
    """One line for all that CivitAI does not know, and one for each reason why something could not be asked."""
    lines = [f"CivitAI does not know {_listing(missing)}."] if missing else []
    reasons: dict[str, list[str]] = {}
    for name, reason in unasked.items():
        reasons.setdefault(reason, []).append(name)
    return lines + [f"{_listing(names)} could not be looked up: {reason}" for reason, names in reasons.items()]


def _listing(names: Iterable[str]) -> str:
    names = list(names)
    rest = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _title(used: UsedResource) -> str:
    name = used.name or used.air or (f"version {used.version_id}" if used.version_id else f"with hash {used.hash}")
    return f"{name[:120]} {used.version_name[:60]}".strip()


def _weight(used: UsedResource) -> str:
    """` at 0.8 (clip 0.6), then 0.3`; nothing where a kind has no weight, or a list of hashes says none."""
    if used.kind not in _WEIGHED or used.source == "hashes":
        return ""
    clip = "" if used.clip_weight is None else f" (clip {used.clip_weight:g})"
    return f" at {used.weight:g}{clip}" + "".join(f", then {weight:g}" for weight, _ in used.again[:_MOST_LISTED])


def _trigger_words(used: UsedResource) -> str:
    words = ", ".join(used.trained_words)
    return f"; trigger words: {words[:200]}" if words else ""


def _unnamed(used: UsedResource) -> str:
    if used.version_id is not None or used.air:
        return ""
    return f"; only its hash {used.hash} is known" if used.hash else "; only its name is known"
