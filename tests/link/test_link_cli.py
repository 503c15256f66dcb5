"""`civitai-bridge link …`: what a person types, against a sandbox in another thread."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from link_room import LORA, QUICK, content, sha256
from sandbox_ports import sandbox_with_ports_in_a_row

from pack.civitai_bridge.app import Tuning
from pack.civitai_bridge.cli import main
from pack.civitai_bridge.link.book import LinkBook
from pack.civitai_bridge.link.message import Command
from pack.civitai_bridge.link.pairing import PairingFile
from pack.civitai_bridge.link.questions import ask, open_questions
from pack.civitai_bridge.link.trash import trash
from pack.civitai_bridge.model_files.index import HashIndex
from pack.civitai_bridge.sandbox import Embedded

TUNING = Tuning(link=replace(QUICK, look=0.05))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CIVITAI_BRIDGE_MODELS", str(tmp_path / "models"))
    return tmp_path / "state"


@pytest.fixture
def embedded(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedded]:
    made = sandbox_with_ports_in_a_row()
    monkeypatch.setenv("CIVITAI_SITE_URL", made.sandbox.site_url)
    monkeypatch.setenv("CIVITAI_LINK_URL", made.sandbox.link_url)
    monkeypatch.setenv("CIVITAI_API_TOKEN", "a-key")
    yield made
    made.stop()


def do(embedded: Embedded, **wish: Any) -> Any:
    address = f"{embedded.sandbox.orchestration_url}/sandbox/link"
    request = urllib.request.Request(address, json.dumps(wish).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    code = main(["--json", "link", *words], tuning=TUNING)
    shown = capsys.readouterr()
    return code, json.loads(shown.out), shown.err


def test_a_code_is_exchanged_for_a_key_that_no_command_shows(
    embedded: Embedded, home: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(capsys, "status")[1]["state"] == "unpaired" and not (home / "link.sqlite3").exists()
    code = do(embedded, do="pair")["code"]
    assert run(capsys, "pair", code.upper(), "--wait", "10") == (0, {"status": "paired"}, "")
    key = PairingFile(home).load().key
    assert len(key) == 128
    status = run(capsys, "status")
    assert (status[1]["paired"], status[1]["state"]) == (True, "waiting") and key not in str(status)
    assert run(capsys, "unpair")[1] == {"status": "unpaired"} and run(capsys, "unpair")[1] == {"status": "not_paired"}
    assert not PairingFile(home).load()


def test_a_wrong_code_is_a_sentence_and_no_code_is_asked_about(
    embedded: Embedded, home: Path, capsys: pytest.CaptureFixture[str]
):
    embedded.sandbox.link.script.switch("unknown_key", "refuse")
    code, answer, _ = run(capsys, "pair", "abcdef", "--wait", "10")
    assert code == 2 and "not taken" in answer["error"]["message"] and "Invalid key" in answer["error"]["message"]
    assert not PairingFile(home).load()
    assert run(capsys, "pair", "nonsense")[0] == 2 and run(capsys, "run")[0] == 2
    assert run(capsys, "pair", "abcdef", "--wait", "0") == (0, {"status": "entered"}, "")


def test_run_adds_without_comfyui_until_it_is_stopped(
    embedded: Embedded, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    PairingFile(home).enter(do(embedded, do="pair")["code"])
    assert main(["settings", "link_keep_free_gb", "0"]) == 0
    ended: list[int] = []
    thread = threading.Thread(target=lambda: ended.append(main(["link", "run"], tuning=TUNING)))
    thread.start()
    try:
        wait_until_linked(embedded)
        (name,) = do(embedded, do="add", versions=[LORA])["ids"]
        end = do(embedded, do="wait", id=name, seconds=15)
        listed = LinkBook(home / "link.sqlite3")
        lines = listed.lines()
        listed.close()
    finally:
        PairingFile(home).forget_all()  # in this process: the agent leaves
        thread.join(20)
    assert end.get("error") is None and (tmp_path / "models/loras/storybookLight_v2.safetensors").is_file()
    assert ended == [0] and any(line.type == "resources:add" for line in lines)


def wait_until_linked(embedded: Embedded) -> None:
    for _ in range(200):
        if do(embedded, do="state")["linked"]:
            return
        time.sleep(0.05)
    raise AssertionError("the agent did not come")


def test_log_questions_and_trash_are_read_and_answered(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = tmp_path / "models" / "loras"
    root.mkdir(parents=True)
    (root / "ink.safetensors").write_bytes(content(LORA))
    book = LinkBook(home / "link.sqlite3")
    book.begin(Command("a", "resources:add"), "LORA Ink")
    ask(book, "a", "Load Ink?")
    trash(book, root, root / "ink.safetensors", folder="loras", name="ink.safetensors", sha256=sha256(LORA))
    book.close()
    (line,) = run(capsys, "log")[1]
    assert (line["type"], line["subject"], line["outcome"]) == ("resources:add", "LORA Ink", "asked")
    assert run(capsys, "status")[1]["questions"][0]["sentence"] == "Load Ink?"
    assert run(capsys, "allow", "1")[1] == {"status": "allowed", "number": 1}
    assert run(capsys, "deny", "1")[0] == 2
    book = LinkBook(home / "link.sqlite3")
    assert open_questions(book) == []
    book.close()
    (removed,) = run(capsys, "trash", "list")[1]
    assert removed["name"] == "ink.safetensors" and "path" not in removed
    assert run(capsys, "trash", "empty")[0] == 2  # deletes nothing without being told
    assert run(capsys, "trash", "restore", "1")[0] == 0 and (root / "ink.safetensors").exists()
    index = HashIndex(home / "hashes.sqlite3")
    assert [file.name for file in index.files().by_hash[sha256(LORA)]] == ["ink.safetensors"]
    index.close()
    assert run(capsys, "trash", "restore", "1")[0] == 2 and run(capsys, "trash", "list")[1] == []
    assert run(capsys, "trash", "empty", "--yes")[1] == {"freed": 0}
    for words in (["log"], ["status"], ["trash", "list"]):
        assert main(["link", *words]) == 0
    shown = capsys.readouterr().out
    assert "LORA Ink" in shown and "Not linked" in shown and "The trash is empty." in shown
