"""The table of node classes: one line a class, keys that its docstring explains, nothing said twice."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pack.civitai_bridge.metadata.comfy import nodes

TABLE = Path(nodes.__file__).parent / "nodes.json"
ROWS: list[tuple[str, dict[str, Any]]] = [
    (kind, row) for pack in json.loads(TABLE.read_text("utf-8")).values() for kind, row in pack.items()
]
TYPES: dict[str, tuple[type, ...]] = {
    "widgets": (list,), "each": (list,), "gives": (list,), "passes": (bool,), "first": (str, list), "select": (str,),
    "of": (str, list, dict), "from": (int,), "choose": (str,), "yes": (str,), "no": (str,), "pick": (str,),
    "inverse": (str,), "join": (str, list), "between": (str,), "skips": (bool,), "strips": (bool, str),
    "newlines": (bool,), "when": (dict,), "replace": (list,), "lines": (list,), "pipe": (dict,), "takes": (list,),
    "slots": (list,), "texts": (list, dict), "hides": (list,), "loras": (str,), "air": (str,), "tags": (list,),
    "model": (str,), "size": (str, list), "schedule": (str,), "sampler": (str,), "role": (str,),
    "scale": (str,),
}  # fmt: skip
ROLES = {"sampler", "detailer", "upscale", "generate", "helper"}


def test_every_key_is_known_and_explained():
    assert {key for _, row in ROWS for key in row} <= set(TYPES)
    assert [key for key in TYPES if f"`{key}`" not in (nodes.__doc__ or "")] == []


@pytest.mark.parametrize("key", TYPES)
def test_a_key_holds_what_its_name_promises(key: str):
    wrong = [kind for kind, row in ROWS if key in row and not isinstance(row[key], TYPES[key])]
    assert wrong == []


def test_roles_are_those_that_readers_know():
    assert {row["role"] for _, row in ROWS if "role" in row} == ROLES


def test_a_class_stands_once_and_on_one_line():
    counts = Counter(kind for kind, _ in ROWS)
    assert [kind for kind, count in counts.items() if count > 1] == []
    lines = TABLE.read_text("utf-8").splitlines()
    assert sum(line.startswith("  ") for line in lines) == len(ROWS)


def test_what_goes_together_stands_together():
    for kind, row in ROWS:
        assert ("choose" not in row) or ("inverse" in row) or {"yes", "no"} <= set(row), kind
        assert ("select" not in row) or ("of" in row) or ("inverse" in row), kind
        assert ("pipe" not in row and "takes" not in row) or "slots" in row or "role" in row, kind


def test_numbered_names_are_found_in_their_order():
    assert nodes.numbered("any_{}", {"any_02": 1, "any_01": 2, "any_x": 3, "many_03": 4}) == ["any_01", "any_02"]
    assert nodes.numbered(["b", "a"], {}) == ["b", "a"]
