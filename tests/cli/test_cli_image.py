"""image and read: every family of the sandbox, and files of people."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_files import chunk, png

from pack.civitai_bridge.cli import main
from pack.civitai_bridge.sandbox import Embedded
from pack.civitai_bridge.sandbox.images import IMAGES

Shell = Callable[..., tuple[int, str, str]]
TEXT = "a lighthouse <lora:harbour ink:0.5>\nNegative prompt: fog\nSteps: 30, Sampler: Euler a, CFG scale: 6, Seed: 7, Size: 640x832"


@pytest.fixture
def shell(embedded: Embedded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.setenv("CIVITAI_SITE_URL", embedded.sandbox.site_url)
    monkeypatch.setenv("CIVITAI_API_TOKEN", "a-key")

    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def picture(text: str = TEXT) -> bytes:
    return png(chunk(b"tEXt", b"parameters\0" + text.encode("latin-1")))


@pytest.mark.parametrize("image_id", sorted(IMAGES))
def test_every_family_of_the_sandbox_is_shown_or_refused_in_a_sentence(shell: Shell, image_id: int):
    code, out, _ = shell("image", str(image_id), "--json")
    data = json.loads(out)
    if code:
        assert data["error"]["message"].endswith(".") and data["error"]["code"]
    else:
        assert data["image_id"] == image_id and data["report"]
        assert all(one["status"] in ("present", "missing", "not_found", "unknown") for one in data["resources"])


def test_an_image_for_people(shell: Shell):
    code, out, _ = shell("image", "900002")
    assert code == 0
    assert "Found by hash" in out and "CivitAI does not know" in out and "Seed 1234567890, steps 28" in out
    assert "In the catalogs:" in out and "<lora:" not in out


def test_a_post_is_its_first_image(shell: Shell):
    code, out, _ = shell("image", "https://civitai.com/posts/800001", "--json")
    data = json.loads(out)
    assert code == 0 and data["image_id"] == 900001 and data["others"]


def test_another_address_is_refused_without_a_request(shell: Shell, embedded: Embedded):
    before = len(embedded.sandbox.requests)
    code, _, err = shell("image", "https://civitai.com.example.org/images/900001")
    assert code == 2 and err and len(embedded.sandbox.requests) == before


def test_without_a_key_the_public_list_is_read(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CIVITAI_API_TOKEN")
    code, out, _ = shell("image", "900001")
    assert code == 0 and "Without an API key" in out


def test_one_file(shell: Shell, tmp_path: Path):
    path = tmp_path / "a picture.png"
    path.write_bytes(picture())
    code, out, _ = shell("read", str(path), "--json")
    data: Any = json.loads(out)
    assert code == 0 and data["file"] == str(path) and data["clean_prompt"] == "a lighthouse"
    assert data["generation"]["seed"] == 7 and data["generation"]["sampler"] == "euler_ancestral"
    assert [one["reference"] for one in data["resources"]] == ["harbour ink"]
    code, out, _ = shell("read", str(path))
    assert "Negative prompt: fog" in out and "size 640 x 832" in out


def test_folders_and_a_file_that_is_not_there(shell: Shell, tmp_path: Path, embedded: Embedded):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for number, folder in enumerate(("deep", "deep/er")):
        (tmp_path / folder / f"{number}.png").write_bytes(picture(TEXT.replace("Seed: 7", f"Seed: {number}")))
    (tmp_path / "deep" / "notes.txt").write_text("no picture")
    before = len(embedded.sandbox.requests)
    code, out, _ = shell("read", str(tmp_path / "deep"), str(tmp_path / "gone.png"), "--offline", "--json")
    data = json.loads(out)
    assert code == 1 and len(embedded.sandbox.requests) == before
    assert [one["generation"]["seed"] for one in data[:2]] == [0, 1]
    assert data[2]["error"]["code"] == "not_readable"


def test_a_folder_without_pictures_is_a_sentence(shell: Shell, tmp_path: Path):
    code, _, err = shell("read", str(tmp_path))
    assert code == 2 and "There is no picture in" in err


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_on_standard_input(shell: Shell, monkeypatch: pytest.MonkeyPatch, encoding: str):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode(encoding))))
    code, out, _ = shell("read", "-", "--json")
    data = json.loads(out)
    assert code == 0 and data["file"] == "-" and data["generation"]["seed"] == 7
    assert data["generation"]["networks"][0]["name"] == "harbour ink"


def test_a_picture_on_standard_input_is_read_as_one(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(picture())))
    code, out, _ = shell("read", "-", "--json")
    assert code == 0 and json.loads(out)["generation"]["seed"] == 7


def test_ten_megabytes_on_standard_input_are_a_note(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a cat, " * 1_500_000)))
    code, out, _ = shell("read", "-")
    assert code == 0 and "is longer than" in out


def test_offline_a_model_is_not_said_to_be_unknown_to_civitai(shell: Shell, tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(picture(f"{TEXT}, Model: dune"))
    _, out, _ = shell("read", str(path), "--offline")
    assert "Model: dune; CivitAI was not asked." in out and "not known on CivitAI" not in out
    _, out, _ = shell("read", str(path))
    assert "Model: dune, not known on CivitAI." in out
