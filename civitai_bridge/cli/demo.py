"""demo: the whole road on the sandbox, from an image's address to pictures, with a report to look at.

address -> what made it -> AIRs -> what is here -> one entry catalogued -> price -> pictures -> again for nothing
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..orchestration.saving import check_folder, save_pictures
from ..settings import Settings
from .console import ProgressBar
from .contact_sheet import contact_sheet
from .context import Context, runs

if TYPE_CHECKING:
    from ..app import App
    from ..catalog.service import CatalogService
    from ..metadata.generation import GenerationData
    from ..orchestration.outcome import Outcome
    from ..orchestration.request import GenerationRequest, LoraInput

_ADDRESS = "https://civitai.com/images/900001"
_MORE = (
    ("night over a neon city, full moon", 21, 832, 1216),
    ("a cabin in a green forest at sunrise", 3, 1024, 1024),
)
_MOST_BUZZ = 100


def add_to(commands: Any) -> None:
    """The command `demo`."""
    parser = commands.add_parser("demo", help="see the whole road on a sandbox: no key, no Buzz, no network")
    parser.add_argument("--output", default="demo-output", metavar="DIR", help="where pictures and report go")
    parser.set_defaults(run=runs(_demo))


@dataclass
class _Walk:
    """What the demo did so far: its lines, what was bought, and the files of each purchase."""

    context: Context
    folder: Path
    lines: list[str] = field(default_factory=list)
    bought: list[tuple[Outcome, list[Path]]] = field(default_factory=list)

    def tell(self, step: str, text: str) -> None:
        self.lines.append(f"{step:11} {text}")
        self.context.say(self.lines[-1])

    @property
    def files(self) -> list[Path]:
        return [file for _, files in self.bought for file in files]


async def _demo(context: Context, arguments: argparse.Namespace) -> int:
    from ..app import PLAIN, open_app

    walk = _Walk(context, Path(arguments.output))
    check_folder(walk.folder)
    home = Path(tempfile.mkdtemp(prefix="civitai-bridge-demo-"))
    try:
        async with open_app(lambda: Settings(key="sandbox", home=home, sandbox=True), context.tuning or PLAIN) as app:
            walk.tell("SANDBOX", "a pretend CivitAI on this machine. No key, no Buzz, no network.")
            generation = await _read(walk, app)
            await _catalogue(walk, await app.catalog(), generation)
            request = await _request(walk, app, generation)
            await _buy(walk, app, request)
            for prompt, seed, width, height in _MORE:
                await _buy(walk, app, replace(request, prompt=prompt, seed=seed, width=width, height=height))
            is_right = await _again(walk, app, request)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    report = _write_report(walk)
    if context.json:
        context.data(_document(walk, report), "")
    return 0 if is_right else 1


async def _read(walk: _Walk, app: App) -> GenerationData:
    """The address -> prompt, settings, model and LoRAs, each with its AIR."""
    walk.tell("Image", _ADDRESS)
    data = (await (await app.reader()).image(_ADDRESS)).data
    walk.tell("Prompt", data.prompt)
    settings = {"seed": data.seed, "steps": data.steps, "CFG": data.cfg, "sampler": data.sampler or None}
    listed = [f"{name} {value}" for name, value in settings.items() if value is not None]
    walk.tell("Settings", ", ".join([*listed, f"{data.width} x {data.height}"] if data.width else listed))
    walk.tell("Model", f"{data.model_name} · {data.base_model}")
    walk.tell("AIR", data.model_air)
    for lora in data.networks:
        walk.tell("LoRA", f"{lora.name} at {lora.weight:g}")
        walk.tell("AIR", lora.air)
    return data


async def _catalogue(walk: _Walk, catalog: CatalogService, data: GenerationData) -> None:
    """What is here and what is missing; then the LoRA gets its entry, without its file."""
    for answer in (await catalog.check(data)).answers:
        walk.tell("Catalog", answer.report)
    lora = data.networks[0]
    walk.tell("Add", (await catalog.add(lora.air)).report)
    for answer in (await catalog.check(lora)).answers:
        walk.tell("Catalog", answer.report)


async def _request(walk: _Walk, app: App, data: GenerationData) -> GenerationRequest:
    """The order that the image stands for, and what it leaves out."""
    from ..catalog.name_loras import name_loras
    from ..orchestration.fill import SKIP, completed
    from ..orchestration.request import GenerationRequest

    async def names(loras: Sequence[LoraInput]) -> list[str]:
        return await name_loras(await app.catalog(), loras)

    request, notes = await completed(GenerationRequest(), data, names, missing=SKIP)
    for note in notes:
        walk.tell("Note", note)
    return request


async def _buy(walk: _Walk, app: App, request: GenerationRequest) -> None:
    from ..orchestration.outcome import Caller, State, Terms

    fleet = await app.fleet()
    estimate = await fleet.estimate(request)
    walk.tell("Price", f"{estimate.cost} Buzz · {request.prompt}")
    with ProgressBar(walk.context, lines=True) as bar:

        def show(state: State) -> None:
            bar.show(state.text, state.fraction or 0.0, None if state.fraction is None else 1.0)

        outcome = await fleet.generate(request, Terms(max_buzz=_MOST_BUZZ, asked_by="demo"), Caller(progress=show))
    files = save_pictures(outcome.workflow_id, outcome.pictures, walk.folder)
    await fleet.collected(outcome.key)
    walk.bought.append((outcome, files))
    walk.tell("Workflow", f"{outcome.workflow_id} · {outcome.status} · paid {outcome.cost:g} Buzz")
    walk.tell("Picture", str(files[0]))


async def _again(walk: _Walk, app: App, request: GenerationRequest) -> bool:
    """The first order once more, and the sandbox's own books: whether both say what was promised."""
    from ..orchestration.outcome import Terms

    again = await (await app.fleet()).generate(request, Terms(asked_by="demo"))
    answer = "paid again" if again.paid_now else "answered from what was bought, 0 Buzz"
    walk.tell("Again", f"the image's order once more: {answer}")
    debits = sum(entry.amount for entry in (await app.sandbox()).ledger if entry.kind == "debit")
    paid = sum(outcome.cost for outcome, _ in walk.bought)
    agrees = "the reports agree" if debits == paid else f"the reports say {paid:g}"
    walk.tell("Ledger", f"the sandbox charged {debits} Buzz for {len(walk.bought)} workflows; {agrees}")
    return not again.paid_now and debits == paid


