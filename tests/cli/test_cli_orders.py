"""Orders from the shell: from a picture, with what is left out named, in words that fit a shell."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from made_files import chunk, png
from work_room import Shell, Terminal

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from pack.civitai_bridge import VERSION
from pack.civitai_bridge.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--width", "512", "--height", "512")
TEXT = (
    "a lighthouse <lora:nobody knows this:0.5>\nNegative prompt: fog\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 6, Seed: 7, Size: 512x512"
)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a picture.png"
    path.write_bytes(png(chunk(b"tEXt", b"parameters\0" + TEXT.encode("latin-1"))))
    return path


def orders(sandbox: Sandbox) -> list[dict]:
    return [json.loads(seen.body) for seen in sandbox.requests if seen.route == "submit"]


def test_an_image_of_civitai_is_bought_again_by_its_address(sandbox: Sandbox, shell: Shell) -> None:
    done = shell("generate", "--from", "900001", *SMALL, "--max-buzz", "100", "--json")
    assert done.code == 0, done.out
    sent = orders(sandbox)[0]["steps"][0]["input"]
    assert sent["seed"] == 11 and "300001" in json.dumps(sent["loras"])
    options = ("--prompt", "another", "--seed", "5")
    assert shell("generate", "--from", "900001", *SMALL, *options, "--yes").code == 0
    sent = orders(sandbox)[1]["steps"][0]["input"]
    assert (sent["prompt"], sent["seed"]) == ("another", 5)


def test_a_lora_that_cannot_be_named_stops_a_script_and_is_named_to_a_person(
    sandbox: Sandbox, shell: Shell, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ("generate", "--from", str(picture), "--model", "128078")
    done = shell(*order, "--yes", "--json")
    assert done.code == 2 and "nobody knows this" in done.data["error"]["message"]
    assert "--missing skip" in done.data["error"]["message"] and orders(sandbox) == []
    assert shell(*order).code == 2, "without a terminal nobody can be asked"
    estimate = shell(*order, "--estimate", "--json")
    assert estimate.code == 0 and estimate.data["cost"] > 0
    assert any("nobody knows this" in note for note in estimate.data["notes"])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    asked = shell(*order, stdin=Terminal("n\n"))
    assert asked.code == 5 and asked.err.index("nobody knows this") < asked.err.index("[y/N]")
    skipped = shell(*order, "--yes", "--missing", "skip", "--json")
    assert skipped.code == 0 and any("ordered without" in note for note in skipped.data["notes"])
    assert "loras" not in orders(sandbox)[0]["steps"][0]["input"]


def test_json_has_the_notes_of_the_text(sandbox: Sandbox, shell: Shell) -> None:
    sandbox.script.job(seconds=0.1, extra=3)
    order = ("generate", "--model", "128078", "--prompt", "x <lora:y:1>", *SMALL, "--yes", "--json")
    done = shell(*order)
    assert done.code == 0 and any("more than the" in note for note in done.data["notes"]), done.data
    assert any("give LoRAs with `--lora`" in note for note in done.data["notes"])


def test_what_was_not_waited_for_is_written_where_a_person_wants_it(sandbox: Sandbox, shell: Shell) -> None:
    sandbox.script.job(seconds=20.0)
    order = ("generate", "--model", "128078", "--prompt", "later", *SMALL, "--yes", "--wait", "0.005")
    assert shell(*order).code == 130
    (row,) = shell("journal", "list", "--json").data
    import time

    time.sleep(0.8)
    (row,) = shell("journal", "resume", row["key"], "--output", "here", "--json").data
    assert row["state"] == "collected" and [Path(file).parent.name for file in row["files"]] == ["here"]
    assert Path(row["files"][0]).name.startswith(row["workflow_id"]) and Path(row["files"][0]).is_file()
    assert "0 purchases wait" in shell("test").out
    Path("a file").write_text("")
    assert shell("journal", "resume", row["key"], "--output", "a file").code == 1


def test_the_words_are_those_of_a_shell(sandbox: Sandbox, shell: Shell) -> None:
    low = shell("generate", "--model", "128078", "--prompt", "x", *SMALL, "--estimate", "--max-buzz", "1")
    assert low.code == 0 and "node" not in low.out
    lora = shell("generate", "--model", "300001", "--prompt", "x", "--yes")
    assert lora.code == 2 and "give it with `--lora`" in lora.err and "connect" not in lora.err
    none = shell("generate", "--prompt", "x", "--yes")
    assert none.code == 2 and "`--model`" in none.err and "`--engine`" in none.err


def test_a_key_of_the_environment_is_mended_in_the_environment(
    sandbox: Sandbox, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIVITAI_API_TOKEN", "wrong")
    done = shell("test")
    assert done.code == 3 and "CIVITAI_API_TOKEN" in done.err and "login" not in done.err


def test_version_engines_and_defaults_are_told(bare_shell: Shell) -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{VERSION}"' in pyproject
    assert bare_shell("--version").out.strip() == f"civitai-bridge {VERSION}" == bare_shell("-V").out.strip()
    engines = bare_shell("engines", "--json").data
    assert {"comfy/sdxl", "flux1/dev"} & {engine["engine"] for engine in engines}
    assert "comfy/sdxl" in bare_shell("engines", "sdxl").out and "flux" not in bare_shell("engines", "sdxl").out
    text = bare_shell("generate", "--help").out
    assert "(default: 0.7)" in text and "(default: 30.0)" in text and "--from REF|FILE" in text


def test_login_says_what_it_did_and_did_not_do(bare_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for nothing in ("", "\n", "  \n"):
        done = bare_shell("login", stdin=nothing)
        assert done.code == 2 and "nothing was stored" in done.err
    monkeypatch.setenv("CIVITAI_API_KEY", "another")
    done = bare_shell(
        "login",
        stdin="'a-key'\n",
    )
    assert done.code == 0 and "CIVITAI_API_KEY" in done.out and "a-key" not in done.out
