"""On the canvas: what is pasted or dropped, reports, errors, prices; core's own paste and drop stay as they are."""

from __future__ import annotations

import base64
import io
from typing import Any

from comfy_page import ComfyPage
from faces import both_canvases, every_frontend
from fake_answers import HOSTILE
from page_server import PageServer
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import expect

ADDRESS = "https://civitai.com/images/900002?period=Week"
TEXT = "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model: x"
TYPES = "app => app.graph._nodes.map(node => node.type)"
BESIDE = {"1": {"class_type": "EmptyLatentImage", "inputs": {"width": 64}}}


def paste(comfy: ComfyPage, text: str) -> None:
    comfy.page.evaluate("text => navigator.clipboard.writeText(text)", text)
    comfy.page.locator("canvas#graph-canvas").focus()
    comfy.page.mouse.move(900, 400)
    comfy.page.keyboard.press("Control+v")


def drop(comfy: ComfyPage, **content: Any) -> None:
    """A drop on the middle of the canvas: `file` as (name, type, bytes), or texts by their kind."""
    comfy.page.evaluate(
        """({ texts, file }) => {
          const data = new DataTransfer();
          for (const [kind, text] of Object.entries(texts)) data.setData(kind, text);
          if (file) {
            const bytes = Uint8Array.from(atob(file.content), (letter) => letter.charCodeAt(0));
            data.items.add(new File([bytes], file.name, { type: file.type }));
          }
          const place = { clientX: 900, clientY: 400, bubbles: true, cancelable: true, dataTransfer: data };
          const target = document.elementFromPoint(900, 400);
          target.dispatchEvent(new DragEvent("dragover", place));
          target.dispatchEvent(new DragEvent("drop", place));
        }""",
        {"texts": content.get("texts", {}), "file": content.get("file")},
    )


def picture(**texts: str) -> dict[str, str]:
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    content = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(content, "PNG", pnginfo=info)
    return {"name": "picture.png", "type": "image/png", "content": base64.b64encode(content.getvalue()).decode()}


def types(comfy: ComfyPage) -> list[str]:
    return sorted(comfy.evaluate(TYPES))


@every_frontend
@both_canvases
def test_an_address_becomes_wired_nodes_and_one_undo_takes_them_away(comfy: ComfyPage):
    comfy.load(BESIDE)
    paste(comfy, ADDRESS)
    ours = ["CivitaiBridgeGenerationSettings", "CivitaiBridgeImageData"]
    comfy.until(lambda: types(comfy) == sorted([*ours, "EmptyLatentImage"]))
    place = "app => app.graph._nodes.find(n => n.type === 'CivitaiBridgeImageData')"
    assert comfy.evaluate(f"app => ({place})(app).widgets[0].value") == "https://civitai.com/images/900002"
    link = (
        "app => { const n = app.graph._nodes.find(n => n.type.endsWith('Settings')); return n.getInputNode(0)?.type }"
    )
    assert comfy.evaluate(link) == "CivitaiBridgeImageData"
    comfy.page.wait_for_timeout(900)
    comfy.page.keyboard.press("Control+z")
    comfy.until(lambda: types(comfy) == ["EmptyLatentImage"])


def test_a_dropped_address_lands_where_it_was_dropped(comfy: ComfyPage):
    comfy.load(BESIDE)
    drop(comfy, texts={"text/uri-list": ADDRESS})
    comfy.until(lambda: len(types(comfy)) == 3)
    distance = """app => { const node = app.graph._nodes.find(n => n.type === 'CivitaiBridgeImageData');
      const [x, y] = app.clientPosToCanvasPos([900, 400]); return Math.hypot(node.pos[0] - x, node.pos[1] - y) }"""
    assert comfy.evaluate(distance) < 5


def test_a_text_with_steps_and_a_model_become_nodes(comfy: ComfyPage):
    comfy.load(BESIDE)
    paste(comfy, TEXT)
    comfy.until(lambda: "CivitaiBridgeReadText" in types(comfy))
    text = "app => app.graph._nodes.find(n => n.type === 'CivitaiBridgeReadText').widgets[0].value"
    assert comfy.evaluate(text) == TEXT
    paste(comfy, "https://civitai.com/models/5?modelVersionId=7")
    comfy.until(lambda: "CivitaiBridgeResolve" in types(comfy))


def test_what_is_pasted_leads_to_the_fleet_where_a_person_chose_that(server: PageServer, comfy: ComfyPage):
    comfy.evaluate("app => app.extensionManager.setting.set('civitai_bridge.canvas.paste_to', 'fleet')")
    comfy.evaluate("app => app.extensionManager.setting.set('civitai_bridge.canvas.engine', 'flux2/klein')")
    comfy.load(BESIDE)
    paste(comfy, ADDRESS)
    comfy.until(lambda: "CivitaiBridgeGenerate" in types(comfy) and "CivitaiBridgeSaveImage" in types(comfy))
    engine = "app => app.graph._nodes.find(n => n.type === 'CivitaiBridgeGenerate').widgets.find(w => w.name === 'engine').value"
    assert comfy.evaluate(engine) == "auto", "a picture's own model chooses its engine"
    assert server.queued == []


@every_frontend
def test_a_dropped_picture_with_generation_data_becomes_nodes_beside_the_graph(server: PageServer, comfy: ComfyPage):
    comfy.load(BESIDE)
    drop(comfy, file=picture(parameters=TEXT))
    comfy.until(lambda: "CivitaiBridgeReadImage" in types(comfy))
    assert "EmptyLatentImage" in types(comfy), "the graph was taken away"
    name = "app => app.graph._nodes.find(n => n.type === 'CivitaiBridgeReadImage').widgets[0].value"
    assert comfy.evaluate(name) == "picture.png"


