"""What waits for a person, who answers on the page or by `civitai-bridge link allow|deny`, in whatever process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import BadInput
from ..resources.plain_text import one_line
from .aside import Aside
from .book import LinkBook
from .timings import LinkTimings

ALLOW, DENY = "allow", "deny"
_LONGEST = 20_000  # characters: a person is asked about all of it or none
_COLUMNS = "number, at, sentence, answer"


@dataclass(frozen=True)
class Question:
    """What waits for a person; `answer` is `allow`, `deny`, or `""` while nobody has said anything. `at` is in seconds
    since the epoch."""

    number: int
    at: float
    sentence: str
    answer: str


def ask(book: LinkBook, job: str, sentence: str) -> int:
    """Put a question, once for each job; the number to answer it by. What was said to another sentence is no answer to
    this one. Raises StateTrouble."""
    with book.database.transaction() as connection:
        row = connection.execute("SELECT number, sentence FROM questions WHERE job = ?", (job,)).fetchone()
        if row is not None and row[1] == sentence:
            return int(row[0])
        connection.execute("DELETE FROM questions WHERE job = ?", (job,))
        put = connection.execute(
            "INSERT INTO questions (job, at, sentence) VALUES (?, ?, ?)", (job, book.clock(), sentence)
        )
        return int(put.lastrowid or 0)


def question(book: LinkBook, number: int) -> Question | None:
    """A question by its number. Raises StateTrouble."""
    with book.database.reading() as connection:
        row = connection.execute(f"SELECT {_COLUMNS} FROM questions WHERE number = ?", (number,)).fetchone()
    return Question(*row) if row else None


def open_questions(book: LinkBook) -> list[Question]:
    """What waits for a person. Raises StateTrouble."""
    with book.database.reading() as connection:
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM questions WHERE open = 1 AND answer = '' ORDER BY number"
        ).fetchall()
    return [Question(*row) for row in rows]


def answer(book: LinkBook, number: int, word: str) -> bool:
    """Answer a question; False where none of this number waits. Raises StateTrouble."""
    with book.database.transaction() as connection:
        done = connection.execute(
            "UPDATE questions SET answer = ? WHERE number = ? AND open = 1 AND answer = ''", (word, number)
        )
        return done.rowcount == 1


class Person:
    """The person at this ComfyUI, as the jobs of one process ask them. Used on one loop. `notify` tells the page."""

    def __init__(
        self, book: LinkBook, aside: Aside, timings: LinkTimings, notify: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self._book, self._aside, self._timings, self._notify = book, aside, timings, notify
        self._answered = asyncio.Event()

    async def ask(self, job: str, sentence: str) -> None:
        """Wait for an answer. Raises BadInput where it is no, or none came for too long, or the question is too long to
        be read; StateTrouble."""
        if len(sentence) > _LONGEST:
            raise BadInput("The command is about too many files for one question to the person here; send fewer.")
        sentence = one_line(sentence).encode("utf-8", "replace").decode()
        number = await self._aside(ask, self._book, job, sentence)
        self._notify({"question": {"number": number, "sentence": sentence, "answer": ""}})
        while True:
            answered = self._answered
            asked = await self._aside(question, self._book, number)
            if asked is None or asked.answer:
                break
            if self._timings.clock() - asked.at > self._timings.patience:
                raise BadInput("Nobody at this ComfyUI has allowed it in time.")
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(answered.wait(), self._timings.look)
        word = asked.answer if asked else ""
        self._notify({"question": {"number": number, "sentence": sentence, "answer": word}})
        if word != ALLOW:
            raise BadInput("The person at this ComfyUI has not allowed it.")

    def look(self) -> None:
        """Somebody has answered in this process; others are looked at now and then."""
        self._answered.set()
        self._answered = asyncio.Event()
