"""What is still to be asked about a picture's resources, and the picture with the answers: whose a hash is, what a
version is called. The asking itself is done elsewhere; nothing here opens a socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..resources.hashes import spellings
from .generation import GenerationData, UsedResource
from .resources import join, of_one_family, sorted_in, with_resolved


@dataclass(frozen=True)
class HashQuestion:
    """A resource that only its hash can name: `tries` are the spellings to look up in order."""

    name: str
    kind: str
    hash: str
    tries: tuple[str, ...]


def hash_questions(data: GenerationData) -> tuple[HashQuestion, ...]:
    """The hashes that are to be looked up, each once: those of resources without a version id or AIR."""
    questions: dict[str, HashQuestion] = {}
    model = UsedResource(
        data.model_air,
        name=data.model_name,
        kind="checkpoint",
        version_id=data.model_version_id,
        hash=data.model_hash,
    )
    vae = UsedResource("", name=data.vae, kind="vae", hash=data.vae_hash)
    for resource in (model, *data.networks, *data.embeddings, *data.others, vae):
        if resource.hash and resource.version_id is None and not resource.air:
            question = HashQuestion(resource.name, resource.kind, resource.hash, spellings(resource.hash))
            questions.setdefault(resource.hash, question)
    return tuple(questions.values())


def unnamed_versions(data: GenerationData) -> tuple[int, ...]:
    """The versions of which no more than the id is known, and those of embeddings whose word or file is not, each
    once."""
    versions = [
        resource.version_id
        for resource in (*data.networks, *data.embeddings, *data.others)
        if resource.version_id is not None and not _is_described(resource)
    ]
    if data.model_version_id is not None and not (data.model_air and data.model_name):
        versions.insert(0, data.model_version_id)
    return tuple(dict.fromkeys(versions))


def _is_described(resource: UsedResource) -> bool:
    named = bool(resource.air and resource.name)
    return named and (resource.kind != "embedding" or bool(resource.words and resource.file))


def described(data: GenerationData, answers: Mapping[int, UsedResource]) -> GenerationData:
    """The data after versions were looked up by their ids. A checkpoint that was only an id becomes the model where
    the data knows none."""
    filled = [
        _filled(resource, answer) if (answer := answers.get(resource.version_id or 0)) else resource
        for resource in (*data.networks, *data.embeddings, *data.others)
    ]
    if answer := answers.get(data.model_version_id or 0):
        data = _with_model(data, answer)
    resolved = [resource for resource in filled if resource.source == "resources"]
    rest: dict[str, object] = {"networks": (), "embeddings": (), "others": ()}
    sorted_in(rest, (resource for resource in filled if resource.source != "resources"))
    return with_resolved(replace(data, **rest), resolved)


def answered(data: GenerationData, answers: Mapping[str, UsedResource]) -> GenerationData:
    """The data after a look-up: `answers` by the hash that was asked.

    Weights and sources stay the data's. An answer of another kind (short hashes collide) is not taken."""
    notes: list[str] = []
    resources = [_answered(resource, answers, notes) for resource in (*data.networks, *data.embeddings, *data.others)]
    if data.model_version_id is None and not data.model_air and (answer := answers.get(data.model_hash)):
        if answer.kind in ("checkpoint", "other"):
            data = _with_model(data, answer)
        else:
            notes.append(_other_kind(data.model_name, data.model_hash, answer))
    if (answer := answers.get(data.vae_hash)) is not None:
        if answer.kind in ("vae", "checkpoint", "other"):
            name = data.vae or answer.name
            resources.append(replace(answer, name=name, hash=data.vae_hash, kind="vae", source="hashes"))
        else:
            notes.append(_other_kind(data.vae, data.vae_hash, answer))
    fields: dict[str, object] = {"networks": (), "embeddings": (), "others": ()}
    model = data.model_version_id or -1
    without_model = (entry for entry in resources if entry.version_id != model or entry.kind == "vae")
    sorted_in(fields, join(without_model, notes))
    return replace(data, **fields, notes=(*data.notes, *(note for note in notes if note not in data.notes)))


def _answered(resource: UsedResource, answers: Mapping[str, UsedResource], notes: list[str]) -> UsedResource:
    answer = answers.get(resource.hash) if resource.version_id is None and not resource.air else None
    if answer is None:
        return resource
    if not of_one_family(resource.kind, answer.kind):
        notes.append(_other_kind(resource.name, resource.hash, answer))
        return resource
    return _filled(resource, answer)


def _other_kind(name: str, hash: str, answer: UsedResource) -> str:
    who = name[:60] or "a resource"
    return f"The hash {hash} of {who} is that of a {answer.kind}, {answer.name[:60]}; it is not taken."


def _filled(resource: UsedResource, answer: UsedResource) -> UsedResource:
    """A resource with what a look-up says of its version; its weights, name and source stay."""
    return replace(
        resource,
        air=resource.air or answer.air,
        version_id=answer.version_id,
        model_id=answer.model_id,
        version_name=answer.version_name or resource.version_name,
        base_model=answer.base_model or resource.base_model,
        name=resource.name or answer.name,
        kind=answer.kind if resource.kind == "other" else resource.kind,
        words=tuple(dict.fromkeys((*resource.words, *answer.words))),
        file=resource.file or answer.file,
    )


def _with_model(data: GenerationData, answer: UsedResource) -> GenerationData:
    return replace(
        data,
        model_air=data.model_air or answer.air,
        model_version_id=answer.version_id,
        model_id=answer.model_id,
        model_name=data.model_name or answer.name,
        base_model=answer.base_model or data.base_model,
    )
