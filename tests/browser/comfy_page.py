"""One open page of ComfyUI, and what a person does on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from page_server import FOLDER, PageServer
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

TAB = "civitai_bridge"
STARTED = "window.comfyAPI?.app?.app?.extensionManager && window.comfyAPI.app.app.graph && !document.querySelector('#vue-app:empty')"
# The workflow that ComfyUI begins with is there; 1.35.9 begins with an empty one.
BEGUN = """window.graph && (window.graph._nodes.length > 0
  || performance.now() - (window.cbSince ??= performance.now()) > 600)"""
APP = "window.comfyAPI.app.app"


class ComfyPage:
    """`nodes2` is the canvas of Nodes 2.0, `theme` `dark` or `light`, `language` one of ComfyUI's; `before` is
    a script that runs before the page's own."""

    def __init__(
        self,
        browser: Browser,
        server: PageServer,
        *,
        nodes2: bool = False,
        theme: str = "dark",
        language: str = "en",
        before: str = "",
    ) -> None:
        server.frontend_settings |= {
            "Comfy.VueNodes.Enabled": nodes2,
            "Comfy.ColorPalette": theme,
            "Comfy.Locale": language,
        }
        self.server = server
        self.nodes2 = nodes2
        self.context = browser.new_context(viewport={"width": 1500, "height": 900})
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self._said: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self._said.append(f"page error: {error}\n{error.stack or ''}"))
        if before:
            self.page.add_init_script(before)
        self.page.goto(server.url)
        self.page.wait_for_function(STARTED, timeout=40_000)
        self.page.wait_for_function(BEGUN)
        if server.has_pack:
            self.page.wait_for_function(f"{APP}.extensionManager.getSidebarTabs().some(tab => tab.id === '{TAB}')")
            self.page.wait_for_function(
                f"{APP}.extensionManager.command.commands.some(each => each.id === '{TAB}.models')"
            )

    def close(self) -> None:
        self.context.close()

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._said.append(f"{message.type}: {message.text} @ {message.location.get('url', '')}")

    def forgive(self, *words: str) -> None:
        """What the page said until now with such a word in it was expected."""
        self._said = [line for line in self._said if not any(word in line for word in words)]

    def complaints(self) -> list[str]:
        """Errors and warnings of the page that are ours; core logs a few of its own."""
        ours = ("civitai", FOLDER)
        return [line for line in self._said if any(word in line.lower() for word in ours) or "page error" in line]

    # --- what a person does

    def load(self, graph: dict[str, Any]) -> None:
        """Open a workflow in the saved form, or one in the API form."""
        # Twice for the API form: Nodes 2.0 mixes up nodes whose ids come again without a load of its own.
        self.page.evaluate(
            """async ([app, graph]) => {
              if (!graph.nodes) {
                await app.loadApiJson(graph, "");
                graph = JSON.parse(JSON.stringify(app.graph.serialize()));
              }
              await app.loadGraphData(graph);
            }""",
            [self.page.evaluate_handle(APP), graph],
        )
        self.page.evaluate(f"{APP}.extensionManager.command.execute('Comfy.Canvas.FitView')")
        self.settle()  # Nodes 2.0 mounts its nodes later

    def open_tab(self) -> Locator:
        """The tab's own element; opened as a person opens it."""
        self.page.locator(f".{TAB}-tab-button, button[aria-label^='Civitai']").first.click()
        return self.page.locator(".cb-panel")

    def evaluate(self, code: str, argument: Any = None) -> Any:
        """`code` is a function of `app` and one argument."""
        return self.page.evaluate(f"(argument) => ({code})({APP}, argument)", argument)

    def queue(self) -> None:
        """Press Ctrl+Enter, the key for Run."""
        self.page.locator("canvas#graph-canvas").focus()
        self.page.keyboard.press("Control+Enter")

    def until(self, is_so: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait for something that the server sees."""
        for _ in range(int(seconds / 0.05)):
            if is_so():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("it did not happen")

    def settle(self) -> None:
        """Long enough for what must not come."""
        self.page.wait_for_timeout(600)

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(path))
