"""Who may import whom: the floors of the house, read from the source, imports hidden in functions included."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from pack_root import ROOT

sys.path.insert(0, str(ROOT / "tools"))
from house import LIBRARY, floor, graph, modules

IMPORTS = graph()
OF_COMFYUI = {"comfy", "comfy_api", "comfy_execution", "folder_paths", "server", "nodes", "torch"}


def test_every_module_has_its_floor():
    assert [name for name in modules() if name != "__init__" and floor(name) is None] == []


@pytest.mark.parametrize("module", [m for m in modules() if floor(m) is not None])
def test_imports_go_down_only(module: str):
    mine = floor(module)
    assert mine is not None
    for other in IMPORTS[module]:
        theirs = floor(other)
        if theirs is None or other.split(".")[0] == module.split(".")[0] == "cli":
            continue
        if module.startswith("sandbox"):
            assert theirs == 0 or other.startswith("sandbox"), f"the sandbox must not know {other}"
        else:
            assert theirs <= mine, f"{module} (F{mine}) imports {other} (F{theirs})"


def test_there_is_no_ring():
    state: dict[str, int] = {}

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert state.get(name) != 1, f"a ring of imports: {' > '.join([*way, name])}"
        if name not in state:
            state[name] = 1
            for other in sorted(IMPORTS[name]):
                visit(other, (*way, name))
            state[name] = 2

    for name in IMPORTS:
        visit(name, ())


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_no_module_and_no_test_is_longer_than_a_sitting():
    lengths = {
        path: path.read_text(encoding="utf-8").count("\n") for path in python_files("civitai_bridge", "nodes", "tests")
    }
    assert [str(path.relative_to(ROOT)) for path, lines in lengths.items() if lines > 500] == []
    assert (ROOT / "civitai_bridge/orchestration/fleet.py").read_text(encoding="utf-8").count("\n") <= 250


def test_no_class_is_a_room_of_its_own_and_no_function_longer_than_a_page():
    wide, long = [], []
    for path in python_files("civitai_bridge", "nodes"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                methods = sum(isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)) for part in node.body)
                wide += [f"{path.name}: {node.name}"] if methods > 15 else []
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                long += [f"{path.name}: {node.name}"] if lines > 40 else []
    assert (wide, long) == ([], [])


def test_every_public_name_says_what_it_is():
    silent = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in python_files("civitai_bridge", "nodes")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and not node.name.startswith("_") and not ast.get_docstring(node)
    ]  # fmt: skip
    assert silent == []


def test_at_the_root_of_the_library_stands_little():
    assert len([path for path in LIBRARY.glob("*.py") if not path.name.startswith("__")]) <= 6
    folders = [path for path in LIBRARY.rglob("*") if path.is_dir() and list(path.glob("*.py"))]
    assert [str(path) for path in folders if not ast.get_docstring(ast.parse((path / "__init__.py").read_text()))] == []


def test_test_files_have_names_of_their_own():
    """pytest takes two files of one name for one module."""
    names = [path.name for path in python_files("tests") if path.name.startswith("test_")]
    assert len(names) == len(set(names))


def test_only_nodes_knows_comfyui_and_only_tensors_knows_torch():
    for path in [*LIBRARY.rglob("*.py"), *(ROOT / "nodes").rglob("*.py"), ROOT / "__init__.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            tops = {name.split(".")[0] for name in names} & OF_COMFYUI
            if "nodes" in path.relative_to(ROOT).parts:
                assert "torch" not in tops or path.name == "tensors.py", path
            else:
                assert not tops, f"{path.relative_to(ROOT)} imports {tops}"


def test_no_module_hides_one_of_the_standard_library():
    tops = {name.split(".")[0] for name in modules()} - {"__main__", "__init__"}
    assert tops & set(sys.stdlib_module_names) == set()
