"""generate: from a model reference to image files."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, Interrupted, NotAPicture, TooExpensive
from ..model_files.atomic import reason
from .console import ProgressBar
from .context import Context, is_terminal
from .saving import save_pictures

if TYPE_CHECKING:
    from ..orchestration.fleet import Fleet
    from ..orchestration.outcome import Outcome, State, Terms
    from ..orchestration.request import GenerationRequest, LoraInput


def add_to(commands: Any) -> None:
    """The command `generate`."""
    parser = commands.add_parser("generate", help="have images made on CivitAI's fleet, at a price shown before")
    option = parser.add_argument
    option("--model", default="", metavar="REF", help="version id, CivitAI address, AIR or hash")
    option("--prompt", required=True)
    option("--negative-prompt", default="")
    option("--engine", default="auto", metavar="E", help="a variant path such as comfy/sdxl; auto = by the model")
    option("--operation", default="auto", choices=("auto", "create", "variant", "edit"))
    for name in ("quantity", "width", "height", "steps", "clip-skip"):
        option(f"--{name}", type=int, default=1 if name == "quantity" else 0, metavar="N")
    option("--cfg", type=float, default=0.0, metavar="X")
    option("--seed", type=int, default=0, metavar="S")
    option("--sampler", default="auto", metavar="NAME", help="in ComfyUI's spelling")
    option("--scheduler", default="auto", metavar="NAME")
    option("--lora", action="append", default=[], metavar="REF=STRENGTH", help="may be given several times")
    option("--vae", default="", metavar="REF")
    option("--image", default="", metavar="FILE", help="a source picture")
    option("--mask", default="", metavar="FILE")
    option("--denoise", type=float, default=0.7, metavar="X", help="how far from the source picture, 0 to 1")
    option("--format", default="png", choices=("png", "jpeg", "webp"))
    option("--mature", default="auto", choices=("auto", "blocked", "allowed"))
    option("--max-buzz", type=_buzz, metavar="N", help="never pay more (0 = nothing); answers for a script")
    option("--yes", action="store_true", help="buy without being asked")
    option("--no-reuse", action="store_true", help="buy again what was bought before")
    option("--wait", type=float, default=30.0, metavar="MINUTES")
    option("--output", default=".", metavar="DIR")
    option("--estimate", action="store_true", help="only ask the price")
    parser.set_defaults(run=_run)


def _buzz(text: str) -> int:
    amount = int(text)
    if amount < 0:
        raise argparse.ArgumentTypeError("it must be 0 or more")
    return amount


@dataclass
class _Waiting:
    """What Ctrl-C leaves behind: the names by which a person finds the job again."""

    phase: str = ""
    key: str = ""
    workflow_id: str = ""

    def see(self, state: State, fleet: Fleet) -> None:
        self.phase = state.phase
        self.key = next((run.purchase.key for run in fleet.runs), self.key)
        self.workflow_id = state.workflow_id or self.workflow_id

    def look_again(self, fleet: Fleet) -> None:
        """Ctrl-C came; the workflow's id may be newer than the last progress."""
        for run in fleet.runs:
            self.key, self.workflow_id = run.purchase.key, run.purchase.workflow_id

    def stopped(self) -> Interrupted:
        name = self.workflow_id or self.key
        if not name:
            nothing_sent = self.phase in ("", "resolving", "pricing")
            rest = "Nothing was bought." if nothing_sent else "`civitai-bridge journal list` shows what became of it."
            return Interrupted(f"Stopped. {rest}")
        return Interrupted(
            f"Stopped waiting; the job goes on. Collect it with `civitai-bridge journal resume {self.key or name}`, "
            f"cancel it with `civitai-bridge cancel {name}`.",
            key=self.key,
            workflow_id=self.workflow_id,
        )


def _run(context: Context, arguments: argparse.Namespace) -> int:
    waiting = _Waiting()
    try:
        return context.run(_generate(context, arguments, waiting))
    except KeyboardInterrupt:
        raise waiting.stopped() from None


async def _generate(context: Context, arguments: argparse.Namespace, waiting: _Waiting) -> int:
    from ..orchestration.outcome import Terms

    request = request_from(arguments)
    terms = Terms(
        max_buzz=arguments.max_buzz,
        reuse_paid=not arguments.no_reuse,
        wait_minutes=arguments.wait,
        confirm=None if arguments.yes or arguments.max_buzz is not None else _asker(context),
    )
    async with context.app() as app:
        fleet = await app.fleet()
        if arguments.estimate:
            return await _estimate(context, fleet, request, terms)
        outcome = await _buy(context, fleet, request, terms, waiting)
        files = save_pictures(outcome, Path(arguments.output))
        await fleet.collected(outcome.key)
    context.data(_document(outcome, files), "\n".join([outcome.report, *(str(file) for file in files)]))
    return 0


