"""A picture of our own -> the text that goes into its file, true of this picture and known to CivitAI's uploader.

The graph that ran has the word. A wired `GenerationData` adds what no graph can say: who its files are on CivitAI, and
the values that other nodes made when it ran. What a fleet made is told as the fleet told it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .a1111.write import write_a1111
from .civitai_upload import Recognition, recognised
from .comfy.reader import read_graph
from .comfy.remarks import CALLED, MADE_ELSEWHERE, NOT_WRITTEN, PARTLY_WRITTEN_PROMPT, WEIGHT_OF, not_known
from .generation import GenerationData, UsedResource
from .prompt import clean_prompt, name_key
from .quantities import shown
from .resources import is_called, join, may_be_one

_SETTINGS: tuple[tuple[str, str], ...] = (
    ("prompt", "the prompt"), ("negative_prompt", "the negative prompt"), ("seed", "the seed"), ("steps", "steps"),
    ("cfg", "CFG"), ("sampler", "the sampler"), ("scheduler", "the scheduler"), ("width", "the width"),
    ("height", "the height"), ("clip_skip", "clip skip"), ("denoise", "the denoising strength"),
    ("guidance", "the guidance"), ("vae", "the VAE"), ("upscale", "the second pass"),
)  # fmt: skip
_MODEL = ("model_air", "model_name", "model_version_id", "model_id", "base_model", "model_hash")
_UNSAID = (None, "")
_WRITTEN_IN_PARTS = ("prompt", "negative_prompt")
_NAMES = {
    "lora": "LoRA", "lyco": "LyCORIS", "hypernet": "hypernetwork", "vae": "VAE", "upscaler": "upscaler",
    "controlnet": "ControlNet",
}  # fmt: skip


@dataclass(frozen=True)
class PictureText:
    """What goes into a picture's file: `text` is A1111's, `""` where nothing is known; `lines` are for a person: where
    graph and wire disagree, and what could not be understood."""

    data: GenerationData
    text: str
    lines: tuple[str, ...]

    @property
    def resources(self) -> tuple[Recognition, ...]:
        return recognised(self.text)

    @property
    def report(self) -> tuple[str, ...]:
        """The lines, and what CivitAI will not recognise."""
        return (*self.lines, *judgement(self.text, self.resources))


def picture_text(
    graph: Mapping[str, Any] | None,
    wired: GenerationData | None = None,
    *,
    known: Callable[[GenerationData], GenerationData] = lambda data: data,
    size: tuple[int, int] | None = None,
) -> PictureText:
    """The text of a picture that a prompt graph made, with a wired generation beside it or alone. `known` adds what
    this machine knows of the files that the graph names; `size` is the picture's own, for where nobody says one."""
    local = read_graph(graph) if graph else None
    local = known(local) if local is not None else None
    if local is None:
        data, lines = wired or GenerationData(), ()
    else:
        data, lines = merge(local, wired) if wired is not None else (local, ())
    data = replace(data, extra={k: v for k, v in data.extra.items() if k != MADE_ELSEWHERE})
    if size is not None and data.width is None and data.height is None:
        data = replace(data, width=size[0], height=size[1])
    text = write_a1111(data) if _says_anything(data) else ""
    return PictureText(data, text, (*lines, *data.notes))


def judgement(text: str, resources: tuple[Recognition, ...]) -> tuple[str, ...]:
    """In lines: what CivitAI's uploader will recognise in the text."""
    if not text:
        return ("Nothing is known of how this picture was made, so its file says nothing.",)
    missed = [one.reason for one in resources if not one.recognised]
    hashed = [one.name[:80] for one in resources if one.by == "hash"]
    lines = []
    if resources and not missed:
        lines.append(f"CivitAI will recognise every resource ({len(resources)}).")
    if hashed:
        lines.append(f"By hash, if CivitAI knows it: {', '.join(hashed[:20])}.")
    return (*lines, *missed)


