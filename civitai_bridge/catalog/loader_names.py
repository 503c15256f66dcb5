"""Which file of a loader is meant: hash first, name last, and a part of a name never counts.

The catalogs and the index of hashes answer first. What they do not know yet is looked for by its exact file name in
ComfyUI's own list; a file of that name whose bytes are known to be others is not it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..metadata.generation import GenerationData, UsedResource
from ..metadata.prompt import name_key, normal_name
from ..model_files.indexed import Files, ModelPath, Ownership
from ..resources.hashes import bare_hash
from ..resources.version import ModelVersion
from .answers import Answer, Located
from .file_lookup import is_other
from .service import CatalogService

_WRITTEN = frozenset({"prompt", "negative_prompt", "comfy"})  # where a person, or a graph, wrote the weight itself
_REASONS = ("other_bytes", "ambiguous", "changed", "other_version", "not_asked", "damaged")  # notes for a person
_FOLDERS = {
    "checkpoint": ("checkpoints", "diffusion_models"), "lora": ("loras",), "lyco": ("loras",), "vae": ("vae",),
    "embedding": ("embeddings",), "hypernet": ("hypernetworks",), "upscaler": ("upscale_models",),
    "controlnet": ("controlnet",),
}  # fmt: skip


@dataclass(frozen=True)
class LoaderFile:
    """`name` is the name for a loader, `""` where no file is here; `sentence` says how it was found, or why not."""

    name: str
    sentence: str


@dataclass(frozen=True)
class LoraFile:
    """A LoRA of CIVITAI_LORAS and its file; strengths as the wire says them. `again`: another entry of the list means
    the same file and wins."""

    title: str
    reference: str
    strength: float
    clip: float
    file: LoaderFile
    source: str = ""
    again: bool = False

    @property
    def off(self) -> bool:
        return not self.strength and not self.clip

    @property
    def used(self) -> bool:
        return bool(self.file.name) and not self.off and not self.again

    @property
    def lacking(self) -> bool:
        return not self.file.name and not self.off


async def lora_files(
    catalog: CatalogService, loras: Sequence[Mapping[str, Any]], listed: Callable[[], Sequence[str]]
) -> list[LoraFile]:
    """Each LoRA with its file in ComfyUI's folder `loras`; what is off is not looked for. `listed` are the names that
    ComfyUI's loaders offer."""
    applied = [lora for lora in loras if _strengths(lora) != (0.0, 0.0)]
    answers = iter((await catalog.check(applied)).answers if applied else ())
    names, files = await asyncio.to_thread(lambda: (listed(), catalog.index.files()))
    return _once([_lora_file(lora, answers, names, files) for lora in loras])


def _lora_file(lora: Mapping[str, Any], answers: Any, names: Sequence[str], files: Files) -> LoraFile:
    strength, clip = _strengths(lora)
    named = (lora.get(key) for key in ("name", "air", "version_id", "hash"))
    title = str(next(filter(None, named), "without a name"))
    if not strength and not clip:
        return LoraFile(title, "", strength, clip, LoaderFile("", "off (weight 0)."))
    # What CivitAI resolved bears its title there, which is no file's name.
    resolved = lora.get("air") or lora.get("version_id")
    name = str(lora.get("file") or ("" if resolved else lora.get("name")) or "")
    hashes = [bare_hash(str(lora["hash"]))] if lora.get("hash") else []
    file = loader_file(next(answers), "loras", names, files, name=name, hashes=hashes)
    return LoraFile(title, str(resolved or lora.get("hash") or ""), strength, clip, file, str(lora.get("source") or ""))


def _once(loras: Sequence[LoraFile]) -> list[LoraFile]:
    """Two entries of one file are one LoRA that was named twice: what the prompt or the graph says wins, else the
    first."""
    winners: dict[str, LoraFile] = {}
    for lora in loras:
        if lora.used:
            winner = winners.setdefault(lora.file.name, lora)
            if lora.source in _WRITTEN and winner.source not in _WRITTEN:
                winners[lora.file.name] = lora
    return [
        lora if winners.get(lora.file.name, lora) is lora or not lora.used else _beaten(lora, winners) for lora in loras
    ]


def _beaten(lora: LoraFile, winners: Mapping[str, LoraFile]) -> LoraFile:
    name = lora.file.name
    sentence = f"the same file as {winners[name].title} ({name}), whose weight has the word."
    return replace(lora, file=LoaderFile(name, sentence), again=True)


def loader_file(
    answer: Answer, folder: str, listed: Sequence[str], files: Files, *, name: str = "", hashes: Sequence[str] = ()
) -> LoaderFile:
    """The file of an answer among those that ComfyUI lists in a folder. A file of the right name whose bytes are known
    to have none of the bare `hashes` is not it."""
    located, version = answer.located, answer.version
    place, entry = located.place, located.entry
    if place is not None and place.folder == folder and located.is_here:
        other = next((note.text for note in located.notes if note.code == "other_file"), "")
        return LoaderFile(place.name, " ".join(filter(None, (f"{place.name}, {_how(located)}.", other))))
    names = _names(version) or ([entry.file] if entry and entry.file else [name] if name else [])
    tried = []
    for candidate in names:
        match = exact(candidate, listed)
        if isinstance(match, str):
            file = files.by_name.get((folder, match))
            if file is None or not (_is_of_another(file, version) or is_other(file, hashes)):
                changed = "".join(f" {note.text}" for note in located.notes if note.code == "changed")
                return LoaderFile(match, f"{match}, by its exact file name, not by its content.{changed}")
            tried.append(f"{match} has other bytes")
        else:
            tried.append(f"no {candidate}" if not match else f"{len(match)} files called {candidate}")
    reasons = [note.text for note in located.notes if note.code in _REASONS]
    why = f"{'; '.join(tried[:3]) or 'no file name is known'} in {folder}."
    return LoaderFile("", " ".join([f"not here: {why}", *reasons]))


