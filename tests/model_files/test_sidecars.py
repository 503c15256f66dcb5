"""What is written beside a model file for other programs, and what is left alone."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pack.civitai_bridge.errors import BlobUnavailable, Unreachable
from pack.civitai_bridge.model_files.sidecars import choose_preview, info, write_sidecars
from pack.civitai_bridge.network.fetch import Fetched
from pack.civitai_bridge.resources.version import ModelVersion, VersionImage, version_from_json
from pack.civitai_bridge.settings import Settings

SHA = "ab" * 32
MEDIA = "https://image.civitai.com/token/uuid/original=true/7.jpeg"


def answer(**more: Any) -> dict[str, Any]:
    """As `GET /api/v1/model-versions/{id}` describes a version of two files."""
    return {
        "id": 11, "modelId": 22, "name": "v2", "baseModel": "SDXL 1.0", "trainedWords": ["ink", "wash"],
        "description": "<p>Use <b>0.8</b> &amp; up.</p><script>alert(1)</script>", "publishedAt": "2026-01-02T03:04:05.000Z",
        "nsfwLevel": 3, "air": "urn:air:sdxl:lora:civitai:22@11", "model": {"name": "Ink", "type": "LORA", "nsfw": False},
        "files": [
            {"id": 1, "name": "ink.safetensors", "type": "Model", "sizeKB": 24.5, "primary": True,
             "metadata": {"format": "SafeTensor", "fp": "fp16"}, "hashes": {"SHA256": "CD" * 32, "AutoV3": "0123456789AB"}},
            {"id": 2, "name": "ink_fp32.safetensors", "type": "Model", "sizeKB": 49.0, "primary": False, "hashes": {}},
        ],
        "images": [{"url": MEDIA, "type": "image", "nsfwLevel": 1, "width": 832, "height": 1216}],
        **more,
    }  # fmt: skip


VERSION = version_from_json(answer())


def picture(kind: str = "JPEG", size: tuple[int, int] = (1600, 1200)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (10, 200, 30)).save(out, kind)
    return out.getvalue()


class Media:
    """A media host that remembers what it was asked for."""

    def __init__(self, content: bytes | Exception = b"", *, missing: str = "") -> None:
        self.content, self.missing, self.asked = content, missing, list[str]()

    async def fetch(self, url: str, *, is_allowed: Any, **_: Any) -> Fetched:
        self.asked.append(url)
        assert is_allowed(url) and not is_allowed("https://elsewhere.example/x.jpeg")
        if isinstance(self.content, Exception):
            raise self.content
        if self.missing and self.missing in url:
            raise BlobUnavailable("image.civitai.com does not give the picture (HTTP 404).")
        return Fetched(self.content, "", "image/jpeg", "image.civitai.com")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "ink v1.5.safetensors"
    path.write_bytes(b"model")
    return path


async def write(
    model: Path, media: Media, version: ModelVersion = VERSION, number: int = 0, **more: Any
) -> tuple[str, ...]:
    return await write_sidecars(model, SHA, version, version.files[number], Settings(**more), media.fetch)


def names(model: Path) -> list[str]:
    return sorted(path.name for path in model.parent.iterdir())


async def test_description_and_preview_stand_beside_the_file_under_its_name(model: Path):
    media = Media(picture())
    assert await write(model, media) == ()
    assert names(model) == ["ink v1.5.civitai.info", "ink v1.5.preview.png", "ink v1.5.safetensors"]
    assert media.asked == [MEDIA.replace("original=true", "width=800")]
    with Image.open(model.with_name("ink v1.5.preview.png")) as preview:
        assert (preview.format, preview.size) == ("PNG", (768, 576))


async def test_lora_manager_and_civitai_helper_find_what_they_read(model: Path):
    await write(model, Media(picture()))
    said = json.loads(model.with_name("ink v1.5.civitai.info").read_text(encoding="utf-8"))
    # LoRA Manager: the primary file's hash and size, the model's name, tags and description, the base model.
    file = next(file for file in said["files"] if file.get("primary"))
    assert file["hashes"]["SHA256"].lower() == SHA and file["sizeKB"] * 1024 == 25088
    assert said["model"]["name"] == "Ink" and said["model"]["tags"] == [] and said["model"]["description"] == ""
    assert said["baseModel"] == "SDXL 1.0"
    # Civitai Helper: ids, trigger words, pictures.
    assert (said["id"], said["modelId"], said["name"], said["trainedWords"]) == (11, 22, "v2", ["ink", "wash"])
    assert said["images"][0]["url"] == MEDIA and said["images"][0]["nsfw"] is False
    assert said["downloadUrl"] == "https://civitai.com/api/download/models/11"
    assert said["description"] == "Use 0.8 & up.\nalert(1)", "no markup of a stranger"


def test_the_file_that_was_loaded_is_the_primary_one_in_its_own_description():
    said = info(VERSION, VERSION.files[1], SHA, Settings())
    assert [(file["id"], file["primary"]) for file in said["files"]] == [(2, True), (1, False)]
    assert said["files"][0]["hashes"] == {"SHA256": SHA.upper()}
    assert said["files"][0]["downloadUrl"].endswith("?fileId=2")


@pytest.mark.parametrize("mine", [".civitai.info", ".preview.png", ".png", ".preview.jpg", ".webp"])
async def test_nothing_that_is_there_is_written_over(model: Path, mine: str):
    model.with_name("ink v1.5" + mine).write_text("mine")
    assert await write(model, Media(picture())) == ()
    assert model.with_name("ink v1.5" + mine).read_text() == "mine"
    assert ("ink v1.5.preview.png" in names(model)) == (mine in (".civitai.info", ".preview.png"))


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/x.jpeg",
        "http://image.civitai.com/x.jpeg",
        "https://image.civitai.com.evil.example/x.jpeg",
        "https://image.civitai.com@evil.example/x.jpeg",
        "https://image.civitai.com:8443/x.jpeg",
        "http://127.0.0.1:8188/x.jpeg",
        "file:///etc/passwd",
        "https://[bad/x.jpeg",
        "",
    ],
)
async def test_no_other_host_than_civitai_s_for_media_is_asked_or_named(model: Path, url: str):
    media = Media(picture())
    images = [{"url": url, "type": "image", "nsfwLevel": 1}]
    await write(model, media, version_from_json(answer(images=images)))
    assert media.asked == [] and "ink v1.5.preview.png" not in names(model)
    assert json.loads(model.with_name("ink v1.5.civitai.info").read_text())["images"] == []


async def test_a_picture_without_a_small_rendition_is_taken_as_it_is(model: Path):
    media = Media(picture("WEBP"), missing="width=800")
    assert await write(model, media) == () and media.asked[-1] == MEDIA
    assert "ink v1.5.preview.png" in names(model)


@pytest.mark.parametrize(
    "content", [Unreachable("image.civitai.com could not be reached."), b"<html>", b"", picture()[:500]]
)
async def test_what_is_no_picture_is_said_and_the_file_is_there_all_the_same(model: Path, content: Any):
    [note] = await write(model, Media(content))
    assert "no preview beside ink v1.5.safetensors" in note
    assert names(model) == ["ink v1.5.civitai.info", "ink v1.5.safetensors"]


def shown(*levels: int, kind: str = "image") -> ModelVersion:
    images = tuple(VersionImage(MEDIA.replace("7", str(level)), kind, level, 1, 1) for level in levels)
    return replace(VERSION, images=images)


@pytest.mark.parametrize(
    ("version", "mature", "level"),
    [
        (shown(4, 2, 1), "auto", 2),
        (shown(16, 8), "auto", 16),
        (shown(16, 8), "allowed", 16),
        (shown(16, 8), "blocked", None),
        (shown(0), "blocked", None),
        (shown(8, 1), "blocked", 1),
        (shown(1, kind="video"), "auto", None),
        (shown(), "auto", None),
    ],
)
def test_the_preview_is_one_that_anybody_may_see_where_there_is_one(version: ModelVersion, mature: str, level: Any):
    chosen = choose_preview(version, Settings(mature_content=mature))
    assert (chosen.nsfw_level if chosen else None) == level


def test_what_the_sandbox_describes_says_so():
    assert "SANDBOX" in info(VERSION, VERSION.files[0], SHA, Settings(sandbox=True))["sandbox"]
    assert "sandbox" not in info(VERSION, VERSION.files[0], SHA, Settings())
