"""Where the pack is, and ComfyUI's own way to load it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent


def load_pack(name: str, root: Path = ROOT) -> ModuleType:
    """Load the pack's root `__init__.py` under any module name, as core's `load_custom_node` does."""
    spec = importlib.util.spec_from_file_location(name, root / "__init__.py", submodule_search_locations=[str(root)])
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
