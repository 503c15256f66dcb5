"""engines: what `generate --engine` can name."""

from __future__ import annotations

import argparse
from typing import Any

from .console import table
from .context import Context


def add_to(commands: Any) -> None:
    """The command `engines`."""
    parser = commands.add_parser("engines", help="list the engines of CivitAI's fleet, for `generate --engine`")
    parser.add_argument("word", nargs="?", default="", help="only those whose name has this word")
    parser.set_defaults(run=_engines)


def _engines(context: Context, arguments: argparse.Namespace) -> int:
    from ..orchestration.variants import variants

    engines = [
        {
            "engine": path,
            "operations": [variant.kind or "any" for variant in operations.values()],
            "retired": all(variant.retired for variant in operations.values()),
        }
        for path, operations in variants().items()
        if arguments.word.lower() in path.lower()
    ]
    rows = [
        (engine["engine"], ", ".join(dict.fromkeys(engine["operations"])) + (" (retired)" if engine["retired"] else ""))
        for engine in engines
    ]
    context.data(engines, table(rows) or f"No engine has {arguments.word!r} in its name.")
    return 0
