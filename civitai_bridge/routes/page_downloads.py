"""Model files that our page asked for: each loads by itself, tells how far it is, and can be stopped. What is under
way outlives the request that began it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, CivitaiError, DownloadStopped
from ..network.background import until_cancelled
from ..wording import at_a_graph

if TYPE_CHECKING:
    from ..catalog.answers import Downloaded
    from ..model_files.progress import DownloadProgress

LOADING, DONE, FAILED, STOPPED = "loading", "done", "failed", "stopped"
REMEMBERED = 100  # downloads that are over
AT_ONCE = 50  # downloads that may be under way; more is no person's doing
MOST_CLIENTS = 20  # pages that are told of one download
AT_WORK = 3  # of them that load; the others wait for their turn
EVERY = 0.25  # seconds between two looks at one download
Load = Callable[[Callable[["DownloadProgress"], None], Callable[[], bool]], Awaitable[Iterable["Downloaded"]]]
log = logging.getLogger(__name__)


@dataclass
class Download:
    """One download as the page sees it, for the pages of `clients`; `every`: all files of its version. Used on the
    background loop."""

    id: str
    reference: str
    clients: list[str]
    every: bool = False
    status: str = LOADING
    name: str = ""
    bytes: int = 0
    of_bytes: int | None = None
    text: str = ""
    files: list[str] = field(default_factory=list)
    error: str = ""
    code: str = ""
    is_cancelled: bool = False

    def as_json(self) -> dict[str, Any]:
        """`files` are names for loaders; no path of this machine is in it."""
        names = ("id", "reference", "status", "name", "bytes", "of_bytes", "text", "files", "error", "code")
        return {name: getattr(self, name) for name in names}


Tell = Callable[[Download], None]


class PageDownloads:
    """The downloads of one server process, by id; lives on the background loop."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._numbers = itertools.count(1)
        self._process = secrets.token_hex(4)  # a page still has the ids of the process before
        self._downloads: dict[str, Download] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._monotonic = monotonic
        self._room = asyncio.Semaphore(AT_WORK)

    def all(self) -> list[Download]:
        """Those under way and the last that are over, in the order in which they began."""
        return list(self._downloads.values())

    def loading(self) -> list[Download]:
        """Those under way."""
        return [each for each in self._downloads.values() if each.status == LOADING]

    def joined(self, reference: str, client: str, *, every: bool) -> Download | None:
        """What loads the same already, from now on told to this client too; None where nothing does. One that was asked
        to stop loads nothing any more."""
        for download in self.loading():
            is_same = download.reference == reference and (download.every or not every)
            if is_same and not download.is_cancelled:
                _follow(download, client)
                return download
        return None

    def follow(self, client: str) -> None:
        """Tell this client too how those under way go on."""
        for download in self.loading():
            _follow(download, client)

    def begin(self, reference: str, client: str, load: Load, tell: Tell, *, every: bool = False) -> Download:
        """Start one; it goes on by itself, and `tell` gets it now and then and at its end. Raises BadInput where too
        many are under way."""
        if len(self.loading()) >= AT_ONCE:
            raise BadInput(f"{AT_ONCE} downloads are under way; wait for one of them to end.")
        download = Download(f"{self._process}-{next(self._numbers)}", reference, [client] if client else [], every)
        self._downloads[download.id] = download
        task = asyncio.get_running_loop().create_task(self._run(download, load, tell))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        over = [each.id for each in self._downloads.values() if each.status != LOADING]
        for id_ in over[: max(0, len(over) - REMEMBERED)]:
            del self._downloads[id_]
        return download

    def cancel(self, id_: str) -> Download:
        """Ask one to stop; what it has loaded stays for the next time. Raises BadInput."""
        if id_ not in self._downloads:
            raise BadInput(f"There is no download {id_[:40]!r}.")
        download = self._downloads[id_]
        download.is_cancelled = True
        return download

    async def _run(self, download: Download, load: Load, tell: Tell) -> None:
        """The whole life of one download, whatever ends it."""
        last = -EVERY

        def progress(at: DownloadProgress) -> None:
            nonlocal last
            download.name, download.bytes, download.of_bytes, download.text = at.name, at.bytes, at.of_bytes, at.text
            if self._monotonic() - last >= EVERY:
                last = self._monotonic()
                tell(download)

        def cancelled() -> bool:
            return download.is_cancelled

        try:
            if len(self.loading()) > AT_WORK:
                download.text = "It waits for its turn."
            turn = self._room.acquire()
            await until_cancelled(turn, cancelled, lambda: DownloadStopped("Stopped before it began."))
            try:
                files = list(await load(progress, cancelled))
            finally:
                self._room.release()
            download.files = [file.file for file in files if file.file]
            download.text = " ".join(note for file in files for note in file.notes)
            download.status = DONE
        except DownloadStopped as error:
            _end(download, STOPPED, str(error), error.code)
        except CivitaiError as error:
            _end(download, FAILED, at_a_graph(str(error)), error.code)
        except Exception:  # the door: the page gets a sentence and the console the whole story
            log.exception("A download of the page failed.")
            _end(download, FAILED, "It failed; the server's console says why.", "error")
        tell(download)


def _follow(download: Download, client: str) -> None:
    if client and client not in download.clients:
        download.clients = [*download.clients, client][-MOST_CLIENTS:]


def _end(download: Download, status: str, error: str, code: str) -> None:
    download.status, download.error, download.code = status, error, code
