"""A model file from CivitAI to the disk: resumed, verified, confined.

    site (with the key) --307--> a signed address of the storage (without any key) --> name.….part --> name

The address is always made here, from the ids of a version and a file; no graph, page or API answer names it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from ..errors import (
    BlobUnavailable,
    DownloadDamaged,
    DownloadForbidden,
    DownloadRefused,
    DownloadStopped,
    DownloadTrouble,
    NoRoom,
    Unreachable,
)
from ..network.background import until_cancelled
from ..network.exchange import Send
from ..network.fetch import OpenFile
from ..resources.version import ModelFile
from ..settings import Settings
from .atomic import put_in_place
from .download_address import TryAgain, ask_address
from .download_lock import held
from .download_rules import GB
from .download_storage import is_complete, strong_etag, whole_size
from .names import LONGEST_TAKEN, safe_name
from .partial import PIECE, PartialFile, in_words
from .progress import DownloadProgress, amount, never
from .verify import (
    DownloadedFile,
    check_in_place,
    checkable,
    contradiction,
    has_stated_size,
    stated_hashes,
    stated_size,
)

AT_ONCE = 3
_SPARE = 64 * 1024 * 1024  # bytes of room that are left for everybody else
_ATTEMPTS = 5  # without progress in between
_ADDRESSES = 3  # that gave no progress; each counts against the account's quota
_PROGRESS = 1024 * 1024  # bytes that count as progress; of a small file a 64th will do
_TRANSFERS = 2  # of a whole file, when its bytes are wrong at the end


class Downloads:
    """`send` asks the site, with the person's key where there is one; `open_` gets bytes and knows no key."""

    def __init__(
        self,
        settings: Settings,
        send: Send,
        open_: OpenFile,
        *,
        at_once: int = AT_ONCE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        piece: int = PIECE,
    ) -> None:
        """At most `at_once` files are loaded together; `free` says how many bytes a folder's disk has left; so many
        bytes as a `piece` has are written in one go."""
        self.settings = settings
        self.send = send
        self.open = open_
        self.sleep = sleep
        self.piece = piece
        self._free = free
        self._gate = asyncio.Semaphore(at_once)
        self._growing: dict[Path, tuple[int, PartialFile, int]] = {}  # device, file, its whole size

    async def load(
        self,
        version_id: int,
        file: ModelFile,
        target: Path,
        *,
        progress: Callable[[DownloadProgress], None] = lambda _: None,
        cancelled: Callable[[], bool] = never,
        choose_target: Callable[[Path], Path] | None = None,
    ) -> DownloadedFile:
        """Load one file of a version to `target`, or to where `choose_target` puts it when its bytes are there to be
        read (it is given the path of the verified part, in a thread). One that is there already with the right bytes is
        left alone; one that another process is loading is waited for. Raises DownloadTrouble and its kin, Unreachable;
        what has arrived is kept for the next time, unless its bytes are wrong."""
        if safe_name(target.name, longest=LONGEST_TAKEN) != target.name:
            raise DownloadForbidden(f"{target.name!r} is no name for a file here.")
        transfer = _Transfer(self, version_id, file, target, progress, choose_target)
        return await until_cancelled(self._load(transfer), cancelled, transfer.stopped)

    async def _load(self, transfer: _Transfer) -> DownloadedFile:
        async with self._gate, held(transfer.part_path, self.settings.home, transfer.tell_waiting):
            if transfer.target.exists():
                return await asyncio.to_thread(check_in_place, transfer.target, transfer.file)
            return await transfer.run()

    @contextlib.contextmanager
    def room_for(self, part: PartialFile, size: int) -> Iterator[None]:
        """Keep room for the rest of a file of `size` bytes, beside what other downloads still need. Raises NoRoom."""
        folder = part.path.parent
        device = os.stat(folder).st_dev
        promised = sum(
            whole - other.size
            for path, (other_device, other, whole) in self._growing.items()
            if other_device == device and path != part.path
        )
        free, need = self._free(folder) - promised, size - part.size + _SPARE
        if free < need:
            raise NoRoom(
                f"{folder} has {max(0, free) / GB:.2f} GB free, and {need / GB:.2f} GB are needed. Make room, or "
                "choose another folder."
            )
        self._growing[part.path] = device, part, size
        try:
            yield
        finally:
            del self._growing[part.path]