def merge(local: GenerationData, wired: GenerationData) -> tuple[GenerationData, tuple[str, ...]]:
    """The truth about a picture from the graph that ran and a wired generation, and where the two disagree.

    The graph has the word; the wire adds identities (AIRs, hashes, versions) to what the graph names, and whatever the
    graph leaves to other nodes. Resources that the graph does not use are not taken over. A generation that the fleet
    made is the truth as it is; a graph that says nothing leaves it to the wire."""
    if wired.workflow_id:
        return wired, ()
    if not _says_anything(local):
        said = "The graph does not say how the picture was made; the wired generation is taken at its word."
        return replace(wired, texts=local.texts, notes=(*local.notes, *wired.notes)), (said,)
    elsewhere = frozenset(local.extra.get(MADE_ELSEWHERE, ()))
    lines: list[str] = []
    fields = _settings(local, wired, elsewhere, lines)
    fields.update(_model(local, wired, elsewhere, lines))
    for room in ("networks", "embeddings", "others"):
        mine, theirs = getattr(local, room), getattr(wired, room)
        open_ = {"networks": {"networks"}, "embeddings": set(_WRITTEN_IN_PARTS)}.get(room, set())
        if elsewhere & open_:
            fields[room] = join((*mine, *theirs))
        else:
            fields[room] = _resources(mine, theirs, elsewhere, lines)
    if local.vae and not local.vae_hash and wired.vae_hash and name_key(local.vae) == name_key(wired.vae):
        fields["vae_hash"] = wired.vae_hash
    left = {name for name in elsewhere if not _known(fields, local, wired, name)}
    extra = {**local.extra, MADE_ELSEWHERE: sorted(left)} if left else {
        key: value for key, value in local.extra.items() if key != MADE_ELSEWHERE
    }  # fmt: skip
    found = elsewhere - left
    answered = {not_known(name) for name in found if name.startswith(WEIGHT_OF) or name in CALLED}
    answered |= {NOT_WRITTEN[name] for name in found if name in NOT_WRITTEN}
    answered |= {PARTLY_WRITTEN_PROMPT} if elsewhere.intersection(_WRITTEN_IN_PARTS) <= fields.keys() else set()
    notes = tuple(note for note in local.notes if note not in answered)
    return replace(local, **{**fields, "extra": extra, "notes": notes}), tuple(lines)


def _says_anything(data: GenerationData) -> bool:
    said = (data.prompt, data.model_name, data.model_air, data.seed, data.steps, data.sampler, data.model_version_id)
    return any(one not in _UNSAID for one in said) or bool(data.networks) or bool(data.extra.get(MADE_ELSEWHERE))


def _known(fields: Mapping[str, Any], local: GenerationData, wired: GenerationData, name: str) -> bool:
    if name.startswith(WEIGHT_OF):
        file = name_key(name.removeprefix(WEIGHT_OF))
        mine = (one for one in local.networks if name_key(one.name) == file)
        return any(_same(one, other) for one in mine for other in wired.networks)
    names = ("model_name", "model_air") if name == "model" else (name,)
    return any(fields.get(one, getattr(local, one)) not in (*_UNSAID, ()) for one in names)


def _settings(
    local: GenerationData, wired: GenerationData, elsewhere: frozenset[str], lines: list[str]
) -> dict[str, Any]:
    """The settings that other nodes made, from the wire; a line for each of which the two speak differently."""
    taken: dict[str, Any] = {}
    for name, what in _SETTINGS:
        mine, theirs = getattr(local, name), getattr(wired, name)
        if theirs in _UNSAID or _alike(name, mine, theirs):
            continue
        if name in elsewhere and (mine in _UNSAID or name in _WRITTEN_IN_PARTS):
            taken[name] = theirs
        elif mine not in _UNSAID:
            lines.append(f"The wired generation names {what} {_short(theirs)}, the graph used {_short(mine)}.")
        elif name not in ("vae", "denoise", "width", "height"):
            lines.append(f"The wired generation names {what} {_short(theirs)}, the graph used none.")
    return taken


