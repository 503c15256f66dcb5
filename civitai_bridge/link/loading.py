"""Which resources are loaded at this moment: a list must show them, and a removal must leave them alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from .kinds import Resource

AT_ONCE = 3  # as many as the downloads themselves take


class Loading:
    """Used on one loop. `changed` is called whenever a list would show something else."""

    def __init__(self, changed: Callable[[], None] = lambda: None, at_once: int = AT_ONCE) -> None:
        self.changed = changed
        self._slots = asyncio.Semaphore(at_once)
        self._now: dict[str, tuple[int, Resource]] = {}  # by hash: how many commands load it
        self.rest: dict[str, int] = {}  # bytes that are still to come, by hash

    @property
    def now(self) -> tuple[Resource, ...]:
        """What is loaded now."""
        return tuple(resource for _, resource in self._now.values())

    def __contains__(self, hash_: str) -> bool:
        return hash_ in self._now

    @contextlib.asynccontextmanager
    async def slot(self, resource: Resource) -> AsyncIterator[None]:
        """Wait for a turn; the resource is loaded for as long as the block runs."""
        async with self._slots:
            number, _ = self._now.get(resource.hash, (0, resource))
            self._now[resource.hash] = number + 1, resource
            self.changed()
            try:
                yield
            finally:
                number, resource = self._now.pop(resource.hash)
                if number > 1:
                    self._now[resource.hash] = number - 1, resource
                else:
                    self.rest.pop(resource.hash, None)
                self.changed()
