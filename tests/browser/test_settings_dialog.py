"""The pack's settings in ComfyUI's dialog: they are the server's, and what loosens safety asks for the admin token."""

from __future__ import annotations

import json
from typing import Any

from comfy_page import ComfyPage
from faces import every_frontend
from page_server import ADMIN_TOKEN, PageServer
from playwright.sync_api import Locator, expect


def stored(server: PageServer) -> dict[str, Any]:
    path = server.home / "settings.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def dialog(comfy: ComfyPage) -> Locator:
    comfy.evaluate("app => { app.extensionManager.command.execute('Comfy.ShowSettingsDialog') }")
    entry = comfy.page.get_by_text("Civitai Bridge", exact=True)
    entry.first.click()
    return comfy.page.locator("[role=dialog]").last


@every_frontend
def test_a_limit_is_lowered_freely_and_raised_with_the_admin_token(server: PageServer, comfy: ComfyPage):
    settings = dialog(comfy)
    field = settings.get_by_role("spinbutton", name="Most Buzz for one run")
    expect(field).to_have_value("1000")
    row = settings.locator(".cb-settings", has=comfy.page.get_by_role("spinbutton", name="Most Buzz for one run"))
    field.fill("500")
    row.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("Saved.")
    assert stored(server)["limit_buzz_per_prompt"] == 500

    field.fill("2000")
    row.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("loosens a safety setting")
    assert stored(server)["limit_buzz_per_prompt"] == 500
    row.get_by_label("Admin token").fill(ADMIN_TOKEN)
    row.get_by_role("button", name="Continue").click()
    expect(row).to_contain_text("Saved.")
    assert stored(server)["limit_buzz_per_prompt"] == 2000
    assert not [name for name in server.frontend_settings if name.startswith("civitai_bridge.")]
    comfy.forgive("403")


@every_frontend
def test_change_limits_leads_to_our_own_settings(server: PageServer, comfy: ComfyPage):
    panel = comfy.open_tab()
    panel.get_by_role("tab", name="Account").click()
    panel.get_by_role("button", name="Change limits").click()
    expect(comfy.page.get_by_role("spinbutton", name="Most Buzz for one run")).to_be_visible()


def test_choices_and_switches_are_the_servers(server: PageServer, comfy: ComfyPage):
    settings = dialog(comfy)
    choice = settings.get_by_role("combobox", name="Mature content")
    choice.select_option("blocked")
    comfy.until(lambda: stored(server).get("mature_content") == "blocked")
    settings.get_by_role("combobox", name="Write preview and info").select_option("off")
    comfy.until(lambda: stored(server).get("sidecars") == "off")
    assert stored(server) == {"mature_content": "blocked", "sidecars": "off"}


@every_frontend
def test_a_new_node_begins_with_the_engine_of_the_settings_and_others_keep_theirs(comfy: ComfyPage):
    setting = "civitai_bridge.canvas.engine"
    dialog(comfy)
    expect(comfy.page.locator(f"[id='{setting}']").first).to_be_attached()
    comfy.page.keyboard.press("Escape")
    comfy.evaluate("(app, id) => app.extensionManager.setting.set(id, 'flux2/klein')", setting)
    engine = "node.widgets.find(widget => widget.name === 'engine').value"
    new = f"app => {{ const node = LiteGraph.createNode('CivitaiBridgeGenerate'); return {engine}; }}"
    assert comfy.evaluate(new) == "flux2/klein"
    comfy.load({"1": {"class_type": "CivitaiBridgeGenerate", "inputs": {"engine": "comfy/sdxl"}}})
    assert comfy.evaluate(f"app => app.graph._nodes.map(node => {engine})") == ["comfy/sdxl"]
    options = comfy.evaluate(
        "(app, id) => (app.ui.settings.settingsLookup?.[id] ?? app.extensionManager.setting.settings?.[id])?.options?.()",
        setting,
    )
    assert {"text": "auto", "value": "auto"} in options and {"text": "flux2/klein", "value": "flux2/klein"} in options


def test_a_key_is_entered_kept_and_never_shown_again(server: PageServer, comfy: ComfyPage):
    server.forget_key()
    key = "fedcba9876543210fedcba9876543210"
    panel = comfy.open_tab()
    panel.get_by_role("tab", name="Account").click()
    expect(panel.get_by_text("No key is set")).to_be_visible()
    panel.get_by_label("CivitAI API key").fill(key)
    panel.get_by_role("button", name="Save").click()
    expect(panel.get_by_text("A key is stored on the server")).to_be_visible()
    assert key in (server.home / "credentials.json").read_text(encoding="utf-8")
    assert key not in comfy.page.content()
    assert key not in json.dumps(server.frontend_settings)
    where = "JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage)])"
    assert key not in comfy.page.evaluate(where)
