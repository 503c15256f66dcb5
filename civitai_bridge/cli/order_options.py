"""The options of an order, and what they say: a request, its terms, the picture it starts from."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadInput, NotAPicture
from ..model_files.atomic import reason

if TYPE_CHECKING:
    from ..app import App
    from ..metadata.generation import GenerationData
    from ..orchestration.outcome import Terms
    from ..orchestration.request import GenerationRequest, LoraInput

_ENGINES_OWN = "0 = what the engine itself would take"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Everything that an order can say."""
    option = parser.add_argument
    option("--model", default="", metavar="REF", help="version id, CivitAI address, AIR or hash")
    option("--prompt", help="what to draw; needed without --from")
    option("--negative-prompt", default="", metavar="TEXT", help="what to avoid, where the engine takes it")
    words = "start from an image of CivitAI or a picture file; every other option goes before what it says"
    option("--from", dest="source", default="", metavar="REF|FILE", help=words)
    option(
        "--missing",
        choices=("error", "skip"),
        help="when a LoRA of the picture cannot be named to CivitAI: stop, or order without it (default: skip where "
        "you are asked for the price or only estimate, else error)",
    )
    words = (
        "one of `civitai-bridge engines`, or a bare name (sdxl, sd1, flux2): of its engines the one that fits the model"
    )
    option("--engine", default="auto", metavar="E", help=f"{words}; auto = by the model")
    option("--operation", default="auto", choices=("auto", "create", "variant", "edit"), help="what to do with --image")
    option("--quantity", type=int, default=1, metavar="N", help="how many pictures; each is paid")
    for name in ("width", "height", "steps", "clip-skip"):
        option(f"--{name}", type=int, default=0, metavar="N", help=_ENGINES_OWN)
    option("--cfg", type=float, default=0.0, metavar="X", help=f"guidance; {_ENGINES_OWN}")
    option("--seed", type=int, default=0, metavar="S", help="the same seed and options are the same purchase")
    option("--sampler", default="auto", metavar="NAME", help="in ComfyUI's spelling")
    option("--scheduler", default="auto", metavar="NAME", help="in ComfyUI's spelling")
    option("--lora", action="append", default=[], metavar="REF=STRENGTH", help="may be given several times")
    _add_pictures(parser)
    _add_terms(parser)


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    """What an order starts from, and what it makes."""
    option = parser.add_argument
    option("--vae", default="", metavar="REF", help="a VAE, by any reference")
    option("--image", action="append", default=[], metavar="FILE", help="a source picture")
    option("--mask", action="append", default=[], metavar="FILE", help="where to change it: white may change")
    option("--denoise", type=float, default=0.7, metavar="X", help="how far from the source picture, 0 to 1")
    option("--format", default="png", choices=("png", "jpeg", "webp"), help="what the fleet sends")
    option("--mature", default="auto", choices=("auto", "blocked", "allowed"), help="auto leaves it to CivitAI")


def _add_terms(parser: argparse.ArgumentParser) -> None:
    """What is no part of the request: its price, its waiting, its name, its place."""
    option = parser.add_argument
    option("--max-buzz", type=_buzz, metavar="N", help="never pay more; 0 buys nothing; answers for a script")
    option(
        "--tag",
        action="append",
        default=[],
        metavar="T",
        help="to find the workflow again by; several times, at most 8",
    )
    option("--yes", action="store_true", help="buy without being asked")
    option("--no-reuse", action="store_true", help="buy again what was bought before")
    option("--wait", type=float, default=30.0, metavar="MINUTES", help="how long to wait; the job goes on")
    option("--output", default=".", metavar="DIR", help="where the pictures go")
    option("--estimate", action="store_true", help="only ask the price")


def _buzz(text: str) -> int:
    amount = int(text)
    if amount < 0:
        raise argparse.ArgumentTypeError("it must be 0 or more")
    return amount


def request_from(arguments: argparse.Namespace) -> GenerationRequest:
    """The options as a request. Raises BadInput, NotAPicture."""
    from ..orchestration.request import GenerationRequest

    return GenerationRequest(
        model=arguments.model,
        prompt=arguments.prompt or "",
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
        image=_picture("image", arguments.image),
        mask=_picture("mask", arguments.mask),
        tags=tuple(arguments.tag),
    )


def terms_from(arguments: argparse.Namespace, ask: Callable[[int], Awaitable[bool]]) -> Terms:
    """What the options allow; a person is asked where they do not answer."""
    from ..orchestration.outcome import Terms

    return Terms(
        max_buzz=arguments.max_buzz,
        reuse_paid=not arguments.no_reuse,
        wait_minutes=arguments.wait,
        asked_by="generate",
        confirm=None if arguments.yes or arguments.max_buzz is not None else ask,
    )


async def generation_from(app: App, source: str) -> GenerationData | None:
    """What made the picture of `--from`: a file of this machine, else an image of CivitAI. Raises NotAPicture and what
    the look-up raises."""
    if not source:
        return None
    reader = await app.reader()
    path = Path(source).expanduser()
    if not path.is_file():
        return (await reader.image(source)).data
    try:
        return (await reader.file(path)).data
    except OSError as error:
        raise NotAPicture(f"The picture {source} cannot be read: {reason(error)}.") from error


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


def _picture(option: str, paths: list[str]) -> bytes | None:
    from ..pictures import png_from_file

    if len(paths) > 1:
        raise BadInput(f"--{option} was given {len(paths)} times, but one picture goes along with an order.")
    if not paths or not paths[0]:
        return None
    try:
        return png_from_file(Path(paths[0]).read_bytes())
    except OSError as error:
        raise NotAPicture(f"The picture {paths[0]} cannot be read: {reason(error)}.") from error
