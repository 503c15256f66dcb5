"""The tree of errors: codes by name, and no folder of the user's disk before a name."""

from __future__ import annotations

import re

import pytest
from pack_root import ROOT

from pack.civitai_bridge import errors

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.CivitaiError)]


def test_each_class_has_a_code_of_its_own():
    assert len({kind.code for kind in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_node_shows_a_name_without_a_path(kind: type[errors.CivitaiError]):
    """Core prints `module.qualname`; the pack's modules are called by their path."""
    assert f"{kind.__module__}.{kind.__qualname__}" == f"civitai_bridge.{kind.__name__}"


def test_the_drawing_names_every_class():
    drawn = set((errors.__doc__ or "").replace("\n", " ").split())
    assert [kind.__name__ for kind in CLASSES if kind.__name__ not in drawn] == []


def test_a_renamed_class_keeps_the_code_that_it_states():
    class Renamed(errors.CivitaiError):
        code = "older_name"

    class NewLook(errors.BadInput):
        pass

    assert (Renamed.code, NewLook.code, NewLook.exit_code) == ("older_name", "new_look", 2)


def test_what_the_page_offers_is_offered_for_errors_that_there_are():
    source = (ROOT / "web/lib/errors.mjs").read_text(encoding="utf-8")
    table = source.partition("const ACTIONS = {")[2].partition("};")[0]
    names = re.findall(r"^\s+(\w+): \[", table, re.M)
    assert len(names) > 10 and not set(names) - {kind.__name__ for kind in CLASSES}
