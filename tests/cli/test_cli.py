"""The command line from end to end: real arguments, real exit codes, a sandbox on loopback behind them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from work_room import Shell, Terminal

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from pack.civitai_bridge.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
ORDER = ("generate", "--model", "128078", "--prompt", "a lighthouse at dusk", "--width", "512", "--height", "512")


def debits(sandbox: Sandbox) -> int:
    return sum(entry.amount for entry in sandbox.ledger if entry.kind == "debit")


def orders(sandbox: Sandbox) -> int:
    return sum(1 for seen in sandbox.requests if seen.route == "submit")


# --- generate -----------------------------------------------------------------------------------------------------


def test_generate_leaves_pictures_and_says_what_they_cost(sandbox: Sandbox, shell: Shell) -> None:
    done = shell(*ORDER, "--quantity", "2", "--seed", "7", "--lora", "300001=0.6", "--max-buzz", "100",
                 "--output", "pictures", "--json")  # fmt: skip
    assert done.code == 0
    assert done.data["air"] == "urn:air:sdxl:checkpoint:civitai:101055@128078"
    assert done.data["status"] == "succeeded"
    assert done.data["cost"] == debits(sandbox) > 0
    assert done.data["seed"] == 7
    assert {"air", "workflow_id", "status", "cost", "seed", "blob_urls", "files"} <= set(done.data)
    assert len(done.data["blob_urls"]) == len(done.data["files"]) == 2
    names = [Path(file).name for file in done.data["files"]]
    assert names == [f"{done.data['workflow_id']}_{i}_{7 + i}.png" for i in range(2)]
    for file in done.data["files"]:
        with Image.open(file) as image:
            assert image.size == (512, 512)


def test_a_repeat_is_answered_from_what_was_bought_and_overwrites_nothing(sandbox: Sandbox, shell: Shell) -> None:
    first = shell("--json", *ORDER, "--yes")
    second = shell("--json", *ORDER, "--yes")
    first_document, second_document = json.loads(first.out), json.loads(second.out)
    assert orders(sandbox) == 1
    assert second_document["paid_now"] is False
    assert not set(first_document["files"]) & set(second_document["files"])
    again = shell(*ORDER, "--yes", "--no-reuse", "--json")
    assert again.data["paid_now"] is True and orders(sandbox) == 2


def test_without_a_terminal_the_price_needs_an_answer(sandbox: Sandbox, shell: Shell) -> None:
    done = shell(*ORDER)
    assert done.code == 5 and "--yes" in done.err and "--max-buzz" in done.err
    assert orders(sandbox) == 0


@pytest.mark.parametrize(("answer", "code", "bought"), [("y", 0, 1), ("n", 5, 0), ("", 5, 0)])
def test_on_a_terminal_the_price_is_shown_and_asked(
    sandbox: Sandbox, shell: Shell, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, bought: int
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    done = shell(*ORDER, stdin=Terminal(f"{answer}\n"))
    assert done.code == code and "Buzz" in done.err and orders(sandbox) == bought


def test_an_estimate_buys_nothing(sandbox: Sandbox, shell: Shell) -> None:
    done = shell(*ORDER, "--estimate", "--json")
    assert done.code == 0 and done.data["cost"] > 0 and done.data["affordable"] is True
    assert orders(sandbox) == 0


def test_an_image_goes_along(sandbox: Sandbox, shell: Shell, tmp_path: Path) -> None:
    Image.new("RGB", (256, 256), (20, 90, 160)).save(tmp_path / "source.jpg")
    done = shell(*ORDER, "--image", str(tmp_path / "source.jpg"), "--denoise", "0.5", "--yes", "--json")
    assert done.code == 0
    body = json.loads(next(seen.body for seen in sandbox.requests if seen.route == "submit"))
    assert body["steps"][0]["input"]["operation"] == "createVariant"


def test_a_folder_that_cannot_be_written_loses_nothing(sandbox: Sandbox, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    done = shell(*ORDER, "--yes", "--output", "taken")
    assert done.code == 1 and "Nothing was bought" in done.err and orders(sandbox) == 0
    assert shell(*ORDER, "--yes", "--output", "free").code == 0
    assert orders(sandbox) == 1


def test_words_of_the_service_never_become_a_path(tmp_path: Path) -> None:
    from pack.civitai_bridge.orchestration.saving import save_pictures

    kept = tmp_path / "kept.png"
    kept.write_bytes(b"bytes")
    picture = SimpleNamespace(index=0, seed=1, path=kept, format="png")
    (file,) = save_pictures("../../etc/x", [picture], tmp_path / "out")
    assert file.parent == tmp_path / "out" and file.read_bytes() == b"bytes"


# --- bad input: its own sentence, its own exit code, nothing bought ------------------------------------------------

BAD = [
    (("--model", "999999999"), 1, "not_found", "999999999"),
    (("--model", "ABCDEF0123"), 1, "not_found", "abcdef0123"),
    (("--model", "300009"), 1, "not_found", "300009"),
    (("--model", "300007"), 2, "not_generatable", "Only To Look At"),
    (("--model", "300015"), 2, "unknown_variant", "SD 2.1"),
    (("--model", "urn:air:sdxl:checkpoint:huggingface:stabilityai/sdxl"), 2, "bad_input", "huggingface"),
    (("--model", "hello there"), 2, "unknown_reference", "hello there"),
    (("--lora", "300003=0.5"), 2, "wrong_family", "SD 1.5"),
    (("--lora", "300001=much"), 2, "bad_input", "REF=STRENGTH"),
    (("--prompt", ""), 2, None, "prompt"),
    (("--prompt", "word " * 20_000), 2, None, "prompt"),
    (("--steps", "100000"), 2, "field_refused", "steps"),
    (("--sampler", "no_such_sampler"), 2, "unknown_label", "no_such_sampler"),
    (("--engine", "no/such"), 2, "unknown_variant", "no/such"),
    (("--image", "no-such-file.png"), 2, "not_a_picture", "no-such-file.png"),
    (("--max-buzz", "1"), 5, "too_expensive", "max_buzz"),
    (("--max-buzz", "0"), 5, "too_expensive", "max_buzz"),
    (("--max-buzz", "-1"), 2, "wrong_usage", "0 or more"),
    (("--image", "a.png", "--image", "b.png"), 2, "bad_input", "2 times"),
    (("--mature", "allowed"), 2, "bad_input", "mature_content"),
]


@pytest.mark.parametrize(("options", "exit_code", "code", "word"), BAD, ids=lambda v: str(v)[:40])
def test_bad_input_has_its_own_sentence(
    sandbox: Sandbox, shell: Shell, options: tuple[str, ...], exit_code: int, code: str | None, word: str
) -> None:
    done = shell(*ORDER, "--yes", *options, "--json")
    assert done.code == exit_code, done.out
    assert set(done.data["error"]) == {"code", "message"}
    assert code is None or done.data["error"]["code"] == code
    assert word in done.data["error"]["message"]
    spoken = shell(*ORDER, "--yes", *options)
    assert spoken.code == exit_code and word in spoken.err and not spoken.out and "Traceback" not in spoken.err
    assert orders(sandbox) == 0 and not sandbox.ledger


def test_an_image_that_is_no_image_is_refused(sandbox: Sandbox, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "note.png").write_text("not a picture")
    done = shell(*ORDER, "--image", str(tmp_path / "note.png"), "--yes", "--json")
    assert done.code == 2 and done.data["error"]["code"] == "not_a_picture"
    assert not sandbox.requests


def test_a_wallet_that_is_too_small_buys_nothing(sandbox: Sandbox, shell: Shell) -> None:
    opening = sandbox.bank.opening
    sandbox.bank.opening = {"blue": 1, "green": 0, "yellow": 0}
    sandbox.bank.balances.clear()
    try:
        done = shell(*ORDER, "--yes", "--json")
    finally:
        sandbox.bank.opening = opening
        sandbox.bank.balances.clear()
    assert done.code == 1 and done.data["error"]["code"] == "out_of_buzz"
    assert orders(sandbox) == 0


def test_a_limit_of_the_settings_holds_here_too(sandbox: Sandbox, shell: Shell) -> None:
    assert shell("settings", "limit_buzz_per_day", "1").code == 0
    done = shell(*ORDER, "--yes", "--json")
    assert done.code == 5 and done.data["error"]["code"] == "limit_reached" and orders(sandbox) == 0


def test_no_key_is_told_before_anything_is_sent(
    sandbox: Sandbox, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CIVITAI_API_TOKEN")
    done = shell(*ORDER, "--yes", "--json")
    assert done.code == 3 and done.data["error"]["code"] == "no_key"
    assert "civitai-bridge login" in done.data["error"]["message"] and not sandbox.requests


def test_a_wrong_key_and_a_service_that_is_not_there_have_their_codes(
    sandbox: Sandbox, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIVITAI_API_TOKEN", "wrong")
    assert shell("test").code == 3
    monkeypatch.setenv("CIVITAI_SITE_URL", "http://127.0.0.1:9")
    done = shell("resolve", "128078", "--json")
    assert done.code == 4 and done.data["error"]["code"] == "unreachable"


def test_a_job_that_fails_says_why(sandbox: Sandbox, shell: Shell) -> None:
    sandbox.script.job(end="failed", reason="no_provider_available")
    done = shell(*ORDER, "--yes", "--json")
    assert done.code == 1 and done.data["error"]["code"] == "workflow_failed"
    assert "no worker" in done.data["error"]["message"]


def test_wrong_usage_is_2_with_json_too(bare_shell: Shell) -> None:
    assert bare_shell("generate").code == 2
    assert bare_shell("no-such-command").code == 2
    done = bare_shell("generate", "--model", "1", "--json")
    assert done.code == 2 and done.data["error"]["code"] == "wrong_usage"


# --- the other commands --------------------------------------------------------------------------------------------


def test_resolve_tells_who_a_reference_is(sandbox: Sandbox, shell: Shell) -> None:
    done = shell("resolve", "https://civitai.com/models/300000?modelVersionId=300001", "--json")
    assert done.code == 0
    assert done.data["air"] == "urn:air:sdxl:lora:civitai:300000@300001"
    assert done.data["trigger_words"] == ["storybook light", "soft glow"]
    assert "storybook light" in shell("resolve", "300001").out
    assert shell("resolve", "999999999").code == 1


def test_resolve_lists_every_file_of_a_version(sandbox: Sandbox, shell: Shell) -> None:
    files = json.loads(shell("resolve", "300027", "--json").out)["files"]
    assert [(file["type"], file["folder"]) for file in files] == [
        ("Diffusion Model", "diffusion_models"), ("Text Encoder", "text_encoders"), ("VAE", "vae"), ("Config", "configs"),
    ]  # fmt: skip
    assert all({"id", "name", "size_kb", "format", "precision"} <= file.keys() for file in files)
    text = shell("resolve", "300027").out
    assert f"File {files[1]['id']}: {files[1]['name']}" in text and "-> text_encoders" in text


def test_login_reads_the_key_from_stdin_and_shows_it_nowhere(
    bare_shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIVITAI_BRIDGE_HOME", str(tmp_path / "state"))
    done = bare_shell("login", stdin="a-secret-word\n")
    assert done.code == 0 and "a-secret-word" not in done.out + done.err
    file = tmp_path / "state" / "credentials.json"
    assert json.loads(file.read_text())["key"] == "a-secret-word"
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "a-secret-word" not in bare_shell("settings").out
    assert bare_shell("logout", "--json").data == {"removed": True}
    assert bare_shell("logout", "--json").data == {"removed": False}
    assert bare_shell("login", stdin="\n").code == 2
    assert bare_shell("login", "a-secret-word").code == 2


@pytest.mark.parametrize("address", ["http://me:SECRET@proxy:3128", "me:SECRET@proxy:3128"])
def test_the_password_of_a_proxy_is_not_shown(address: str, bare_shell: Shell) -> None:
    for words in (("settings", "proxy", address), ("settings", "proxy"), ("settings",)):
        for result in (bare_shell(*words), bare_shell(*words, "--json")):
            assert result.code == 0 and "proxy:3128" in result.out and "SECRET" not in result.out


def test_settings_are_shown_changed_and_checked(bare_shell: Shell) -> None:
    assert "limit_buzz_per_day" in bare_shell("settings").out
    assert bare_shell("settings", "currencies", "blue,yellow", "--json").data == {"currencies": ["blue", "yellow"]}
    assert bare_shell("settings", "currencies", "--json").data == {"currencies": ["blue", "yellow"]}
    assert bare_shell("settings", "limit_buzz_per_day", "lots").code == 2
    assert bare_shell("settings", "no_such", "--json").data["error"]["code"] == "bad_setting"


def test_test_says_whether_the_key_is_taken(sandbox: Sandbox, shell: Shell) -> None:
    done = shell("test", "--json")
    assert done.code == 0 and done.data["ok"] is True and done.data["user"].isdigit()


@pytest.mark.parametrize("name", ["CIVITAI_SITE_URL", "CIVITAI_ORCHESTRATION_URL"])
def test_all_is_not_well_while_one_of_the_hosts_is_away(
    sandbox: Sandbox, shell: Shell, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    done = shell("test", "--json")
    assert done.code == 4 and done.data["error"]["code"] == "unreachable"


def test_what_was_not_waited_for_is_listed_and_collected(sandbox: Sandbox, shell: Shell) -> None:
    sandbox.script.job(seconds=75.0)
    done = shell(*ORDER, "--yes", "--wait", "0.005", "--json")
    assert done.code == 130 and done.data["error"]["code"] == "still_running"
    (row,) = shell("journal", "list", "--json").data
    assert row["state"] == "accepted" and row["key"] in done.data["error"]["message"]
    assert shell("journal", "list").out.strip()
    time.sleep(1.6)
    (row,) = shell("journal", "resume", row["key"], "--json").data
    assert row["state"] == "finished" and Path(row["files"][0]).is_file()
    assert shell(*ORDER, "--yes").code == 0
    assert orders(sandbox) == 1
    assert shell("journal", "resume", "no-such-key").code == 2


def test_the_journal_names_what_is_missing_and_what_may_still_come(sandbox: Sandbox, shell: Shell) -> None:
    sandbox.script.job(seconds=0.1, blocked=(0,), unavailable=(1,), reason="ChildReference")
    assert shell(*ORDER, "--quantity", "3", "--yes").code == 0
    text = shell("journal", "list").out
    assert "1/3 pictures" in text
    assert "picture 1 of 3 (seed 0) is missing" in text and "picture 2 of 3 (seed 1) may still come" in text
    (row,) = shell("journal", "list", "--json").data
    assert sorted(row["missing"]) == ["0", "1"] and row["state"] == "finished"


def test_cancel_takes_a_workflow_or_a_key(sandbox: Sandbox, shell: Shell) -> None:
    sandbox.script.job(seconds=1500.0)
    shell(*ORDER, "--yes", "--wait", "0.005")
    (row,) = shell("journal", "list", "--json").data
    done = shell("cancel", row["workflow_id"], "--json")
    assert done.code == 0 and done.data["workflow_id"] == row["workflow_id"] and "cancel" in done.data["message"]
    (row,) = shell("journal", "list", "--json").data
    assert row["state"] == "canceled"


def test_demo_leaves_pictures_and_a_report_and_can_be_run_again(bare_shell: Shell, tmp_path: Path) -> None:
    first = bare_shell("demo", "--output", str(tmp_path / "a b"), "--json")
    assert first.code == 0 and len(first.data["files"]) >= 3
    for file in first.data["files"]:
        with Image.open(file) as image:
            image.load()
    assert "urn:air:" in first.err and "0 Buzz" in first.err
    report = Path(first.data["report"]).read_text(encoding="utf-8")
    steps = ("SANDBOX", "Image", "Prompt", "Settings", "AIR", "Catalog", "Add", "Price", "Picture", "Again", "Ledger")
    places = [report.index(f"\n{step} ") for step in steps]
    assert places == sorted(places) and "the reports agree" in report and "not_found" in report
    assert bare_shell("demo", "--output", str(tmp_path / "a b")).code == 0


def test_the_embedded_sandbox_needs_no_key(bare_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIVITAI_BRIDGE_SANDBOX", "1")
    done = bare_shell(*ORDER, "--estimate", "--json")
    assert done.code == 0 and "SANDBOX" in done.data["report"]


# --- as a process --------------------------------------------------------------------------------------------------


def test_it_runs_as_a_folder_and_as_a_module(tmp_path: Path) -> None:
    for command in ([str(ROOT / "civitai_bridge")], ["-m", "civitai_bridge"]):
        environ = {**os.environ, "PYTHONPATH": str(ROOT) if command[0] == "-m" else ""}
        done = subprocess.run(
            [sys.executable, *command, "settings", "--json"], cwd=tmp_path, env=environ, capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["limit_buzz_per_day"] == 5000


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv=['x']\nfrom civitai_bridge.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([n for n in ('httpx', 'aiohttp', 'numpy', 'PIL', 'rich', 'sqlite3') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip().endswith("[]")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_stops_waiting_and_never_the_job(sandbox: Sandbox, shell: Shell) -> None:
    sandbox.script.job(seconds=1500.0)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "civitai_bridge"), *ORDER, "--yes", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not any(seen.route == "poll" for seen in sandbox.requests) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in err
    (workflow_id,) = [name for name, run in sandbox.workflows.items() if run["status"] not in TERMINAL]
    message = json.loads(out)["error"]["message"]
    assert "journal resume" in message and f"cancel {workflow_id}" in message
    assert not any(seen.route == "cancel" for seen in sandbox.requests)
    shell("cancel", workflow_id)


@pytest.mark.skipif(os.name != "posix", reason="signals and terminals of POSIX")
def test_ctrl_c_at_the_price_buys_nothing(sandbox: Sandbox) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, str(ROOT / "civitai_bridge"), *ORDER]
    process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    said = b""
    while b"[y/N]" not in said:
        said += os.read(ours, 4096)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 130
    said += os.read(ours, 4096)
    os.close(ours)
    assert process.stdout is not None
    process.stdout.close()
    assert b"Nothing was bought" in said and b"Traceback" not in said
    assert orders(sandbox) == 0


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_the_sandbox_names_its_addresses_and_ends_with_ctrl_c(bare_shell: Shell) -> None:
    command = [sys.executable, str(ROOT / "civitai_bridge"), "sandbox"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=15)
    assert lines[0].startswith("export CIVITAI_ORCHESTRATION_URL=http://127.0.0.1:")
    assert process.returncode == 0 and "Traceback" not in err
    assert bare_shell("sandbox", "--port", "70000").code == 2


TERMINAL = {"succeeded", "failed", "canceled", "expired"}
