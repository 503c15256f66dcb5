"""What every route stands on, and what it is asked."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from .access import Gate
from .page_downloads import PageDownloads

if TYPE_CHECKING:
    from ..app import App
    from ..catalog.service import CatalogService
    from ..link.runner import LinkRunner
    from ..orchestration.fleet import Fleet
    from ..website import Reader


def _nowhere(event: str, data: Mapping[str, Any], client: str) -> None:
    """Where no page listens."""


@dataclass(frozen=True)
class Host:
    """What only the server around the routes can do. `send` gives an event to one page by its client id; `output` is
    where pictures go (None: there is no such folder); `makes_lists` says of a node class whether what comes out of it
    is taken one by one, so that nodes behind it run several times (None: nobody knows); `listed` are the file names
    that the loaders of a model folder offer, `""` = of all folders."""

    send: Callable[[str, Mapping[str, Any], str], None] = _nowhere
    output: Callable[[], Path | None] = lambda: None
    makes_lists: Callable[[str], bool | None] = lambda _: None
    listed: Callable[[str], list[str]] = lambda _: []


@dataclass(frozen=True)
class Context:
    """What the routes stand on. `start` runs a story on the background loop, where `catalog`, `reader` and `fleet` are
    awaited; `gate` says who is let in; `patience` is in seconds. `app` and `fleet` are there where our page is
    served, `runner` where this server can be linked."""

    start: Callable[[Coroutine[Any, Any, Any]], concurrent.futures.Future[Any]]
    catalog: Callable[[], Awaitable[CatalogService]]
    reader: Callable[[], Awaitable[Reader]]
    gate: Gate
    patience: float = 60.0
    app: Callable[[], App] | None = None
    fleet: Callable[[], Awaitable[Fleet]] | None = None
    host: Host = field(default_factory=Host)
    downloads: PageDownloads = field(default_factory=PageDownloads)
    drawing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))  # previews at once: each is large
    collecting: asyncio.Lock = field(default_factory=asyncio.Lock)  # one at a time, on the background loop
    runner: Callable[[], LinkRunner] | None = None

    def link(self) -> LinkRunner:
        """CivitAI Link in this process. Raises BadInput where there is none."""
        if self.runner is None:
            raise BadInput("This server has no CivitAI Link.")
        return self.runner()

    def opened(self) -> App:
        """The pack. Raises BadInput where our page is not served."""
        if self.app is None:
            raise BadInput("This server does not serve the page of the pack.")
        return self.app()

    async def open_fleet(self) -> Fleet:
        """The fleet, with what looks after it. Raises BadInput where our page is not served, and as it does."""
        return await (self.fleet() if self.fleet is not None else self.opened().fleet())


@dataclass(frozen=True)
class Asked:
    """One request: the id in its path (`""` without one), its JSON body, its query, and whether it came with the admin
    token."""

    id: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    is_admin: bool = False


@dataclass(frozen=True)
class Bytes:
    """An answer that is no JSON: `headers` stand beside its type."""

    content: bytes = field(repr=False)
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


Story = Callable[[Context, Asked], Coroutine[Any, Any, "Mapping[str, Any] | Bytes"]]
SMALL = 16 * 1024  # bytes of a body that holds a few values


@dataclass(frozen=True)
class Route:
    """One line of the table. `largest` are the bytes that a body may have; `patience`, in seconds, is the context's
    own where it is None."""

    method: str
    path: str
    story: Story
    largest: int = SMALL
    patience: float | None = None
