"""catalog and download from the shell: real arguments, exit codes and JSON, a sandbox behind them."""

from __future__ import annotations

import asyncio
import io
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from pack.civitai_bridge.app import Tuning
from pack.civitai_bridge.cli import main
from pack.civitai_bridge.errors import BadSetting
from pack.civitai_bridge.orchestration.timings import Timings
from pack.civitai_bridge.sandbox import Embedded
from pack.civitai_bridge.settings import admin_token, is_admin, load_settings, save_key

Shell = Callable[..., SimpleNamespace]
LORA, OTHER = "300001", "300003"


async def _shortly(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.01))


QUICK = Tuning(Timings(sleep=_shortly), sandbox_pace=0.02)


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    """Run a command on a sandbox of its own, in one state folder."""
    monkeypatch.setenv("CIVITAI_BRIDGE_SANDBOX", "1")
    monkeypatch.setenv("CIVITAI_BRIDGE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> SimpleNamespace:
        monkeypatch.setattr(sys, "stdin", io.StringIO(""))
        code = main(list(arguments), tuning=QUICK)
        out, err = capsys.readouterr()
        data = json.loads(out) if out.strip() and "--json" in arguments else None
        return SimpleNamespace(code=code, out=out, err=" ".join(err.split()), data=data)

    return run


def test_a_lora_from_the_shell_from_first_to_last(shell: Shell, tmp_path: Path):
    assert shell("catalog", "list").out == "The catalogs are empty.\n"
    assert shell("catalog", "check", LORA, "--json").data["resources"][0]["status"] == "not_found"
    added = shell("catalog", "add", LORA, "--json")
    assert added.code == 0 and added.data == {
        "status": "added", "file": "storybookLight_v2.safetensors", "name": "Storybook Light v2 [SDXL 1.0 FP16]",
        "category": "loras", "dest": "loras",
    }  # fmt: skip
    assert shell("catalog", "check", LORA).out.startswith(f"{LORA} = Storybook Light v2 [SDXL 1.0 FP16]: missing")
    done = shell("download", LORA, "--json")
    path = tmp_path / "models" / "loras" / "storybookLight_v2.safetensors"
    assert done.code == 0 and done.data["path"] == str(path) and path.is_file() and done.data["status"] == "downloaded"
    promoted = shell("catalog", "promote", LORA, "--json")
    assert promoted.data == {
        "status": "promoted", "file": "storybookLight_v2.safetensors", "category": "sdxl_loras",
    }  # fmt: skip
    found = shell("catalog", "map", "--json").data
    assert found["by_version"][LORA]["catalog"] == "loras.json" and found["by_model"] == {"300000": [300001]}
    listed = shell("catalog", "list", "--json").data
    assert [(e["version_id"], e["status"], e["catalog"]) for e in listed] == [(300001, "present", "loras.json")]
    scanned = shell("catalog", "scan", "--json").data
    assert (scanned["files"], scanned["hashed"], scanned["unchanged"], scanned["identified"]) == (1, 0, 1, 1)
    assert shell("catalog", "remove", LORA).code == 1
    path.unlink()
    assert shell("catalog", "remove", LORA, "--json").data["status"] == "removed"


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        (("catalog", "add", "99999999"), 1, "not_found"),
        (("catalog", "add", "what is this"), 2, "unknown_reference"),
        (("catalog", "promote", OTHER), 1, "not_in_catalog"),
        (("catalog", "remove", "x.safetensors"), 1, "not_in_catalog"),
        (("catalog", "scan", "nothing"), 2, "bad_input"),
        (("catalog", "nonsense"), 2, "wrong_usage"),
        (("catalog",), 2, "wrong_usage"),
        (("catalog", "check"), 2, "wrong_usage"),
        (("download", "300029"), 1, "file_refused"),
        (("download", "300045"), 1, "download_refused"),
        (("download", "300077"), 1, "download_damaged"),
        (("download", "300061"), 1, "file_refused"),
    ],
)
def test_errors_are_json_with_the_right_exit_code(shell: Shell, words: tuple[str, ...], code: int, name: str):
    done = shell(*words, "--json")
    assert done.code == code and done.data["error"]["code"] == name and done.data["error"]["message"].endswith(".")


