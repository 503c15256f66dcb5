"""generate: from a model reference, or from a picture, to image files."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Interrupted, TooExpensive
from ..orchestration.saving import check_folder, save_pictures
from ..wording import at_a_shell
from .console import ProgressBar
from .context import Context, is_terminal
from .order_options import add_options, generation_from, request_from, terms_from

if TYPE_CHECKING:
    from ..app import App
    from ..orchestration.fleet import Fleet
    from ..orchestration.outcome import Outcome, State, Terms
    from ..orchestration.request import GenerationRequest, LoraInput


def add_to(commands: Any) -> None:
    """The command `generate`."""
    parser = commands.add_parser("generate", help="have images made on CivitAI's fleet, at a price shown before")
    add_options(parser)
    parser.set_defaults(run=_run, wrong_usage=parser.error)


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
    if arguments.prompt is None and not arguments.source:
        arguments.wrong_usage("say what to draw with --prompt, or start from a picture with --from")
    request = request_from(arguments)
    if not arguments.estimate:
        check_folder(Path(arguments.output))
    async with context.app() as app:
        fleet = await app.fleet()
        request, notes = await _completed(app, arguments, request)
        terms = terms_from(arguments, _asker(context, notes))
        if arguments.estimate:
            return await _estimate(context, fleet, request, terms, notes)
        outcome = await _buy(context, fleet, request, terms, waiting)
        files = save_pictures(outcome.workflow_id, outcome.pictures, Path(arguments.output))
        await fleet.collected(outcome.key)
    text = at_a_shell("\n".join([outcome.report, *notes]))
    context.data(_document(outcome, files, notes), "\n".join([text, *(str(file) for file in files)]))
    return 0


async def _completed(
    app: App, arguments: argparse.Namespace, request: GenerationRequest
) -> tuple[GenerationRequest, tuple[str, ...]]:
    """The request, filled from the picture of `--from`, with references for its LoRAs, and what is left out."""
    from ..catalog.name_loras import name_loras
    from ..orchestration.fill import ERROR, SKIP, completed

    async def names(loras: Sequence[LoraInput]) -> list[str]:
        return await name_loras(await app.catalog(), loras)

    is_asked = is_terminal() and not arguments.yes and arguments.max_buzz is None
    missing = arguments.missing or (SKIP if arguments.estimate or is_asked else ERROR)
    generation = await generation_from(app, arguments.source)
    return await completed(request, generation, names, missing=missing)


async def _estimate(
    context: Context, fleet: Fleet, request: GenerationRequest, terms: Terms, notes: Sequence[str]
) -> int:
    estimate = await fleet.estimate(request, terms)
    report = at_a_shell("\n".join([estimate.report, *notes]))
    document = {
        "cost": estimate.cost,
        "affordable": estimate.affordable,
        "air": estimate.air,
        "base_model": estimate.base_model,
        "version_name": estimate.version_name,
        "notes": _spoken(estimate.notes, notes),
        "report": report,
    }
    context.data(document, report)
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


def _document(outcome: Outcome, files: list[Path], notes: Sequence[str]) -> dict[str, Any]:
    return {
        "air": outcome.air,
        "base_model": outcome.generation.base_model,
        "version_name": outcome.version_name,
        "workflow_id": outcome.workflow_id,
        "status": outcome.status,
        "cost": outcome.cost,
        "seed": outcome.seed,
        "blob_urls": list(outcome.blob_urls),
        "files": [str(file) for file in files],
        "missing": {str(index): reason for index, reason in outcome.missing},
        "paid_now": outcome.paid_now,
        "notes": _spoken(outcome.notes, notes),
        "sandbox": outcome.sandbox,
    }


def _spoken(*notes: Sequence[str]) -> list[str]:
    return [at_a_shell(note) for each in notes for note in each]


def _asker(context: Context, notes: Sequence[str]) -> Callable[[int], Awaitable[bool]]:
    """Ask a person on a terminal, who is told before what is left out; a script has to say --yes or --max-buzz."""

    async def ask(price: int) -> bool:
        if not is_terminal():
            raise TooExpensive(
                f"This costs {price} Buzz. Without a terminal say --yes, or --max-buzz {price}. Nothing was bought."
            )
        for note in notes:
            context.say(at_a_shell(note))
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
