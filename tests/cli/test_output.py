"""What the command line writes: in any encoding, without the key, without what a terminal would obey."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from pack.civitai_bridge.cli.context import as_json
from pack.civitai_bridge.sandbox import Embedded, Sandbox

ROOT = Path(__file__).resolve().parents[2]
KEY = "a-secret-key-of-thirty-two-letters"
ORDER = ("generate", "--model", "128078", "--prompt", "x", "--width", "512", "--height", "512", "--yes")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = Embedded(pace=0.02)
    yield made.sandbox
    made.stop()


def run(sandbox: Sandbox, tmp_path: Path, *words: str, encoding: str = "utf-8") -> subprocess.CompletedProcess[bytes]:
    environ = {
        **os.environ,
        "CIVITAI_ORCHESTRATION_URL": sandbox.orchestration_url,
        "CIVITAI_SITE_URL": sandbox.site_url,
        "CIVITAI_API_TOKEN": KEY,
        "CIVITAI_BRIDGE_HOME": str(tmp_path / "state"),
        "PYTHONIOENCODING": encoding,
    }
    command = [sys.executable, str(ROOT / "civitai_bridge"), *words]
    return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, timeout=60)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_name_that_the_terminal_cannot_write_is_escaped(sandbox: Sandbox, tmp_path: Path, encoding: str):
    words = ("settings", "catalog_folder", str(tmp_path / "模型 🙂"))
    spoken = run(sandbox, tmp_path, *words, encoding=encoding)
    assert spoken.returncode == 0 and b"\\u6a21" in spoken.stdout and b"Traceback" not in spoken.stderr
    document = run(sandbox, tmp_path, "settings", "catalog_folder", "--json", encoding=encoding)
    assert json.loads(document.stdout)["catalog_folder"].endswith("模型 🙂")
    document.stdout.decode("ascii")
    for help_of in ((), ("generate",), ("catalog",)):
        assert run(sandbox, tmp_path, *help_of, "--help", encoding=encoding).returncode == 0


def test_a_key_that_the_service_repeats_is_cut_out(sandbox: Sandbox, tmp_path: Path):
    sandbox.script.fault("submit", "status", status=400, body={"detail": f"the key {KEY} is odd"})
    done = run(sandbox, tmp_path, *ORDER)
    assert done.returncode == 1 and b"[key] is odd" in b" ".join(done.stderr.split())
    sandbox.script.fault("site", "status", status=400, times=5, body={"error": f"{KEY}!"})
    assert run(sandbox, tmp_path, "resolve", "300003", "--json").returncode == 1
    listed = run(sandbox, tmp_path, "journal", "list", "--json")
    kept = [path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert not any(KEY.encode() in text for text in (done.stdout, done.stderr, listed.stdout, *kept))
    sandbox.script.faults.clear()


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither /dev/full nor a shell that closes a stream")
def test_a_stdout_that_takes_nothing_is_no_traceback(tmp_path: Path):
    line = f'"{sys.executable}" "{ROOT / "civitai_bridge"}"'

    def typed(words: str, unbuffered: str = "") -> subprocess.CompletedProcess[bytes]:
        environ = {**os.environ, "CIVITAI_BRIDGE_HOME": str(tmp_path), "PYTHONUNBUFFERED": unbuffered}
        return subprocess.run(["sh", "-c", f"{line} {words}"], env=environ, cwd=tmp_path, capture_output=True)

    for words, unbuffered in (("nonsense --json", ""), ("journal list --json", "1")):
        full = typed(f"{words} >/dev/full", unbuffered)
        assert full.returncode == 1 and full.stderr.startswith(b"civitai-bridge: The output cannot be written")
        assert full.stderr.count(b"\n") == 1
    closed = typed("journal list >&- <&-")
    assert (closed.returncode, closed.stderr) == (0, b"")


@pytest.mark.skipif(os.name == "nt", reason="a shell's pipes")
def test_an_order_whose_talk_nobody_reads_any_more_goes_on_to_its_files(sandbox: Sandbox, tmp_path: Path):
    environ = {
        **os.environ, "CIVITAI_ORCHESTRATION_URL": sandbox.orchestration_url, "CIVITAI_SITE_URL": sandbox.site_url,
        "CIVITAI_API_TOKEN": "another", "CIVITAI_BRIDGE_HOME": str(tmp_path / "state"),
    }  # fmt: skip
    command = [sys.executable, str(ROOT / "civitai_bridge"), *ORDER, "--output", "out"]
    with subprocess.Popen(
        command, env=environ, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as typed:
        assert typed.stdout is not None
        typed.stdout.read(1)
        typed.stdout.close()
        assert typed.wait() == 0
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_numbers_that_json_has_not_are_null():
    assert json.loads(as_json({"a": [math.nan, (1.5, math.inf)], "b": 2})) == {"a": [None, [1.5, None]], "b": 2}
