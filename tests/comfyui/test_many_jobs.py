"""Many nodes of one graph in a real ComfyUI server: watched by one list, and held back where a person wants it."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

SALT = random.Random().randrange(2**40)


def graph(count: int, first: int) -> dict[str, Any]:
    fields = {"model": "128078", "prompt": "a lighthouse at dusk", "width": 64, "height": 64}
    nodes = {
        str(n): {"class_type": "CivitaiBridgeGenerate", "inputs": {**fields, "seed": SALT + first + n}}
        for n in range(count)
    }
    return nodes | {f"p{n}": {"class_type": "PreviewImage", "inputs": {"images": [str(n), 0]}} for n in range(count)}


async def test_sixty_nodes_are_watched_by_one_list(comfyui: Any):
    seen = len(comfyui.requests())
    comfyui.control(jobs=[{"seconds": 40.0}] * 60)  # 16 s of ours
    run = await comfyui.run(graph(60, 0))
    assert run.history["status"]["status_str"] == "success", run.error
    routes = Counter(request["route"] for request in comfyui.requests()[seen:])
    assert routes["submit"] == 60 and routes["list"] >= 2 and routes["poll"] <= 110, routes


async def test_nodes_wait_for_their_turn_and_say_so(comfyui: Any):
    settings = comfyui.state / "settings.json"
    before = settings.read_text(encoding="utf-8") if settings.is_file() else "{}"
    settings.write_text(json.dumps({**json.loads(before), "parallel_jobs": 2}), encoding="utf-8")
    try:
        comfyui.control(jobs=[{"seconds": 5.0}] * 6)
        seen = len(comfyui.requests())
        run = await comfyui.run(graph(6, 1000))
        assert run.history["status"]["status_str"] == "success", run.error
        shown = b"".join(run.binary).decode("utf-8", "replace")
        assert "Waits for its turn, 3 before it" in shown and "Waits for its turn, the next one" in shown
        assert sum(request["route"] == "submit" for request in comfyui.requests()[seen:]) == 6
        comfyui.control(jobs=[{"seconds": 60.0}] * 2)
        cancelled = await comfyui.run(graph(4, 2000), cancel_after=1.2)
        assert cancelled.had("execution_interrupted")
        sent = [request for request in comfyui.requests()[seen:] if request["route"] == "submit"][6:]
        assert len(sent) <= 2, "what was held back never left"
    finally:
        settings.write_text(before, encoding="utf-8")
