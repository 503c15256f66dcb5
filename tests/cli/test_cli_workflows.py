"""The commands that list an account's work, and what all that read it refuse, on a sandbox."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

import work_page
from work_room import Shell, put

from pack.civitai_bridge.cli.context import write_out
from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.made import fill
from pack.civitai_bridge.sandbox.users import user_id

ROOT = Path(__file__).resolve().parents[2]


def test_every_command_of_the_description_prints_what_the_page_shows(tmp_path: Path):
    with work_page.furnished() as (sandbox, key):
        blocks = work_page.run_all(sandbox, key, tmp_path)
    assert work_page.page_with(blocks) == work_page.PAGE.read_text(encoding="utf-8"), (
        "run: python3 tests/cli/work_page.py"
    )


# --- lists ------------------------------------------------------------------------------------------------------------


def test_a_page_names_the_command_for_the_next_which_works_as_it_stands(sandbox: Sandbox, shell: Shell, key: str):
    for number in range(5):
        put(sandbox, key, {}, tags=["it's a tag", "b"], createdAt=f"2024-01-20T10:0{number}:00Z", id=f"w{number}")
    page = shell("workflows", "--tag=it's a tag", "--from=2024-01-20", "--to", "2024-01-20", "--take=3", "--json")
    assert [each["id"] for each in page.data["workflows"]] == ["w4", "w3", "w2"]
    rest = shell(*shlex.split(page.data["next_command"])[1:], "--json")
    assert [each["id"] for each in rest.data["workflows"]] == ["w1", "w0"] and rest.data["next_cursor"] == ""
    refused = shell("workflows", "--tag=b", f"--cursor={page.data['next_cursor']}")
    assert refused.code == 1 and "another query" in refused.err
    rows = shell("workflows", "--tag=b", "--take=3", "--csv")
    (more,) = (line for line in rows.err.splitlines() if line.startswith("More: "))
    assert shell(*shlex.split(more)[2:]).out.splitlines()[-1].startswith("w0,")


def test_everything_is_one_document_and_csv_has_no_formula(sandbox: Sandbox, shell: Shell, key: str):
    fill(sandbox.orchestrator, str(user_id(key)), count=250)
    put(sandbox, key, {}, id="last", createdAt="2020-01-01T00:00:00Z", metadata={})
    everything = shell("workflows", "--all", "--json")
    assert len({each["id"] for each in everything.data["workflows"]}) == 251
    assert everything.data["next_cursor"] == "" and "error" not in everything.data
    run = next(run for run in sandbox.orchestrator.runs.values() if run.id == "last")
    run.data["steps"][0]["input"]["prompt"] = '=HYPERLINK("http://x")'
    rows = shell("workflows", "--all", "--csv").out.splitlines()
    assert rows[0].startswith("id,status,created_at") and len(rows) == 252
    assert "'=HYPERLINK" in rows[-1]
    assert shell("workflows", "--csv", "--json").code == 2


def test_trouble_in_the_middle_leaves_one_valid_document_that_says_how_to_go_on(
    sandbox: Sandbox, shell: Shell, key: str
):
    fill(sandbox.orchestrator, str(user_id(key)), count=220)
    sandbox.script.fault("list", "slow", seconds=0)
    sandbox.script.fault("list", "status", status=400, body={"title": "no", "status": 400})
    broken = shell("workflows", "--all", "--json")
    assert broken.code == 1 and len(broken.data["workflows"]) == 100
    assert broken.data["error"]["code"] == "bad_request" and "--all" in broken.data["next_command"]
    rest = shell(*shlex.split(broken.data["next_command"])[1:], "--json")
    ids = {each["id"] for each in (*broken.data["workflows"], *rest.data["workflows"])}
    assert len(ids) == 220


def test_a_reader_that_goes_away_is_no_trouble(sandbox: Sandbox, key: str, tmp_path: Path):
    fill(sandbox.orchestrator, str(user_id(key)), count=220)
    command = [sys.executable, "-m", "civitai_bridge", "workflows", "--all", "--json"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo terminals of this kind")
def test_a_bar_on_the_terminal_takes_nothing_of_what_goes_into_a_file(sandbox: Sandbox, key: str, tmp_path: Path):
    import pty

    fill(sandbox.orchestrator, str(user_id(key)), count=220)
    command = [sys.executable, "-m", "civitai_bridge", "workflows", "--all", "--json"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "PYTHONUNBUFFERED": ""}
    terminal, end = pty.openpty()
    with open(tmp_path / "all.json", "wb") as file:
        with subprocess.Popen(command, stdout=file, stderr=end, stdin=end, env=environ) as process:
            os.close(end)
            shown = b""
            with contextlib.suppress(OSError):  # how a terminal ends on Linux
                while chunk := os.read(terminal, 65536):
                    shown += chunk
            assert process.wait() == 0
    os.close(terminal)
    assert b"220 workflows" in shown and b"lighthouse" not in shown
    assert len(json.loads((tmp_path / "all.json").read_bytes())["workflows"]) == 220


def test_a_filter_that_the_service_ignores_is_kept_here_and_said(sandbox: Sandbox, shell: Shell, key: str):
    sandbox.script.switch("ignored_filters", ("fromDate", "toDate", "excludeFailed", "ascending"))
    put(sandbox, key, {}, id="in", createdAt="2024-01-20T10:00:00Z")
    put(sandbox, key, {}, id="out", createdAt="2024-01-22T10:00:00Z")
    put(sandbox, key, {}, id="bad", createdAt="2024-01-20T11:00:00Z", status="failed")
    done = shell("workflows", "--from=2024-01-20", "--to=2024-01-20", "--exclude-failed", "--oldest", "--json")
    assert [each["id"] for each in done.data["workflows"]] == ["in"]
    notes = " ".join(done.data["notes"])
    assert "ignored --from and --to" in notes and "ignored --excludeFailed" in notes and "--oldest" in notes
    failed = shell("workflows", "--status", "failed", "--json")
    assert [each["id"] for each in failed.data["workflows"]] == ["bad"]
    assert "no status that is known" in shell("workflows", "--status=done").err


REFUSED = [
    (("workflows", "--take", "0"), 2, "--take is 0"),
    (("workflows", "--take=99999"), 2, "between 1 and 200"),
    (("user", "1", "--take=11"), 2, "between 1 and 10"),
    (("workflows", "--from=2024-02-30"), 2, "--from"),
    (("workflows", "--from=2024-01-22", "--to=2024-01-20"), 2, "nothing can lie between"),
    (("user", "a/b"), 2, "number"),
    (("workflow", "a/b"), 2, "no workflow id"),
    (("workflow", ""), 2, "empty"),
    (("workflow", "../../v2"), 2, "no workflow id"),
    (("step", "w", "a/b"), 2, "no name of a step"),
    (("job", "a?b"), 2, "no job id"),
    (("blob", "a b"), 2, "no blob id"),
    (("results", "a%2Fb"), 2, "no workflow id"),
    (("workflow", "w", "--wait", "--timeout=0"), 2, "--timeout"),
    (("workflow", "abc123-def456"), 1, "Workflow not found"),
    (("results", "abc123-def456"), 1, "Workflow not found"),
    (("step", "abc123-def456", "gen"), 1, "Workflow not found"),
    (("blob", "JNFDW54JNTATNW42HACYCWSQP0.jpeg"), 1, "Blob not found"),
    (("job", "58de87d7-d594-4d71-ae43-dd8fc1bcbd23"), 1, "civitai-bridge step WORKFLOW NAME"),
    (("user", "12345"), 1, "civitai-bridge workflows"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "sentence"), REFUSED, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_what_cannot_be_is_refused_in_a_sentence(
    words: tuple[str, ...], code: int, sentence: str, shell: Shell, sandbox: Sandbox
):
    said = shell(*words)
    assert said.code == code and sentence in said.err and "Traceback" not in said.err
    assert code == 1 or sandbox.requests == []  # refused before anything was asked
    as_json = shell(*words, "--json")
    assert as_json.code == code and sentence in as_json.data["error"]["message"]


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (401, 3, "Invalid or expired token"),
        (404, 1, "Workflow not found"),
        (422, 1, "Invalid parameters"),
        (400, 1, "Invalid parameters"),
        (429, 1, "Rate limited: CivitAI asks for fewer requests; wait 40 s before retrying"),
    ],
)
def test_errors_have_the_words_of_the_description(
    status: int, code: int, sentence: str, shell: Shell, sandbox: Sandbox
):
    body = {"title": "x", "status": status, "detail": "Because."}
    kind = {"after": "40"} if status == 429 else {"status": status, "body": body}
    sandbox.script.fault("poll", "limit" if status == 429 else "status", **kind)
    said = shell("workflow", "abc")
    assert said.code == code and sentence in said.err


def test_a_wrong_key_names_where_it_comes_from(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CIVITAI_API_TOKEN", "expired")
    for words in (("workflows",), ("workflow", "x"), ("user", "5"), ("job", "x"), ("blob", "x")):
        said = shell(*words)
        assert said.code == 3 and "CIVITAI_API_TOKEN" in said.err, words
    monkeypatch.delenv("CIVITAI_API_TOKEN")
    assert shell("workflows").code == 3


def test_the_file_of_variables_of_a_folder_is_never_read(shell: Shell, sandbox: Sandbox, tmp_path: Path):
    for place in (tmp_path, tmp_path / ".claude" / "skills" / "civitai-orchestration"):
        place.mkdir(parents=True, exist_ok=True)
        (place / ".env").write_text("CIVITAI_API_TOKEN=stolen\nCIVITAI_API_URL=http://127.0.0.1:9\n")
    assert shell("workflows").code == 0
    assert all("stolen" not in str(seen.headers) for seen in sandbox.requests)


class _TakesAFew(io.RawIOBase):
    """A pipe that is written to without a buffer, and where each write ends early, as a signal makes it."""

    def __init__(self) -> None:
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.content += bytes(data[:7])
        return min(7, len(data))


def test_a_write_that_ends_early_loses_nothing(monkeypatch: pytest.MonkeyPatch):
    pipe = _TakesAFew()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe, encoding="utf-8", write_through=True))  # type: ignore[arg-type]
    write_out("a line that is längër than seven\n")
    assert pipe.content.decode() == "a line that is längër than seven" + os.linesep
