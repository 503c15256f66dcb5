"""ComfyUI's button while a node looks something up: every node ends at once and has said what it waited for."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standin_comfy import InterruptProcessingException

from pack.civitai_bridge.metadata.generation import GenerationData, UsedResource
from pack.civitai_bridge.network.background import background_loop
from pack.civitai_bridge.sandbox import Embedded, Sandbox
from pack.civitai_bridge.settings import save_setting

HASH = "0123456789abcdef" * 4
WIRE = [{"air": "", "strength": 0.8, "name": "", "hash": HASH, "version_id": None}]
NODES = [
    ("image_data", "ImageData", {"reference": "900002"}),
    ("image_data", "ReadImage", {"image": "a.png"}),
    ("resolve", "Resolve", {"reference": "128078"}),
    ("catalog", "CatalogCheck", {"resources": HASH}),
    ("catalog", "CatalogAdd", {"reference": "300001"}),
    ("catalog", "CatalogPromote", {"reference": HASH}),
    ("catalog", "Download", {"reference": "300001", "allow_download": True}),
    ("loras", "ApplyLoras", {"model": "m", "loras": WIRE}),
    ("loras", "LoraStack", {"loras": WIRE}),
    ("generate", "Estimate", {"model": "128078", "prompt": "x"}),
    ("generate", "Generate", {"model": "128078", "prompt": "x"}),
]


@pytest.fixture
def sandbox(embedded: Embedded, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A site where every request hangs."""
    monkeypatch.setenv("CIVITAI_ORCHESTRATION_URL", embedded.sandbox.orchestration_url)
    monkeypatch.setenv("CIVITAI_SITE_URL", embedded.sandbox.site_url)
    monkeypatch.setenv("CIVITAI_API_TOKEN", "a-key")
    for route in ("site", "trpc", "resource", "download", "price"):
        embedded.sandbox.script.fault(route, "hang", times=30, seconds=60.0)
    yield embedded.sandbox
    embedded.sandbox.script.faults.clear()
    background_loop().stop()  # with what it remembers of the host


@pytest.mark.parametrize(("module", "name", "inputs"), NODES, ids=[name for _, name, _ in NODES])
def test_a_cancel_ends_every_node_within_a_second(
    nodes: Any, sandbox: Sandbox, comfy: Any, module: str, name: str, inputs: dict[str, Any]
):
    np = pytest.importorskip("numpy")
    save_setting(Path(os.environ["CIVITAI_BRIDGE_HOME"]), "graph_downloads", "on")
    from pack.civitai_bridge.pictures import encode

    text = f"a boat\nSteps: 20, Sampler: Euler a, Seed: 1, Model hash: {HASH[:10]}"
    picture = encode(np.zeros((8, 8, 3), np.float32), "png", texts={"parameters": text})
    (comfy.folder("input") / "a.png").write_bytes(picture)
    node = getattr(getattr(nodes, module), f"CivitaiBridge{name}")
    clone = type("Clone", (node,), {"hidden": type("Hidden", (), {"unique_id": "12"})})
    clicked = []

    def click() -> None:
        comfy.interrupted = True
        clicked.append(time.monotonic())

    async def prompt() -> None:
        asyncio.get_running_loop().call_later(0.8, click)
        await clone.execute(**inputs)

    with pytest.raises(InterruptProcessingException):
        asyncio.run(prompt())
    assert time.monotonic() - clicked[0] <= 1.0
    assert comfy.texts, "the node shows what it waits for"
    assert {(node_id, client) for _, node_id, client in comfy.texts} == {("12", "client-1")}


def test_a_picture_is_saved_although_nobody_answers(nodes: Any, sandbox: Sandbox, comfy: Any):
    torch = pytest.importorskip("torch", reason="make test installs a CPU build where there is one")
    node = nodes.save_image.CivitaiBridgeSaveImage
    clone = type("Clone", (node,), {"hidden": type("Hidden", (), {"unique_id": "9", "prompt": {}})})
    wired = GenerationData(prompt="x", networks=(UsedResource("", name="a", hash=HASH[:10]),))
    started = time.monotonic()
    asyncio.run(clone.execute(images=torch.zeros(1, 8, 8, 3), generation=wired))
    assert time.monotonic() - started < 5 and list(comfy.folder("output").iterdir())
