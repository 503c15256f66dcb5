"""check-graph: both forms of a graph and a picture that holds one, as text and as JSON; what is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from made_files import chunk, png
from pack_root import ROOT

from pack.civitai_bridge.cli import main

TEMPLATE = ROOT / "example_workflows" / "CivitAI image to the fleet.json"
PROMPT = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "nowhere.safetensors"}},
    "2": {"class_type": "CivitaiBridgeGenerate", "inputs": {"model": "128078", "max_buzz": 40, "engine": "auto"}},
    "3": {"class_type": "CivitaiBridgeSaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "boats"}},
}


def check(capsys: pytest.CaptureFixture[str], path: Path, *words: str) -> tuple[int, str]:
    code = main(["check-graph", str(path), "--offline", *words])
    return code, capsys.readouterr().out


def test_a_prompt_a_workflow_and_a_picture_are_told_alike(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    graph, sent, picture = tmp_path / "graph.json", tmp_path / "sent.json", tmp_path / "picture.png"
    graph.write_text(json.dumps(PROMPT))
    sent.write_text(json.dumps({"prompt": PROMPT, "client_id": "x"}))
    picture.write_bytes(png(chunk(b"tEXt", b"prompt\0" + json.dumps(PROMPT).encode())))
    answers = [json.loads(check(capsys, path, "--json")[1]) for path in (graph, sent, picture)]
    assert answers[0] == answers[1] == answers[2]
    assert (answers[0]["most_buzz"], answers[0]["missing"], answers[0]["asks"]) == (40, 1, True)
    code, text = check(capsys, graph)
    assert code == 0 and "at most 40 Buzz (auto, 128078)" in text and "boats" in text
    assert "nowhere.safetensors (checkpoint, node 1): NOT HERE" in text and "orchestration.civitai.com" in text


def test_a_saved_workflow_is_read_by_its_widgets(capsys: pytest.CaptureFixture[str]):
    answer = json.loads(check(capsys, TEMPLATE, "--json")[1])
    assert (answer["most_buzz"], [node["type"] for node in answer["paying"]]) == (100, ["CivitaiBridgeGenerate"])


def test_a_strangers_names_cannot_drive_a_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    path = tmp_path / "graph.json"
    name = "\x1b[2J\x1b]0;owned\x07x.safetensors"
    graph = {"1": {"class_type": "CivitaiBridgeGenerate", "inputs": {"model": name}, "_meta": {"title": "\x1b[31mred"}},
             "2": {"class_type": "VAELoader", "inputs": {"vae_name": name}}}  # fmt: skip
    path.write_text(json.dumps(graph))
    code, text = check(capsys, path)
    assert code == 0 and "\x1b" not in text and "\x07" not in text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"a": 1}', b"\xff\xfe\x00\x01", b"[" * 5000])
def test_what_is_no_graph_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert main(["--json", "check-graph", str(path)]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "bad_input"
    assert main(["check-graph", str(tmp_path / "nothing")]) == 2
