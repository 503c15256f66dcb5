"""Every route of the page, and every event, stands in its documentation."""

from __future__ import annotations

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from pack_root import ROOT
from routes_room import Room

from pack.civitai_bridge.routes.downloads import EVENT
from pack.civitai_bridge.routes.page import PAGE_ROUTES

TEXT = (ROOT / "docs" / "page.md").read_text(encoding="utf-8")


ROUTES = [route for route in PAGE_ROUTES if not route.path.startswith("/civitai_bridge/link")]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_each_route_is_named(route):
    assert f"`{route.method} {route.path}`" in TEXT


@pytest.mark.parametrize("route", PAGE_ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_a_stranger_gets_nothing_of_any_of_them(room: Room, route):
    answer = await room.ask(route.method, route.path, {"Origin": "https://evil.example"})
    assert answer.status == 401 and set(answer.data) <= {"error", "code", "command"}


def test_the_events_are_named():
    source = (ROOT / "nodes" / "host" / "interrupt.py").read_text(encoding="utf-8")
    assert 'JOB_EVENT = "civitai_bridge.job"' in source and "`civitai_bridge.job`" in TEXT and f"`{EVENT}`" in TEXT
