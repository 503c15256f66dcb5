"""Every route of the page, and every event, stands in its documentation."""

from __future__ import annotations

import pytest

pytest.importorskip("aiohttp")

from pack_root import ROOT

from pack.civitai_bridge.routes.downloads import EVENT
from pack.civitai_bridge.routes.page import PAGE_ROUTES

TEXT = (ROOT / "docs" / "page.md").read_text(encoding="utf-8")


ROUTES = [
    route for route in PAGE_ROUTES if not route.path.startswith("/civitai_bridge/link")
]  # docs/link.md tells of those


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_each_route_is_named(route):
    assert f"`{route.method} {route.path}`" in TEXT


def test_the_events_are_named():
    source = (ROOT / "nodes" / "host" / "interrupt.py").read_text(encoding="utf-8")
    assert 'JOB_EVENT = "civitai_bridge.job"' in source and "`civitai_bridge.job`" in TEXT and f"`{EVENT}`" in TEXT
