"""What the prompts of a request name: networks in tags, as A1111 loads them, and embeddings by bare words, which core
wants as `embedding:NAME`."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ...errors import BadInput
from ...metadata.embeddings import for_comfyui, read_embeddings
from ...metadata.prompt import Tag, clean_prompt, network_tags, read_tags
from ...model_files.names import stem_of
from .families import Family
from .files import AppliedNetwork, FileFinder
from .request import EMBEDDING, HYPERNET, LORA, ImageRequest

_TAGS = {"lora": LORA, "lyco": LORA, "hypernet": HYPERNET}
_MOST_TAGS = 20


@dataclass(frozen=True)
class Prompts:
    """The texts as core reads them, and the networks that they and `additionalNetworks` name, each file once."""

    positive: str
    negative: str
    networks: tuple[AppliedNetwork, ...]


def read_prompts(request: ImageRequest, finder: FileFinder, family: Family) -> Prompts:
    """What `additionalNetworks` names has the word over a tag of the same file. Raises BadInput for what is not
    here."""
    applied: dict[tuple[str, str], AppliedNetwork] = {}
    words = {stem_of(file.name): _bare(file.name) for file in reversed(list(finder.embeddings()))}
    chosen: list[tuple[str, str]] = []  # embeddings that are named by hash: the word, the name for core
    for network in request.networks:
        file = finder.network(network, family)
        if network.kind == EMBEDDING:
            chosen.append((network.name or stem_of(file.name), _bare(file.name)))
            words |= {stem_of(file.name): _bare(file.name), chosen[-1][0]: _bare(file.name)}
        else:
            strength = network.strength
            applied[network.kind, file.name] = AppliedNetwork(network.kind, file.name, strength, strength)
    for tag in _tags(request):
        kind = _TAGS[tag.kind]
        file = finder.named(tag.name, kind, family)
        clip = tag.weight if tag.clip_weight is None else tag.clip_weight
        applied.setdefault((kind, file.name), AppliedNetwork(kind, file.name, tag.weight, clip))
    positive, negative = (for_comfyui(_without_tags(text), words) for text in (request.prompt, request.negative_prompt))
    _check_mentioned(chosen, positive, negative)
    _note_words(finder, request, positive, negative)
    return Prompts(positive, negative, tuple(applied.values()))


def _without_tags(text: str) -> str:
    return clean_prompt(text) if network_tags(text) else text


def _tags(request: ImageRequest) -> list[Tag]:
    tags = [*read_tags(request.prompt), *read_tags(request.negative_prompt)]
    if len(tags) > _MOST_TAGS:
        raise BadInput(f"The prompts name {len(tags)} networks; at most {_MOST_TAGS} are taken.")
    for tag in tags:
        if abs(tag.weight) > 10 or abs(tag.clip_weight or 0) > 10:
            raise BadInput("The weight of a network in the prompt must be from -10 to 10.")
    return tags


def _check_mentioned(chosen: list[tuple[str, str]], *texts: str) -> None:
    """An embedding acts where its word stands; where it stands nowhere, nobody can tell which prompt is meant."""
    mentioned = {each.name for text in texts for each in read_embeddings(text)}
    for word, name in chosen:
        if any(blank in name for blank in " \t\n"):
            raise BadInput(
                f"The embedding {word} has a space in its file's name, which ComfyUI cannot read in a prompt."
            )
        if name not in mentioned:
            raise BadInput(f"The embedding {word} stands in neither prompt; write its name where it is to act.")


def _note_words(finder: FileFinder, request: ImageRequest, *texts: str) -> None:
    """Say which words act as embeddings: a room that knows no A1111 may have meant plain words."""
    spelled = {each.name for text in (request.prompt, request.negative_prompt) for each in read_embeddings(text)}
    named = {each.name for text in texts for each in read_embeddings(text)} - spelled
    if named:
        finder.notes.append(f"These words of the prompts act as embeddings here: {', '.join(sorted(named))}.")


def _bare(name: str) -> str:
    """A file's name below its folder without its ending, as core looks an embedding up."""
    return os.path.splitext(name)[0]
