"""What a handler of commands is given, and what it gives.

A handler is `async def handle(command, context, report) -> Mapping`: it returns the fields of the `success` status,
raises CivitaiError for an `error` status (its sentence goes to the room, without paths and keys), and ends with
CancelledError when `activities:cancel` stopped it (`canceled`). Whatever it does, its command gets exactly one final
status; a handler sends none of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import CivitaiError, StateTrouble
from .book import LinkBook
from .loading import Loading
from .message import Command

if TYPE_CHECKING:
    from ..catalog.service import CatalogService
    from ..network.fetch import Fetch
    from ..settings import Settings


class Report(Protocol):
    """Says how far a command is; to be called on the loop that the handler runs on. What is said more often than about
    once a second is not all sent, only the newest."""

    def __call__(self, progress: float, **fields: Any) -> None:
        """Send the status `processing` with `progress` (0 to 100) and other fields of the wire (`speed` in bytes a
        second, `remainingTime` in seconds)."""
        ...


class Ask(Protocol):
    """Asks the person at this ComfyUI, on the page and by `civitai-bridge link allow|deny`."""

    async def __call__(self, sentence: str) -> None:
        """Wait until the person allows it; the command is `pending` meanwhile. Raises BadInput where they refuse, or
        nobody answered for a day."""
        ...


@dataclass(frozen=True)
class LinkServices:
    """What every command stands on, as the settings are now. `fetch` gets a picture by address, as everywhere: public
    https alone, redirects by hand, never a key; it takes `is_allowed`, `cap` and `timeout`. `generate` makes pictures
    on this ComfyUI; handed in by `nodes/host`, None where there is no ComfyUI."""

    settings: Settings
    catalog: CatalogService
    fetch: Fetch
    generate: Callable[..., Awaitable[Any]] | None = None


@dataclass(frozen=True)
class LinkContext:
    """What a handler stands on; made anew for each command, so that settings hold at once. `settings`, `catalog`,
    `fetch` and `generate` are those of `LinkServices`.

    note       adds a sentence to this command's line in `civitai-bridge link log`, for the person; nothing of it goes
               to the room
    ask        asks the person at this ComfyUI
    sentence   an error as the room may read it
    loading    which resources are loaded now, and how many may be
    cancelled  whether the room cancelled one resource of this command, by its hash; the command as a whole is
               cancelled by a CancelledError
    book       `link.sqlite3`; every method may wait for the disk
    """

    settings: Settings
    catalog: CatalogService
    fetch: Fetch
    note: Callable[[str], None]
    ask: Ask
    generate: Callable[..., Awaitable[Any]] | None = None
    sentence: Callable[[CivitaiError], str] = str
    loading: Loading = field(default_factory=Loading)
    cancelled: Callable[[str], bool] = lambda _: False
    book: LinkBook | None = None

    def opened_book(self) -> LinkBook:
        """`link.sqlite3`. Raises StateTrouble where there is none."""
        if self.book is None:
            raise StateTrouble("Nothing is written down here, so nothing is removed.")
        return self.book


Handler = Callable[[Command, LinkContext, Report], Awaitable[Mapping[str, Any]]]

__all__ = ["Ask", "Command", "Handler", "LinkContext", "LinkServices", "Report"]
