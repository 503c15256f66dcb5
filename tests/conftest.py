"""One way in: the pack's root is loaded once as package `pack`, by the recipe of ComfyUI's own loader."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from pack_root import load_pack

if "pack" not in sys.modules:
    load_pack("pack")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the developer's key, addresses, proxies or state folder."""
    for name in list(os.environ):
        if name.startswith("CIVITAI_") or name.lower() in {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("CIVITAI_BRIDGE_HOME", str(tmp_path / "state"))


@pytest.fixture
def fleet():
    from fake_service import FakeService

    return FakeService()


@pytest.fixture
def make(fleet, tmp_path: Path):
    """Makes Bridges on one state folder and one fleet; all closed at the end."""
    from fake_service import Servers

    servers = Servers(fleet, tmp_path / "state")
    yield servers
    servers.close()


@pytest.fixture
def bridge(make):
    return make()
