"""Which file of a loader is meant: hash first, name last, and a part of a name never counts.

The catalogs and the index of hashes answer first (check.py). What they do not know yet is looked for by its exact file
name in ComfyUI's own list; a file of that name whose bytes are known to be others is not it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..metadata.generation import GenerationData, UsedResource
from ..metadata.prompt import name_key, normal_name
from ..model_files.indexed import Files, ModelPath, Ownership
from ..resources.version import ModelVersion
from .answers import Answer
from .check import Located, is_other
from .entries import bare_hash
from .service import CatalogService

_WRITTEN = frozenset({"prompt", "negative_prompt", "comfy"})  # where a person, or a graph, wrote the weight itself
_UNSURE = frozenset({"other_bytes", "ambiguous"})
_FOLDERS = {
    "checkpoint": ("checkpoints", "diffusion_models"), "lora": ("loras",), "lyco": ("loras",), "vae": ("vae",),
    "embedding": ("embeddings",), "hypernet": ("hypernetworks",), "upscaler": ("upscale_models",),
    "controlnet": ("controlnet",),
}  # fmt: skip


@dataclass(frozen=True)
class OnHand:
    """`file` is the name for a loader, `""` where none is here; `sentence` says how it was found, or why not."""

    file: str
    sentence: str


@dataclass(frozen=True)
class LoraOnHand:
    """A LoRA of CIVITAI_LORAS and its file; strengths as the wire says them. `again`: another entry of the list means
    the same file and has the word."""

    title: str
    reference: str
    strength: float
    clip: float
    found: OnHand
    source: str = ""
    again: bool = False

    @property
    def off(self) -> bool:
        return not self.strength and not self.clip

    @property
    def used(self) -> bool:
        return bool(self.found.file) and not self.off and not self.again

    @property
    def lacking(self) -> bool:
        return not self.found.file and not self.off


async def loras_on_hand(
    desk: CatalogService, loras: Sequence[Mapping[str, Any]], listed: Callable[[], Sequence[str]]
) -> list[LoraOnHand]:
    """Each LoRA with its file in ComfyUI's folder `loras`; what is off is not looked for. `listed` are the names that
    ComfyUI's loaders offer."""
    wanted = [lora for lora in loras if _strengths(lora) != (0.0, 0.0)]
    answers = iter((await desk.check(wanted)).answers if wanted else ())
    names, files = await asyncio.to_thread(lambda: (listed(), desk.index.files()))
    found = []
    for lora in loras:
        strength, clip = _strengths(lora)
        title = str(
            lora.get("name") or lora.get("air") or lora.get("version_id") or lora.get("hash") or "without a name"
        )
        if not strength and not clip:
            found.append(LoraOnHand(title, "", strength, clip, OnHand("", "off (weight 0).")))
            continue
        answer = next(answers)
        # What CivitAI resolved bears its title there, which is no file's name (facts/site-api.md §8.2).
        resolved = lora.get("air") or lora.get("version_id")
        name = str(lora.get("file") or ("" if resolved else lora.get("name")) or "")
        hashes = [bare_hash(str(lora["hash"]))] if lora.get("hash") else []
        here = on_hand(answer, "loras", names, files, name=name, hashes=hashes)
        reference = str(resolved or lora.get("hash") or "")
        found.append(LoraOnHand(title, reference, strength, clip, here, str(lora.get("source") or "")))
    return _once(found)


def _once(found: list[LoraOnHand]) -> list[LoraOnHand]:
    """Two entries of one file are one LoRA that was named twice: what the prompt or the graph says has the word, else
    the first."""
    best: dict[str, int] = {}
    for place, one in enumerate(found):
        if one.used:
            held = best.setdefault(one.found.file, place)
            if one.source in _WRITTEN and found[held].source not in _WRITTEN:
                best[one.found.file] = place
    kept = []
    for place, one in enumerate(found):
        held = best.get(one.found.file, place)
        if one.used and held != place:
            said = f"the same file as {found[held].title} ({one.found.file}), whose weight has the word."
            one = replace(one, found=OnHand(one.found.file, said), again=True)
        kept.append(one)
    return kept


