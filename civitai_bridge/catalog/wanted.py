"""What a person, a socket or a graph names -> what is looked for, before anybody was asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import BadInput, InvalidAir, UnknownReference
from ..resources.addresses import SITE_HOSTS
from ..resources.reference import ImageReference, PostReference, Reference, read_reference
from .check import Wanted
from .entries import bare_hash

_FOLDERS = {"lora": "loras", "lyco": "loras", "embedding": "embeddings", "hypernet": "hypernetworks", "vae": "vae"}


@dataclass(frozen=True)
class Question:
    """What is asked for: the text of it for people, and what is known before anybody was asked."""

    text: str
    wanted: Wanted
    reference: Reference | None = None


def questions_from(asked: object, hosts: frozenset[str] = SITE_HOSTS) -> list[Question]:
    """Everything that a text, LoRAs, GenerationData or a resource of it names. Raises BadInput for anything else; a
    line of a text that names nothing is a question without an answer."""
    if isinstance(asked, str):
        lines = (line.strip() for line in asked.splitlines())
        return [_question(line, hosts) for line in lines if line and not line.startswith("#")]
    if isinstance(asked, Mapping):
        return [_of_lora(asked)]
    if hasattr(asked, "networks") and hasattr(asked, "model_air"):
        return _of_generation(asked)
    if hasattr(asked, "kind") and hasattr(asked, "air"):
        return [_of_network(asked)]
    if isinstance(asked, Iterable):
        return [question for one in asked for question in questions_from(one, hosts)]
    raise BadInput("Only references, LoRAs and generation data can be looked up in the catalogs.")


def _question(text: str, hosts: frozenset[str]) -> Question:
    try:
        reference = read_reference(text, hosts=hosts)
    except UnknownReference as error:
        return Question(text, Wanted(name=text, trouble=str(error)))
    if isinstance(reference, (ImageReference, PostReference)):
        return Question(text, Wanted(trouble="this is the address of an image or a post, not of a model."))
    return Question(text, Wanted.from_reference(reference), reference)


def _of_lora(lora: Mapping[str, Any]) -> Question:
    """A dict of CIVITAI_LORAS (contract.md): `air` is always there, the rest may be."""
    return _of_parts(
        str(lora.get("air") or ""), lora.get("version_id"), str(lora.get("hash") or ""),
        str(lora.get("name") or ""), "loras",
    )  # fmt: skip


def _of_generation(data: Any) -> list[Question]:
    """The model and every network of GenerationData."""
    found = []
    model = (
        data.model_air, getattr(data, "model_version_id", None), getattr(data, "model_hash", ""), data.model_name, "",
    )  # fmt: skip
    if any(model):
        found.append(_of_parts(*model))
    return found + [_of_network(one) for one in data.resources]


def _of_network(one: Any) -> Question:
    """A resource of GenerationData."""
    return _of_parts(one.air, one.version_id, getattr(one, "hash", ""), one.name, _FOLDERS.get(one.kind, ""))


def _of_parts(air: str, version_id: object, hash_: str, name: str, folder: str) -> Question:
    wanted, reference = Wanted(), None
    if air:
        with contextlib.suppress(UnknownReference, InvalidAir):  # then id, hash and name say what is meant
            reference = read_reference(air)
            wanted = Wanted.from_reference(reference)
    if isinstance(version_id, int) and not isinstance(version_id, bool) and wanted.version_id is None:
        wanted = replace(wanted, version_id=version_id)
    hashes = (bare_hash(hash_),) if hash_ else ()
    text = air or (str(version_id) if version_id else "") or name or hash_
    return Question(text, replace(wanted, hashes=hashes, name=name, folder=folder), reference)
