"""A person's text -> the model version it names, in as few requests as its kind allows."""

from __future__ import annotations

from dataclasses import replace

from ..errors import BadInput, UnknownReference
from ..resources.addresses import SITE_HOSTS
from ..resources.air import Air
from ..resources.reference import (
    LARGEST_ID,
    AirReference,
    FileReference,
    HashReference,
    ImageReference,
    ModelReference,
    PostReference,
    VersionReference,
    read_reference,
)
from ..resources.version import ModelVersion
from .client import SiteClient


async def resolve(
    site: SiteClient, text: str, *, for_generation: bool = False, hosts: frozenset[str] = SITE_HOSTS
) -> ModelVersion:
    """Look a reference up. `for_generation` asks only what an order needs (AIR, base model, `can_generate`), which is
    one request for an AIR, a version id and an address with a version; a hash or a bare model takes one more.

    The AIR is the one the API gives; it is never composed when the API can give it."""
    reference = read_reference(text, hosts=hosts)
    named_model: int | None = None
    match reference:
        case AirReference(air):
            version_id, file_id = _civitai_version(air)
            named_model = air.model_id
            if version_id is None:
                assert air.model_id is not None
                version_id = await site.newest_version(air.model_id)
        case VersionReference(version_id, file_id):
            pass
        case ModelReference(model_id):
            version_id, file_id = await site.newest_version(model_id), None
        case HashReference(hash_):
            found = await site.by_hash(hash_)
            if not for_generation:
                return found
            version_id, file_id = found.version_id, None
        case FileReference(name):
            raise UnknownReference(
                f"{name!r} is a file name, and CivitAI cannot be asked by name. Paste its version id, address, "
                "AIR or hash."
            )
        case ImageReference() | PostReference():
            raise UnknownReference("This is the address of an image or a post, not of a model.")
    resource = await (site.mini(version_id, file_id) if for_generation else site.version(version_id))
    if named_model and resource.model_id and named_model != resource.model_id:
        raise BadInput(
            f"{text.strip()} names model {named_model}, but version {version_id} belongs to model {resource.model_id} "
            f"({resource.name}). Correct the AIR."
        )
    if for_generation:
        return resource
    return replace(resource, air=f"{resource.air}+{file_id}") if file_id and "+" not in resource.air else resource


def _civitai_version(air: Air) -> tuple[int | None, int | None]:
    if air.source != "civitai":
        raise BadInput(
            f"{air} is a resource of {air.source}, which CivitAI's site cannot look up. Name a model version "
            "of CivitAI."
        )
    for number in (air.model_id, air.version_id, air.file_id):
        if number is not None and not 0 < number <= LARGEST_ID:
            raise UnknownReference(
                f"{air} has an id that CivitAI cannot have; ids are whole numbers from 1 to {LARGEST_ID}."
            )
    return air.version_id, air.file_id