def _alike(name: str, mine: object, theirs: object) -> bool:
    if name in ("prompt", "negative_prompt"):
        return _words(mine) == _words(theirs)
    return name_key(str(mine)) == name_key(str(theirs)) if name == "vae" else mine == theirs


def _words(text: object) -> list[str]:
    """A prompt without what readers take out of it and how they spell embeddings."""
    return clean_prompt(str(text)).replace("embedding:", "").replace(",", " ").casefold().split()


def _short(value: object) -> str:
    return shown(value if isinstance(value, (str, int, float)) else "another one")


def _model(local: GenerationData, wired: GenerationData, elsewhere: frozenset[str], lines: list[str]) -> dict[str, Any]:
    theirs = {name: value for name in _MODEL if (value := getattr(wired, name)) not in _UNSAID}
    named = local.model_name or local.model_air
    if not named:
        return theirs if "model" in elsewhere else {}
    if not theirs:
        return {}
    if _same_model(local, wired):
        return {name: value for name, value in theirs.items() if getattr(local, name) in _UNSAID}
    other = wired.model_name or wired.model_air or "another one"
    lines.append(f"The wired generation names the model {_short(other)}, the graph loaded {_short(named)}.")
    return {}


def _same_model(local: GenerationData, wired: GenerationData) -> bool:
    if local.model_version_id is not None and wired.model_version_id is not None:
        return local.model_version_id == wired.model_version_id
    if local.model_air and local.model_air == wired.model_air:
        return True
    if local.model_hash and wired.model_hash:
        return local.model_hash[:10] == wired.model_hash[:10]
    return bool(local.model_name and wired.model_name) and name_key(local.model_name) == name_key(wired.model_name)


def _resources(
    mine: tuple[UsedResource, ...], theirs: tuple[UsedResource, ...], elsewhere: frozenset[str], lines: list[str]
) -> tuple[UsedResource, ...]:
    """The graph's resources with the identities that the wire knows of them; weights stay the graph's, but for those
    that other nodes made."""
    left = list(theirs)
    found: list[UsedResource] = []
    for one in mine:
        other = next((other for other in left if _same(one, other)), None)
        if other is None:
            found.append(one)
            if theirs:
                lines.append(f"{_called(one)} is used by the graph and not named in the wired generation.")
            continue
        left.remove(other)
        if f"{WEIGHT_OF}{one.name or one.air}" in elsewhere:
            one = replace(one, weight=other.weight, clip_weight=other.clip_weight, again=other.again)
        elif (mine_is := one.total[0]) != (theirs_is := other.total[0]):
            lines.append(
                f"{_called(one)} has weight {mine_is:g} in the graph and {theirs_is:g} in the wired generation."
            )
        found.append(_with_identity(one, other))
    lines.extend(
        f"{_called(one)} is named in the wired generation and not used by the graph." for one in left if one.weight
    )
    return tuple(found)


def _same(one: UsedResource, other: UsedResource) -> bool:
    if not may_be_one(one, other):
        return False
    for name in ("version_id", "air"):
        if getattr(one, name) and getattr(one, name) == getattr(other, name):
            return True
    if one.hash and other.hash and one.hash[:10] == other.hash[:10]:
        return True
    return bool(one.name and other.name) and (name_key(one.name) == name_key(other.name) or is_called(other, one.name))


def _with_identity(one: UsedResource, other: UsedResource) -> UsedResource:
    names = ("air", "version_id", "hash", "model_id", "version_name", "base_model")
    return replace(one, **{name: getattr(other, name) for name in names if getattr(one, name) in _UNSAID})


def _called(one: UsedResource) -> str:
    return f"{_NAMES.get(one.kind, one.kind)} {(one.name or one.air or str(one.version_id))[:80]}"
