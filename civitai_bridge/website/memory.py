"""Equal questions are asked once: while one is under way, and for minutes after it was answered.

A graph of sixteen nodes with one model asks for it once, and so does its next run. Nothing here survives the process,
and no answer is shared between accounts: each has a memory of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import Unreadable
from ..network.exchange import Request, Response, Send
from ..network.notices import Listener, current_listener, listening

FRESH = 300.0  # seconds, as the site lets its own edge keep an answer
FRESH_UNKNOWN = 60.0  # … for "not found": it may be published any moment
MOST_BYTES, MOST_ANSWERS = 64 * 1024 * 1024, 10_000  # kept at once
_PATHS = ("/api/v1/model-versions/", "/api/v1/models/", "/api/v1/images", "/api/trpc/image.")

_Question = tuple[str, tuple[tuple[str, str], ...]]


@dataclass
class _Running:
    """A question that is under way, and who waits for its answer: whom to tell about the wait, None = nobody looks."""

    waiting: list[Listener | None] = field(default_factory=list)
    task: asyncio.Task[Response] | None = None

    def tell(self, sentence: str) -> None:
        """What the one exchange says about its wait goes to all who wait."""
        for listener in filter(None, self.waiting):
            listener(sentence)


@dataclass
class AnswerMemory:
    """The answers of one account, by path and query, on one event loop; the oldest go when there are too many bytes.
    `clock` is in seconds."""

    clock: Callable[[], float] = time.monotonic
    answers: dict[_Question, tuple[float, Response]] = field(default_factory=dict)
    running: dict[_Question, _Running] = field(default_factory=dict)
    size: int = 0  # bytes of all answers

    def fresh(self, question: _Question) -> Response | None:
        """The answer that is still good, if there is one."""
        until, response = self.answers.get(question, (0.0, None))
        return response if until > self.clock() else None

    def forget(self, question: _Question, running: _Running) -> None:
        """The question is no longer under way."""
        if self.running.get(question) is running:
            del self.running[question]

    def keep(self, question: _Question, response: Response) -> None:
        """Keep a "yes" or a "not found" in JSON; anything else, a page or half an answer too, may be another answer
        the next time."""
        seconds = {200: FRESH, 404: FRESH_UNKNOWN}.get(response.status)
        if seconds is None or not _is_json(response):
            return
        now = self.clock()
        self._drop(question)
        self.size += len(response.content)
        self.answers[question] = (now + seconds, response)
        while self.answers and self._is_too_much(now):
            self._drop(next(iter(self.answers)))

    def _is_too_much(self, now: float) -> bool:
        oldest, _ = next(iter(self.answers.values()))
        return self.size > MOST_BYTES or len(self.answers) > MOST_ANSWERS or oldest <= now

    def _drop(self, question: _Question) -> None:
        _, response = self.answers.pop(question, (0.0, None))
        self.size -= len(response.content) if response else 0


def remembering(send: Send, memory: AnswerMemory) -> Send:
    """A Send that asks what others ask at this moment, or asked a moment ago, only once. What changes something, and
    what is no look-up, goes through as it is.

    A caller who goes away ends the question only when nobody else waits for it."""

    async def ask(request: Request) -> Response:
        if request.method != "GET" or not request.path.startswith(_PATHS):
            return await send(request)
        question = (request.path, request.query)
        if (response := memory.fresh(question)) is not None:
            return response
        running = memory.running.get(question)
        if running is None:
            running = memory.running[question] = _Running()
            with listening(running.tell):
                running.task = asyncio.ensure_future(_asked(send, request, memory, question, running))
        return await _joined(memory, question, running)

    return ask


def _is_json(response: Response) -> bool:
    try:
        response.json()
    except Unreadable:
        return False
    return True


async def _joined(memory: AnswerMemory, question: _Question, running: _Running) -> Response:
    assert running.task is not None
    listener = current_listener()
    running.waiting.append(listener)
    try:
        return await asyncio.shield(running.task)
    finally:
        running.waiting.remove(listener)
        if not running.waiting:
            memory.forget(question, running)
            running.task.cancel()  # nobody is left; one that is done stays as it is


async def _asked(
    send: Send, request: Request, memory: AnswerMemory, question: _Question, running: _Running
) -> Response:
    try:
        response = await send(request)
        memory.keep(question, response)
        return response
    finally:
        memory.forget(question, running)
