"""The nodes on a small hand-written ComfyUI, or on the real one's modules when COMFYUI_PATH is set (tests/comfyui does that)."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standin_comfy import Comfy, modules

from pack.civitai_bridge.network.background import background_loop
from pack.civitai_bridge.sandbox.embedded import Embedded

IS_STANDIN = True


@pytest.fixture(scope="module")
def embedded() -> Iterator[Embedded]:
    """A sandbox for the tests of one file, at twenty times its own pace."""
    made = Embedded(pace=0.05)
    yield made
    made.stop()
    background_loop().stop()


@pytest.fixture
def comfy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Comfy]:
    """The stand-in, installed for one test; the nodes are imported fresh on it."""
    made = Comfy(tmp_path)
    for name, module in modules(made).items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in [name for name in sys.modules if name.startswith("pack.nodes")]:
        monkeypatch.delitem(sys.modules, name)
    yield made
    for name in [name for name in sys.modules if name.startswith("pack.nodes")]:
        del sys.modules[name]


@pytest.fixture
def nodes(comfy: Comfy) -> Any:
    import importlib

    package = types.SimpleNamespace()
    families = ("image_data", "read_text", "loras", "save_image", "catalog", "base", "workflows")
    for name in ("generate", "resolve", "sockets", "tensors", *families):
        setattr(package, name, importlib.import_module(f"pack.nodes.{name}"))
    for name in ("comfyui", "folders", "interrupt", "services", "startup", "watch"):
        setattr(package, name, importlib.import_module(f"pack.nodes.host.{name}"))
    package.app = package.services.services().app
    package.extension = importlib.import_module("pack.nodes").CivitaiBridgeExtension
    return package
