"""What a person, a socket or a graph names -> what is looked for, before anybody was asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import BadInput, InvalidAir, UnknownReference
from ..resources.addresses import SITE_HOSTS
from ..resources.hashes import bare_hash
from ..resources.json_values import integer
from ..resources.reference import (
    AirReference,
    FileReference,
    HashReference,
    ImageReference,
    ModelReference,
    PostReference,
    Reference,
    VersionReference,
    read_reference,
)
from ..resources.version import ModelFile, ModelVersion

_FOLDERS = {"lora": "loras", "lyco": "loras", "embedding": "embeddings", "hypernet": "hypernetworks", "vae": "vae"}


@dataclass(frozen=True)
class Query:
    """What is looked for, as much as is known of it. `folder` is a ComfyUI key and narrows names; `trouble` says why
    CivitAI could not be asked, and makes `unknown` of what would be `not_found`. `title` and `files` are what CivitAI
    says of the version: its name, and everything that belongs to it."""

    version_id: int | None = None
    model_id: int | None = None
    file_id: int | None = None
    hashes: tuple[str, ...] = ()
    name: str = ""
    folder: str = ""
    trouble: str = ""
    title: str = ""
    files: tuple[ModelFile, ...] = ()

    @property
    def names_bytes(self) -> bool:
        """Whether a version or bytes are meant, and not just whatever a model or a name stands for."""
        return bool(self.version_id or self.hashes)

    @classmethod
    def from_version(cls, version: ModelVersion, file: ModelFile | None = None) -> Query:
        """A version that CivitAI knows; without `file` its primary one is meant, and any file of the version will
        do."""
        chosen = file or version.primary
        hashes = {kind.upper(): value for kind, value in (chosen.hashes if chosen else {}).items()}
        return cls(
            version_id=version.version_id or None,
            model_id=version.model_id or None,
            file_id=file.id or None if file else None,
            hashes=tuple(hashes[kind] for kind in ("SHA256", "AUTOV3") if hashes.get(kind)),
            name=chosen.name if chosen else "",
            title=version.title,
            files=version.files,
        )

    @classmethod
    def from_reference(cls, reference: Reference) -> Query:
        """What a person pasted, before anybody was asked."""
        match reference:
            case AirReference(air):
                with contextlib.suppress(InvalidAir):  # of another site than CivitAI
                    return cls(version_id=air.version_id, model_id=air.model_id, file_id=air.file_id)
            case VersionReference(version_id, file_id):
                return cls(version_id=version_id, file_id=file_id)
            case ModelReference(model_id):
                return cls(model_id=model_id)
            case HashReference(hash_):
                return cls(hashes=(hash_,))
            case FileReference(name):
                return cls(name=name)
        return cls()


@dataclass(frozen=True)
class Question:
    """What is asked for: the text of it for people, and what is known before anybody was asked."""

    text: str
    query: Query
    reference: Reference | None = None


def questions_from(asked: object, hosts: frozenset[str] = SITE_HOSTS) -> list[Question]:
    """Everything that a text, LoRAs, GenerationData or a resource of it names. Raises BadInput for anything else; a
    line of a text that names nothing is a question without an answer."""
    if isinstance(asked, str):
        lines = (line.strip() for line in asked.splitlines())
        return [_from_text(line, hosts) for line in lines if line and not line.startswith("#")]
    if isinstance(asked, Mapping):
        return [_from_lora(asked)]
    if hasattr(asked, "networks") and hasattr(asked, "model_air"):
        return _from_generation(asked)
    if hasattr(asked, "kind") and hasattr(asked, "air"):
        return [_from_resource(asked)]
    if isinstance(asked, Iterable):
        return [question for element in asked for question in questions_from(element, hosts)]
    raise BadInput("Only references, LoRAs and generation data can be looked up in the catalogs.")


def _from_text(text: str, hosts: frozenset[str]) -> Question:
    try:
        reference = read_reference(text, hosts=hosts)
    except UnknownReference as error:
        return Question(text, Query(name=text, trouble=str(error)))
    if isinstance(reference, (ImageReference, PostReference)):
        return Question(text, Query(trouble="this is the address of an image or a post, not of a model."))
    return Question(text, Query.from_reference(reference), reference)


def _from_lora(lora: Mapping[str, Any]) -> Question:
    """A dict of the socket type CIVITAI_LORAS: `air` is always in it, the rest may be."""
    air, hash_, name = (str(lora.get(key) or "") for key in ("air", "hash", "name"))
    return _from_parts(air, lora.get("version_id"), hash_, name, "loras")


def _from_generation(data: Any) -> list[Question]:
    """The model and every network of GenerationData."""
    questions = []
    model = (data.model_air, data.model_version_id, data.model_hash, data.model_name)
    if any(model):
        questions.append(_from_parts(*model, ""))
    return [*questions, *map(_from_resource, data.resources)]


def _from_resource(used: Any) -> Question:
    """A resource of GenerationData."""
    return _from_parts(used.air, used.version_id, used.hash, used.name, _FOLDERS.get(used.kind, ""))


def _from_parts(air: str, version_id: object, hash_: str, name: str, folder: str) -> Question:
    query, reference = Query(), None
    if air:
        with contextlib.suppress(UnknownReference, InvalidAir):  # then id, hash and name say what is meant
            reference = read_reference(air)
            query = Query.from_reference(reference)
    number = integer(version_id)
    if number is not None and query.version_id is None:
        query = replace(query, version_id=number)
    hashes = (bare_hash(hash_),) if hash_ else ()
    text = air or (str(version_id) if version_id else "") or name or hash_
    return Question(text, replace(query, hashes=hashes, name=name, folder=folder), reference)
