"""demo: the main job from end to end on the sandbox, with pictures and a report to look at."""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..settings import Settings
from .console import ProgressBar
from .context import Context, runs
from .saving import save_pictures

if TYPE_CHECKING:
    from ..orchestration.fleet import Fleet
    from ..orchestration.outcome import Outcome
    from ..orchestration.request import GenerationRequest

_ADDRESS = "https://civitai.com/models/101055/sd-xl?modelVersionId=128078"
_PROMPTS = (
    ("a lighthouse at dusk, calm sea", 7, 1216, 832),
    ("night over a neon city, full moon", 21, 832, 1216),
    ("a cabin in a green forest at sunrise", 3, 1024, 1024),
)
_MOST_BUZZ = 100


def add_to(commands: Any) -> None:
    """The command `demo`."""
    parser = commands.add_parser("demo", help="see the main job on a sandbox: no key, no Buzz, no network")
    parser.add_argument("--output", default="demo-output", metavar="DIR")
    parser.set_defaults(run=runs(_demo))


@dataclass
class _Walk:
    """What the demo did so far: its lines, what was bought, and the files."""

    context: Context
    folder: Path
    lines: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def tell(self, text: str) -> None:
        self.lines.append(text)
        self.context.say(text)


async def _demo(context: Context, arguments: argparse.Namespace) -> int:
    from ..app import PLAIN, open_app

    walk = _Walk(context, Path(arguments.output))
    walk.folder.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="civitai-bridge-demo-"))
    try:
        async with open_app(lambda: Settings(key="sandbox", home=home, sandbox=True), context.tuning or PLAIN) as app:
            fleet = await app.fleet()
            walk.tell("SANDBOX: a pretend CivitAI on this machine. No key, no Buzz, no network.")
            await _resolve(walk, fleet)
            for prompt in _PROMPTS:
                await _buy(walk, fleet, _request(*prompt))
            again = await _buy_again(walk, fleet)
            debits = sum(entry.amount for entry in (await app.sandbox()).ledger if entry.kind == "debit")
            walk.tell(f"Ledger      the sandbox charged {debits} Buzz for {len(walk.outcomes)} workflows")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    report = _write_report(walk)
    if context.json:
        context.data(_document(walk, report), "")
    return 1 if again.paid_now else 0


async def _resolve(walk: _Walk, fleet: Fleet) -> None:
    walk.tell(f"Reference   {_ADDRESS}")
    version = await fleet.resolve(_ADDRESS)
    walk.tell(f"AIR         {version.air}")
    walk.tell(f"            {version.name} {version.version_name} · {version.base_model}")


def _request(prompt: str, seed: int, width: int, height: int) -> GenerationRequest:
    from ..orchestration.request import GenerationRequest, LoraInput

    return GenerationRequest(
        model=_ADDRESS, prompt=prompt, seed=seed, width=width, height=height, loras=(LoraInput("300001", 0.7),)
    )


async def _buy(walk: _Walk, fleet: Fleet, request: GenerationRequest) -> None:
    from ..orchestration.outcome import Caller, State, Terms

    estimate = await fleet.estimate(request)
    walk.tell(f"Price       {estimate.cost} Buzz · {request.prompt}")
    with ProgressBar(walk.context, lines=True) as bar:

        def show(state: State) -> None:
            bar.show(state.text, state.fraction or 0.0, None if state.fraction is None else 1.0)

        outcome = await fleet.generate(request, Terms(max_buzz=_MOST_BUZZ), Caller(progress=show))
    files = save_pictures(outcome.workflow_id, outcome.pictures, walk.folder)
    await fleet.collected(outcome.key)
    walk.outcomes.append(outcome)
    walk.files += files
    walk.tell(f"Workflow    {outcome.workflow_id} · {outcome.status} · paid {outcome.cost:g} Buzz")
    walk.tell(f"Image       {files[0]}")


async def _buy_again(walk: _Walk, fleet: Fleet) -> Outcome:
    from ..orchestration.outcome import Terms

    again = await fleet.generate(_request(*_PROMPTS[0]), Terms())
    answer = "paid again" if again.paid_now else "answered from what was bought, 0 Buzz"
    walk.tell(f"Again       the first request once more: {answer}")
    return again


def _write_report(walk: _Walk) -> Path:
    """The contact sheet and report.md, which shows it; the report's path."""
    sheet, report = walk.folder / "contact-sheet.jpg", walk.folder / "report.md"
    sheet.write_bytes(contact_sheet(walk.files))
    lines = ["# What the demo did", "", f"![all pictures]({sheet.name})", "", "```", *walk.lines, "```", ""]
    for outcome, file in zip(walk.outcomes, walk.files, strict=True):
        lines += [f"## {file.name}", "", f"![{file.name}]({file.name})", "", "```", outcome.report, "```", ""]
    report.write_text("\n".join(lines), encoding="utf-8")
    walk.tell(f"Report      {report}")
    walk.tell(
        "Next: `civitai-bridge login` stores your key; `civitai-bridge generate --model 128078 --prompt "
        '"…"` buys one for real.'
    )
    return report


def _document(walk: _Walk, report: Path) -> dict[str, Any]:
    first = walk.outcomes[0]
    return {
        "air": first.air,
        "workflow_id": first.workflow_id,
        "status": first.status,
        "cost": sum(outcome.cost for outcome in walk.outcomes),
        "seed": first.seed,
        "blob_urls": list(first.blob_urls),
        "files": [str(file) for file in walk.files],
        "report": str(report),
        "sandbox": True,
    }


def contact_sheet(files: list[Path], *, height: int = 420, gap: int = 12) -> bytes:
    """The pictures side by side, `height` pixels high and `gap` pixels apart, as JPEG."""
    from PIL import Image

    pictures = []
    for file in files:
        with Image.open(file) as image:
            pictures.append(image.convert("RGB").resize((round(image.width * height / image.height), height)))
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) + 1)
    sheet = Image.new("RGB", (width, height + 2 * gap), (24, 24, 28))
    left = gap
    for picture in pictures:
        sheet.paste(picture, (left, gap))
        left += picture.width + gap
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=90)
    return out.getvalue()
