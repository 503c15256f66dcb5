"""generate: from a model reference to image files."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadInput, Interrupted, NotAPicture, StateTrouble, TooExpensive
from ..model_files.atomic import place_new, reason
from .context import Context, is_terminal


def add_to(commands: Any) -> None:
    parser = commands.add_parser("generate", help="have images made on CivitAI's fleet, at a price shown before")
    parser.add_argument("--model", default="", metavar="REF", help="version id, CivitAI address, AIR or hash")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--negative-prompt", default="")
    parser.add_argument(
        "--engine", default="auto", metavar="E", help=("a variant path such as comfy/sdxl; auto = by the model")
    )
    parser.add_argument("--operation", default="auto", choices=("auto", "create", "variant", "edit"))
    for name in ("quantity", "width", "height", "steps", "clip-skip"):
        parser.add_argument(f"--{name}", type=int, default=1 if name == "quantity" else 0, metavar="N")
    parser.add_argument("--cfg", type=float, default=0.0, metavar="X")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--sampler", default="auto", metavar="NAME", help="in ComfyUI's spelling")
    parser.add_argument("--scheduler", default="auto", metavar="NAME")
    parser.add_argument(
        "--lora", action="append", default=[], metavar="REF=STRENGTH", help="may be given several times"
    )
    parser.add_argument("--vae", default="", metavar="REF")
    parser.add_argument("--image", default="", metavar="FILE", help="a source picture")
    parser.add_argument("--mask", default="", metavar="FILE")
    parser.add_argument(
        "--denoise", type=float, default=0.7, metavar="X", help=("how far from the source picture, 0 to 1")
    )
    parser.add_argument("--format", default="png", choices=("png", "jpeg", "webp"))
    parser.add_argument("--mature", default="auto", choices=("auto", "blocked", "allowed"))
    parser.add_argument("--max-buzz", type=int, default=0, metavar="N", help="never pay more; answers for a script")
    parser.add_argument("--yes", action="store_true", help="buy without being asked")
    parser.add_argument("--no-reuse", action="store_true", help="buy again what was bought before")
    parser.add_argument("--wait", type=float, default=30.0, metavar="MINUTES")
    parser.add_argument("--output", default=".", metavar="DIR")
    parser.add_argument("--estimate", action="store_true", help="only ask the price")
    parser.set_defaults(run=_run)


@dataclass
class _Wait:
    """What Ctrl-C leaves behind: the names by which a person finds the job again."""

    phase: str = ""
    key: str = ""
    workflow_id: str = ""

    def stopped(self) -> Interrupted:
        name = self.workflow_id or self.key
        if not name:
            before = self.phase in ("", "resolving", "pricing")
            rest = "Nothing was bought." if before else "`civitai-bridge journal list` shows what became of it."
            return Interrupted(f"Stopped. {rest}")
        return Interrupted(
            f"Stopped waiting; the job goes on. Collect it with `civitai-bridge journal resume {self.key or name}`, "
            f"cancel it with `civitai-bridge cancel {name}`.",
            key=self.key,
            workflow_id=self.workflow_id,
        )


def _run(frame: Context, arguments: argparse.Namespace) -> int:
    wait = _Wait()
    try:
        return frame.run(_generate(frame, arguments, wait))
    except KeyboardInterrupt:
        raise wait.stopped() from None


async def _generate(frame: Context, arguments: argparse.Namespace, wait: _Wait) -> int:
    from ..orchestration.outcome import Caller, State, Terms

    wanted = _wanted(arguments)
    async with frame.bridge() as bridge:
        terms = Terms(
            max_buzz=arguments.max_buzz,
            reuse_paid=not arguments.no_reuse,
            wait_minutes=arguments.wait,
            confirm=None if arguments.yes or arguments.max_buzz else _asker(frame),
        )
        if arguments.estimate:
            estimate = await bridge.estimate(wanted, terms)
            document = {
                "cost": estimate.cost,
                "affordable": estimate.affordable,
                "air": estimate.air,
                "report": estimate.report,
            }
            frame.data(document, estimate.report)
            return 0
        with progress(frame) as show:

            def on_progress(state: State) -> None:
                wait.phase = state.phase
                wait.key = next((run.purchase.key for run in bridge.runs), wait.key)
                wait.workflow_id = state.workflow_id or wait.workflow_id
                show(state.text, state.fraction)

            try:
                outcome = await bridge.generate(wanted, terms, Caller(progress=on_progress))
            except asyncio.CancelledError:  # Ctrl-C; the id may be newer than the last progress
                for run in bridge.runs:
                    wait.key, wait.workflow_id = run.purchase.key, run.purchase.workflow_id
                raise
        files = save(outcome, Path(arguments.output))
        await bridge.collected(outcome.key)
    document = {
        "air": outcome.air,
        "workflow_id": outcome.workflow_id,
        "status": outcome.status,
        "cost": outcome.cost,
        "seed": outcome.seed,
        "blob_urls": list(outcome.blob_urls),
        "files": [str(file) for file in files],
        "missing": {str(index): reason for index, reason in outcome.missing},
        "paid_now": outcome.paid_now,
        "sandbox": outcome.sandbox,
    }
    frame.data(document, "\n".join([outcome.report, *(str(file) for file in files)]))
    return 0


def _wanted(arguments: argparse.Namespace) -> Any:
    from ..orchestration.request import GenerationRequest, LoraInput

    loras = []
    for text in arguments.lora:
        reference, _, strength = text.rpartition("=")
        try:
            loras.append(LoraInput(reference or text, float(strength) if reference else 1.0))
        except ValueError:
            # The last "=" was part of an address (…?modelVersionId=1), so there is no strength.
            loras.append(LoraInput(text, 1.0))
            if not text.lower().startswith("http"):
                raise BadInput(f"--lora {text}: write REF=STRENGTH, for example 300001=0.8.") from None
        else:
            if reference.lower().startswith("http") and reference.lower().endswith("modelversionid"):
                loras[-1] = LoraInput(text, 1.0)
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
        loras=tuple(loras),
        image=_picture(arguments.image),
        mask=_picture(arguments.mask),
    )


def _picture(path: str) -> bytes | None:
    from ..pictures import png_from_file

    if not path:
        return None
    try:
        return png_from_file(Path(path).read_bytes())
    except OSError as error:
        raise NotAPicture(f"The picture {path} cannot be read: {reason(error)}.") from error


def _asker(frame: Context) -> Callable[[int], Any]:
    """Ask a person on a terminal; a script has to say --yes or --max-buzz."""

    async def ask(price: int) -> bool:
        if not is_terminal():
            raise TooExpensive(
                f"This costs {price} Buzz. Without a terminal say --yes, or --max-buzz {price}. Nothing was bought."
            )
        frame.talk().print(f"This costs {price} Buzz. Buy it? [y/N] ", end="", markup=False)
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


class progress:
    """A bar on a terminal, a line per change elsewhere, nothing with --json."""

    def __init__(self, frame: Context) -> None:
        self._frame = frame
        self._bar: Any = None
        self._last = ""

    def __enter__(self) -> Callable[[str, float | None], None]:
        console = self._frame.talk()
        if not self._frame.json and console.is_terminal:
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24))
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task("", total=None)
        return self._show

    def _show(self, text: str, fraction: float | None) -> None:
        if self._bar is not None:
            # Started late, so that the question for the price has the line to itself.
            if "Buzz" in text:
                self._bar.start()
            self._bar.update(
                self._task, description=text, total=1.0 if fraction is not None else None, completed=fraction or 0.0
            )
        elif not self._frame.json:
            line = text.split(" · ")[0]
            if line != self._last:
                self._last = line
                self._frame.say(line)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def save(outcome: Any, folder: Path) -> list[Path]:
    """Copy the pictures to a person's folder under new names; nothing there is ever overwritten."""
    workflow = "".join(c for c in outcome.workflow_id if c.isalnum() or c in "-_")[:60] or "workflow"
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for picture in outcome.pictures:
            seed = "" if picture.seed is None else f"_{picture.seed}"
            stem = f"{workflow}_{picture.index}{seed}"
            names = (f"{stem}{f'_{n}' if n else ''}.{picture.format}" for n in range(100_000))
            files.append(place_new(folder, names, picture.path.read_bytes()))
    except OSError as error:
        raise StateTrouble(
            f"The pictures could not be written to {folder}: {reason(error)}. They are kept: "
            "`civitai-bridge journal list`."
        ) from error
    return files
