"""Every route of the page, and every event, stands in its documentation."""

from __future__ import annotations

import pytest

pytest.importorskip("aiohttp")

from pack_root import ROOT

from pack.civitai_bridge.routes.downloads import EVENT
from pack.civitai_bridge.routes.page import PAGE_ROUTES

TEXT = (ROOT / "docs" / "page.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("route", PAGE_ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_each_route_is_named(route):
    assert f"`{route.method} {route.path}`" in TEXT


def test_the_events_are_named():
    source = (ROOT / "nodes" / "host" / "interrupt.py").read_text(encoding="utf-8")
    assert 'JOB_EVENT = "civitai_bridge.job"' in source and "`civitai_bridge.job`" in TEXT and f"`{EVENT}`" in TEXT
