"""ComfyUI loads the pack by path, under any name, and waits for what it imports."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from pack_root import ROOT, load_pack

_LOAD = """
import importlib.util, sys
name, folder = sys.argv[1:]
spec = importlib.util.spec_from_file_location(name, folder + "/__init__.py", submodule_search_locations=[folder])
module = importlib.util.module_from_spec(spec)
sys.modules[name] = module
spec.loader.exec_module(module)
assert module.WEB_DIRECTORY and callable(module.comfy_entrypoint)
heavy = {"httpx", "socketio", "torch", "numpy", "PIL", "sqlite3", "aiohttp", "nodes"} & set(sys.modules)
assert not heavy, heavy
assert not hasattr(module, "NODE_CLASS_MAPPINGS")
"""


def test_the_front_door_imports_nothing():
    done = subprocess.run([sys.executable, "-c", _LOAD, "any_x_name", str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_pack_loads_from_a_folder_with_spaces_and_dots(tmp_path: Path):
    folder = tmp_path / "My Civitai-Pack.v1 (copy)"
    folder.mkdir()
    shutil.copy(ROOT / "__init__.py", folder)
    for name in ("civitai_bridge", "nodes"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    name = str(folder).replace(".", "_x_")
    module = load_pack(name, folder)
    try:
        air = __import__("importlib").import_module(".civitai_bridge.resources.air", name)
        assert air.Air.parse("urn:air:sdxl:lora:civitai:1@2").version_id == 2
    finally:
        for loaded in [loaded for loaded in sys.modules if loaded == name or loaded.startswith(name + ".")]:
            del sys.modules[loaded]
    assert module.WEB_DIRECTORY == "./web"


def test_it_runs_as_a_module_and_as_a_folder():
    for command in (["-m", "civitai_bridge"], [str(ROOT / "civitai_bridge")]):
        done = subprocess.run([sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0 and "generate" in done.stdout, done.stderr
