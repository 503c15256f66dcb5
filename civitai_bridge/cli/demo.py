"""demo: the main job from end to end on the sandbox, with pictures and a report to look at."""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from .context import Context
from .generate import progress, save

_ADDRESS = "https://civitai.com/models/101055/sd-xl?modelVersionId=128078"
_PROMPTS = (
    ("a lighthouse at dusk, calm sea", 7, 1216, 832),
    ("night over a neon city, full moon", 21, 832, 1216),
    ("a cabin in a green forest at sunrise", 3, 1024, 1024),
)


def add_to(commands: Any) -> None:
    parser = commands.add_parser("demo", help="see the main job on a sandbox: no key, no Buzz, no network")
    parser.add_argument("--output", default="demo-output", metavar="DIR")
    parser.set_defaults(run=_run)


def _run(frame: Context, arguments: argparse.Namespace) -> int:
    return frame.run(_demo(frame, Path(arguments.output)))


async def _demo(frame: Context, folder: Path) -> int:
    from ..network.client import HttpClient
    from ..orchestration.fleet import connect
    from ..orchestration.outcome import Caller, Terms
    from ..orchestration.request import GenerationRequest, LoraInput
    from ..sandbox import Sandbox
    from ..settings import Settings

    folder.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="civitai-bridge-demo-"))
    said: list[str] = []

    def tell(text: str) -> None:
        said.append(text)
        frame.say(text)

    try:
        async with Sandbox() as sandbox, HttpClient() as network:
            settings = Settings(key="sandbox", home=home, sandbox=True)
            at = settings.at(orchestration_url=sandbox.orchestration_url, site_url=sandbox.site_url)
            network.allow_loopback(sandbox.storage_url)
            bridge = connect(at, network)
            tell("SANDBOX: a pretend CivitAI on this machine. No key, no Buzz, no network.")
            tell(f"Reference   {_ADDRESS}")
            found = await bridge.resolve(_ADDRESS)
            tell(f"AIR         {found.air}")
            tell(f"            {found.name} {found.version_name} · {found.base_model}")
            files: list[Path] = []
            outcomes = []
            for prompt, seed, width, height in _PROMPTS:
                wanted = GenerationRequest(
                    model=_ADDRESS,
                    prompt=prompt,
                    seed=seed,
                    width=width,
                    height=height,
                    loras=(LoraInput("300001", 0.7),),
                )
                estimate = await bridge.estimate(wanted)
                tell(f"Price       {estimate.cost} Buzz · {prompt}")
                with progress(frame) as show:
                    outcome = await bridge.generate(
                        wanted,
                        Terms(max_buzz=100),
                        Caller(progress=lambda state, show=show: show(state.text, state.fraction)),
                    )
                outcomes.append(outcome)
                saved = save(outcome, folder)
                await bridge.collected(outcome.key)
                files += saved
                tell(f"Workflow    {outcome.workflow_id} · {outcome.status} · paid {outcome.cost:g} Buzz")
                tell(f"Image       {saved[0]}")
            again = await bridge.generate(
                replace(GenerationRequest(), model=_ADDRESS, prompt=_PROMPTS[0][0], seed=7, width=1216, height=832,
                        loras=(LoraInput("300001", 0.7),)), Terms()
            )  # fmt: skip
            debits = sum(entry.amount for entry in sandbox.ledger if entry.kind == "debit")
            tell(
                "Again       the first request once more: "
                f"{'paid again' if again.paid_now else 'answered from what was bought, 0 Buzz'}"
            )
            tell(f"Ledger      the sandbox charged {debits} Buzz for {len(outcomes)} workflows")
            await bridge.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    sheet = folder / "contact-sheet.jpg"
    sheet.write_bytes(contact_sheet(files))
    report = folder / "report.md"
    report.write_text(_report(said, outcomes, files, sheet), encoding="utf-8")
    tell(f"Report      {report}")
    tell(
        "Next: `civitai-bridge login` stores your key; `civitai-bridge generate --model 128078 --prompt "
        '"…"` buys one for real.'
    )
    first = outcomes[0]
    document = {
        "air": first.air,
        "workflow_id": first.workflow_id,
        "status": first.status,
        "cost": sum(outcome.cost for outcome in outcomes),
        "seed": first.seed,
        "blob_urls": list(first.blob_urls),
        "files": [str(file) for file in files],
        "report": str(report),
        "sandbox": True,
    }
    if frame.json:
        frame.data(document, "")
    return 0 if not again.paid_now else 1


def contact_sheet(files: list[Path], *, height: int = 420, gap: int = 12) -> bytes:
    """The pictures side by side, as JPEG."""
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


def _report(said: list[str], outcomes: list[Any], files: list[Path], sheet: Path) -> str:
    lines = ["# What the demo did", "", f"![all pictures]({sheet.name})", "", "```", *said, "```", ""]
    for outcome, file in zip(outcomes, files, strict=True):
        lines += [f"## {file.name}", "", f"![{file.name}]({file.name})", "", "```", outcome.report, "```", ""]
    return "\n".join(lines)
