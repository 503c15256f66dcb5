"""What the server writes is read in the page's language, and costs a page in English nothing."""

from __future__ import annotations

from comfy_page import ComfyPage
from page_server import FOLDER, PageServer
from playwright.sync_api import Browser, expect

TABLE = f"GET /extensions/{FOLDER}/sentences/zh.json"
TROUBLE = "CivitAI could not be reached: the connection broke off. Trying again."


def test_a_trouble_is_told_in_chinese(server: PageServer, browser: Browser):
    server.forget()
    server.answers["GET", "/civitai_bridge/account"] = lambda _: (503, {"error": TROUBLE, "code": "unreachable"})
    page = ComfyPage(browser, server, language="zh")
    assert TABLE not in server.requests, "it is no part of the page's start"
    panel = page.open_tab()
    panel.first.get_by_role("tab").nth(1).click()
    expect(panel.first).to_contain_text("无法连接 CivitAI：连接中断。正在重试。")
    assert server.requests.count(TABLE) == 1
    page.forgive("503")
    page.close()
    assert page.complaints() == []


def test_an_english_page_needs_no_table(server: PageServer, comfy: ComfyPage):
    server.answers["GET", "/civitai_bridge/account"] = lambda _: (503, {"error": TROUBLE, "code": "unreachable"})
    panel = comfy.open_tab()
    panel.first.get_by_role("tab").nth(1).click()
    expect(panel.first).to_contain_text(TROUBLE)
    assert TABLE not in server.requests
    comfy.forgive("503")
