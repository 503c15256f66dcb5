"""What goes wrong around the page is said calmly where the person looks, and the page goes on by itself."""

from __future__ import annotations

import base64
import io
import threading
from typing import Any

from aiohttp import web
from comfy_page import ComfyPage
from faces import both_canvases
from fake_answers import HOSTILE, graph, model
from page_server import FOLDER, KEY, PageServer
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Browser, expect
from test_canvas import BESIDE, TEXT, drop, types
from test_consent import panel as consent
from test_consent import paying

from pack.civitai_bridge.settings import save_key

DELETED, TAKEN_DOWN, NOBODYS = 300055, 300053, 999999999


def test_a_key_that_is_refused_is_said_beside_the_field_for_another(server: PageServer, comfy: ComfyPage):
    save_key(server.home, "wrong")
    panel = comfy.open_tab()
    panel.get_by_role("tab", name="Account").click()
    expect(panel.get_by_text("does not accept the API key").first).to_be_visible()
    panel.get_by_label("CivitAI API key").fill(KEY)
    panel.get_by_role("button", name="Save", exact=True).click()
    expect(panel.get_by_text("sandbox-")).to_be_visible()
    expect(panel.get_by_text("does not accept the API key")).to_have_count(0)


def test_a_slow_answer_holds_nothing_else_up(server: PageServer, comfy: ComfyPage):
    come = threading.Event()
    server.answers["GET", "/civitai_bridge/account"] = lambda _: come.wait(20) and {}
    panel = comfy.open_tab()
    panel.get_by_role("tab", name="Account").click()
    expect(panel.get_by_text("Asking").first).to_be_visible()
    panel.get_by_role("tab", name="Models").click()
    expect(panel.locator("#cb-models-summary")).to_contain_text("models")
    panel.get_by_role("tab", name="Account").click()
    come.set()
    expect(panel.get_by_role("region", name="Buzz")).to_be_visible()


def test_a_second_tab_knows_what_was_agreed_to_and_changed_in_the_first(
    server: PageServer, comfy: ComfyPage, browser: Browser
):
    second = ComfyPage(browser, server)
    for page in (comfy, second):
        page.load(paying(50))
    comfy.queue()
    consent(comfy).get_by_role("button", name="Run", exact=True).click()
    comfy.until(lambda: len(server.queued) == 1)
    second.queue()
    second.until(lambda: len(server.queued) == 2)
    panel = second.open_tab()
    panel.get_by_role("tab", name="Account").click()
    expect(panel.get_by_role("button", name="Forget")).to_be_visible()
    server.forget_key()  # as the first tab does

    def sees_it_when_looked_at() -> bool:
        second.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        return panel.get_by_text("No key is set").is_visible()

    second.until(sees_it_when_looked_at)
    second.close()
    assert second.complaints() == []


def test_a_service_that_is_down_is_said_and_the_page_goes_on_when_it_is_back(server: PageServer, comfy: ComfyPage):
    up = dict(server.environ)
    server.environ |= dict.fromkeys(up, "http://127.0.0.1:9")  # where nobody listens
    try:
        comfy.load(resolve(300001))
        panel = comfy.open_tab()
        expect(panel.get_by_text("could not be reached").first).to_be_visible(timeout=20_000)
        expect(panel.get_by_role("row")).to_have_count(1)
    finally:
        server.environ |= up
    panel.get_by_role("button", name="Refresh").click()
    expect(panel.get_by_role("row").first).to_contain_text("Storybook Light", timeout=20_000)
    expect(panel.get_by_text("could not be reached")).to_have_count(0)


def test_a_picture_of_100_megapixels_is_read_by_its_texts(server: PageServer, comfy: ComfyPage):
    info = PngInfo()
    info.add_text("parameters", TEXT)
    content = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(content, "PNG", pnginfo=info)
    comfy.load(BESIDE)
    encoded = base64.b64encode(content.getvalue()).decode()
    drop(comfy, file={"name": "large.png", "type": "image/png", "content": encoded})
    comfy.until(lambda: "CivitaiBridgeReadImage" in types(comfy), 20)


