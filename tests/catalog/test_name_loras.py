"""LoRAs of which only a name, a file or a hash is known, on a machine that has some of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pack.civitai_bridge.app import ModelFolders, open_catalog
from pack.civitai_bridge.catalog.loader_names import with_files
from pack.civitai_bridge.catalog.name_loras import name_loras
from pack.civitai_bridge.catalog.service import CatalogService
from pack.civitai_bridge.metadata.generation import GenerationData, UsedResource
from pack.civitai_bridge.model_files.folders import folders_below
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.orchestration.request import LoraInput
from pack.civitai_bridge.sandbox import Sandbox, files
from pack.civitai_bridge.sandbox import models as sandbox_models
from pack.civitai_bridge.settings import Settings

LORA = 300001
CONTENT = files.content(sandbox_models.VERSIONS[LORA].files[0])


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[CatalogService]:
    models = tmp_path / "models"
    (models / "loras").mkdir(parents=True)
    async with Sandbox() as sandbox, HttpClient() as network:
        settings = Settings(key="me", site_url=sandbox.site_url, home=tmp_path / "state")
        service = open_catalog(settings, network, ModelFolders(lambda: folders_below(models), models))
        yield service
        service.close()


async def test_a_file_of_this_name_that_is_known_by_its_bytes_names_the_version(
    catalog: CatalogService, tmp_path: Path
):
    (tmp_path / "models" / "loras" / "my own name.safetensors").write_bytes(CONTENT)
    (tmp_path / "models" / "loras" / "nobody's.safetensors").write_bytes(b"nobody's")
    await catalog.scan()
    loras = [
        LoraInput("", 1.0, "my own name"),
        LoraInput("", 1.0, "nobody's"),
        LoraInput("", 1.0, "not here"),
        LoraInput("", 1.0, "my own name", hash="0123456789"),
    ]
    assert await name_loras(catalog, loras) == [str(LORA), "", "", ""]


async def test_a_file_that_was_changed_since_it_was_hashed_names_nothing(catalog: CatalogService, tmp_path: Path):
    path = tmp_path / "models" / "loras" / "mine.safetensors"
    path.write_bytes(CONTENT)
    await catalog.scan()
    read = GenerationData(networks=(UsedResource("", name="mine.safetensors", kind="lora"),))
    known = with_files(read, catalog.index.files(), catalog.index.owners())
    assert known.networks[0].version_id == LORA and known.networks[0].hash
    path.write_bytes(CONTENT[:-1] + b"another")
    known = with_files(read, catalog.index.files(), catalog.index.owners())
    assert known.networks[0].version_id is None and known.networks[0].hash == ""
    assert await name_loras(catalog, [LoraInput("", 1.0, "mine")]) == [""]


async def test_a_hash_that_civitai_knows_names_the_version(catalog: CatalogService):
    import hashlib

    sha256 = hashlib.sha256(CONTENT).hexdigest()
    assert await name_loras(catalog, [LoraInput("", 1.0, "x", hash=sha256[:10])]) == [str(LORA)]
