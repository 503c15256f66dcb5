"""docs/architecture.md tells the truth: its walks name functions that are there, its tree the folders, its picture the
imports."""

from __future__ import annotations

import ast
import re
import sys

import pytest
from pack_root import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import house

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WALKS = re.findall(r"<!-- walk -->\n(.*?)<!-- /walk -->", PAGE, re.S)


def stations(walk: str) -> list[tuple[str, list[str]]]:
    """Module and functions of each line of a walk."""
    lines = [re.findall(r"`([^`]+)`", line.split(":")[0]) for line in walk.splitlines()]
    return [(module, functions) for module, *functions in lines]


def functions_of(module: str) -> set[str]:
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


@pytest.mark.parametrize("walk", WALKS, ids=["buy", "add", "read"])
def test_a_walk_names_what_is_there_and_each_module_once(walk: str):
    steps = stations(walk)
    for module, functions in steps:
        assert functions and set(functions) <= functions_of(module), module
    assert len({module for module, _ in steps}) == len(steps)
    assert sum(len(functions) for _, functions in steps) <= 24


def test_the_tree_names_every_folder_of_the_library():
    folders = {path.parent.name for path in (ROOT / "civitai_bridge").glob("*/__init__.py")}
    assert folders == set(re.findall(r"\| `civitai_bridge/(\w+)/`", PAGE))


def test_what_to_open_is_there():
    table = PAGE.split("I want to … → open")[1].split("## Decisions")[0]
    for path in re.findall(r"`([\w/]+(?:\.\w+|/))`", table):
        candidates = [ROOT / path, *(ROOT / "civitai_bridge").rglob(path)]
        assert any(candidate.exists() for candidate in candidates), path


def test_the_picture_of_the_floors_is_the_house_as_it_is():
    assert PAGE == house.page_with(PAGE, house.drawing()), "run: python3 tools/dev.py house"
