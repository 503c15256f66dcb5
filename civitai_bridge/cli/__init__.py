"""The command line: one family of commands a file, `context` and `console` below them. Nothing imports from here but
`__main__` and the entry point of the installed command.

Data goes to stdout, talk to stderr; `--json` prints one document; exit codes are the errors' own: 0 done · 1 the
service said no or the job failed · 2 wrong usage · 3 no key · 4 not reachable · 5 would cost more than allowed or was
not confirmed · 130 stopped waiting
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from .. import VERSION
from ..errors import CivitaiError, OutputTrouble
from ..wording import at_a_shell
from .context import Context, accept_json, to_nowhere, writing

if TYPE_CHECKING:
    from ..app import Tuning

__all__ = ["main"]


def main(argv: Sequence[str] | None = None, *, tuning: Tuning | None = None) -> int:
    """Run one command and return its exit code. Never raises for what a person can do something about."""
    _prepare_streams()
    try:
        code = _run(sys.argv[1:] if argv is None else list(argv), tuning)
        with writing():
            sys.stdout.flush()  # here, where a reader that has gone is no trouble; at the end of Python it would be
        return code
    except OutputTrouble as error:
        to_nowhere(sys.stdout)
        Context(json=False).fail(error.code, str(error))
        return error.exit_code
    except BrokenPipeError:  # whoever read stdout has seen enough (`| head`); the work is done
        to_nowhere(sys.stdout)  # what Python still flushes at its end
        return 0


def _run(words: Sequence[str], tuning: Tuning | None) -> int:
    """The command that these words are. Raises what comes of a stdout that takes no more."""
    context = Context(json="--json" in words, tuning=tuning)
    try:
        arguments = build_parser().parse_args(words)
        context = Context(json=arguments.json, tuning=tuning)
        return arguments.run(context, arguments)
    except WrongUsage as error:
        if context.json:
            context.fail("wrong_usage", str(error))
        else:
            sys.stderr.write(f"{error.usage}civitai-bridge: {error}\n")
        return 2
    except OutputTrouble:
        raise
    except CivitaiError as error:
        names = {"key": error.key, "workflow_id": error.workflow_id, "cost": error.cost}
        members = {name: value for name, value in names.items() if value not in ("", None)}
        context.fail(error.code, at_a_shell(str(error)), members)
        return error.exit_code
    except KeyboardInterrupt:
        if not context.answered:
            context.fail(
                "interrupted",
                "Stopped waiting. Jobs go on; `civitai-bridge journal list` shows what can be collected or cancelled.",
            )
        return 130
    except RecursionError:
        context.fail("unreadable", "CivitAI's answer is nested too deep to be shown.")
        return 1


def _prepare_streams() -> None:
    """Have output that escapes what it cannot write. In place of a stream that the shell closed (`>&-`) stands one to
    nowhere, lest a file that is opened later gets its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class WrongUsage(Exception):
    """Words that the grammar does not take; `usage` is what it does take."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


class _Help(argparse.HelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        says_it = action.default in (None, "", False, 0, argparse.SUPPRESS, []) or "default" in text
        return text if says_it else f"{text} (default: %(default)s)"


class Parser(argparse.ArgumentParser):
    """argparse's grammar, but the caller says what is wrong: one sentence, or JSON. Help names the defaults."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _Help, **options})

    def error(self, message: str) -> NoReturn:
        raise WrongUsage(f"{message[:1].upper()}{message[1:]}.", self.format_usage())


def build_parser() -> argparse.ArgumentParser:
    """The grammar of all commands; each family adds its own."""
    from . import account, buzz, catalog, check_graph, demo, doctor, engines, generate, image, journal, resolve, sandbox
    from . import link, results, workflow, workflows  # isort: skip

    parser = Parser(
        prog="civitai-bridge",
        description="CivitAI from the shell: look models up, have images made, keep what was paid for.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    parser.add_argument("-V", "--version", action="version", version=f"civitai-bridge {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    ordering = (demo, sandbox, account, generate, engines, image, resolve, catalog, link, journal, buzz)
    for family in (*ordering, workflows, workflow, results, check_graph, doctor):
        family.add_to(commands)
    for command in set(commands.choices.values()):
        if not any(action.dest == "json" for action in command._actions):
            accept_json(command)
    return parser
