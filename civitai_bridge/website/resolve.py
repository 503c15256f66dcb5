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
    Reference,
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

    The AIR is the one the API gives; it is never composed when the API can give it. Raises UnknownReference and
    BadInput before anything is asked, BadInput for an AIR with another model's id, NotFound."""
    reference = read_reference(text, hosts=hosts)
    if isinstance(reference, HashReference) and not for_generation:
        return await site.by_hash(reference.hash)
    version_id, file_id = await _version_of(site, reference)
    version = await (site.mini(version_id, file_id) if for_generation else site.version(version_id))
    named_model = reference.air.model_id if isinstance(reference, AirReference) else None
    if named_model and version.model_id and named_model != version.model_id:
        raise BadInput(
            f"{text.strip()} names model {named_model}, but version {version_id} belongs to model {version.model_id} "
            f"({version.name}). Correct the AIR."
        )
    pinned = file_id and not for_generation and "+" not in version.air
    return replace(version, air=f"{version.air}+{file_id}") if pinned else version


async def _version_of(site: SiteClient, reference: Reference) -> tuple[int, int | None]:
    """The ids of the version and of the file that is named, if one is."""
    match reference:
        case AirReference(air):
            model_id, version_id = _civitai_ids(air)
            return version_id or await site.newest_version(model_id), air.file_id
        case VersionReference(version_id, file_id):
            return version_id, file_id
        case ModelReference(model_id):
            return await site.newest_version(model_id), None
        case HashReference(hash_):
            return (await site.by_hash(hash_)).version_id, None
        case FileReference(name):
            raise UnknownReference(
                f"{name!r} is a file name, and CivitAI cannot be asked by name. Paste its version id, address, "
                "AIR or hash."
            )
        case ImageReference() | PostReference():
            raise UnknownReference("This is the address of an image or a post, not of a model.")


def _civitai_ids(air: Air) -> tuple[int, int | None]:
    """Model and version id of an AIR that CivitAI's site can look up."""
    if air.model_id is None:
        raise BadInput(
            f"{air} is a resource of {air.source}, which CivitAI's site cannot look up. Name a model version "
            "of CivitAI."
        )
    for number in (air.model_id, air.version_id, air.file_id):
        if number is not None and not 0 < number <= LARGEST_ID:
            raise UnknownReference(
                f"{air} has an id that CivitAI cannot have; ids are whole numbers from 1 to {LARGEST_ID}."
            )
    return air.model_id, air.version_id
