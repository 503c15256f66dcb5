"""What a command shows besides words: one progress bar, one table."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .context import Context


class ProgressBar:
    """A bar on a terminal. Elsewhere nothing, or with `lines` a line of talk whenever the part of the text before its
    first " · " changes. Nothing with --json, unless `with_json`. `bytes` shows amount and speed as well.
    `beside_rows`: rows are written to stdout meanwhile; where that is a terminal too they are all that is shown."""

    def __init__(
        self,
        context: Context,
        *,
        bytes: bool = False,
        lines: bool = False,
        with_json: bool = False,
        beside_rows: bool = False,
    ) -> None:
        self._context = context
        self._bytes = bytes
        self._hidden = (context.json and not with_json) or (beside_rows and sys.stdout.isatty())
        self._lines = lines and not context.json
        self._bar: Any = None
        self._last_line = ""

    def __enter__(self) -> ProgressBar:
        console = self._context.talk()
        if not self._hidden and console.is_terminal:
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                SpinnerColumn,
                TextColumn,
                TransferSpeedColumn,
            )

            columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn()]
            columns += [DownloadColumn(), TransferSpeedColumn()] if self._bytes else []
            # Left to itself rich sends what is written to stdout to the bar's terminal, also where stdout is a file.
            self._bar = Progress(*columns, console=console, transient=True, redirect_stdout=False)
            self._task = self._bar.add_task("", total=None)
        return self

    def show(self, text: str, done: float = 0.0, total: float | None = None, *, start: bool = True) -> None:
        """How far it is: `done` of `total`, which is None where nobody knows. Without `start` a bar that does not run
        yet stays away, so that a question has the line to itself."""
        if self._bar is not None:
            if start:
                self._bar.start()
            self._bar.update(self._task, description=text, completed=done, total=total)
        elif self._lines and (line := text.split(" · ")[0]) != self._last_line:
            self._last_line = line
            self._context.say(line)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells with aligned columns, two spaces apart; the last column is as long as it is."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    padded = ([*(f"{cell:{width}}" for cell, width in zip(row[:-1], widths, strict=False)), row[-1]] for row in rows)
    return "\n".join("  ".join(cells) for cells in padded)


@contextmanager
def stopped_by_ctrl_c() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, so that a story can stop in good order; a second one ends the process.
    Where the loop takes no signals (Windows, another thread than the main one) Ctrl-C is KeyboardInterrupt as ever."""
    stopped = threading.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        if stopped.is_set():
            release()
        stopped.set()

    def release() -> None:
        for number in signals:
            loop.remove_signal_handler(number)

    try:
        for number in signals:
            loop.add_signal_handler(number, stop)
    except (NotImplementedError, RuntimeError, ValueError):
        yield stopped
        return
    try:
        yield stopped
    finally:
        release()