class _Transfer:
    """One file on its way from the site's answer to its name."""

    def __init__(
        self,
        downloads: Downloads,
        version_id: int,
        file: ModelFile,
        target: Path,
        progress: Callable[[DownloadProgress], None],
        choose_target: Callable[[Path], Path] | None,
    ) -> None:
        self.file, self.target = file, target
        self._downloads, self._version_id, self._progress = downloads, version_id, progress
        self._choose_target = choose_target
        self._sha256 = stated_hashes(file).get("SHA256", "")
        self.part_path = target.with_name(f"{target.name}.{self._sha256[:12] or f'f{file.id}'}.part")
        self._total: int | None = None
        self._etag = ""
        self._addresses = 0
        self._part: PartialFile | None = None

    def stopped(self) -> DownloadStopped:
        """What is raised when a person stops it."""
        size = self._part.kept if self._part else 0
        kept = f"; the {amount(size)} that have arrived are kept for the next time" if size else ""
        return DownloadStopped(f"The download of {self.file.name} was stopped{kept}.")

    def tell(self, size: int, text: str = "") -> None:
        self._progress(DownloadProgress(self.target.name, size, self._total or stated_size(self.file), text))

    def tell_waiting(self) -> None:
        self.tell(0, "another process loads this file; waiting for it")

    async def run(self) -> DownloadedFile:
        self._part = part = PartialFile(self.part_path, keep=bool(self._sha256), piece=self._downloads.piece)
        try:
            async with part:
                sha256 = await self._load_verified(part)
            target = await asyncio.to_thread(self._put_in_place)
        except FileExistsError as error:
            raise DownloadTrouble(
                f"{error.filename2 or self.target} was made by another program meanwhile; it is left alone."
            ) from error
        except OSError as error:
            raise in_words(error, self.target.parent, part.kept) from error
        verified = bool(checkable(self.file))
        return DownloadedFile(target, part.size, sha256, part.resumed, verified=verified)

    def _put_in_place(self) -> Path:
        target = self._choose_target(self.part_path) if self._choose_target else self.target
        target.parent.mkdir(parents=True, exist_ok=True)
        put_in_place(self.part_path, target)
        return target

    async def _load_verified(self, part: PartialFile) -> str:
        """Load until everything is there and right; the SHA-256. Wrong bytes are loaded once more, from the start."""
        transfers = 0
        while True:
            # An earlier run may have had everything but the name; the hash decides.
            if not (part.resumed and has_stated_size(self.file, part.size)):
                await self._load_rest(part)
            sha256 = await part.finish()
            wrong = await asyncio.to_thread(contradiction, self.file, sha256, part.path)
            if not wrong:
                return sha256
            transfers += not part.resumed
            await part.empty()
            if transfers >= _TRANSFERS:
                raise DownloadDamaged(
                    f"{self.file.name} arrived with other bytes than CivitAI states ({wrong}). It was thrown away; try "
                    "again, and tell CivitAI if it stays so."
                )
            self._total, self._etag = None, ""
            self.tell(0, f"The bytes of {self.file.name} are not those that CivitAI states. Trying again.")

    async def _load_rest(self, part: PartialFile) -> None:
        address, attempts = "", 0
        while True:
            before = part.size
            try:
                address = address or await self._ask_address()
                await self._pull(part, address)
                return
            except TryAgain as again:
                whole = self._total or stated_size(self.file) or 0
                is_progress = part.size - before >= (min(_PROGRESS, whole // 64) or _PROGRESS)
                attempts, self._addresses = (0, 0) if is_progress else (attempts + 1, self._addresses)
                if attempts >= _ATTEMPTS:
                    kept = f" {amount(part.kept)} are kept; try again to go on from there." if part.kept else ""
                    raise Unreachable(f"{self.file.name} could not be loaded: {again}{kept}") from None
                if again.start:
                    await part.empty()
                if again.fresh:
                    address = ""
                self.tell(part.size, f"{again} Trying again.")
                await self._downloads.sleep(0.5 * 2**attempts if again.pause is None else again.pause)

    async def _ask_address(self) -> str:
        if self._addresses >= _ADDRESSES:
            raise DownloadRefused(
                f"CivitAI's storage does not accept the addresses that CivitAI gives for {self.file.name}. Try again "
                "later."
            )
        address = await ask_address(self._downloads.send, self._downloads.settings, self._version_id, self.file)
        self._addresses += 1
        return address

    async def _pull(self, part: PartialFile, address: str) -> None:
        """Load what is still missing from one address. Raises TryAgain where there is hope."""
        headers = {"range": f"bytes={part.size}-"} if part.size else {}
        if part.size and self._etag:
            headers["if-range"] = self._etag
        try:
            async with self._downloads.open(address, headers) as (answer, _):
                if is_complete(answer, self.file, part.size):
                    return
                if answer.status == 200 and part.size:
                    await part.empty()  # the storage knows no ranges, or the file there is another one now
                whole = whole_size(answer, self.file, self._downloads.settings)
                self._total, self._etag = whole.bytes, strong_etag(answer)
                with self._downloads.room_for(part, whole.bytes):
                    self.tell(part.size)
                    if not await part.take(answer.chunks, whole.bytes + whole.slack, lambda: self.tell(part.size)):
                        await part.empty()
                        raise DownloadDamaged(f"The storage sends more of {self.file.name} than it said; try again.")
        except BlobUnavailable as error:
            raise DownloadRefused(str(error)) from error
        except Unreachable as error:
            raise TryAgain(str(error)) from error
        if part.size < whole.bytes - whole.slack:
            raise TryAgain(f"The storage broke off after {part.size} of {whole.bytes} bytes.")
