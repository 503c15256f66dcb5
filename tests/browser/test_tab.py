"""The tab in the sidebar: it looks and works in both canvases of every frontend."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from aiohttp import web
from comfy_page import ComfyPage
from faces import both_canvases, every_frontend
from fake_answers import HOSTILE, graph, model
from page_server import FOLDER, PageServer
from PIL import Image
from playwright.sync_api import expect

MODELS = "POST", "/civitai_bridge/graph"


def lora_graph(name: str = "style_003.safetensors") -> dict[str, Any]:
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "base.safetensors"}},
        "2": {"class_type": "LoraLoader", "inputs": {"lora_name": name, "model": ["1", 0], "clip": ["1", 1]}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["2", 1]}},
    }


@every_frontend
def test_the_tab_is_there_again_when_it_is_opened_again(comfy: ComfyPage):
    comfy.load(lora_graph())
    panel = comfy.open_tab()
    expect(panel.get_by_role("row")).to_have_count(2)
    comfy.open_tab()
    expect(panel).to_have_count(0)
    comfy.open_tab()
    expect(panel.get_by_role("row")).to_have_count(2)
    comfy.evaluate("app => { app.extensionManager.command.execute('Workspace.ToggleSidebarTab.node-library') }")
    expect(panel).to_have_count(0)
    comfy.open_tab()
    expect(panel.get_by_role("row")).to_have_count(2)


@every_frontend
@both_canvases
def test_the_tab_shows_what_the_graph_needs(server: PageServer, comfy: ComfyPage):
    server.answers["GET", "/civitai_bridge/account"] = lambda _: {}
    comfy.load(lora_graph())
    panel = comfy.open_tab()
    expect(panel.locator("#cb-models-summary")).to_have_text("2 models, 2 missing")
    expect(panel.get_by_role("row")).to_have_count(2)
    assert panel.bounding_box()["height"] > 600, "the sidebar's element has no height of its own"
    panel.get_by_role("tab", name="Account").click()
    expect(panel.get_by_text("API key", exact=True)).to_be_visible()


def test_a_list_of_hundreds_is_walked_with_keys_and_has_few_rows(server: PageServer, comfy: ComfyPage):
    server.answers[MODELS] = lambda _: graph([model(number) for number in range(300)])
    panel = comfy.open_tab()
    grid = panel.get_by_role("grid", name="Models")
    expect(grid).to_have_attribute("aria-rowcount", "300")
    expect(grid.get_by_role("row", selected=True)).to_have_count(0)
    grid.get_by_role("row").first.focus()
    for key in ("ArrowDown", "PageDown", "End"):
        comfy.page.keyboard.press(key)
    focused = comfy.page.locator(":focus")
    expect(focused).to_have_attribute("aria-rowindex", "300")
    expect(focused).to_be_visible()
    assert grid.get_by_role("row").count() <= 100
    expect(panel.get_by_role("region", name="About the selected model")).to_contain_text("Style 299")
    comfy.page.keyboard.press("Home")
    comfy.page.keyboard.press("ArrowRight")
    expect(comfy.page.locator(":focus")).to_have_accessible_name("Download Style 0")


def test_what_a_stranger_wrote_is_text(server: PageServer, comfy: ComfyPage):
    names = {"model_name": HOSTILE, "title": HOSTILE, "trigger_words": [HOSTILE], "notes": [HOSTILE]}
    server.answers[MODELS] = lambda _: graph([model(0, **names)])
    panel = comfy.open_tab()
    panel.get_by_role("row").click()
    expect(panel.get_by_role("region")).to_contain_text(HOSTILE)
    assert comfy.page.evaluate("window.cbHurt") is None


def test_a_trigger_word_goes_into_the_prompt_and_one_undo_takes_it_out(server: PageServer, comfy: ComfyPage):
    server.answers[MODELS] = lambda _: graph([model(1)])
    comfy.load(lora_graph())
    panel = comfy.open_tab()
    panel.get_by_role("row").click()
    panel.get_by_role("button", name="some style").click()
    prompt = "app => app.graph._nodes.find(n => n.type === 'CLIPTextEncode').widgets[0].value"
    assert comfy.evaluate(prompt) == "a cat, some style"
    comfy.page.locator("canvas#graph-canvas").focus()
    comfy.page.keyboard.press("Control+z")
    comfy.page.wait_for_function(f"({prompt})(window.comfyAPI.app.app) === 'a cat'")


def test_a_server_that_was_away_is_asked_again(server: PageServer, comfy: ComfyPage):
    server.answers[MODELS] = lambda _: (503, {"error": "CivitAI is away; try again in a while."})
    panel = comfy.open_tab()
    expect(panel.get_by_text("CivitAI is away")).to_be_visible()
    server.answers[MODELS] = lambda _: graph([model(1)])
    server.cut()
    expect(panel.locator("#cb-models-summary")).to_have_text("1 model, none missing")
    comfy.forgive("503")


def test_without_a_session_the_admin_token_is_asked_for(server: PageServer, comfy: ComfyPage):
    refused = (
        401,
        {"error": "This needs the admin token", "code": "unauthorized", "command": "python pack catalog token"},
    )
    server.answers["POST", "/civitai_bridge/session"] = lambda _: refused
    panel = comfy.open_tab()
    expect(panel.get_by_text("python pack catalog token")).to_be_visible()
    panel.get_by_label("Admin token of this server").fill("the-admin-token")
    panel.get_by_role("button", name="Continue").click()
    expect(panel.get_by_text("This graph names no model.").or_(panel.get_by_role("grid"))).to_be_visible()
    panel.get_by_role("tab", name="Account").click()
    expect(panel.get_by_text("A key is stored on the server")).to_be_visible()
    expect(panel.get_by_label("Admin token of this server").filter(visible=True)).to_have_count(0)
    comfy.forgive("401")


def test_what_waits_and_what_is_missing_are_of_now_when_a_run_is_over(server: PageServer, comfy: ComfyPage):
    waiting = [{"key": "k", "workflow_id": "w", "state": "finished", "cost": 8, "pictures": 1}]
    server.answers["GET", "/civitai_bridge/account"] = lambda _: {"waiting": list(waiting)}
    comfy.load(lora_graph())
    panel = comfy.open_tab()
    expect(panel.locator("#cb-models-summary")).to_have_text("2 models, 2 missing")
    panel.get_by_role("tab", name="Account").click()
    server.send("civitai_bridge.job", {"node": "1", "phase": "done", "workflow_id": "w", "price": 8})
    expect(panel.get_by_role("button", name="Collect")).to_have_count(1)
    waiting.clear()
    server.send("execution_success", {"prompt_id": "p"})
    expect(panel.get_by_text("Nothing waits to be collected.")).to_be_visible()
    number = "app => app.extensionManager.getSidebarTabs().find(tab => tab.id === 'civitai_bridge').iconBadge"
    assert comfy.evaluate(number) == "2"
    comfy.load({"1": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat"}}})
    comfy.until(lambda: comfy.evaluate(number) is None)


def test_the_keyboard_stays_where_it_was_when_the_graph_is_looked_at_again(server: PageServer, comfy: ComfyPage):
    server.answers[MODELS] = lambda _: graph([model(number) for number in range(0, 300, 3)])
    panel = comfy.open_tab()
    focused = comfy.page.locator(":focus")

    def look_again() -> None:
        asked = len(server.requests)
        comfy.evaluate("app => { comfyAPI.api.api.dispatchCustomEvent('graphChanged', {}) }")
        comfy.until(lambda: any("civitai_bridge/graph" in path for path in server.requests[asked:]))
        comfy.settle()

    panel.get_by_role("button", name="Download Style 0", exact=True).focus()
    look_again()
    expect(focused).to_have_accessible_name("Download Style 0")
    panel.get_by_role("row").first.click()
    panel.get_by_role("button", name="some style").focus()
    look_again()
    expect(focused).to_have_text("some style")
    panel.get_by_role("grid").evaluate("list => { list.scrollTop = list.scrollHeight }")
    expect(panel.get_by_role("grid")).to_contain_text("Style 297")
    expect(panel.locator(".cb-item[tabindex='0']")).to_have_attribute("aria-rowindex", "1")


@pytest.mark.parametrize(("level", "blurred"), [(1, "false"), (0, "true"), (8, "true")])
def test_a_picture_that_may_be_mature_is_blurred_until_it_is_clicked(
    server: PageServer, comfy: ComfyPage, level: int, blurred: str
):
    drawn = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(drawn, "PNG")
    server.answers["GET", "/civitai_bridge/preview"] = lambda _: web.Response(
        body=drawn.getvalue(), content_type="image/png"
    )
    picture = {"url": "https://image.civitai.com/x/width=320/1.jpeg", "nsfw_level": level}
    server.answers[MODELS] = lambda _: graph([model(1, preview=picture)])
    panel = comfy.open_tab()
    panel.get_by_role("row").click()
    shown = panel.get_by_role("button", name="Picture of Style 1")
    expect(shown).to_have_attribute("data-blurred", blurred)
    expect(shown.locator("img")).to_have_attribute("src", re.compile("^blob:"))
    if blurred == "true":
        shown.click()
        expect(shown).to_have_attribute("data-blurred", "false")


CONTRAST = """button => {
  const parts = color => color.match(/[\\d.]+/g).slice(0, 3).map(number => color.startsWith('color(') ? +number : number / 255);
  const light = color => parts(color).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, place) => sum + c * [0.2126, 0.7152, 0.0722][place], 0);
  const { color, backgroundColor } = getComputedStyle(button);
  const [less, more] = [light(color), light(backgroundColor)].sort((a, b) => a - b);
  return (more + 0.05) / (less + 0.05);
}"""


@pytest.mark.parametrize("comfy", [{"theme": "light"}, {"theme": "dark"}], indirect=True, ids=["light", "dark"])
def test_the_main_button_can_be_read_in_both_themes(server: PageServer, comfy: ComfyPage):
    server.answers[MODELS] = lambda _: graph([model(0)])
    panel = comfy.open_tab()
    button = panel.get_by_role("button", name="Get all missing")
    assert button.evaluate(CONTRAST) >= 4.5


def test_little_is_loaded_before_the_tab_is_opened(comfy: ComfyPage):
    comfy.settle()
    ours = f"performance.getEntriesByType('resource').filter(each => each.name.includes('/extensions/{FOLDER}/'))"
    assert 0 < comfy.page.evaluate(f"{ours}.reduce((sum, each) => sum + each.decodedBodySize, 0)") <= 60_000
