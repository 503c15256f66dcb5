"""What every command is given: where words and data go, and how a story gets the pack."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import OutputTrouble
from ..resources.json_values import finite
from ..resources.plain_text import printable
from ..settings import BADGE, Settings, load_settings

if TYPE_CHECKING:
    from rich.console import Console

    from ..app import App, Tuning

T = TypeVar("T")


class Context:
    """One command. Its result goes to stdout, what it says to a person goes to stderr."""

    def __init__(self, *, json: bool, tuning: Tuning | None = None) -> None:
        self.json = json
        self.tuning = tuning
        self.answered = False  # a result that was begun has had its last word

    def talk(self) -> Console:
        """For people: stderr, so that stdout stays data."""
        return _talk_class()(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """A sentence for a person, on stderr."""
        self.talk().print(printable(text), markup=False)

    def data(self, document: dict[str, Any] | list[Any], text: str) -> None:
        """The command's result: the document with `--json`, else the text."""
        write_out((as_json(document, indent=2) if self.json else printable(text)) + "\n")

    def line(self, text: str) -> None:
        """A line of a result that is written as it comes."""
        write_out(printable(text) + "\n")

    def fail(self, code: str, message: str, names: Mapping[str, Any] | None = None) -> None:
        """Why the command did not do it: as JSON on stdout with `--json`, else in red on stderr. `names` are those of
        the purchase that it is about."""
        if self.json:
            write_out(as_json({"error": {"code": code, "message": message, **(names or {})}}) + "\n")
        else:
            self.talk().print(printable(f"civitai-bridge: {message}"), style="red", markup=False)

    def settings(self) -> Settings:
        """The settings as they are now. Raises BadSetting."""
        return load_settings()

    def run(self, story: Coroutine[Any, Any, T]) -> T:
        """Run a story to its end in an event loop of its own."""
        return asyncio.run(story)

    @asynccontextmanager
    async def app(self) -> AsyncIterator[App]:
        """The pack for one command; with CIVITAI_BRIDGE_SANDBOX=1 on a sandbox."""
        from ..app import PLAIN, open_app

        async with open_app(self.settings, self.tuning or PLAIN) as app:
            yield app

    @asynccontextmanager
    async def marked_app(self) -> AsyncIterator[App]:
        """The pack for a command whose answers do not say by themselves that they come from the sandbox."""
        async with self.app() as app:
            if app.load().sandbox:
                self.say(BADGE)
            yield app


@lru_cache
def _talk_class() -> type[Console]:
    from rich.console import Console

    class Talk(Console):
        """Talk that nobody reads any more (`2>&1 | head`) ends no command: what was ordered goes on to its files."""

        def on_broken_pipe(self) -> None:
            to_nowhere(sys.stderr)

    return Talk


def to_nowhere(stream: Any) -> None:
    """Let what is still written to a stream of this process go nowhere."""
    with suppress(OSError, ValueError):  # one without a descriptor, or a closed one, takes nothing anyway
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def as_json(document: Any, indent: int | None = None) -> str:
    """JSON in the characters that stdout can write, on one line unless it is indented. Numbers that JSON has not, as a
    service may send them (`1e999` is read as infinite), are `null`."""
    is_utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    try:
        return json.dumps(document, ensure_ascii=not is_utf8, indent=indent, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(finite(document), ensure_ascii=not is_utf8, indent=indent, default=str)


@contextmanager
def writing() -> Iterator[None]:
    """Raises OutputTrouble in place of what a full disk behind stdout raises; a reader that has gone is no trouble, and
    stays BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputTrouble(f"The output cannot be written to the end: {error.strerror or error}.") from error


def write_out(text: str) -> None:
    """Write text to stdout, all of it: where Python does not buffer (PYTHONUNBUFFERED), a write to a pipe that a signal
    interrupts ends early, and what is left would be lost without a word. Raises OutputTrouble."""
    raw = sys.stdout.buffer if isinstance(sys.stdout, io.TextIOWrapper) else None
    with writing():
        if not isinstance(raw, io.RawIOBase):
            sys.stdout.write(text)
            return
        sys.stdout.flush()
        _write_all(raw, text.replace("\n", os.linesep).encode(sys.stdout.encoding, sys.stdout.errors or "strict"))


def write_bytes_out(content: bytes) -> None:
    """Write bytes to stdout as they are, all of them. Raises OutputTrouble."""
    with writing():
        sys.stdout.flush()
        _write_all(sys.stdout.buffer, content)
        sys.stdout.buffer.flush()


def _write_all(binary: Any, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[binary.write(rest) or 0 :]


Command = Callable[[Context, argparse.Namespace], int]
Story = Callable[[Context, argparse.Namespace], Coroutine[Any, Any, int]]


def runs(story: Story) -> Command:
    """A story as a command."""

    return lambda context, arguments: context.run(story(context, arguments))


def accept_json(parser: argparse.ArgumentParser) -> None:
    """Let `--json` stand behind the command's name as well as before it."""
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def is_terminal() -> bool:
    """Whether a person can be asked: they see stderr and type into stdin."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
