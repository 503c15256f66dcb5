"""One way in: the pack's root is loaded once as package `pack`, by the recipe of ComfyUI's own loader (style.md §4)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def load_pack(name: str, root: Path = ROOT):
    """Load the pack's root `__init__.py` under any module name, as core's `load_custom_node` does."""
    spec = importlib.util.spec_from_file_location(name, root / "__init__.py", submodule_search_locations=[str(root)])
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


if "pack" not in sys.modules:
    load_pack("pack")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the developer's key, addresses, proxies or state folder."""
    import os

    for name in list(os.environ):
        if name.startswith("CIVITAI_") or name.lower() in {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("CIVITAI_BRIDGE_HOME", str(tmp_path / "state"))
