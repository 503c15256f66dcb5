"""The real frontend in Chromium, on a small server of our own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")
pytest.importorskip("playwright")

from chromium import launched
from comfy_page import ComfyPage
from frontends import VERSIONS, frontend
from page_server import PageServer
from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    yield from launched()


@pytest.fixture(scope="module", params=[VERSIONS[1]])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """A server with the frontend of core 0.33.0; `server` may be parametrized with other versions."""
    with PageServer(frontend(request.param), tmp_path_factory.mktemp("page")) as server:
        yield server


@pytest.fixture
def comfy(server: PageServer, browser: Browser, request: pytest.FixtureRequest) -> Iterator[ComfyPage]:
    """A fresh page on that server, in the canvas that the parameter names (`nodes2`); its own errors fail the test."""
    server.forget()
    options: dict[str, Any] = getattr(request, "param", {})
    page = ComfyPage(browser, server, **options)
    yield page
    page.close()
    assert page.complaints() == []