def test_a_page_of_a_proxy_in_the_servers_place_runs_nothing_and_all_is_well_when_it_is_gone(
    server: PageServer, comfy: ComfyPage
):
    login = {("GET", f"/civitai_bridge/{name}"): _login for name in ("account", "link", "key", "downloads")}
    server.answers |= login | {("POST", "/civitai_bridge/graph"): _login}
    comfy.load(paying(50))
    comfy.queue()
    expect(consent(comfy)).to_contain_text("Something else answered")
    server.answers.clear()
    comfy.page.evaluate("window.dispatchEvent(new Event('online'))")  # else it takes some seconds
    expect(consent(comfy)).to_contain_text("At most 50 Buzz")
    comfy.page.keyboard.press("Escape")
    server.answers |= login
    comfy.open_tab()
    panel = comfy.page.locator(".cb-panel:not(.cb-settings)")
    panel.get_by_role("tab", name="Account").click()
    expect(panel).to_contain_text("Something else answered")
    server.answers.clear()
    comfy.page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(panel.get_by_text("A key is stored on the server")).to_be_visible()
    expect(panel).not_to_contain_text("Something else answered")
    assert server.queued == []


def _login(_: object) -> web.Response:
    return web.Response(text="<html>Please log in</html>", content_type="text/html")


def test_a_server_that_hangs_when_run_is_pressed_is_said_and_nothing_is_sent_after_a_no(
    server: PageServer, comfy: ComfyPage
):
    come = threading.Event()
    server.answers["POST", "/civitai_bridge/graph"] = lambda _: come.wait(20) and {"asks": False}
    comfy.load(paying(50))
    comfy.queue()
    expect(consent(comfy)).to_contain_text("Asking the server")
    consent(comfy).get_by_role("button", name="Do not run").click()
    come.set()
    comfy.settle()
    assert server.queued == []
    comfy.queue()
    comfy.until(lambda: len(server.queued) == 1)


def test_what_came_of_collecting_stays_where_it_was_pressed(server: PageServer, comfy: ComfyPage):
    waiting = [{"key": "k", "workflow_id": "w", "state": "finished", "cost": 8, "pictures": 1}]
    server.answers["GET", "/civitai_bridge/account"] = lambda _: {"waiting": list(waiting)}
    server.answers["POST", "/civitai_bridge/collect"] = lambda _: waiting.clear() or {"message": "1 picture is here."}
    panel = comfy.open_tab()
    panel.get_by_role("tab", name="Account").click()
    panel.get_by_role("button", name="Collect").click()
    section = panel.get_by_role("region", name="To be collected")
    expect(section).to_contain_text("Nothing waits")
    expect(section).to_contain_text("1 picture is here.")


def test_a_download_that_ended_with_its_server_is_said_and_can_go_on(server: PageServer, comfy: ComfyPage):
    loading = {"id": "old-1", "reference": "300001", "status": "loading", "name": "light.safetensors", "bytes": 5}
    server.answers["POST", "/civitai_bridge/graph"] = lambda _: graph(
        [model(300001 - 300000, missing=True, here=False)]
    )
    server.answers["POST", "/civitai_bridge/download"] = lambda _: loading
    server.answers["GET", "/civitai_bridge/downloads"] = lambda _: {"downloads": [loading]}
    panel = comfy.open_tab()
    panel.get_by_role("button", name="Get all missing").click()
    expect(panel.get_by_role("progressbar")).to_be_visible()
    server.answers["GET", "/civitai_bridge/downloads"] = lambda _: {"downloads": []}  # started again
    server.answers["POST", "/civitai_bridge/download"] = lambda _: loading | {"id": "new-1"}
    server.cut()
    expect(panel.get_by_role("alert")).to_contain_text("started again while light.safetensors was loading")
    comfy.settle()
    panel.get_by_role("alert").get_by_role("button", name="Try again").click()
    expect(panel.get_by_role("progressbar")).to_be_visible()
    expect(panel.get_by_role("alert")).to_have_count(0)


def test_a_download_that_began_after_the_server_was_asked_is_not_lost(server: PageServer, comfy: ComfyPage):
    begun = threading.Event()
    loading = {"id": "new-1", "reference": "300001", "status": "loading", "name": "light.safetensors", "bytes": 5}
    server.answers["POST", "/civitai_bridge/graph"] = lambda _: graph([model(1, missing=True, here=False)])
    server.answers["POST", "/civitai_bridge/download"] = lambda _: loading
    server.answers["GET", "/civitai_bridge/downloads"] = lambda _: begun.wait(20) and {"downloads": []}
    panel = comfy.open_tab()
    comfy.until(lambda: "GET /civitai_bridge/downloads" in server.requests)
    panel.get_by_role("button", name="Get all missing").click()
    expect(panel.get_by_role("progressbar")).to_be_visible()
    begun.set()
    comfy.settle()
    expect(panel.get_by_role("progressbar")).to_be_visible()
    expect(panel.get_by_role("alert")).to_have_count(0)