def paste_file(comfy: ComfyPage, file: dict[str, str]) -> None:
    comfy.page.evaluate(
        """(file) => {
          const data = new DataTransfer();
          const bytes = Uint8Array.from(atob(file.content), (letter) => letter.charCodeAt(0));
          data.items.add(new File([bytes], file.name, { type: file.type }));
          document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
        }""",
        file,
    )


def test_a_pasted_picture_file_is_ours_where_it_says_how_it_was_made_and_else_cores(comfy: ComfyPage):
    comfy.load(BESIDE)
    paste_file(comfy, picture(parameters=TEXT))
    comfy.until(lambda: "CivitaiBridgeReadImage" in types(comfy))
    comfy.load(BESIDE)
    paste_file(comfy, picture())
    comfy.until(lambda: "LoadImage" in types(comfy))


def test_a_picture_that_is_pasted_over_a_selected_node_is_that_nodes(server: PageServer, comfy: ComfyPage):
    comfy.load({"1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}}})
    comfy.evaluate("app => { app.canvas.select(app.graph._nodes[0]); app.canvas.current_node = app.graph._nodes[0]; }")
    paste_file(comfy, picture(parameters=TEXT))
    comfy.until(lambda: any("upload/image" in request for request in server.requests))
    comfy.settle()
    assert types(comfy) == ["LoadImage"]


def test_core_keeps_its_own_paste_and_drop(server: PageServer, comfy: ComfyPage):
    comfy.load(BESIDE)
    comfy.evaluate("app => { app.canvas.selectItems(app.graph._nodes) }")
    comfy.page.locator("canvas#graph-canvas").focus()
    comfy.page.keyboard.press("Control+c")
    comfy.page.keyboard.press("Control+v")
    comfy.until(lambda: types(comfy) == ["EmptyLatentImage", "EmptyLatentImage"])
    drop(comfy, file=picture())
    comfy.until(lambda: "LoadImage" in types(comfy))
    panel = comfy.open_tab()
    field = panel.get_by_label("Filter models")
    comfy.page.evaluate("text => navigator.clipboard.writeText(text)", ADDRESS)
    field.focus()
    comfy.page.keyboard.press("Control+v")
    expect(field).to_have_value(ADDRESS)
    comfy.settle()
    assert not any(name.startswith("Civitai") for name in types(comfy))


@every_frontend
@both_canvases
def test_a_report_shows_all_its_lines(server: PageServer, comfy: ComfyPage):
    comfy.load({"7": {"class_type": "CivitaiBridgeResolve", "inputs": {"reference": "128078"}}})
    lines = [
        f"Line {number} of a report that is long enough to be wrapped in a node of this width." for number in range(5)
    ]
    lines.append(HOSTILE)
    server.send("executed", {"node": "7", "display_node": "7", "prompt_id": "p", "output": {"text": lines}})
    report = comfy.page.get_by_text("Line 0 of a report")
    expect(report).to_be_visible()
    comfy.settle()
    cut = "element => element.parentElement.scrollHeight - element.parentElement.clientHeight"
    assert report.evaluate(cut) <= 2, "the last lines are cut"
    assert comfy.page.evaluate("window.cbHurt") is None


@every_frontend
def test_an_error_says_what_to_do_and_offers_it(server: PageServer, comfy: ComfyPage):
    comfy.load({"7": {"class_type": "CivitaiBridgeResolve", "inputs": {"reference": "128078"}}})
    sentence = f"No CivitAI API key is set. {HOSTILE}"
    server.send("execution_error", error_event("NoKey", sentence))
    note = comfy.page.locator(".cb-note")
    expect(note).to_contain_text(sentence)
    note.get_by_role("button", name="Open account").click()
    expect(comfy.page.locator("#cb-view-account").get_by_text("API key", exact=True)).to_be_visible()
    expect(note).to_be_hidden()


def error_event(kind: str, sentence: str) -> dict[str, Any]:
    return {
        "prompt_id": "p", "node_id": "7", "node_type": "CivitaiBridgeResolve", "executed": [], "traceback": [],
        "exception_message": sentence, "exception_type": f"civitai_bridge.{kind}", "current_inputs": {}, "current_outputs": [],
    }  # fmt: skip


@every_frontend
@both_canvases
def test_a_paying_node_shows_what_it_costs(server: PageServer, comfy: ComfyPage):
    comfy.load({"7": {"class_type": "CivitaiBridgeGenerate", "inputs": {"model": "128078", "prompt": "a cat"}}})
    job = {
        "node": "7",
        "prompt_id": "p",
        "phase": "processing",
        "text": "",
        "progress": 0.5,
        "price": 8,
        "workflow_id": "w",
    }
    server.send("civitai_bridge.job", job)
    badge = "app => app.graph._nodes[0].badges.map(b => (typeof b === 'function' ? b() : b).text).join()"
    comfy.until(lambda: "at work, 8 Buzz" in comfy.evaluate(badge))
    if comfy.nodes2:
        expect(comfy.page.get_by_text("at work, 8 Buzz").first).to_be_visible()
    server.send("executed", {"node": "7", "display_node": "7", "prompt_id": "p", "output": {"text": ["Paid 8 Buzz."]}})
    comfy.until(lambda: comfy.evaluate(badge).endswith("8 Buzz") and "at work" not in comfy.evaluate(badge))
