"""The page of a real ComfyUI in Chromium, with the frontend that this ComfyUI brings and with the newest that was tried:
each template is loaded, queued on the sandbox and shows its picture; each view is used; a new user reaches what there is
to reach by the page alone. `make test-browser` runs it where COMFYUI_PATH is set."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Server, start

pytest.importorskip("playwright")
sys.path.append(str(ROOT / "tests" / "browser"))

from chromium import launched
from comfy_page import ComfyPage
from frontends import VERSIONS, frontend
from page_server import QUIET
from playwright.sync_api import Browser, Locator, expect
from test_generation_data import folders
from test_local_road import IMAGE, SITE, furnish

pytestmark = pytest.mark.timeout(600)
TEMPLATES = ROOT / "example_workflows"
KEY = "0123456789abcdef0123456789abcdef"
CANVASES = [pytest.param(False, id="classic"), pytest.param(True, id="nodes2")]
NEWEST = VERSIONS[-1]
SHOWN = """app => app.graph._nodes.map(node => {
  const inside = [...document.querySelectorAll(`[data-node-id="${node.id}"] img`)];
  return [...(node.imgs ?? []), ...inside].filter(image => image.naturalWidth > 0).length;
}).reduce((most, count) => Math.max(most, count), 0)"""  # pictures that are drawn on one node


class RealServer:
    """A server of ComfyUI as ComfyPage wants it."""

    has_pack = True

    def __init__(self, server: Server) -> None:
        self.server, self.url = server, server.url

    @property
    def frontend_settings(self) -> dict[str, Any]:
        return dict(QUIET)

    @frontend_settings.setter
    def frontend_settings(self, values: dict[str, Any]) -> None:
        request = urllib.request.Request(
            f"{self.url}/settings", json.dumps(values).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30):
            pass


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    yield from launched()


@pytest.fixture(scope="module", params=["own", NEWEST])
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, chrome: Browser) -> Iterator[Server]:
    """A server with a key and with files that it really samples with; `own` is the frontend that it brings."""
    tmp = tmp_path_factory.mktemp("page")
    (tmp / "more.json").write_text(json.dumps(SITE), encoding="utf-8")
    options = [] if request.param == "own" else ["--front-end-root", str(frontend(request.param))]
    for server in start(tmp, tmp / "more.json", options=options):
        furnish(folders(server) / "models")
        yield server


@pytest.fixture
def comfy(real: Server, chrome: Browser, request: pytest.FixtureRequest) -> Iterator[ComfyPage]:
    page = ComfyPage(chrome, RealServer(real), nodes2=request.param)  # type: ignore[arg-type]
    yield page
    page.close()
    assert page.complaints() == []


def let_in(comfy: ComfyPage, place: Locator) -> None:
    """In a container the page asks for the admin token, which a person there has from whoever runs the server."""
    field = place.get_by_label("Admin token of this server").first
    if field.is_visible():
        field.fill(json.loads((real_of(comfy).state / "credentials.json").read_text(encoding="utf-8"))["admin_token"])
        place.get_by_role("button", name="Continue").first.click()
        expect(field).to_be_hidden()
        comfy.forgive("401")


def real_of(comfy: ComfyPage) -> Server:
    return comfy.server.server  # type: ignore[attr-defined]


def consent(comfy: ComfyPage) -> Locator:
    return comfy.page.get_by_role("dialog", name="What will this graph do?")


def template(name: str, **values: Any) -> dict[str, Any]:
    """A template with the first widget of some kinds of nodes set, as a person sets it."""
    graph = json.loads((TEMPLATES / f"{name}.json").read_text(encoding="utf-8"))
    for node in graph["nodes"]:
        if node["type"] in values:
            node["widgets_values"][0] = values[node["type"]]
    return graph


def run(comfy: ComfyPage) -> None:
    """Press Run, agree where the page asks, and wait until the server is done with it."""
    server = real_of(comfy)
    before = len(server.get("/history"))
    button = consent(comfy).get_by_role("button", name="Run", exact=True)
    comfy.queue()

    has_agreed = False

    def is_over() -> bool:
        nonlocal has_agreed
        let_in(comfy, consent(comfy))
        if not has_agreed and button.is_visible():
            has_agreed = True
            button.click()
        return len(server.get("/history")) > before

    comfy.until(is_over, 120)


def until_shown(comfy: ComfyPage) -> int:
    """How many pictures a node shows, once one does; the last run made some."""
    last = list(real_of(comfy).get("/history").values())[-1]
    assert last["status"]["status_str"] == "success", last["status"]
    assert any(output.get("images") for output in last["outputs"].values())
    comfy.until(lambda: comfy.evaluate(SHOWN) > 0, 30)
    return comfy.evaluate(SHOWN)


def last_saved(server: Server) -> Path:
    return max((folders(server) / "output").rglob("*.png"), key=lambda path: path.stat().st_mtime)


@pytest.mark.parametrize("comfy", CANVASES, indirect=True)
def test_every_template_that_makes_a_picture_shows_it(real: Server, comfy: ComfyPage):
    for graph in (
        template("generate from a model version"),
        template("CivitAI image to the fleet", CivitaiBridgeImageData="https://civitai.com/images/900001"),
        template("bring in what was ordered before"),
        template("CivitAI image to local sampler", CivitaiBridgeImageData=f"https://civitai.com/images/{IMAGE}"),
    ):
        comfy.load(graph)
        run(comfy)
        assert until_shown(comfy) > 0
    saved = last_saved(real)
    (folders(real) / "input" / saved.name).write_bytes(saved.read_bytes())
    comfy.evaluate("app => app.refreshComboInNodes()")
    comfy.load(template("picture file to local sampler", CivitaiBridgeReadImage=saved.name))
    run(comfy)
    comfy.until(lambda: last_saved(real) != saved, 60)
    assert until_shown(comfy) > 0


@pytest.mark.parametrize("comfy", CANVASES, indirect=True)
def test_the_check_of_an_images_models_is_read_on_its_nodes(comfy: ComfyPage):
    comfy.load(template("check and download the models of an image"))
    run(comfy)
    expect(comfy.page.get_by_text("graphs may not download here").first).to_be_visible()


@pytest.mark.parametrize("nodes2", CANVASES)
def test_a_new_user_gets_a_key_a_picture_the_models_and_a_link_by_the_page_alone(
    nodes2: bool, chrome: Browser, tmp_path: Path
):
    for server in start(tmp_path, before=lambda environment: environment.pop("CIVITAI_API_TOKEN")):
        comfy = ComfyPage(chrome, RealServer(server), nodes2=nodes2)  # type: ignore[arg-type]
        panel = enter_the_key_that_lacked(comfy)
        buy(comfy, panel)
        load_the_models(comfy, panel)
        link(comfy, panel)
        comfy.close()
        assert comfy.complaints() == []


def enter_the_key_that_lacked(comfy: ComfyPage) -> Locator:
    comfy.load(template("generate from a model version"))
    run(comfy)
    note = comfy.page.locator(".cb-note")
    expect(note).to_contain_text("No CivitAI API key is set")
    note.get_by_role("button", name="Open account").click()
    panel = comfy.page.locator(".cb-panel").first
    expect(panel.get_by_label("CivitAI API key").first).to_be_visible()
    panel.get_by_label("CivitAI API key").first.fill(KEY)
    panel.get_by_role("button", name="Save", exact=True).click()
    expect(panel.get_by_text("A key is stored on the server")).to_be_visible()
    assert real_of(comfy).ledger() == []
    return panel


def buy(comfy: ComfyPage, panel: Locator) -> None:
    run(comfy)
    assert until_shown(comfy) > 0
    (charge,) = real_of(comfy).ledger()
    expect(panel.get_by_text(f"{charge['amount']} of 5,000 Buzz were spent")).to_be_visible()


def load_the_models(comfy: ComfyPage, panel: Locator) -> None:
    comfy.load(template("CivitAI image to local sampler", CivitaiBridgeImageData="https://civitai.com/images/900001"))
    panel.get_by_role("tab", name="Models").click()
    expect(panel.locator("#cb-models-summary")).to_have_text("2 models, 2 missing")
    panel.get_by_role("button", name="Get all missing").click()
    expect(panel.locator("#cb-models-summary")).to_have_text("2 models, none missing", timeout=30_000)
    assert len([*(folders(real_of(comfy)) / "models").rglob("*.safetensors")]) == 2


def link(comfy: ComfyPage, panel: Locator) -> None:
    server = real_of(comfy)
    code = server.post(f"{server.sandbox}/sandbox/link", {"do": "pair"})["code"]
    panel.get_by_role("tab", name="Account").click()
    panel.get_by_label("Pairing code").fill(code)
    panel.get_by_role("button", name="Pair", exact=True).click()
    expect(panel.get_by_text("Linked; one page of CivitAI is open.").first).to_be_visible(timeout=20_000)
