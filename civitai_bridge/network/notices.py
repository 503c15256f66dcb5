"""Sentences about a wait, from the depth of a look-up to whoever shows them: a node, a progress line, nobody."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

Listener = Callable[[str], None]

_LISTENER: ContextVar[Listener | None] = ContextVar("civitai_bridge_notices", default=None)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hand what is told in this context, and in the tasks that it starts, to `listener`."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def current_listener() -> Listener | None:
    """Whoever listens in this context, for work that several wait for."""
    return _LISTENER.get()


def tell(sentence: str) -> None:
    """Say what is waited for. Nothing happens where nobody listens."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(sentence)
