"""`doctor` from end to end: on the sandbox, without a key, with a service that is away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from pack.civitai_bridge.cli import main


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Topic and state of each finding; of several the worst."""
    listed = json.loads(capsys.readouterr().out)["findings"]
    order = ("ok", "warning", "trouble")
    worst: dict[str, str] = {}
    for finding in listed:
        topic, state = finding["topic"], finding["state"]
        worst[topic] = max(worst.get(topic, "ok"), state, key=order.index)
    return worst


def test_all_is_well_on_the_sandbox(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CIVITAI_BRIDGE_SANDBOX", "1")
    assert main(["--json", "doctor"]) == 0
    assert findings(capsys) == {"versions": "ok", "settings": "ok", "answer": "ok", "key": "ok"}


def test_a_service_that_is_away_and_a_misspelt_setting_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    for name in ("CIVITAI_SITE_URL", "CIVITAI_ORCHESTRATION_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "settings.json").write_text('{"limit_buzz_per_dy": 1}')
    assert main(["--json", "doctor"]) == 4
    assert findings(capsys) == {"versions": "ok", "settings": "warning", "connection": "trouble", "key": "warning"}


def test_a_damaged_file_is_named_and_the_rest_is_looked_at(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("CIVITAI_BRIDGE_SANDBOX", "1")
    (tmp_path / "state" / "sandbox").mkdir(parents=True)
    (tmp_path / "state" / "sandbox" / "settings.json").write_text("{")
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "TROUBLE  settings" in shown and "ok       answer" in shown
