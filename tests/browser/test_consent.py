"""Before a graph that pays runs for the first time, a person is asked; nothing is sent meanwhile."""

from __future__ import annotations

import json
from typing import Any

from comfy_page import ComfyPage
from faces import both_canvases, every_frontend
from fake_answers import HOSTILE
from page_server import ROOT, PageServer
from playwright.sync_api import Locator, expect

GRAPH, CONSENT = ("POST", "/civitai_bridge/graph"), ("POST", "/civitai_bridge/consent")


def paying(most: int = 50, model: str = "128078") -> dict[str, Any]:
    generate = {"model": model, "prompt": "a cat", "max_buzz": most}
    return {
        "1": {"class_type": "CivitaiBridgeGenerate", "inputs": generate},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }


def panel(comfy: ComfyPage) -> Locator:
    return comfy.page.get_by_role("dialog", name="What will this graph do?")


@every_frontend
@both_canvases
def test_a_paying_graph_is_asked_about_once_and_more_buzz_asks_again(server: PageServer, comfy: ComfyPage):
    comfy.load(paying(50))
    comfy.queue()
    expect(panel(comfy)).to_contain_text("At most 50 Buzz")
    comfy.page.keyboard.press("Control+Enter")  # must not reach the canvas behind
    comfy.page.keyboard.press("Escape")
    expect(panel(comfy)).to_be_hidden()
    comfy.settle()
    assert server.queued == [], "a refusal, or a key in the dialog, sent the graph"

    comfy.queue()
    panel(comfy).get_by_role("button", name="Run", exact=True).click()
    comfy.until(lambda: len(server.queued) == 1)
    comfy.queue()
    comfy.until(lambda: len(server.queued) == 2)
    comfy.evaluate(
        "app => { app.graph._nodes.find(n => n.type === 'CivitaiBridgeGenerate').widgets.find(w => w.name === 'seed').value = 7 }"
    )
    comfy.queue()
    comfy.until(lambda: len(server.queued) == 3)

    comfy.load(paying(80))
    comfy.queue()
    expect(panel(comfy)).to_contain_text("At most 80 Buzz")
    panel(comfy).get_by_role("button", name="Do not run").click()
    comfy.settle()
    assert len(server.queued) == 3


def test_a_graph_that_never_pays_asks_nothing(server: PageServer, comfy: ComfyPage):
    comfy.load({"1": {"class_type": "EmptyLatentImage", "inputs": {"width": 64}}})
    comfy.queue()
    comfy.until(lambda: len(server.queued) == 1)
    assert not any("civitai_bridge/graph" in request for request in server.requests)


def test_quick_presses_of_a_graph_that_never_pays_are_all_sent(server: PageServer, comfy: ComfyPage):
    comfy.load({"1": {"class_type": "EmptyLatentImage", "inputs": {"width": 64}}})
    comfy.evaluate("app => { app.queuePrompt(0, 1); app.queuePrompt(0, 1) }")
    comfy.until(lambda: len(server.queued) == 2)


def test_a_graph_that_looks_up_alone_asks_nothing(server: PageServer, comfy: ComfyPage):
    comfy.load({"1": {"class_type": "CivitaiBridgeResolve", "inputs": {"reference": "128078"}}})
    comfy.queue()
    comfy.until(lambda: len(server.queued) == 1)


def test_a_batch_is_one_question_over_all_its_runs(server: PageServer, comfy: ComfyPage):
    comfy.load(paying(50))
    comfy.evaluate("app => { app.queuePrompt(0, 3) }")
    expect(panel(comfy)).to_contain_text("At most 150 Buzz")
    panel(comfy).get_by_role("button", name="Run", exact=True).click()
    comfy.until(lambda: len(server.queued) == 3)


def test_two_presses_are_one_question(server: PageServer, comfy: ComfyPage):
    comfy.load(paying())
    comfy.evaluate("app => { app.queuePrompt(0, 1); app.queuePrompt(0, 1) }")
    panel(comfy).get_by_role("button", name="Run", exact=True).click()
    comfy.until(lambda: len(server.queued) == 1)
    comfy.settle()
    assert len(server.queued) == 1


def test_where_nobody_knows_what_it_costs_the_person_decides(server: PageServer, comfy: ComfyPage):
    server.answers[GRAPH] = lambda _: (500, {"error": "Something went wrong here."})
    comfy.load(paying())
    comfy.queue()
    expect(panel(comfy)).to_contain_text("could not be found out")
    panel(comfy).get_by_role("button", name="Run anyway").click()
    comfy.until(lambda: len(server.queued) == 1)
    comfy.forgive("500")


def test_the_panel_shows_a_strangers_names_as_text(comfy: ComfyPage):
    graph = paying(model=HOSTILE)
    graph["1"]["_meta"] = {"title": HOSTILE}
    comfy.load(graph)
    comfy.queue()
    expect(panel(comfy)).to_contain_text("onerror")
    assert comfy.page.evaluate("window.cbHurt") is None


