"""How CivitAI names a LoRA of which only a name, a file or a hash is known."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..orchestration.request import LoraInput
from ..resources.hashes import bare_hash
from .file_lookup import is_other
from .loader_names import named_file
from .service import CatalogService

_FOLDERS = ("loras",)


async def name_loras(catalog: CatalogService, loras: Sequence[LoraInput]) -> list[str]:
    """A version id for each LoRA, `""` where nobody knows one. Its hash is looked for first, in the catalogs and at
    CivitAI, then a file of its exact name on this machine whose version is known by its bytes."""
    asked = [{"air": "", "hash": lora.hash, "name": lora.file or lora.name} for lora in loras]
    answers = (await catalog.check(asked)).answers
    files, owners = await asyncio.to_thread(lambda: (catalog.index.files(), catalog.index.owners()))
    references = []
    for lora, answer in zip(loras, answers, strict=True):
        version_id = answer.version_id
        file = named_file(files, lora.file or lora.name, _FOLDERS)
        hashes = [bare_hash(lora.hash)] if lora.hash else []
        if version_id is None and file is not None and not is_other(file, hashes):
            owner = owners.get(file.sha256)
            version_id = owner.version_id if owner else None
        references.append(str(version_id or ""))
    return references
