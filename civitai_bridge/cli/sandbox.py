"""sandbox: a pretend CivitAI to try things on."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from ..errors import BadSetting
from .context import Context


def add_to(commands: Any) -> None:
    """The command `sandbox`."""
    parser = commands.add_parser("sandbox", help="run a pretend CivitAI on this machine until Ctrl-C")
    parser.add_argument(
        "--port", type=int, default=0,
        help="take ports N (orchestrator), N+1 (site), N+2 (storage), N+3 (Link's relay); else free ones",
    )  # fmt: skip
    parser.set_defaults(run=_run)


def _run(context: Context, arguments: argparse.Namespace) -> int:
    if arguments.port and not 1 <= arguments.port <= 65532:
        raise BadSetting(f"--port is {arguments.port}, but it must be 1 to 65532; the three after it are used too.")
    try:
        return context.run(_serve(context, arguments.port))
    except KeyboardInterrupt:  # the way this command ends
        context.say("The sandbox has ended; its workflows and Buzz are gone.")
        return 0


async def _serve(context: Context, port: int) -> int:
    from ..sandbox import Sandbox

    async with Sandbox(port=port) as sandbox:
        document = {
            "orchestration_url": sandbox.orchestration_url,
            "site_url": sandbox.site_url,
            "storage_url": sandbox.storage_url,
            "link_url": sandbox.link_url,
        }
        text = (
            f"export CIVITAI_ORCHESTRATION_URL={sandbox.orchestration_url}\n"
            f"export CIVITAI_SITE_URL={sandbox.site_url}\nexport CIVITAI_LINK_URL={sandbox.link_url}\n"
            "export CIVITAI_API_TOKEN=any-word"
        )
        context.data(document, text)
        sys.stdout.flush()
        context.say("A sandbox is running; nothing it does is real. Ctrl-C ends it.")
        await asyncio.Event().wait()
    return 0