def on_hand(
    answer: Answer, folder: str, listed: Sequence[str], files: Files, *, name: str = "", hashes: Sequence[str] = ()
) -> OnHand:
    """The file of one answer of the desk among those that ComfyUI lists in a folder. A file of the right name whose
    bytes are known to have none of the wanted `hashes` is not it."""
    located, resource = answer.located, answer.resource
    unsure = _UNSURE & {shade.code for shade in located.shades}
    place = located.place
    if place is not None and place.folder == folder and not unsure:
        other = next((shade.text for shade in located.shades if shade.code == "other_file"), "")
        return OnHand(place.name, " ".join(filter(None, (f"{place.name}, {_how(located)}.", other))))
    entry = located.entry
    names = _names(resource) or ([entry.file] if entry and entry.file else [name] if name else [])
    tried = []
    for one in names:
        match = exact(one, listed)
        if isinstance(match, str):
            there = files.by_name.get((folder, match))
            if _is_other(there, resource) or (there is not None and is_other(there, hashes)):
                tried.append(f"{match} has other bytes")
                continue
            return OnHand(match, f"{match}, by its exact file name, not by its content.")
        tried.append(f"no {one}" if not match else f"{len(match)} files called {one}")
    reasons = [shade.text for shade in located.shades if shade.code in (*_UNSURE, "not_asked")]
    why = f"{'; '.join(tried[:3]) or 'no file name is known'} in {folder}."
    return OnHand("", " ".join([f"not here: {why}", *reasons]))


def exact(name: str, listed: Sequence[str]) -> str | tuple[str, ...]:
    """The one listed file of exactly this name, by its whole path first, else by its last part, extension or not and
    in any case; a tuple where it is none or several.

    assert exact("ink", ["a/Ink.safetensors", "ink2.safetensors"]) == "a/Ink.safetensors"
    """
    whole = [one for one in listed if normal_name(one).casefold() == normal_name(name).casefold()]
    found = whole or [one for one in listed if name_key(one) == name_key(name)]
    return found[0] if len(found) == 1 else tuple(found)


def with_files(data: GenerationData, files: Files, owners: Mapping[str, Ownership]) -> GenerationData:
    """What a graph's loaders name by file, with the hashes of those files and whose they are, as the index knows it.

    Only for what the graph that ran says: its names are files of this machine."""

    def known(one: UsedResource) -> UsedResource:
        file = _file(files, one.name, _FOLDERS.get(one.kind, ()))
        if file is None or not file.sha256 or one.hash:
            return one
        owner = owners.get(file.sha256)
        about = owner.about if owner and owner.version_id else {}
        return replace(
            one,
            hash=file.sha256[:10],
            air=one.air or str(about.get("air") or ""),
            version_id=one.version_id or (owner.version_id if owner and owner.version_id else None),
            base_model=one.base_model or str(about.get("base_model") or ""),
        )

    model = known(data.model or UsedResource("", kind="checkpoint"))
    vae = known(data.vae_file) if data.vae_file else None
    return replace(
        data,
        model_air=model.air,
        model_hash=model.hash,
        model_version_id=model.version_id,
        base_model=model.base_model,
        vae_hash=vae.hash if vae else data.vae_hash,
        networks=tuple(map(known, data.networks)),
        embeddings=tuple(map(known, data.embeddings)),
        others=tuple(map(known, data.others)),
    )


def _file(files: Files, name: str, folders: Sequence[str]) -> ModelPath | None:
    """The file that a loader's name means: exactly, else the only one of that stem."""
    if not name:
        return None
    for folder in folders:
        if found := files.by_name.get((folder, name)) or files.by_name.get((folder, name.replace("\\", "/"))):
            return found
    alike = [one for one in files.all if one.folder in folders and name_key(one.name) == name_key(name)]
    return alike[0] if len({one.path for one in alike}) == 1 else None


def _names(resource: ModelVersion | None) -> list[str]:
    if resource is None:
        return []
    usable = [file for file in resource.files if file.type in ("Model", "Pruned Model", "")] or list(resource.files)
    return [file.name for file in sorted(usable, key=lambda file: not file.primary) if file.name]


def _is_other(file: ModelPath | None, resource: ModelVersion | None) -> bool:
    """Whether a file's bytes are known, and known to be none of the version's."""
    if file is None or not file.sha256 or resource is None:
        return False
    theirs = {value.lower() for one in resource.files for kind, value in one.hashes.items() if kind.upper() == "SHA256"}
    return bool(theirs) and file.sha256 not in theirs


def _how(located: Located) -> str:
    return {"full hash": "by its bytes", "short hash": "by a short hash", "version id": "by its version"}.get(
        located.how, "by its exact name" if located.how == "name" else "by what the index of files knows"
    )


def _strengths(lora: Mapping[str, Any]) -> tuple[float, float]:
    strength = float(lora.get("strength", 1.0))
    clip = lora.get("strength_clip")
    return strength, strength if clip is None else float(clip)