def exact(name: str, listed: Sequence[str]) -> str | tuple[str, ...]:
    """The one listed file of exactly this name, by its whole path first, else by its last part, extension or not and
    in any case; a tuple where it is none or several.

    assert exact("ink", ["a/Ink.safetensors", "ink2.safetensors"]) == "a/Ink.safetensors"
    """
    return ListedNames(listed).exact(name)


class ListedNames:
    """The names that the loaders of a folder offer, sorted once for many look-ups: folders hold thousands."""

    def __init__(self, listed: Sequence[str]) -> None:
        self._names = frozenset(listed)
        self._by_path: dict[str, list[str]] = {}
        self._by_key: dict[str, list[str]] = {}
        for file in dict.fromkeys(listed):  # two folders may hold one name
            self._by_path.setdefault(normal_name(file).casefold(), []).append(file)
            self._by_key.setdefault(name_key(file), []).append(file)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def exact(self, name: str) -> str | tuple[str, ...]:
        """As the function `exact`."""
        whole = self._by_path.get(normal_name(name).casefold())
        matches = whole or self._by_key.get(name_key(name), [])
        return matches[0] if len(matches) == 1 else tuple(matches)


def with_files(data: GenerationData, files: Files, owners: Mapping[str, Ownership]) -> GenerationData:
    """What a graph's loaders name by file, with the hashes of those files and whose they are, as the index knows it.

    Only for what the graph that ran says: its names are files of this machine."""

    def identified(used: UsedResource) -> UsedResource:
        return _identified(used, used.name, files, owners)

    model = identified(
        UsedResource(data.model_air, name=data.model_name, kind="checkpoint", version_id=data.model_version_id,
                hash=data.model_hash, base_model=data.base_model)
    )  # fmt: skip
    vae = identified(UsedResource("", name=data.vae, kind="vae", hash=data.vae_hash)) if data.vae else None
    return replace(
        data,
        model_air=model.air,
        model_hash=model.hash,
        model_version_id=model.version_id,
        base_model=model.base_model,
        vae_hash=vae.hash if vae else data.vae_hash,
        networks=tuple(map(identified, data.networks)),
        embeddings=tuple(map(identified, data.embeddings)),
        others=tuple(map(identified, data.others)),
    )


def with_applied_files(data: GenerationData, files: Files, owners: Mapping[str, Ownership]) -> GenerationData:
    """The LoRAs that nothing but a name tells, with the hash of the file of this machine that was applied, and whose it
    is. Their `file` is its name for a loader."""

    def applied(network: UsedResource) -> UsedResource:
        if network.air or network.version_id or not network.file:
            return network
        file = network.file.replace("\\", "/").rpartition("/")[2]  # a picture tells nothing of this machine's folders
        return replace(_identified(network, network.file, files, owners), file=file)

    return replace(data, networks=tuple(map(applied, data.networks)))


def _identified(used: UsedResource, name: str, files: Files, owners: Mapping[str, Ownership]) -> UsedResource:
    file = named_file(files, name, _FOLDERS.get(used.kind, ()))
    if file is None or not file.sha256 or used.hash:
        return used
    owner = owners.get(file.sha256)
    about = owner.about if owner and owner.version_id else {}
    return replace(
        used,
        hash=file.sha256[:10],
        air=used.air or str(about.get("air") or ""),
        version_id=used.version_id or (owner.version_id if owner and owner.version_id else None),
        base_model=used.base_model or str(about.get("base_model") or ""),
    )


def named_file(files: Files, name: str, folders: Sequence[str]) -> ModelPath | None:
    """The file that a loader's name means: exactly, else the only one of that stem. None for one that was written since
    it was hashed, whose bytes nobody knows."""
    if not name:
        return None
    names = (name, name.replace("\\", "/"))
    meant = [file for folder in folders for each in names if (file := files.by_name.get((folder, each)))][:1]
    meant = meant or [file for file in files.all if file.folder in folders and name_key(file.name) == name_key(name)]
    is_one = len({file.path for file in meant}) == 1
    return meant[0] if is_one and meant[0].is_as_hashed() else None


def _names(version: ModelVersion | None) -> list[str]:
    if version is None:
        return []
    usable = [file for file in version.files if file.type in ("Model", "Pruned Model", "")] or list(version.files)
    return [file.name for file in sorted(usable, key=lambda file: not file.primary) if file.name]


def _is_of_another(file: ModelPath, version: ModelVersion | None) -> bool:
    """Whether a file's bytes are known, and known to be none of the version's."""
    stated = {each.sha256 for each in version.files if each.sha256} if version is not None else set()
    return bool(file.sha256 and stated) and file.sha256 not in stated


def _how(located: Located) -> str:
    return {"full hash": "by its bytes", "short hash": "by a short hash", "version id": "by its version"}.get(
        located.how, "by its exact name" if located.how == "name" else "by what the index of files knows"
    )


def _strengths(lora: Mapping[str, Any]) -> tuple[float, float]:
    strength = float(lora.get("strength", 1.0))
    clip = lora.get("strength_clip")
    return strength, strength if clip is None else float(clip)
