"""What a person reads beside a node: a page for each, with a picture, and a picture for each template."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
HELP = ROOT / "web" / "docs"
NODES = sorted(json.loads((ROOT / "tests" / "nodes" / "object_info.json").read_text(encoding="utf-8")))
LARGEST = 40_000  # bytes of a picture in a help page
ALL = 1_000_000  # bytes of every picture of the pack together


@pytest.mark.parametrize("node", NODES)
def test_every_node_has_a_help_page_with_its_picture(node):
    """ComfyUI looks for pictures beside the page's own folder, so the page names them without one."""
    text = (HELP / f"{node}.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert f"{node}.webp" in pictures, "run: python3 tools/dev.py pictures"
    for name in pictures:
        assert "/" not in name
        assert (HELP / name).stat().st_size <= LARGEST
        with Image.open(HELP / name) as picture:
            picture.load()


def test_no_help_page_is_of_a_node_that_is_gone():
    assert sorted(file.stem for file in HELP.glob("*.md")) == NODES


def test_every_template_has_a_picture():
    folder = ROOT / "example_workflows"
    for template in folder.glob("*.json"):
        with Image.open(template.with_suffix(".jpg")) as picture:
            picture.load()


def test_the_pictures_of_the_pack_stay_small():
    files = [file for folder in ("web", "docs", "example_workflows") for file in (ROOT / folder).rglob("*")]
    assert sum(file.stat().st_size for file in files if file.suffix in (".webp", ".jpg", ".png", ".svg")) <= ALL


def test_every_picture_that_the_documentation_names_is_there():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for name in re.findall(r"!\[[^\]]*\]\(([^):]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / name).is_file(), f"{page.name}: {name}"
