"""Which file of a loader is meant: hash first, name last, and a part of a name never counts.

The catalogs and the index of hashes answer first (check.py). What they do not know yet is looked for by its exact file
name in ComfyUI's own list; a file of that name whose bytes are known to be others is not it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..generation import GenerationData, Network
from ..prompt import name_key, normal_name
from ..resources import Resource
from .answers import Answer
from .check import Located
from .desk import Desk
from .hashes import Files, ModelPath, Ownership

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
    """A LoRA of CIVITAI_LORAS and its file; strengths as the wire says them."""

    title: str
    reference: str
    strength: float
    clip: float
    found: OnHand

    @property
    def off(self) -> bool:
        return not self.strength and not self.clip


async def loras_on_hand(
    desk: Desk, loras: Sequence[Mapping[str, Any]], listed: Callable[[], Sequence[str]]
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
        here = on_hand(answer, "loras", names, files, name=str(lora.get("file") or lora.get("name") or ""))
        reference = str(lora.get("air") or lora.get("version_id") or lora.get("hash") or "")
        found.append(LoraOnHand(title, reference, strength, clip, here))
    return found


def on_hand(answer: Answer, folder: str, listed: Sequence[str], files: Files, *, name: str = "") -> OnHand:
    """The file of one answer of the desk among those that ComfyUI lists in a folder."""
    located, resource = answer.located, answer.resource
    unsure = _UNSURE & {shade.code for shade in located.shades}
    place = located.place
    if place is not None and place.folder == folder and not unsure:
        other = next((shade.text for shade in located.shades if shade.code == "other_file"), "")
        return OnHand(place.name, " ".join(filter(None, (f"{place.name}, {_how(located)}.", other))))
    names = _names(resource) or ([name] if name else [])
    tried = []
    for one in names:
        match = exact(one, listed)
        if isinstance(match, str):
            if _is_other(files.by_name.get((folder, match)), resource):
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

    def known(one: Network) -> Network:
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

    model = known(
        Network(data.model_air, name=data.model_name, kind="checkpoint", version_id=data.model_version_id,
                hash=data.model_hash, base_model=data.base_model)
    )  # fmt: skip
    vae = known(Network("", name=data.vae, kind="vae", hash=data.vae_hash)) if data.vae else None
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


def _names(resource: Resource | None) -> list[str]:
    if resource is None:
        return []
    usable = [file for file in resource.files if file.type in ("Model", "Pruned Model", "")] or list(resource.files)
    return [file.name for file in sorted(usable, key=lambda file: not file.primary) if file.name]


def _is_other(file: ModelPath | None, resource: Resource | None) -> bool:
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
