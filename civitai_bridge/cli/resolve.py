"""resolve: who a reference is."""

from __future__ import annotations

import argparse
from typing import Any

from ..resources.ecosystems import folder_of
from .context import Context


def add_to(commands: Any) -> None:
    parser = commands.add_parser("resolve", help="look up a version id, address, AIR or hash")
    parser.add_argument("reference")
    parser.set_defaults(run=_run)


def _run(frame: Context, arguments: argparse.Namespace) -> int:
    return frame.run(_resolve(frame, arguments.reference))


async def _resolve(frame: Context, reference: str) -> int:
    async with frame.bridge() as bridge:
        found = await bridge.resolve(reference)
    files = [
        {
            "id": f.id,
            "name": f.name,
            "type": f.type,
            "size_kb": f.size_kb,
            "hashes": dict(f.hashes),
            "folder": folder_of(found.type, f.type),
        }
        for f in found.files
    ]
    document = {
        "air": found.air,
        "version_id": found.version_id,
        "model_id": found.model_id,
        "name": found.name,
        "version_name": found.version_name,
        "base_model": found.base_model,
        "type": found.type,
        "trigger_words": list(found.trained_words),
        "usage_control": found.usage_control,
        "files": files,
        "notes": list(found.notes),
    }
    lines = [
        found.air,
        f"{found.name} {found.version_name} · {found.model_type or found.type} · {found.base_model}",
        *([f"Trigger words: {', '.join(found.trained_words)}"] if found.trained_words else []),
        *(f"File: {f['name']} -> {f['folder'] or 'no model folder'}" for f in files),
        *found.notes,
    ]
    frame.data(document, "\n".join(lines))
    return 0
