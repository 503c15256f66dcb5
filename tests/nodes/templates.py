"""The pack's templates, run as they are for every image of the sandbox:  python3 tools/dev.py templates

Our own nodes run on the stand-in of ComfyUI; a node of core only hands on that something upstream stopped. What comes
out is a price, a sentence that names what a person must choose or is missing, or a fault.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FLEET, LOCAL = "CivitAI image to the fleet", "CivitAI image to local sampler"
ALL = tuple(path.stem for path in sorted((ROOT / "example_workflows").glob("*.json")))
WIDGETS = ("STRING", "INT", "FLOAT", "BOOLEAN", "COMBO")
INFO = json.loads((HERE / "object_info.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Result:
    """How one template ended for one image: `price`, `sentence`, `done` (each of our nodes ran) or `fault`, and its words."""

    kind: str
    text: str


def nodes_of(name: str, reference: str) -> list[dict[str, Any]]:
    """A template's nodes in the order in which they run, each with its inputs: a value, or (node, output)."""
    graph = json.loads((ROOT / "example_workflows" / f"{name}.json").read_text(encoding="utf-8"))
    sources = {link[0]: (link[1], link[2]) for link in graph["links"]}
    nodes = []
    for node in sorted(graph["nodes"], key=lambda node: node["order"]):
        if node["type"] not in INFO:
            continue
        inputs = dict(zip(widgets_of(node["type"]), values_of(node), strict=True))
        inputs |= {each["name"]: sources[each["link"]] for each in node["inputs"] if each.get("link") is not None}
        if node["type"] == "CivitaiBridgeImageData":
            inputs["reference"] = reference
        nodes.append({"id": node["id"], "type": node["type"], "inputs": inputs})
    return nodes


def widgets_of(kind: str) -> list[str]:
    """The widgets of a node in the order of its saved values."""
    order, specs = INFO[kind]["input_order"], INFO[kind]["input"]
    names = [(group, name) for group in ("required", "optional") for name in order.get(group, ())]
    widgets = []
    for group, name in names:
        spec = specs[group][name][0]
        if isinstance(spec, list) or str(spec).split(",")[0] in WIDGETS:
            widgets.append(name)
            if specs[group][name][1].get("control_after_generate"):
                widgets.append(f"{name} afterwards")
    return widgets


def values_of(node: dict[str, Any]) -> list[Any]:
    return node.get("widgets_values") or []


def run(pack: Any, name: str, reference: str) -> Result:
    """One template for one image. Raises nothing: what is no error of ours is a fault."""
    errors = importlib.import_module("pack.civitai_bridge.errors")
    values: dict[int, tuple[Any, ...]] = {}
    blocked: list[str] = []
    result = Result("fault", "nothing came of it")
    for node in nodes_of(name, reference):
        kind = pack[node["type"]]
        inputs = {}
        for key, value in node["inputs"].items():
            if key.endswith(" afterwards"):
                continue
            if isinstance(value, tuple):
                if value[0] not in values:  # a node of core, which would load or sample
                    continue
                value = values[value[0]][value[1]]
            inputs[key] = value
        if any(type(value).__name__ == "ExecutionBlocker" for value in inputs.values()):
            continue
        if node["type"] in ("CivitaiBridgeGenerate", "CivitaiBridgeSaveImage"):
            continue
        try:
            if node["type"] == "CivitaiBridgeApplyLoras":
                asyncio.run(kind.check_lazy_status(model=None, clip=None, **inputs))
                continue
            out = kind.execute(**inputs)
            out = asyncio.run(out) if asyncio.iscoroutine(out) else out
        except errors.CivitaiError as error:
            return Result("sentence", str(error))
        except Exception as error:
            return Result("fault", f"{type(error).__name__}: {error}")
        lists = INFO[node["type"]]["output_is_list"]  # ComfyUI hands on one after the other; here the first
        values[node["id"]] = tuple(v[0] if is_list else v for v, is_list in zip(out.args, lists, strict=True))
        blocked += [value.message for value in values[node["id"]] if type(value).__name__ == "ExecutionBlocker"]
        if node["type"] == "CivitaiBridgeEstimate":
            result = Result("price", out.args[2].replace("\n", " "))
    if name == LOCAL:
        return Result("sentence", " ".join(blocked)) if blocked else Result("price", "everything is here")
    if name != FLEET and values:
        return Result("sentence", " ".join(blocked)) if blocked else Result("done", f"{len(values)} nodes ran")
    return result


def main() -> int:
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    from pack_root import load_pack
    from standin_comfy import Comfy, modules

    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"CIVITAI_BRIDGE_SANDBOX": "1", "CIVITAI_BRIDGE_HOME": folder}
        sys.modules.update(modules(Comfy(Path(folder))))
        load_pack("pack")
        extension = importlib.import_module("pack.nodes").CivitaiBridgeExtension()
        pack = {node.define_schema().node_id: node for node in asyncio.run(extension.get_node_list())}
        images = importlib.import_module("pack.civitai_bridge.sandbox.images").IMAGES
        counts: Counter[tuple[str, str]] = Counter()
        for name in ALL:
            print(f"\n{name}")
            for image_id in sorted(images):
                result = run(pack, name, str(image_id))
                counts[name, result.kind] += 1
                print(f"  {image_id}  {result.kind:8}  {result.text[:200]}")
    print()
    for (name, kind), count in sorted(counts.items()):
        print(f"{count:4}  {kind:8}  {name}")
    return 1 if any(kind == "fault" for _, kind in counts) else 0


if __name__ == "__main__":
    sys.exit(main())
