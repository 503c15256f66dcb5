"""Rows as they come: as lines for people, as one JSON document, as CSV. Nothing is kept, however many there are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import CivitaiError, Interrupted
from ..wording import at_a_shell
from .context import Context, as_json, write_out

if TYPE_CHECKING:
    from ..workflows.details import WorkflowDetails

_COLUMNS = (
    *("id", "status", "created_at", "started_at", "completed_at", "steps", "prompt", "pictures", "price", "refunded"),
    *("wallets", "tags"),
)


class Rows:
    """Workflows on their way to stdout. `count` is how many were written, `exit_code` what the command ends with."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.count = 0
        self.exit_code = 0

    def add(self, workflows: Iterable[WorkflowDetails]) -> None:
        """Write some."""
        for workflow in workflows:
            self.write(workflow)
            self.count += 1

    def write(self, workflow: WorkflowDetails) -> None:
        raise NotImplementedError

    def note(self, sentence: str) -> None:
        """What is worth knowing of the list: beside the rows, never among them."""
        self.context.say(sentence)

    def end(self, cursor: str, command: str, error: CivitaiError | None = None) -> None:
        """The last word: how to go on, or why it ended."""
        self.context.answered = True
        if error is not None:
            self.context.fail(error.code, at_a_shell(str(error)))
        if command:
            self.context.say(f"More: {command}")

    @contextlib.contextmanager
    def ended_by_trouble(self, rest: Callable[[], tuple[str, str]]) -> Iterator[None]:
        """What ends a long list midway becomes its last word, with cursor and command that go on from there."""
        try:
            yield
        except CivitaiError as error:
            self.end(*rest(), error)
            self.exit_code = error.exit_code
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.end(*rest(), Interrupted("Stopped before the end of the list."))
            self.exit_code = Interrupted.exit_code


class TextRows(Rows):
    """A line for each."""

    def write(self, workflow: WorkflowDetails) -> None:
        from ..workflows.texts import list_line

        self.context.line(list_line(workflow))


class CsvRows(Rows):
    """A header and a line for each; times as the service writes them, wallets as `blue=10;yellow=6`."""

    def write(self, workflow: WorkflowDetails) -> None:
        from .spreadsheet import csv_line

        if not self.count:
            self.context.line(csv_line(_COLUMNS))
        raw, summary = workflow.raw, workflow.summary
        cells = (
            workflow.id, workflow.status, workflow.created_at, raw.get("startedAt"), raw.get("completedAt"),
            ", ".join(workflow.types), workflow.prompt, len(workflow.pictures), summary.cost, summary.credited,
            ";".join(f"{account}={amount}" for account, amount in summary.wallets.items()), ", ".join(summary.tags),
        )  # fmt: skip
        self.context.line(csv_line(cells))

    def end(self, cursor: str, command: str, error: CivitaiError | None = None) -> None:
        from .spreadsheet import csv_line

        if not self.count:
            self.context.line(csv_line(_COLUMNS))
        super().end(cursor, command, error)


class JsonRows(Rows):
    """One document: `{"workflows": […], "next_cursor", "next_command", "notes"}`, with `error` where it ended early."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._notes: list[str] = []

    def write(self, workflow: WorkflowDetails) -> None:
        from ..workflows.documents import workflow_document

        opening = ",\n" if self.count else '{"workflows": [\n'
        write_out(opening + as_json(workflow_document(workflow)))

    def note(self, sentence: str) -> None:
        self._notes.append(sentence)

    def end(self, cursor: str, command: str, error: CivitaiError | None = None) -> None:
        rest: dict[str, Any] = {"next_cursor": cursor, "next_command": command, "notes": self._notes}
        if error is not None:
            rest["error"] = {"code": error.code, "message": at_a_shell(str(error))}
        opening = "\n], " if self.count else '{"workflows": [], '
        write_out(f"{opening}{as_json(rest)[1:]}\n")
        self.context.answered = True
