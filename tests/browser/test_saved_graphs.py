"""Graphs that were saved before a node had its newest widgets, opened in the real frontends."""

from __future__ import annotations

from typing import Any

import pytest
from comfy_page import ComfyPage
from frontends import VERSIONS
from page_server import PageServer

every_frontend = pytest.mark.parametrize("server", VERSIONS, indirect=True)
# What a first release saved of Generate and Estimate, widget by widget.
FIRST = ["128078", "a lighthouse", "fog", 7, "fixed", 2, 512, 768, 20, 6.5, "euler", "karras", "auto", "auto", 0.5, 1, "",
         "png", "auto", 100, False, 20, "skip"]  # fmt: skip


def saved(values: list[Any], kind: str = "CivitaiBridgeGenerate", **more: Any) -> dict[str, Any]:
    node = {"id": 1, "type": kind, "pos": [100, 100], "size": [400, 800], "flags": {}, "order": 0, "mode": 0,
            "inputs": [], "outputs": [], "properties": {}, "widgets_values": values, **more}  # fmt: skip
    return {"last_node_id": 1, "last_link_id": 0, "nodes": [node], "links": [], "groups": [], "config": {}, "extra": {},
            "version": 0.4}  # fmt: skip


def widgets(comfy: ComfyPage) -> dict[str, Any]:
    code = "app => Object.fromEntries(app.graph._nodes[0].widgets.map(w => [w.name, w.value]))"
    return comfy.evaluate(code)


@every_frontend
@pytest.mark.parametrize("kind", ["CivitaiBridgeGenerate", "CivitaiBridgeEstimate"])
def test_a_graph_without_tags_opens_with_every_value_in_its_place(server: PageServer, comfy: ComfyPage, kind: str):
    comfy.load(saved(FIRST, kind))
    there = widgets(comfy)
    assert [there[name] for name in ("model", "seed", "steps", "cfg", "wait_minutes", "missing", "tags")] == [
        "128078", 7, 20, 6.5, 20, "skip", ""
    ]  # fmt: skip


@every_frontend
def test_progress_text_that_an_older_page_saved_is_no_tag(server: PageServer, comfy: ComfyPage):
    """Frontend 1.35.9 keeps the last progress text of a node as a widget behind all others, and saves it."""
    comfy.load(saved([*FIRST, "2 pictures · 16 Buzz"]))
    assert widgets(comfy)["tags"] == ""
    comfy.load(saved([*FIRST, "", "2 pictures · 16 Buzz"]))
    assert widgets(comfy)["tags"] == ""


@every_frontend
def test_tags_are_saved_and_opened_again(server: PageServer, comfy: ComfyPage):
    comfy.load(saved(FIRST))
    code = "app => { app.graph._nodes[0].widgets.find(w => w.name === 'tags').value = 'a, b'; return app.graph.serialize(); }"
    graph = comfy.evaluate(code)
    assert graph["nodes"][0]["widgets_values"][23] == "a, b"
    comfy.load(graph)
    assert widgets(comfy)["tags"] == "a, b"
    copied = comfy.evaluate("app => app.graph._nodes[0].clone().widgets.find(w => w.name === 'tags').value")
    assert copied == "a, b"


@every_frontend
def test_tags_of_a_graph_in_the_api_form_are_taken(server: PageServer, comfy: ComfyPage):
    comfy.load({"1": {"class_type": "CivitaiBridgeGenerate", "inputs": {"model": "1", "prompt": "x", "tags": "a, b"}}})
    assert widgets(comfy)["tags"] == "a, b"
