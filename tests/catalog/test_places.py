"""Where files belong: folders without ComfyUI, and the first path of a folder key."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from pack.civitai_bridge.model_files.folders import folders_below, known_folders, note_folders
from pack.civitai_bridge.settings import load_settings


def test_folders_of_a_models_root(tmp_path: Path):
    for name in ("unet", "loras", "my_own", ".git"):
        (tmp_path / name).mkdir()
    found = folders_below(tmp_path)
    assert found["diffusion_models"] == [tmp_path / "diffusion_models", tmp_path / "unet"]
    assert found["my_own"] == [tmp_path / "my_own"] and ".git" not in found and "unet" not in found
    assert folders_below(tmp_path / "absent")["loras"] == [tmp_path / "absent" / "loras"]


def test_the_server_s_note_is_followed_and_the_environment_wins(tmp_path: Path):
    settings = load_settings({}, home=tmp_path)
    assert known_folders(settings) == ({}, None)
    note_folders(tmp_path, {"loras": ["/a/loras", "/b/loras"], "custom_nodes": ["/c"]}, "/a")
    assert known_folders(settings) == ({"loras": ["/a/loras", "/b/loras"]}, Path("/a"))
    named = load_settings({"CIVITAI_BRIDGE_MODELS": str(tmp_path / "m")}, home=tmp_path)
    assert known_folders(named)[1] == tmp_path / "m"
    sandbox = load_settings({"CIVITAI_BRIDGE_SANDBOX": "1"}, home=tmp_path)
    assert known_folders(sandbox)[1] == tmp_path / "sandbox" / "models"


@pytest.mark.parametrize(
    ("roots", "chosen"),
    [
        (["m/unet", "m/diffusion_models"], "m/diffusion_models"),
        (["m/unet"], "m/unet"),
        (["extra/unet", "m/diffusion_models"], "extra/unet"),
        (["m/diffusion_models", "m/unet"], "m/diffusion_models"),
    ],
)
def test_a_new_file_goes_to_the_first_path_but_not_to_the_old_name_of_a_folder(
    tmp_path: Path, roots: list[str], chosen: str
):
    from pack.civitai_bridge.catalog import places

    folders = {"diffusion_models": [tmp_path / root for root in roots]}
    catalogs = places.ModelFolders(folders, tmp_path)
    place = catalogs.target("unet", "x.gguf")
    assert place.path == str(tmp_path / chosen / "x.gguf") and place.folder == "diffusion_models"
    assert catalogs.target("own/sub", "y.pt").path == str(tmp_path / "own" / "sub" / "y.pt")
