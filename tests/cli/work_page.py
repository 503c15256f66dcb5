"""Every command block of the description of an orchestration command line, run with our program on a sandbox that holds
what the description speaks of; what they print is docs/workflows.md.

    python3 tests/cli/work_page.py        writes the page anew
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "workflows.md"
BEGIN, END = "<!-- commands -->", "<!-- /commands -->"

WORKFLOW = "0-019be44b-181e-7a7e-ab1b-b58dc7610dca"
OTHER = "abc123-def456"
JOB = "58de87d7-d594-4d71-ae43-dd8fc1bcbd23"
BLOB = "JNFDW54JNTATNW42HACYCWSQP0.jpeg"
CURSOR = "CURSOR"  # stands for the one that the command before it named

# Heading, then the commands as they are described; all of one line, the program's name apart.
BLOCKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Whether it works", ("test",)),
    ("Workflows of a user", ("user 12345", "user 12345 --take=5 --excludeFailed", "user 12345 --excludeFailed")),
    ("One workflow", (f"workflow {WORKFLOW}", f"workflow {OTHER}", f"workflow {OTHER} --wait")),
    (
        "By dates",
        (
            "workflows --from=2024-01-15 --to=2024-01-22",
            "workflows --from=2024-01-20 --to=2024-01-20",
            "workflows --from=2024-01-20T06:00:00Z --to=2024-01-20T12:00:00Z",
            "workflows --oldest --take=50",
        ),
    ),
    ("By tags", ("workflows --tag=user:12345", "workflows --tag=project:myproject --tag=type:image")),
    ("By metadata", ('workflows --query="portrait"',)),
    ("By status", ("workflows --excludeFailed", "workflows")),
    (
        "Page by page",
        (
            "workflows --take=50",
            "workflows --take=1",
            f"workflows --take=1 --cursor={CURSOR}",
            "workflows --take=10",
        ),
    ),
    (
        "Filters together",
        (
            "workflows --tag=user:12345 --excludeFailed --take=50",
            'workflows --query="portrait" --excludeFailed --take=20',
        ),
    ),
    ("A job, with the scans of its pictures", (f"job {JOB}",)),
    ("A step", (f"step {WORKFLOW} generate", f"step {WORKFLOW} '$0'")),
    (
        "Results",
        (
            f"results {WORKFLOW}",
            f"results {WORKFLOW} --download",
            f"results {OTHER} --download --dir=./my-images",
        ),
    ),
    ("A blob", (f"blob {BLOB}", f"blob {BLOB} --download", f"blob {BLOB} --nsfw")),
)


def furnish(sandbox: Any, key: str) -> None:
    """Put in what the description speaks of: workflows of January 2024, a job with scans, tags, metadata, a failure."""
    from civitai_bridge.sandbox.drawing import draw
    from civitai_bridge.sandbox.made import picture_json, put_workflow
    from civitai_bridge.sandbox.users import user_id

    def step(name: str, prompt: str, blobs: list[str], job: str, **more: Any) -> dict[str, Any]:
        given = {"engine": "sdcpp", "ecosystem": "sdxl", "prompt": prompt, "width": 64, "height": 64, "seed": 42}
        images = [picture_json(blob, 64, 64) for blob in blobs]
        jobs = [{"id": job, "status": "succeeded", "cost": 100}]
        return {"$type": "textToImage", "name": name, "status": "succeeded", "input": given, "jobs": jobs,
                "output": {"images": images}, **more}  # fmt: skip

    def put(user: str, day: str, id_: str, steps: list[dict[str, Any]], **more: Any) -> None:
        files = {image["id"]: (draw("a portrait", 1, 64, 64, image["id"].rpartition(".")[2], None), "image/jpeg")
                 for each in steps for image in each["output"]["images"]}  # fmt: skip
        times = {"createdAt": f"{day}:00.0Z", "startedAt": f"{day}:02.0Z", "completedAt": f"{day}:14.0Z"}
        cost = {"base": 8, "factors": {"base": 8}, "fixed": {}, "total": 8}
        money = {"list": [{"type": "debit", "amount": 8, "id": "tx-1", "accountType": "yellow"}]}
        data = {"id": id_, **times, "steps": steps, "cost": cost, "transactions": money, **more}
        for blob in put_workflow(sandbox.orchestrator, user, data, files).blobs:
            blob.renewed = time.time()

    mine = str(user_id(key))
    tags = ["user:12345", "project:myproject", "type:image"]
    portrait = {"tags": tags, "metadata": {"name": "portrait of a keeper"}}
    put(
        mine,
        "2024-01-20T10:15",
        WORKFLOW,
        [step("generate", "a portrait", [BLOB, _blob("B", "jpeg")], JOB)],
        **portrait,
    )
    other = step("$0", "a lighthouse at dusk", [_blob("C", "png")], "0b7b5a52-0000-4000-8000-000000000002")
    put(mine, "2024-01-21T08:00", OTHER, [other], tags=["user:12345"])
    failed = step("$0", "fog", [], "0b7b5a52-0000-4000-8000-000000000003", status="failed")
    failed["jobs"][0] |= {"status": "failed", "reason": "timeout"}
    put(mine, "2024-01-16T09:30", "abc123-failed", [failed], status="failed", tags=["user:12345"])
    theirs = step("$0", "a harbour", [_blob("D", "png")], "0b7b5a52-0000-4000-8000-000000000004")
    put("12345", "2024-01-20T11:00", "12345-20240120110000000", [theirs])
    put("12345", "2024-01-20T12:00", "12345-20240120120000000", [{**failed}], status="failed")


def _blob(letter: str, ending: str) -> str:
    return f"{letter * 26}.{ending}"


@contextlib.contextmanager
def furnished() -> Iterator[tuple[Any, str]]:
    """A sandbox with all that, and the key of the account."""
    from civitai_bridge.sandbox import Embedded

    embedded, key = Embedded(pace=0.01), "staff-of-the-page"  # the first command of the description is for the staff
    try:
        furnish(embedded.sandbox, key)
        yield embedded.sandbox, key
    finally:
        embedded.stop()


def run_all(sandbox: Any, key: str, folder: Path) -> str:
    """The blocks with what each command printed, as the page has them."""
    from civitai_bridge.cli import main

    environment = {
        "CIVITAI_ORCHESTRATION_URL": sandbox.orchestration_url, "CIVITAI_SITE_URL": sandbox.site_url,
        "CIVITAI_API_TOKEN": key, "CIVITAI_BRIDGE_HOME": str(folder / "home"),
    }  # fmt: skip
    before, place = dict(os.environ), Path.cwd()
    os.environ.update(environment)
    os.chdir(folder)
    parts, cursor = [], ""
    try:
        for heading, commands in BLOCKS:
            lines = []
            for command in commands:
                words = [
                    cursor if word == CURSOR else word.replace(f"={CURSOR}", f"={cursor}")
                    for word in shlex.split(command)
                ]
                out = io.StringIO()
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                    code = main(words)
                text = out.getvalue()
                assert code == 0, (command, text)
                cursor = _cursor(text) or cursor
                lines += [f"$ civitai-bridge {command}", _settled(text, sandbox, cursor).rstrip("\n")]
            block = "\n".join(lines)
            parts.append(f"### {heading}\n\n```console\n{block}\n```\n")
    finally:
        os.chdir(place)
        os.environ.clear()
        os.environ.update(before)
    return "\n".join(parts)


def _cursor(text: str) -> str:
    return text.rpartition("--cursor=")[2].split()[0] if "--cursor=" in text else ""


def _settled(text: str, sandbox: Any, cursor: str) -> str:
    """The text without what is another one each time: ports, cursors, moments of today."""
    text = text.replace(sandbox.orchestration_url, "https://orchestration.civitai.com")
    text = text.replace(sandbox.site_url, "https://civitai.com")
    text = text.replace(cursor, CURSOR) if cursor else text
    return re.sub(r"(urlExpiresAt: )\S+", r"\1…", text)


def page_with(blocks: str) -> str:
    """The page with these blocks between its marks."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return f"{before}{BEGIN}\n\n{blocks}\n{END}{after}"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    with furnished() as (made, its_key), tempfile.TemporaryDirectory() as place_:
        blocks_ = run_all(made, its_key, Path(place_))
    PAGE.write_text(page_with(blocks_), encoding="utf-8")