def test_the_panel_asks_for_the_price_and_nothing_is_bought(server: PageServer, comfy: ComfyPage):
    server.answers["POST", "/civitai_bridge/price"] = lambda _: {
        "nodes": [{"node": "1", "title": "Generate", "cost": 8}]
    }
    comfy.load(paying())
    comfy.queue()
    panel(comfy).get_by_role("button", name="Ask for the price now").click()
    expect(panel(comfy)).to_contain_text("Generate: 8 Buzz")
    assert server.queued == []


def test_the_template_for_the_fleet_asks(server: PageServer, comfy: ComfyPage):
    comfy.load(json.loads((ROOT / "example_workflows/CivitAI image to the fleet.json").read_text(encoding="utf-8")))
    comfy.queue()
    expect(panel(comfy)).to_contain_text("These nodes pay")
    assert server.queued == []


# A number of the graph's own into `max_buzz`, which changes with each run.
CHANGING = """async (app, control) => {
  const generate = app.graph._nodes.find(node => node.type === 'CivitaiBridgeGenerate');
  const number = LiteGraph.createNode('PrimitiveNode');
  app.graph.add(number);
  number.connect(0, generate, generate.inputs.findIndex(input => input.name === 'max_buzz'));
  await new Promise(resolve => setTimeout(resolve, 300));
  number.widgets[0].value = 5;
  number.widgets.find(widget => widget.name === 'control_after_generate').value = control;
}"""


def limits_sent(server: PageServer) -> list[int]:
    return [body["prompt"]["1"]["inputs"]["max_buzz"] for body in server.queued]


@every_frontend
def test_a_batch_whose_limit_grows_sends_nothing_that_nobody_agreed_to(server: PageServer, comfy: ComfyPage):
    comfy.load(paying(5))
    comfy.evaluate(CHANGING, "increment")
    comfy.evaluate("app => { app.queuePrompt(0, 3) }")
    expect(panel(comfy)).to_contain_text("At most 15 Buzz")
    panel(comfy).get_by_role("button", name="Run", exact=True).click()
    expect(panel(comfy)).to_contain_text("At most 6 Buzz")
    assert limits_sent(server) == [5]
    panel(comfy).get_by_role("button", name="Run", exact=True).click()
    expect(panel(comfy)).to_contain_text("At most 7 Buzz")
    panel(comfy).get_by_role("button", name="Do not run").click()
    expect(comfy.page.get_by_text("nobody agreed to that").first).to_be_visible()
    assert limits_sent(server) == [5, 6]
    comfy.forgive("nobody agreed")


def test_a_value_that_changes_as_the_run_begins_is_asked_about(server: PageServer, comfy: ComfyPage):
    comfy.evaluate("app => app.extensionManager.setting.set('Comfy.WidgetControlMode', 'before')")
    comfy.load(paying(5))
    comfy.evaluate(CHANGING, "increment")
    comfy.queue()
    panel(comfy).get_by_role("button", name="Run", exact=True).click()
    comfy.until(lambda: limits_sent(server) == [5])
    comfy.queue()
    expect(panel(comfy)).to_contain_text("At most 6 Buzz")
    comfy.page.keyboard.press("Escape")
    comfy.settle()
    assert limits_sent(server) == [5]
    comfy.forgive("nobody agreed")


def test_a_batch_of_other_seeds_is_one_question_whatever_the_server_remembers(server: PageServer, comfy: ComfyPage):
    server.answers[CONSENT] = lambda _: (500, {"error": "consents.json cannot be written."})
    comfy.load(paying(5))
    comfy.evaluate(
        """app => {
          const node = app.graph._nodes.find(node => node.type === 'CivitaiBridgeGenerate');
          const seed = node.widgets.find(widget => widget.name === 'seed');
          seed.afterQueued = () => { seed.value += 1; };
        }"""
    )
    comfy.evaluate("app => { app.queuePrompt(0, 3) }")
    panel(comfy).get_by_role("button", name="Run", exact=True).click()
    comfy.until(lambda: len(server.queued) == 3)
    assert len({body["prompt"]["1"]["inputs"]["seed"] for body in server.queued}) == 3
    comfy.forgive("500")


def test_a_name_with_the_time_in_it_is_the_same_graph(server: PageServer, comfy: ComfyPage):
    graph = paying()
    graph["2"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["1", 0], "filename_prefix": "%date:hhmmss%-%CivitAI Generate.seed%"},
    }
    comfy.load(graph)
    comfy.queue()
    panel(comfy).get_by_role("button", name="Run", exact=True).click()
    comfy.until(lambda: len(server.queued) == 1)
    comfy.page.wait_for_timeout(1100)  # the page's clock names the file
    comfy.queue()
    comfy.until(lambda: len(server.queued) == 2)
    names = [body["prompt"]["2"]["inputs"]["filename_prefix"] for body in server.queued]
    assert len(set(names)) == 2 and "%date" not in names[0]
