"""The sandbox's bank and workflows in a folder, so that the next sandbox of the same folder goes on with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..model_files.atomic import replace_file
from .life import live
from .money import Entry
from .script import Job
from .workflows import TERMINAL, Blob, Orchestrator, Run

_FILE = "sandbox.json"
_BLOBS = "blobs"


def keep(orchestrator: Orchestrator, folder: Path) -> None:
    """Write everything down. Raises OSError."""
    (folder / _BLOBS).mkdir(mode=0o700, parents=True, exist_ok=True)
    for blob in orchestrator.blobs.values():
        path = folder / _BLOBS / blob.id
        if blob.content is not None and not path.exists():
            replace_file(path, blob.content)
    document = {
        "ledger": [asdict(entry) for entry in orchestrator.bank.ledger],
        "balances": orchestrator.bank.balances,
        "workflows": [_run_json(run) for run in orchestrator.runs.values()],
    }
    replace_file(folder / _FILE, json.dumps(document).encode())


def restore(orchestrator: Orchestrator, folder: Path) -> None:
    """Take up what an earlier sandbox wrote down; jobs that were under way begin again. Nothing where nothing is, or
    where it cannot be read: a sandbox starts anyway."""
    try:
        document = json.loads((folder / _FILE).read_bytes())
        runs = [_run(data, folder / _BLOBS) for data in document["workflows"]]
        ledger = [Entry(**entry) for entry in document["ledger"]]
    except (OSError, ValueError, KeyError, TypeError):
        return
    orchestrator.bank.ledger += ledger
    orchestrator.bank.balances.update(document["balances"])
    for run in runs:
        orchestrator.runs[run.id] = run
        if run.key:
            orchestrator.keys.setdefault((run.user, run.key), run.id)
        if run.status in TERMINAL:
            orchestrator.blobs |= {blob.id: blob for blob in run.blobs}
            run.done.set()
        else:
            run.blobs.clear()
            story = live(orchestrator, run, run.data["steps"][0]["input"], None)
            run.task = asyncio.get_running_loop().create_task(story)


def _run_json(run: Run) -> dict[str, Any]:
    blobs = [{**asdict(blob), "content": blob.content is not None} for blob in run.blobs]
    return {
        "user": run.user,
        "key": run.key,
        "data": run.data,
        "job": asdict(run.job),
        "paid": run.paid,
        "born": run.born,
        "blobs": blobs,
        "made": run.made,
        "deleted": run.deleted,
    }


def _run(data: Mapping[str, Any], folder: Path) -> Run:
    job: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in data["job"].items()
    }
    blobs = []
    for blob in data["blobs"]:
        content = (folder / Path(blob["id"]).name).read_bytes() if blob["content"] else None
        blobs.append(Blob(**{**blob, "content": content}))
    run = Run(data["user"], data["key"], data["data"], Job(**job), data["paid"], data["born"], blobs)
    run.made, run.deleted = data.get("made", False), data.get("deleted", False)
    return run
