"""The pictures of the help pages and of the documentation, taken of the real page:  python3 tools/dev.py pictures

Each node alone on the classic canvas, as its help page shows it (web/docs/NODE.webp), the page's views on the sandbox
(docs/page-*.webp), and each template (example_workflows/NAME.jpg; ComfyUI's list of templates wants JPEG). WebP, so that
all of them together stay small.

    python3 tools/dev.py pictures               # all
    .venv/bin/python tests/browser/pictures.py templates
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent)]  # the harness, and what loads the pack under the name that tests use

from pack_root import load_pack  # noqa: E402

load_pack("pack")

from chromium import FLAGS, chromium  # noqa: E402
from comfy_page import ComfyPage  # noqa: E402
from frontends import VERSIONS, frontend  # noqa: E402
from page_server import PageServer  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402

MARGIN = 12  # pixels around a node
ABOVE = 54  # of its bar and the badge on it, above its position
QUALITY = 72
ORIGIN = [120, 120]  # where a whole graph begins, in pixels of the canvas
GRAPH = {  # something bought, beside something that is sampled here
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse at dusk", "clip": ["1", 1]}},
    "3": {
        "class_type": "CivitaiBridgeGenerate",
        "inputs": {"model": "128078", "prompt": "a lighthouse at dusk", "quantity": 2, "max_buzz": 100},
    },
    "4": {
        "class_type": "CivitaiBridgeSaveImage",
        "inputs": {"images": ["3", 0], "filename_prefix": "fleet", "format": "png"},
    },
    "5": {"class_type": "CivitaiBridgeDownload", "inputs": {"reference": "1253021", "allow_download": False}},
}

_CENTRED = """(app, type) => {
  const node = window.LiteGraph.createNode(type);
  node.pos = [0, 0];
  app.graph.add(node);
  node.setSize(node.computeSize().map((side, axis) => (axis ? side : Math.max(side, 340))));
  app.canvas.deselectAll?.();
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [420, 90];
  app.canvas.setDirty(true, true);
  return [...node.size];
}"""
_LAID_OUT = """(app, origin) => {
  const nodes = app.graph._nodes, scale = 0.8, margin = 24, above = 40;
  const least = axis => Math.min(...nodes.map(node => node.pos[axis]));
  const most = axis => Math.max(...nodes.map(node => node.pos[axis] + node.size[axis]));
  app.canvas.deselectAll?.();
  app.canvas.ds.scale = scale;
  app.canvas.ds.offset = [0, 1].map(axis => origin[axis] / scale - least(axis));
  app.canvas.setDirty(true, true);
  const box = app.canvas.canvas.getBoundingClientRect();
  const start = [box.left + origin[0], box.top + origin[1]];
  const end = [0, 1].map(axis => start[axis] + (most(axis) - least(axis)) * scale);
  return [start[0] - margin, start[1] - above, end[0] + margin, end[1] + margin];
}"""
_CORNER = "app => { const box = app.canvas.canvas.getBoundingClientRect(); return [box.left + 420, box.top + 90]; }"


@contextmanager
def opened(browser: Browser, server: PageServer, **options: Any) -> Iterator[ComfyPage]:
    page = ComfyPage(browser, server, **options)
    try:
        yield page
    finally:
        page.close()


def keep(picture: bytes, path: Path, *, width: int | None = None) -> None:
    """Write a screenshot as WebP, at most `width` pixels wide."""
    with Image.open(io.BytesIO(picture)) as image:
        image = image.convert("RGB")
        if width and image.width > width:
            image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
        image.save(path, "JPEG" if path.suffix == ".jpg" else "WEBP", quality=QUALITY, method=6, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB")


def nodes(browser: Browser, server: PageServer) -> None:
    """One picture per node."""
    names = json.loads((ROOT / "tests" / "nodes" / "object_info.json").read_text(encoding="utf-8"))
    for name in sorted(names):
        with opened(browser, server) as page:
            page.page.set_viewport_size({"width": 1500, "height": 1200})
            page.load({"nodes": [], "links": [], "version": 0.4})
            width, height = page.evaluate(_CENTRED, name)
            page.settle()
            left, top = page.evaluate(_CORNER)
            clip = {
                "x": left - MARGIN, "y": top - ABOVE,
                "width": width + 2 * MARGIN, "height": height + ABOVE + MARGIN,
            }  # fmt: skip
            keep(page.page.screenshot(clip=clip), ROOT / "web" / "docs" / f"{name}.webp")


def templates(browser: Browser, server: PageServer) -> None:
    """One picture per template that has none yet: the whole graph. Delete a picture to have it taken anew."""
    server.nodes["CivitaiBridgeReadImage"]["input"]["required"]["image"][1]["options"] = ["example.png"]
    for path in sorted((ROOT / "example_workflows").glob("*.json")):
        if path.with_suffix(".jpg").exists():
            continue
        with opened(browser, server) as page:
            page.page.set_viewport_size({"width": 2400, "height": 1500})  # ComfyUI's own notes stand at its right
            page.load(json.loads(path.read_text(encoding="utf-8")))
            page.page.wait_for_timeout(1000)  # until FitView has arrived
            left, top, right, bottom = page.evaluate(_LAID_OUT, ORIGIN)
            page.settle()
            clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
            keep(page.page.screenshot(clip=clip), path.with_suffix(".jpg"), width=640)


def views(browser: Browser, server: PageServer) -> None:
    """What a person sees of the page: the models of a graph, the account, the question before a run."""
    with opened(browser, server) as page:
        page.load(GRAPH)
        panel = page.open_tab()
        panel.locator("[role=row]").first.wait_for()
        panel.locator("[role=row]").first.click()
        page.page.wait_for_timeout(1500)
        keep(page.page.screenshot(), ROOT / "docs" / "page-models.webp", width=1100)
        panel.get_by_role("tab", name="Account").click()
        page.page.wait_for_timeout(1500)
        keep(page.page.screenshot(), ROOT / "docs" / "page-account.webp", width=1100)
        page.queue()
        page.page.locator("dialog[open]").wait_for()
        page.page.wait_for_timeout(500)
        keep(page.page.locator("dialog[open]").screenshot(), ROOT / "docs" / "page-consent.webp", width=700)


PARTS = {"nodes": nodes, "templates": templates, "views": views}


def main(parts: list[str]) -> int:
    program = chromium()
    if program is None:
        print("Chromium is not installed here; on Debian: apt-get install chromium.")
        return 2
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        with PageServer(frontend(VERSIONS[1]), Path(folder)) as server:
            for part in parts or PARTS:
                PARTS[part](browser, server)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