def test_a_restricted_version_is_an_answer_and_no_success(shell: Shell):
    done = shell("catalog", "add", "300041", "--json")
    assert done.code == 1 and done.data == {
        "status": "restricted",
        "reason": "This model is 'Generation' only — download not allowed by the creator",
    }


def test_a_catalog_that_is_no_json_is_reported_with_its_line(shell: Shell, tmp_path: Path):
    path = tmp_path / "state" / "sandbox" / "models.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"version": 1,\n oops')
    done = shell("catalog", "add", LORA, "--json")
    assert done.code == 1 and done.data["error"]["code"] == "catalog_damaged" and "line 2, column 2" in str(done.data)
    assert path.read_text() == '{"version": 1,\n oops'


def test_the_catalog_folder_of_other_tools_is_used(shell: Shell, tmp_path: Path):
    assert shell("settings", "catalog_folder", str(tmp_path / "theirs")).code == 0
    shell("catalog", "add", LORA)
    assert (tmp_path / "theirs" / "models.json").is_file()


def test_a_download_to_a_directory(shell: Shell, tmp_path: Path):
    done = shell("download", LORA, "--dir", "here", "--json")
    assert done.data["path"] == str(tmp_path / "here" / "storybookLight_v2.safetensors")
    assert shell("download", LORA, "--dir", "here").out.startswith("Here already")


def test_nobody_there_is_exit_4(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("CIVITAI_BRIDGE_SANDBOX")
    monkeypatch.setenv("CIVITAI_SITE_URL", "http://127.0.0.1:9")
    assert shell("catalog", "add", LORA, "--json").data["error"]["code"] == "unreachable"
    assert shell("download", LORA).code == 4
    assert shell("catalog", "check", LORA, "--json").data["resources"][0]["status"] == "unknown"


def test_a_login_that_is_needed_is_exit_3(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    embedded = Embedded()
    try:
        monkeypatch.delenv("CIVITAI_BRIDGE_SANDBOX")
        monkeypatch.setenv("CIVITAI_SITE_URL", embedded.sandbox.site_url)
        monkeypatch.setenv("CIVITAI_API_TOKEN", "expired")
        done = shell("download", LORA, "--json")
    finally:
        embedded.stop()
    assert done.code == 3 and done.data["error"]["code"] == "log_in_needed"


# --- the admin token


def test_the_token_is_made_once_and_shown(shell: Shell, tmp_path: Path):
    first, second = shell("catalog", "token").out.strip(), shell("catalog", "token", "--json").data["token"]
    assert first == second and len(first) >= 40
    kept = tmp_path / "state" / "sandbox" / "credentials.json"
    assert os.name == "nt" or stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_the_environment_fixes_the_token(tmp_path: Path):
    assert admin_token(tmp_path, {"CIVITAI_BRIDGE_ADMIN_TOKEN": " fixed "}) == "fixed" and not list(tmp_path.iterdir())


def test_the_token_and_the_key_live_side_by_side(tmp_path: Path):
    save_key(tmp_path, "k")
    token = admin_token(tmp_path, {})
    save_key(tmp_path, "l")
    assert admin_token(tmp_path, {}) == token and load_settings({}, home=tmp_path).key == "l"
    assert (
        is_admin(token, token)
        and not is_admin(token, token + "x")
        and not is_admin("", "")
        and not is_admin(token, "é")
    )


def test_a_state_folder_that_is_none_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadSetting, match="cannot be"):
        admin_token(tmp_path / "file" / "state", {})


def test_every_file_of_a_version_is_loaded_by_one_option(shell: Shell):
    done = shell("download", "300027", "--all-files", "--json")
    files = json.loads(done.out)["files"]
    assert done.code == 0 and len({Path(file["path"]).parent.name for file in files}) == len(files) > 2
