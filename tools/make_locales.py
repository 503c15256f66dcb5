"""Writes locales/en/nodeDefs.json from the committed node definitions, and names what the other languages lack.

    python3 tools/make_locales.py

Standard library only. The definitions are tests/nodes/object_info.json, which a test holds equal to the nodes. ComfyUI
serves `locales/` at /i18n: https://docs.comfy.org/custom-nodes/i18n
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCALES = ROOT / "locales"


def english(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The texts of every node by its id, as ComfyUI's page looks them up."""
    return {node: _texts_of(definitions[node]) for node in sorted(definitions)}


def _texts_of(node: Mapping[str, Any]) -> dict[str, Any]:
    inputs = {
        name: _text(name, options[1].get("tooltip") if len(options) > 1 else None)
        for section in ("required", "optional")
        for name, options in node["input"].get(section, {}).items()
    }
    tooltips = node.get("output_tooltips") or [None] * len(node["output_name"])
    outputs = {
        str(index): _text(name, tooltip)
        for index, (name, tooltip) in enumerate(zip(node["output_name"], tooltips, strict=True))
    }
    texts = {"display_name": node["display_name"], "description": node["description"], "inputs": inputs}
    return {**texts, "outputs": outputs} if outputs else texts


def _text(name: str, tooltip: str | None) -> dict[str, str]:
    return {"name": name, "tooltip": tooltip} if tooltip else {"name": name}


def leaves(texts: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a locale file with the path of its keys, joined by dots."""
    for key, value in texts.items():
        inner = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            yield from leaves(value, inner)
        else:
            yield inner, value


def main() -> int:
    """Write the English file; 1 where another language lacks a key or has one too many."""
    definitions = json.loads((ROOT / "tests" / "nodes" / "object_info.json").read_text(encoding="utf-8"))
    target = LOCALES / "en" / "nodeDefs.json"
    target.write_text(json.dumps(english(definitions), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    wrong = 0
    for file in sorted(LOCALES.glob("*/*.json")):
        own = dict(leaves(json.loads(file.read_text(encoding="utf-8"))))
        base = dict(leaves(json.loads((LOCALES / "en" / file.name).read_text(encoding="utf-8"))))
        for key in sorted(own.keys() ^ base.keys()):
            wrong += 1
            print(f"{file.relative_to(ROOT)}: {'lacks' if key in base else 'has too many:'} {key}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
