"""check-graph: what a graph would do before it is queued: money, files, hosts, downloads, models."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from ..model_files.atomic import reason
from ..model_files.progress import amount
from ..resources.plain_text import printable
from .context import Context, runs

if TYPE_CHECKING:
    from ..graphs.analysis import Analysis
    from ..graphs.needed import NeededModel, Needs
    from ..graphs.opened import OpenedGraph

_LARGEST = 64 * 2**20  # bytes of a file


def add_to(commands: Any) -> None:
    """The command `check-graph`."""
    check = commands.add_parser("check-graph", help="what a graph would cost, write, load and need, before it runs")
    check.add_argument(
        "file", type=Path, help="a graph as JSON (API format or saved workflow), a picture that holds one, or -"
    )
    check.add_argument("--offline", action="store_true", help="do not ask CivitAI about its models")
    check.set_defaults(run=runs(_check))


async def _check(context: Context, arguments: argparse.Namespace) -> int:
    from ..graphs.analysis import analyse
    from ..graphs.consents import agreed_to
    from ..graphs.needs import needs
    from ..graphs.rules import rules_of

    opened = await asyncio.to_thread(_opened, arguments.file)
    settings = context.settings()
    analysis = analyse(opened, rules_of(settings))
    async with context.marked_app() as app:
        needed = await needs(opened, await app.catalog(), ask=not arguments.offline, read=(await app.reader()).image)
    agreed = agreed_to(settings.home, analysis.hash)
    document = {**analysis.as_json(), "agreed": agreed, **needed.as_json()}
    text = "\n".join([*_lines(analysis), "", *_model_lines(needed)]).rstrip()
    context.data(document, printable(text))  # a stranger's names stand in it
    return 0


def _opened(path: Path) -> OpenedGraph:
    """The graph of a file. Raises BadInput."""
    from ..graphs.opened import open_graph_text
    from ..metadata.container.reader import read_texts

    try:
        content = sys.stdin.buffer.read(_LARGEST + 1) if str(path) == "-" else _content(path)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {reason(error)}.") from error
    if len(content) > _LARGEST:
        raise BadInput(f"{path} has more than {_LARGEST // 2**20} MB; that is no graph.")
    try:
        return open_graph_text(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        pass
    import io

    texts = read_texts(io.BytesIO(content)).texts
    graph = texts.get("prompt") or texts.get("workflow")
    if not graph:
        raise BadInput(f"{path} holds no graph of ComfyUI.")
    return open_graph_text(graph)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST + 1)


def _lines(analysis: Analysis) -> list[str]:
    """What it does, in sentences."""
    lines = []
    if analysis.paying:
        lines.append(f"It can cost at most {analysis.most_buzz} Buzz.")
        for node in analysis.paying:
            most = "past our limits" if node.most_buzz is None else f"at most {node.most_buzz} Buzz"
            engine = ", ".join(filter(None, (node.engine, node.model)))
            lines.append(f"  node {node.node}, {node.title}: {most}{f' ({engine})' if engine else ''}")
    else:
        lines.append("It pays for nothing.")
    for label, deeds in (("It writes", analysis.writes), ("It loads", analysis.downloads)):
        for deed in deeds:
            name = f": {deed.name}" if deed.name else ""
            lines.append(f"{label} {deed.deed} (node {deed.node}, {deed.title}){name}")
    lines.append(f"It speaks to {', '.join(analysis.hosts)}." if analysis.hosts else "It speaks to nobody.")
    return [*lines, *analysis.notes]


def _model_lines(needed: Needs) -> list[str]:
    if not needed.models:
        return ["It names no model."]
    missing = f"{len(needed.missing)} of them not here" if needed.missing else "all here, or needed on the fleet alone"
    lines = [f"It names {len(needed.models)} models, {missing}:"]
    lines += [f"  {_model_line(model)}" for model in needed.models]
    return [*lines, *([needed.note] if needed.note else [])]


def _model_line(model: NeededModel) -> str:
    stated = model.as_json()
    state = "on the fleet" if stated["place"] == "fleet" else "here" if model.is_here else "NOT HERE"
    size = f", {amount(stated['size'])}" if stated["size"] and not model.is_here else ""
    name = stated["model_name"] if stated["model_name"] not in ("", model.named.name) else ""
    early = " Early access." if stated["early_access"] else ""
    rules = " ".join(stated["license"]["sentences"]) if stated["license"] and model.is_missing else ""
    newer = f" Newer: {stated['newer']['name']} ({stated['newer']['version_id']})." if stated["newer"] else ""
    words = f" Words: {', '.join(model.trigger_words)}." if model.trigger_words else ""
    title = f"{model.named.name}{f' = {name}' if name else ''} ({model.named.kind or 'model'}, node {model.named.node})"
    return f"{title}: {state}{size}.{early}{f' {rules}' if rules else ''}{words}{newer}"