def test_a_job_that_nobody_tells_of_any_more_leads_to_what_was_paid(server: PageServer, comfy: ComfyPage):
    comfy.load({"7": {"class_type": "CivitaiBridgeGenerate", "inputs": {"model": "128078", "prompt": "a cat"}}})
    server.answers["GET", "/queue"] = lambda _: {"queue_running": [[0, "p"]], "queue_pending": []}
    server.send("civitai_bridge.job", {"node": "7", "phase": "processing", "price": 8})
    badge = "app => app.graph._nodes[0].badges.map(b => (typeof b === 'function' ? b() : b).text).join()"
    comfy.until(lambda: "at work" in comfy.evaluate(badge))
    server.cut()
    comfy.page.wait_for_timeout(1500)
    assert "at work" in comfy.evaluate(badge), "it still runs"
    server.answers.clear()
    server.cut()
    note = comfy.page.locator(".cb-note")
    expect(note).to_contain_text("What was paid is kept")
    note.get_by_role("button", name="Open account").click()
    expect(comfy.page.get_by_role("region", name="To be collected")).to_be_visible()
    assert "at work" not in comfy.evaluate(badge)


def resolve(*references: Any) -> dict[str, Any]:
    return {
        str(number): {"class_type": "CivitaiBridgeResolve", "inputs": {"reference": str(reference)}}
        for number, reference in enumerate(references, 1)
    }


def test_models_that_are_gone_are_named_and_the_others_can_be_had(server: PageServer, comfy: ComfyPage):
    comfy.load(resolve(DELETED, TAKEN_DOWN, NOBODYS, 300001))
    panel = comfy.open_tab()
    expect(panel.get_by_role("row")).to_have_count(4)
    panel.get_by_role("button", name="Get all missing").click()
    expect(panel.locator("#cb-models-summary")).to_have_text("4 models, 3 missing", timeout=20_000)
    expect(panel.get_by_role("progressbar")).to_have_count(0)
    assert (server.models / "loras" / "storybookLight_v2.safetensors").is_file()
    for row in panel.get_by_role("row").all()[:3]:
        row.click()
        expect(panel.get_by_role("region")).to_contain_text("Status")


@both_canvases
def test_a_strangers_workflow_with_odd_values_opens_is_asked_about_and_is_shown_as_text(
    server: PageServer, comfy: ComfyPage
):
    comfy.load(paying())
    graph = comfy.evaluate("app => app.graph.serialize()")
    for node in graph["nodes"]:
        if node["type"] == "CivitaiBridgeGenerate":
            odd: list[Any] = [{"a": 1}, None, [1, [2]], 1e300, "", -5, HOSTILE, "x" * 50_000, True]
            node["widgets_values"] = (odd * 4)[: len(node["widgets_values"])]
            node["title"] = HOSTILE
    comfy.load(graph)
    panel = comfy.open_tab()
    expect(panel.get_by_role("button", name="Refresh")).to_be_visible()
    comfy.queue()
    comfy.until(lambda: consent(comfy).is_visible() or len(server.queued) == 1)
    comfy.settle()
    assert comfy.page.evaluate("window.cbHurt") is None


def test_a_part_of_the_page_that_could_not_be_loaded_comes_by_itself(server: PageServer, browser: Browser):
    server.forget()
    part = ("GET", f"/extensions/{FOLDER}/frontend/later.mjs")
    server.answers[part] = lambda _: (503, server.answers.pop(part) and {})
    page = ComfyPage(browser, server)  # waits for what that part registers
    assert sum(asked == " ".join(part) for asked in server.requests) == 2
    page.forgive("is tried again", "503")
    assert page.complaints() == []
    page.close()


def test_a_run_is_not_sent_where_its_question_cannot_be_loaded(server: PageServer, comfy: ComfyPage):
    part = ("GET", f"/extensions/{FOLDER}/frontend/question.mjs")
    server.answers[part] = lambda _: (503, {})
    comfy.load(paying(50))
    comfy.queue()
    expect(comfy.page.get_by_text("so nothing was sent").first).to_be_visible()
    assert server.queued == []
    del server.answers[part]
    comfy.queue()
    consent(comfy).get_by_role("button", name="Run", exact=True).click()
    comfy.until(lambda: len(server.queued) == 1)
    comfy.forgive("could not be loaded", "503")
