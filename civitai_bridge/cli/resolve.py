"""resolve: who a reference is."""

from __future__ import annotations

import argparse
from typing import Any

from ..catalog.entries import file_facts, file_line
from .context import Context, runs


def add_to(commands: Any) -> None:
    """The command `resolve`."""
    parser = commands.add_parser("resolve", help="look up a version id, address, AIR or hash")
    parser.add_argument("reference")
    parser.set_defaults(run=runs(_resolve))


async def _resolve(context: Context, arguments: argparse.Namespace) -> int:
    async with context.app() as app:
        version = await (await app.fleet()).resolve(arguments.reference)
    document = {
        "air": version.air,
        "version_id": version.version_id,
        "model_id": version.model_id,
        "name": version.name,
        "version_name": version.version_name,
        "base_model": version.base_model,
        "type": version.type,
        "trigger_words": list(version.trained_words),
        "usage_control": version.usage_control,
        "files": [file_facts(version, file) for file in version.files],
        "notes": list(version.notes),
    }
    lines = [
        version.air,
        f"{version.name} {version.version_name} · {version.model_type or version.type} · {version.base_model}",
        *([f"Trigger words: {', '.join(version.trained_words)}"] if version.trained_words else []),
        *(file_line(version, file) for file in version.files),
        *version.notes,
    ]
    context.data(document, "\n".join(lines))
    return 0
