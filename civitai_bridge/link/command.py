"""A room's command as a value, and what a handler is given and gives.

A handler is `async def handle(command, context, report) -> Mapping`: it returns the fields of the `success` status,
raises CivitaiError for an `error` status (its sentence goes to the room, without paths and keys), and ends with
CancelledError when `activities:cancel` stopped it (`canceled`). Whatever it does, its command gets exactly one final
status; a handler sends none of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import BadInput, CivitaiError
from ..resources.plain_text import one_line

if TYPE_CHECKING:
    from ..catalog.service import CatalogService
    from ..network.fetch import Fetch
    from ..settings import Settings
    from .book import LinkBook
    from .loading import Loading

LONGEST_ID = 100  # characters; the site's ids are UUIDs of 36
_LONGEST_TYPE = 60
_LONGEST_DATE = 40
_ENVELOPE = frozenset({"id", "type", "createdAt", "updatedAt", "groupId", "version", "status"})


@dataclass(frozen=True)
class Command:
    """What a room asks for. `type` is in lower case (`resources:add`), `asked_type` as it was written, which answers
    repeat. `fields` is everything but the envelope: unchecked, a stranger's."""

    id: str
    type: str
    asked_type: str = ""
    created_at: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def envelope(self) -> dict[str, Any]:
        """What every status of this command begins with."""
        created = {"createdAt": self.created_at} if self.created_at else {}
        return {"id": self.id, "type": self.asked_type or self.type, **created}


def read_command(data: object) -> Command:
    """A message of the event `command`. Raises BadInput: without an id that can be answered there is nobody to
    answer."""
    if not isinstance(data, Mapping):
        raise BadInput("The command is no object.")
    id_, type_, created = data.get("id"), data.get("type"), data.get("createdAt")
    if not isinstance(id_, str) or not id_ or len(id_) > LONGEST_ID or one_line(id_) != id_:
        raise BadInput(f"The command has no id of 1 to {LONGEST_ID} characters.")
    asked = one_line(type_)[:_LONGEST_TYPE] if isinstance(type_, str) else ""
    created = (
        created if isinstance(created, str) and len(created) <= _LONGEST_DATE and one_line(created) == created else ""
    )
    fields = {key: value for key, value in data.items() if isinstance(key, str) and key not in _ENVELOPE}
    return Command(id_, asked.strip().lower(), asked, created, fields)


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
    """What a handler stands on; made anew for each command, so that settings hold at once.

    note       adds a sentence to this command's line in `civitai-bridge link log`, for the person; nothing of it goes
               to the room
    sentence   an error as the room may read it
    ask        asks the person at this ComfyUI
    loading    which resources are loaded now, and how many may be
    book       `link.sqlite3`; every method may wait for the disk
    cancelled  whether the room cancelled one resource of this command, by its hash; the command as a whole is
               cancelled by a CancelledError
    """

    services: LinkServices
    note: Callable[[str], None]
    sentence: Callable[[CivitaiError], str]
    ask: Ask
    loading: Loading
    book: LinkBook
    cancelled: Callable[[str], bool] = lambda _: False

    @property
    def settings(self) -> Settings:
        """The settings as they are now."""
        return self.services.settings

    @property
    def catalog(self) -> CatalogService:
        """The catalogs, the index of model files, downloads."""
        return self.services.catalog

    @property
    def fetch(self) -> Fetch:
        """Gets a picture by address, see `LinkServices`."""
        return self.services.fetch

    @property
    def generate(self) -> Callable[..., Awaitable[Any]] | None:
        """Makes pictures on this ComfyUI, see `LinkServices`."""
        return self.services.generate


Handler = Callable[[Command, LinkContext, Report], Awaitable[Mapping[str, Any]]]
