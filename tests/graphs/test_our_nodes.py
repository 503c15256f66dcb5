"""What the tables say of our own nodes is what the nodes say of themselves, by the committed snapshot."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pack_root import ROOT

from pack.civitai_bridge.graphs.analysis import LISTS, analyse
from pack.civitai_bridge.graphs.deeds import deed_of
from pack.civitai_bridge.graphs.opened import open_graph
from pack.civitai_bridge.graphs.rules import rules_of
from pack.civitai_bridge.metadata.comfy.nodes import row
from pack.civitai_bridge.settings import Settings

NODES: dict[str, dict[str, Any]] = json.loads((ROOT / "tests/nodes/object_info.json").read_text(encoding="utf-8"))
WIDGETS = {"STRING", "INT", "FLOAT", "BOOLEAN", "COMBO"}


def widgets(node: dict[str, Any]) -> list[str]:
    """The inputs with a widget, in the order in which a page writes their values."""
    inputs = {**node["input"].get("required", {}), **node["input"].get("optional", {})}
    return [name for name, spec in inputs.items() if isinstance(spec[0], list) or WIDGETS & set(spec[0].split(","))]


@pytest.mark.parametrize("kind", NODES)
def test_a_row_names_the_widgets_of_a_saved_page_in_their_order(kind: str):
    assert list(row(kind).get("widgets", ())) == widgets(NODES[kind]), "a row in metadata/comfy/nodes.json"


@pytest.mark.parametrize("kind", NODES)
def test_what_makes_lists_and_what_pays_is_known(kind: str):
    assert (kind in LISTS) is any(NODES[kind].get("output_is_list") or ())
    inputs = {**NODES[kind]["input"].get("required", {}), **NODES[kind]["input"].get("optional", {})}
    pays = "max_buzz" in inputs and not kind.endswith("Estimate")
    assert deed_of(kind, dict.fromkeys(inputs)).pays is pays


@pytest.mark.parametrize("kind", NODES)
def test_the_page_asks_the_server_about_every_node_that_asks_a_person(kind: str):
    """A graph of such nodes alone is queued without a look; web/lib/kinds.js names them."""
    names = {name: "" for group in NODES[kind]["input"].values() for name in group}
    prompt = {"1": {"class_type": kind, "inputs": {**names, "allow_download": True, "missing": "download"}}}
    asks = analyse(open_graph(prompt), rules_of(Settings(graph_downloads="on"))).asks
    script = (ROOT / "web" / "lib" / "kinds.js").read_text(encoding="utf-8")
    (harmless,) = re.findall(r"HARMLESS = /\^CivitaiBridge\(([\w|]+)\)\$/", script)
    assert not asks or kind.removeprefix("CivitaiBridge") not in harmless.split("|")
