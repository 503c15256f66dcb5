"""Help: a node's page, with its picture, as ComfyUI shows it."""

from __future__ import annotations

from comfy_page import ComfyPage
from faces import both_canvases
from playwright.sync_api import expect


@both_canvases
def test_help_of_a_node_shows_its_picture(comfy: ComfyPage):
    comfy.load({"1": {"class_type": "CivitaiBridgeResolve", "inputs": {"reference": "128078"}}})
    comfy.evaluate("app => { app.canvas.selectItems(app.graph._nodes) }")
    comfy.page.get_by_test_id("info-button").first.click()
    picture = comfy.page.locator("img[src*='CivitaiBridgeResolve.webp']").first
    expect(picture).to_be_visible()
    comfy.forgive("/en.md")  # ComfyUI looks for a page of the language first
    comfy.until(lambda: picture.evaluate("image => image.naturalWidth") > 0)
