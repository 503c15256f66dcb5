"""What the pack costs ComfyUI's page, in Chromium with the real frontend:  python tests/benchmarks/page_bench.py

Prints a table and writes `bench-output/page.json`. Figures of one machine: compare runs on the same one.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "browser")]

from pack_root import ROOT, load_pack  # noqa: E402

load_pack("pack")

from chromium import FLAGS, chromium  # noqa: E402
from comfy_page import ComfyPage  # noqa: E402
from fake_answers import graph, model  # noqa: E402
from frontends import VERSIONS, frontend  # noqa: E402
from page_server import FOLDER, PageServer  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402

LOADS = 15  # pages with the pack, and as many without it
RUNS = 5
OURS = f"performance.getEntriesByType('resource').filter(each => each.name.includes('/extensions/{FOLDER}/'))"
# From the start of the page until ComfyUI has set itself and all extensions up, which is when it publishes its graph.
WATCH = """let graph; Object.defineProperty(window, 'graph', { configurable: true, get: () => graph,
  set: (value) => { graph = value; performance.mark('cb-ready'); } });"""
READY = "performance.getEntriesByName('cb-ready')[0].startTime"
LONG = """() => { window.cbLong = []; new PerformanceObserver(list => window.cbLong.push(...list.getEntries().map(each => each.duration)))
  .observe({ type: 'longtask', buffered: false }); }"""
SCROLL = """async () => { const list = document.querySelector('.cb-list'); let most = 0;
  for (let top = 0; top < list.scrollHeight; top += 150) { list.scrollTop = top; await new Promise(requestAnimationFrame);
    most = Math.max(most, list.querySelectorAll('.cb-item').length); }
  await new Promise(done => setTimeout(done, 300)); return most; }"""
SPREAD = """app => { app.graph._nodes.forEach((node, place) => { node.pos = [(place % 25) * 420, Math.floor(place / 25) * 900]; });
  app.canvas.ds.scale = 0.12; app.canvas.ds.offset[0] = app.canvas.ds.offset[1] = 0; }"""
DRAW = """app => { const times = []; for (let run = 0; run < 60; run++) { const from = performance.now();
  app.canvas.draw(true, true); times.push(performance.now() - from); } times.sort((a, b) => a - b); return times[30]; }"""
# Nodes 2.0 has its nodes as elements, which move with the canvas.
PAN = """async app => { const times = []; let last = await new Promise(requestAnimationFrame);
  for (let run = 0; run < 60; run++) { app.canvas.ds.offset[0] -= 20; app.canvas.setDirty(true, true);
    const now = await new Promise(requestAnimationFrame); times.push(now - last); last = now; }
  times.sort((a, b) => a - b); return times[30]; }"""


def load_times(browser: Browser, server: PageServer) -> dict[str, Any]:
    """Milliseconds of a page with and without the pack, taken in turns of random order; bytes and files of our scripts
    before the tab is opened."""
    times: dict[bool, list[float]] = {True: [], False: []}
    size = files = 0
    for _ in range(LOADS):
        for has_pack in random.sample((False, True), 2):
            server.has_pack = has_pack
            page = ComfyPage(browser, server, before=WATCH)
            page.page.wait_for_function("performance.getEntriesByName('cb-ready').length")
            times[has_pack].append(page.page.evaluate(READY))
            if has_pack:
                size = page.page.evaluate(f"{OURS}.reduce((sum, each) => sum + each.decodedBodySize, 0)")
                files = page.page.evaluate(f"{OURS}.length")
            page.close()
    server.has_pack = True
    with_pack, without = statistics.median(times[True]), statistics.median(times[False])
    return {
        "load_ms": with_pack,
        "load_without_ms": without,
        "added_ms": with_pack - without,
        "load_spread_ms": statistics.quantiles(times[False], n=4)[2] - statistics.quantiles(times[False], n=4)[0],
        "bytes": size,
        "files": files,
    }


def list_of_300(browser: Browser, server: PageServer) -> dict[str, Any]:
    """The longest task while 300 rows are scrolled through, and the most rows in the page."""
    server.answers["POST", "/civitai_bridge/graph"] = lambda _: graph([model(number) for number in range(300)])
    page = ComfyPage(browser, server)
    page.open_tab()
    page.page.wait_for_selector(".cb-item")
    page.settle()
    page.page.evaluate(LONG)
    rows = page.page.evaluate(SCROLL)
    longest = max(page.page.evaluate("window.cbLong"), default=0)
    page.close()
    server.answers.clear()
    return {"longest_task_ms": longest, "rows": rows}


def canvas_of_300(browser: Browser, server: PageServer, kinds: list[str], *, has_pack: bool, nodes2: bool) -> float:
    """Milliseconds of one drawing with 300 nodes, of each class by turns: of the classic canvas, or a frame of Nodes 2.0
    while it is moved."""
    server.has_pack = has_pack
    page = ComfyPage(browser, server, nodes2=nodes2)
    page.load({str(n): {"class_type": kinds[n % len(kinds)], "inputs": {}} for n in range(1, 301)})
    assert page.evaluate("app => app.graph._nodes.length") == 300
    page.evaluate(SPREAD)
    page.settle()
    time = page.evaluate(PAN if nodes2 else DRAW)
    page.close()
    server.has_pack = True
    return time


def canvases(browser: Browser, server: PageServer) -> dict[str, Any]:
    """300 of our nodes against 300 of core's KSampler, which has ten inputs where ours have five on average; the largest of
    ours, which has 27, against itself without our scripts. Medians of pages in random order."""
    ours = [name for name in server.nodes if name.startswith("CivitaiBridge")]
    largest, core = ["CivitaiBridgeGenerate"], ["KSampler"]
    rows: dict[str, Any] = {}
    for nodes2, canvas in ((False, "canvas"), (True, "nodes2")):
        pages = {
            "ours": (ours, True),
            "ksampler": (core, True),
            "generate": (largest, True),
            "generate_without_scripts": (largest, False),
        }
        times: dict[str, list[float]] = {name: [] for name in pages}
        for _ in range(2 if nodes2 else RUNS):
            for name, (kinds, has_pack) in random.sample(list(pages.items()), len(pages)):
                times[name].append(canvas_of_300(browser, server, kinds, has_pack=has_pack, nodes2=nodes2))
        medians = {name: statistics.median(times[name]) for name in pages}
        rows |= {f"{canvas}_{name}_ms": time for name, time in medians.items()}
        rows |= {
            f"{canvas}_ours_to_ksampler": medians["ours"] / medians["ksampler"],
            f"{canvas}_generate_to_ksampler": medians["generate"] / medians["ksampler"],
            f"{canvas}_generate_to_without_scripts": medians["generate"] / medians["generate_without_scripts"],
        }
    return rows


def _told(rows: dict[str, Any]) -> dict[str, Any]:
    for name, value in rows.items():
        print(f"{name:36} {value:.2f}" if isinstance(value, float) else f"{name:36} {value}", flush=True)
    return rows


def main() -> int:
    program = chromium()
    if program is None:
        print("Chromium is not installed here; on Debian: apt-get install chromium.")
        return 2
    rows: dict[str, Any] = {}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        with PageServer(frontend(VERSIONS[1]), Path(folder)) as server:
            rows |= _told(load_times(browser, server)) | _told(list_of_300(browser, server))
            rows |= _told(canvases(browser, server))
        browser.close()
    output = ROOT / "bench-output"
    output.mkdir(exist_ok=True)
    (output / "page.json").write_text(json.dumps(rows, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
