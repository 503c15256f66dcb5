"""What gets installed, and what the repository says of itself."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pack_root import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import dev

PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_both_lists_of_requirements_are_equal():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    assert lines == dev.listed(PYPROJECT, "dependencies")
    assert not any("torch" in line for line in lines)


def test_the_sandbox_runs_with_what_an_install_brings():
    """It is what a person without a key tries first, in a ComfyUI that the manager has put the pack into."""
    assert "jsonschema" in {re.split(r"[\[>=]", name)[0] for name in dev.listed(PYPROJECT, "dependencies")}


def test_what_comfyui_ships_is_never_pinned():
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").split():
        assert "==" not in line and "<" not in line
        if re.split(r"[\[>=]", line)[0] in ("aiohttp", "numpy", "Pillow"):
            assert line.isalpha()


def test_versions_agree():
    from pack.civitai_bridge.network.client import USER_AGENT

    version = re.search(r'^version = "(.+)"$', PYPROJECT, re.M)
    assert version and USER_AGENT.endswith("/" + version[1])
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_a_plain_install_gives_the_library_and_never_takes_the_name_nodes(tmp_path: Path):
    tree = tmp_path / "a copy"
    tree.mkdir()
    files = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, files.stdout.decode().split("\0")):
        if (
            name.split("/")[0] in ("civitai_bridge", "nodes", "pyproject.toml", "README.md", "LICENSE")
            and (ROOT / name).is_file()
        ):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())
    script = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    pytest.importorskip("setuptools", reason="the dev extra brings it")
    made = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=tree, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"civitai_bridge"}
    for name in (
        "orchestration/variants.json",
        "orchestration/engines.json",
        "sandbox/contract.json",
        "sandbox/server.py",
    ):
        assert f"civitai_bridge/{name}" in names


def test_no_machine_path_and_no_registry_host_is_committed():
    files = (
        subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    )
    forbidden = re.compile(r"/(?:root|work|home/\w+)/|/opt/\w+|pypi\." + r"org|registry\.npmjs|pythonhosted")
    for name in filter(None, files):
        path = ROOT / name
        if not path.is_file() or path.suffix == ".json":
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        match = forbidden.search(text)
        assert not match or name == "tests/test_packaging.py", f"{name}: {match and match[0]}"