def _write_report(walk: _Walk) -> Path:
    """The contact sheet and report.md, which shows it; the report's path."""
    sheet, report = walk.folder / "contact-sheet.jpg", walk.folder / "report.md"
    sheet.write_bytes(contact_sheet(walk.files))
    lines = ["# What the demo did", "", f"![all pictures]({sheet.name})", "", "```", *walk.lines, "```", ""]
    for outcome, files in walk.bought:
        for file in files:
            lines += [f"## {file.name}", "", f"![{file.name}]({file.name})", "", "```", outcome.report, "```", ""]
    report.write_text("\n".join(lines), encoding="utf-8")
    walk.tell("Report", str(report))
    walk.tell(
        "Next",
        '`civitai-bridge login` stores your key; `civitai-bridge generate --model 128078 --prompt "…"` buys one for '
        "real, `civitai-bridge generate --from ADDRESS` one from an image of CivitAI.",
    )
    return report


def _document(walk: _Walk, report: Path) -> dict[str, Any]:
    first, _ = walk.bought[0]
    return {
        "air": first.air,
        "workflow_id": first.workflow_id,
        "status": first.status,
        "cost": sum(outcome.cost for outcome, _ in walk.bought),
        "seed": first.seed,
        "blob_urls": list(first.blob_urls),
        "files": [str(file) for file in walk.files],
        "report": str(report),
        "sandbox": True,
    }