async def _estimate(context: Context, fleet: Fleet, request: GenerationRequest, terms: Terms) -> int:
    estimate = await fleet.estimate(request, terms)
    document = {
        "cost": estimate.cost,
        "affordable": estimate.affordable,
        "air": estimate.air,
        "report": estimate.report,
        "notes": list(estimate.notes),
    }
    context.data(document, estimate.report)
    return 0


async def _buy(context: Context, fleet: Fleet, request: GenerationRequest, terms: Terms, waiting: _Waiting) -> Outcome:
    from ..orchestration.outcome import Caller

    with ProgressBar(context, lines=True) as bar:

        def show(state: State) -> None:
            waiting.see(state, fleet)
            total = None if state.fraction is None else 1.0
            bar.show(state.text, state.fraction or 0.0, total, start=state.price is not None)

        try:
            return await fleet.generate(request, terms, Caller(progress=show))
        except asyncio.CancelledError:
            waiting.look_again(fleet)
            raise


def _document(outcome: Outcome, files: list[Path]) -> dict[str, Any]:
    return {
        "air": outcome.air,
        "workflow_id": outcome.workflow_id,
        "status": outcome.status,
        "cost": outcome.cost,
        "seed": outcome.seed,
        "blob_urls": list(outcome.blob_urls),
        "files": [str(file) for file in files],
        "missing": {str(index): reason for index, reason in outcome.missing},
        "notes": list(outcome.notes),
        "paid_now": outcome.paid_now,
        "sandbox": outcome.sandbox,
    }


def request_from(arguments: argparse.Namespace) -> GenerationRequest:
    """The options of `generate` as a request. Raises BadInput, NotAPicture."""
    from ..orchestration.request import GenerationRequest

    return GenerationRequest(
        model=arguments.model,
        prompt=arguments.prompt,
        negative_prompt=arguments.negative_prompt,
        seed=arguments.seed,
        quantity=arguments.quantity,
        width=arguments.width,
        height=arguments.height,
        steps=arguments.steps,
        cfg=arguments.cfg,
        sampler_name=arguments.sampler,
        scheduler=arguments.scheduler,
        engine=arguments.engine,
        operation=arguments.operation,
        denoise=arguments.denoise,
        clip_skip=arguments.clip_skip,
        vae=arguments.vae,
        output_format=arguments.format,
        mature_content=arguments.mature,
        loras=tuple(_lora(text) for text in arguments.lora),
        image=_picture(arguments.image),
        mask=_picture(arguments.mask),
    )


def _lora(text: str) -> LoraInput:
    """REF=STRENGTH, or REF alone. The last "=" may be part of an address (…?modelVersionId=1)."""
    from ..orchestration.request import LoraInput

    reference, _, strength = text.rpartition("=")
    is_address = text.lower().startswith("http")
    if not reference or (is_address and reference.lower().endswith("modelversionid")):
        return LoraInput(text, 1.0)
    try:
        return LoraInput(reference, float(strength))
    except ValueError:
        if is_address:
            return LoraInput(text, 1.0)
        raise BadInput(f"--lora {text}: write REF=STRENGTH, for example 300001=0.8.") from None


def _picture(path: str) -> bytes | None:
    from ..pictures import png_from_file

    if not path:
        return None
    try:
        return png_from_file(Path(path).read_bytes())
    except OSError as error:
        raise NotAPicture(f"The picture {path} cannot be read: {reason(error)}.") from error


def _asker(context: Context) -> Callable[[int], Awaitable[bool]]:
    """Ask a person on a terminal; a script has to say --yes or --max-buzz."""

    async def ask(price: int) -> bool:
        if not is_terminal():
            raise TooExpensive(
                f"This costs {price} Buzz. Without a terminal say --yes, or --max-buzz {price}. Nothing was bought."
            )
        context.talk().print(f"This costs {price} Buzz. Buy it? [y/N] ", end="", markup=False)
        # Read in the loop's thread on purpose: nothing else goes on while a person thinks. asyncio's own handler would
        # hold the first Ctrl-C back until the line ends, so Python's stands in for it meanwhile.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return input().strip().lower() in ("y", "yes")
        except EOFError:
            return False
        except KeyboardInterrupt:
            raise Interrupted("Stopped. Nothing was bought.") from None
        finally:
            signal.signal(signal.SIGINT, before)

    return ask
