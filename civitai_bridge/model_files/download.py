"""A model file from CivitAI to the disk: resumed, verified, confined.

    site (with the key) --307--> a signed address of the storage (without any key) --> name.….part --> name

The address is always made here, from the ids of a version and a file; no graph, page or API answer names it. The
outcomes of the site are those of facts/site-api.md §6.2, each with a sentence of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

from filelock import FileLock, Timeout

from ..errors import (
    BlobUnavailable,
    DownloadDamaged,
    DownloadForbidden,
    DownloadRefused,
    DownloadStopped,
    DownloadTrouble,
    FileTrouble,
    LogInNeeded,
    NoRoom,
    Unreachable,
)
from ..network.exchange import Request, Response, Send, message_of
from ..network.fetch import Opened, OpenFile
from ..resources.addresses import SITE_HOSTS, download_path
from ..resources.version import ModelFile
from ..settings import Settings
from .atomic import put_in_place, reason
from .hashing import BLAKE3, EVERY, digest_file
from .names import LONGEST_TAKEN, safe_name
from .partial import PartialFile, in_words

T = TypeVar("T")
AT_ONCE = 3
GB = 10**9
_SAFE = (".safetensors", ".sft", ".gguf", ".onnx", ".yaml", ".yml", ".json")  # the rest may run code when opened
_SAFETENSORS = (".safetensors", ".sft")
_ODD = 20  # how often a lock may seem another file than before; some network drives number files anew each time
_SPARE = 64 * 1024 * 1024  # room that is left for everybody else
_INEXACT = 1024  # bytes by which the site's `sizeKB`, a rounded float, may be off
_ATTEMPTS = 5  # without this much progress in between:
_PROGRESS = 1024 * 1024
_ADDRESSES = 3  # how often one download asks for an address; each counts against the account's quota
_PATIENCE = 0.2  # how often a wait looks whether a person stopped it
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Progress:
    """How far a download is; `of_bytes` is None while nobody knows."""

    name: str
    bytes: int
    of_bytes: int | None
    text: str = ""


@dataclass(frozen=True)
class DownloadedFile:
    """A file that is on disk now. `resumed` bytes were there from an earlier run; `was_there` = nothing was loaded;
    `verified` = it has the hashes that CivitAI states (which has none before it has scanned a file)."""

    path: Path
    size: int
    sha256: str
    resumed: int = 0
    was_there: bool = False
    verified: bool = True


def never() -> bool:
    return False


def check_allowed(
    settings: Settings, file: ModelFile, *, from_graph: bool = False, allow_download: bool = True
) -> None:
    """Whether our own rules let a file be loaded, before anything is asked for. Raises DownloadForbidden.

    A graph needs the setting and its own switch, and a size that is known: it may be a stranger's."""
    if reason := forbidden(settings, file, from_graph=from_graph, allow_download=allow_download):
        raise DownloadForbidden(reason)


def forbidden(settings: Settings, file: ModelFile, *, from_graph: bool = False, allow_download: bool = True) -> str:
    """Why a file may not be loaded, `""` where it may."""
    if from_graph and (reason := forbidden_to_graphs(settings, file.name, allow_download)):
        return reason
    if file.danger:
        return f"CivitAI's scan found {file.danger} in {file.name}; it is not loaded."
    can_run_code = file.format == "PickleTensor" or not file.name.lower().endswith(_SAFE)
    if can_run_code and not settings.allow_pickle:
        return (
            f"{file.name} is of a format that can run code when it is opened. Allow such files with "
            "`civitai-bridge settings allow_pickle true`, or choose a safetensors file."
        )
    if file.size_kb is None:
        return f"CivitAI does not say how large {file.name} is; a graph does not load it." if from_graph else ""
    if from_graph and not _checkable(file):
        return f"CivitAI states no hash of {file.name} yet, so its bytes cannot be checked; a graph does not load it."
    if file.size_kb * 1024 > settings.max_download_gb * GB:
        return _too_large(file, int(file.size_kb * 1024), settings.max_download_gb)
    return ""


def forbidden_to_graphs(settings: Settings, name: str, allow_download: bool) -> str:
    """Why no graph may load anything here, `""` where one may; known before anything is looked up."""
    if settings.graph_downloads != "on":
        return (
            f"{name} is not loaded: graphs may not download here. Whoever runs this server can allow it with "
            "`civitai-bridge settings graph_downloads on`."
        )
    return "" if allow_download else f"{name} is not loaded: switch `allow_download` on at this node."


def _too_large(file: ModelFile, size: int, most_gb: float) -> str:
    return (
        f"{file.name} has {size / GB:.2f} GB, more than the setting max_download_gb ({most_gb}) allows. Raise it with "
        f"`civitai-bridge settings max_download_gb {size // GB + 1}`."
    )


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
    ) -> None:
        self.settings = settings
        self.send = send
        self.open = open_
        self.sleep = sleep
        self._free = free
        self._gate = asyncio.Semaphore(at_once)
        self._growing: dict[Path, tuple[int, PartialFile, int]] = {}  # device, file, its whole size

    async def load(
        self,
        version_id: int,
        file: ModelFile,
        target: Path,
        *,
        progress: Callable[[Progress], None] = lambda _: None,
        cancelled: Callable[[], bool] = never,
    ) -> DownloadedFile:
        """Load one file of a version to `target`. One that is there already with the right bytes is left alone; one
        that another process is loading is waited for. Raises DownloadTrouble and its kin, Unreachable; what has arrived
        is kept for the next time, unless its bytes are wrong."""
        if safe_name(target.name, longest=LONGEST_TAKEN) != target.name:
            raise DownloadForbidden(f"{target.name!r} is no name for a file here.")
        story = _Story(self, version_id, file, target, progress)
        return await _until(cancelled, self._load(story), story)

    async def _load(self, story: _Story) -> DownloadedFile:
        async with self._gate, story.alone():
            if story.target.exists():
                return await asyncio.to_thread(_as_it_is, story.target, story.file)
            return await story.run()

    @contextlib.contextmanager
    def room_for(self, part: PartialFile, size: int) -> Any:
        """Keep room for the rest of a file, beside what other downloads still need. Raises NoRoom."""
        folder = part.path.parent
        device = os.stat(folder).st_dev
        others = sum(
            whole - other.size
            for path, (there, other, whole) in self._growing.items()
            if there == device and path != part.path
        )
        free, need = self._free(folder) - others, size - part.size + _SPARE
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


class _Again(Exception):
    """It may work when it is tried again: after `pause` seconds, from a `fresh` address, or from the file's `start`."""

    def __init__(self, why: str, *, pause: float | None = None, fresh: bool = False, start: bool = False) -> None:
        super().__init__(why)
        self.pause, self.fresh, self.start = pause, fresh, start


class _Story:
    """One file from address to name."""

    def __init__(
        self, owner: Downloads, version_id: int, file: ModelFile, target: Path, progress: Callable[[Progress], None]
    ) -> None:
        self.file, self.target = file, target
        self._owner, self._version_id, self._progress = owner, version_id, progress
        self._sha = next((v.lower() for k, v in file.hashes.items() if k.upper() == "SHA256"), "")
        whose = self._sha[:12] or f"f{file.id}"
        self.part = target.with_name(f"{target.name}.{whose}.part")
        self._total: int | None = None
        self._etag = ""
        self._addresses = 0

    def tell(self, size: int, text: str = "") -> None:
        stated = round(self.file.size_kb * 1024) if self.file.size_kb is not None else None
        self._progress(Progress(self.target.name, size, self._total or stated, text))

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold the file against every other process and task that loads it.

        The lock's file is removed while it is held. Who had opened it just before then holds a file without a name
        (filelock 3.12 does not look), so a lock counts only where its file was there before and is the same after."""
        path, told, odd = self.part.with_name(f".{self.part.name}.lock"), False, 0
        while True:
            lock = FileLock(path)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with _open_meanwhile(path) as is_still_there:
                    lock.acquire(timeout=0)
                    if is_still_there() or odd >= _ODD:
                        break
                    lock.release()
                    odd += 1
            except Timeout:
                if not told:
                    self.tell(0, "another process loads this file; waiting for it")
                    told = True
                await asyncio.sleep(_PATIENCE)
            except OSError as error:
                raise in_words(error, path.parent) from error
            except NotImplementedError as error:
                path.unlink(missing_ok=True)
                path = self._lock_elsewhere(path, error)
        try:
            yield
        finally:
            if os.name != "nt":
                with contextlib.suppress(OSError):  # a lock's empty file that stays harms nobody
                    path.unlink(missing_ok=True)
            lock.release()

    def _lock_elsewhere(self, path: Path, error: NotImplementedError) -> Path:
        """A lock in the state folder, where the file system of the models knows none."""
        home = self._owner.settings.home
        if path.parent == home:
            raise DownloadTrouble(
                f"Neither {self.part.parent} nor {home} is on a file system with locks, without which two programs "
                "could spoil a file; choose another folder with --dir."
            ) from error
        whose = hashlib.sha256(os.fsencode(self.part.absolute())).hexdigest()
        return home / f".{whose[:32]}.part.lock"

    async def run(self) -> DownloadedFile:
        async with PartialFile(self.part, keep=bool(self._sha)) as part:
            size, sha256, resumed, verified = await self._whole(part)
        try:
            put_in_place(self.part, self.target)
        except FileExistsError as error:
            raise DownloadTrouble(f"{self.target} was made by another program meanwhile; it is left alone.") from error
        except OSError as error:
            raise in_words(error, self.target.parent) from error
        return DownloadedFile(self.target, size, sha256, resumed, verified=verified)

    async def _whole(self, part: PartialFile) -> tuple[int, str, int, bool]:
        """Load until everything is there and right: size, SHA-256, what an earlier run had left, whether CivitAI states
        a hash that it has."""
        while True:
            if not (part.taken and self._is_complete(part)):
                await self._arrive(part)
            sha256 = await part.finish()
            resumed = part.taken
            wrong = await asyncio.to_thread(_contradicted, self.file, sha256, part.path)
            if not wrong:
                return part.size, sha256, resumed, bool(_checkable(self.file))
            await part.empty()
            if not resumed:
                raise DownloadDamaged(
                    f"{self.file.name} arrived with other bytes than CivitAI states ({wrong}). It was thrown away; try "
                    "again, and tell CivitAI if it stays so."
                )
            self._total, self._etag = None, ""  # what an earlier run left was wrong: once more from the start

    def _is_complete(self, part: PartialFile) -> bool:
        """Whether an earlier run had everything and only the name was missing; the hash decides."""
        return self.file.size_kb is not None and abs(part.size - self.file.size_kb * 1024) < 1

    async def _arrive(self, part: PartialFile) -> None:
        address, attempts = "", 0
        while True:
            before = part.size
            try:
                address = address or await self._resolve()
                await self._pull(part, address)
                return
            except _Again as again:
                attempts = 0 if part.size - before >= _PROGRESS else attempts + 1
                if attempts >= _ATTEMPTS:
                    kept = f" {part.size / GB:.2f} GB are kept; try again to go on from there." if part.size else ""
                    raise Unreachable(f"{self.file.name} could not be loaded: {again}{kept}") from None
                if again.start:
                    await part.empty()
                if again.fresh:
                    address = ""
                self.tell(part.size, f"{again} Trying again.")
                await self._owner.sleep(0.5 * 2**attempts if again.pause is None else again.pause)

    # --- the site

    async def _resolve(self) -> str:
        """The signed address of the storage; it is short-lived, and neither kept nor shown."""
        if self._addresses >= _ADDRESSES:
            raise DownloadRefused(
                f"CivitAI's storage does not accept the addresses that CivitAI gives for {self.file.name}. Try again "
                "later."
            )
        response = await self._ask({"fileId": str(self.file.id)} if self.file.id else {})
        if response.status == 404 and self.file.type == "VAE":  # linked from another version: no file of this one
            response = await self._ask({"type": "VAE"})
        if response.status not in _REDIRECTS:
            raise self._refusal(response)
        try:
            location = urljoin(self._owner.settings.site_url, response.headers.get("location", ""))
            host, _ = (urlsplit(location).hostname or "").lower(), urlsplit(location).port
        except ValueError:  # its words may hold the address, which is a secret
            raise DownloadRefused(
                f"CivitAI names a storage for {self.file.name} that is no address. Try again later.",
                status=response.status,
            ) from None
        if not response.headers.get("location") or _is_site(location, host, self._owner.settings.site_url):
            raise DownloadRefused(
                f"CivitAI answers with a page instead of {self.file.name}: it wants you to log in or to buy access "
                f"(https://civitai.com/models/…?modelVersionId={self._version_id}).",
                status=response.status,
            )
        self._addresses += 1
        return location

    async def _ask(self, query: Mapping[str, str]) -> Response:
        try:
            response = await self._owner.send(
                Request("GET", download_path(self._version_id), tuple(query.items()), timeout=60.0)
            )
        except Unreachable as error:
            raise _Again(str(error)) from error
        quota = "unusual amount" in message_of(response).lower()
        if response.status >= 500 or (response.status == 429 and not quota):
            pause = response.headers.get("retry-after", "")
            raise _Again(
                f"CivitAI has trouble at the moment (HTTP {response.status}).",
                pause=min(30.0, float(pause)) if re.fullmatch(r"\d{1,6}(\.\d+)?", pause) else None,
            )
        return response

    def _refusal(self, response: Response) -> DownloadTrouble:
        detail = message_of(response)
        name = self.file.name
        if response.status == 401 and "disabled downloads" not in detail.lower():
            return self._log_in(detail)
        fitting = (
            sentence for status, words, sentence in _REFUSALS if response.status == status and words in detail.lower()
        )
        sentence = next(fitting, "CivitAI does not give {name} (HTTP {status}). {detail}")
        if response.status == 404 and "no-store" in response.headers.get("cache-control", ""):
            sentence = "CivitAI lists {name}, but its storage cannot find it. Try again later, or take another file."
        text = sentence.format(
            name=name, status=response.status, until=_deadline(response), id=self._version_id, detail=detail
        )
        return DownloadRefused(text.rstrip(), status=response.status, detail=detail)

    def _log_in(self, detail: str) -> LogInNeeded:
        why = (
            "does not accept your API key (it is wrong or expired)" if self._owner.settings.key else "asks for a log-in"
        )
        return LogInNeeded(
            f"CivitAI {why} for {self.file.name}: its creator gives it only to people who are logged in. Run "
            "`civitai-bridge login`.",
            status=401,
            detail=detail,
        )

    # --- the storage

    async def _pull(self, part: PartialFile, address: str) -> None:
        """Load what is still missing from one address. Raises _Again where there is hope."""
        headers = {"range": f"bytes={part.size}-"} if part.size else {}
        if part.size and self._etag:
            headers["if-range"] = self._etag
        try:
            async with self._owner.open(address, headers) as (answer, _):
                if self._ended(part, answer):
                    return
                if answer.status == 200 and part.size:
                    await part.empty()  # the storage knows no ranges, or the file there is another one now
                self._total = total = self._check_total(answer)
                self._etag = (
                    answer.headers.get("etag", "") if not answer.headers.get("etag", "W").startswith("W") else ""
                )
                with self._owner.room_for(part, total):
                    self.tell(part.size)
                    if not await part.take(answer.chunks, total, lambda: self.tell(part.size)):
                        await part.empty()
                        raise DownloadDamaged(f"The storage sends more of {self.file.name} than it said; try again.")
        except BlobUnavailable as error:
            raise DownloadRefused(str(error)) from error
        except Unreachable as error:
            raise _Again(str(error)) from error
        if part.size < total:
            raise _Again(f"The storage broke off after {part.size} of {total} bytes.")

    def _ended(self, part: PartialFile, answer: Opened) -> bool:
        """Whether everything is here already (416); False where a body follows. Raises what any other status means."""
        status = answer.status
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if status in (200, 206) and kind in ("text/html", "application/xhtml+xml"):
            raise DownloadDamaged(
                f"The storage sends a page instead of {self.file.name}; try again later.", status=status
            )
        if status in (200, 206) and answer.headers.get("content-encoding", "identity") != "identity":
            raise DownloadDamaged(f"The storage sends {self.file.name} packed, which was not asked for.", status=status)
        if status == 416:
            _, total = _content_range(answer)
            if total is not None and total == part.size:
                return True
            raise _Again("The storage has not the rest that is missing.", start=True)
        if status in (400, 401, 403, 404, 410):
            raise _Again(f"The storage does not accept the address any more (HTTP {status}).", fresh=True, pause=0.0)
        if status == 206 and _content_range(answer)[0] != part.size:
            raise _Again("The storage sends another part than was asked for.", start=True)
        if status not in (200, 206):
            raise _Again(f"The storage has trouble (HTTP {status}).")
        return False

    def _check_total(self, answer: Opened) -> int:
        """The size of the whole file as the storage states it, held against CivitAI's word and our limit."""
        length = answer.headers.get("content-length", "")
        total = _content_range(answer)[1] if answer.status == 206 else int(length) if length.isdigit() else None
        stated, most = self.file.size_kb, self._owner.settings.max_download_gb
        if total is None:
            raise DownloadDamaged(f"The storage does not say how large {self.file.name} is; it is not loaded.")
        if total == 0:
            raise DownloadDamaged(f"The storage has {self.file.name} with no byte in it; it is not loaded.")
        if total > most * GB:
            raise DownloadForbidden(_too_large(self.file, total, most))
        if stated is not None and abs(total - stated * 1024) > _INEXACT:
            raise DownloadDamaged(
                f"The storage has {total} bytes of {self.file.name}, and CivitAI states {round(stated * 1024)}. It is "
                "not loaded; try again later."
            )
        return total


# What the site refuses, by status and a word of its message, in the order of site-api §6.2.
_REFUSALS: tuple[tuple[int, str, str], ...] = (
    (403, "early access", "{name} is in early access{until}. Buy access on its page (version {id}), or wait."),
    (403, "do not have access", "{name} is private, and its creator has not let your account in."),
    (403, "forbidden", "CivitAI has blocked downloads for your account or your address. Contact support@civitai.com."),
    (403, "", "CivitAI does not let {name} be downloaded (HTTP 403). {detail}"),
    (
        429,
        "",
        "CivitAI stops downloads of this account for now: it has seen an unusual amount of them. Come back later.",
    ),
    (400, "", "CivitAI does not take the question for {name}. {detail}"),
    (404, "", "CivitAI has no file {name} of version {id} to give: it was deleted, unpublished or replaced."),
    (410, "", "The model of {name} is archived; it can no longer be downloaded."),
    (401, "", "The creator of {name} does not allow downloads; it can only be used on CivitAI."),
    (451, "", "CivitAI is not available in your region."),
)


def _deadline(response: Response) -> str:
    try:
        until = json.loads(response.content).get("deadline", "")
    except (ValueError, AttributeError):
        until = ""
    return f" until {until}" if isinstance(until, str) and until else ""


def _is_site(location: str, host: str, site_url: str) -> bool:
    """Whether an address is a page of the site; its storage is elsewhere (on other ports of one machine, maybe)."""
    site = urlsplit(site_url)
    parts = urlsplit(location)
    return host in SITE_HOSTS or (host == (site.hostname or "").lower() and parts.port == site.port)


def _content_range(answer: Opened) -> tuple[int | None, int | None]:
    """First byte and whole size: `bytes 5-9/10`, `bytes */10`."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+)", answer.headers.get("content-range", "").strip())
    return (int(found[1]) if found[1] else None, int(found[2])) if found else (None, None)


def is_file(path: Path, file: ModelFile) -> bool:
    """Whether what lies there is this file, by its hash, or by its size where CivitAI states none. Reads all of it."""
    try:
        if file.size_kb is not None and abs(path.stat().st_size - file.size_kb * 1024) > _INEXACT:
            return False
        _as_it_is(path, file)
    except (DownloadTrouble, FileTrouble, OSError):
        return False
    return True


def _as_it_is(target: Path, file: ModelFile) -> DownloadedFile:
    """A file that has the name already: the wanted one, or another that is not touched."""
    sha, size = hashlib.sha256(), 0
    try:
        with open(target, "rb", buffering=0) as source:
            while piece := source.read(1024 * 1024):
                sha.update(piece)
                size += len(piece)
    except OSError as error:
        raise DownloadTrouble(f"{target} is there and cannot be read: {reason(error)}.") from error
    stated = _checkable(file)
    same = stated or (file.size_kb is not None and abs(size - file.size_kb * 1024) < 1)
    if not same or _contradicted(file, sha.hexdigest(), target):
        raise DownloadTrouble(f"{target} is there already with other bytes; it is left alone. Move it away first.")
    return DownloadedFile(target, size, sha.hexdigest(), was_there=True, verified=bool(stated))


def _checkable(file: ModelFile) -> dict[str, str]:
    """The stated hashes of a whole file that can be taken here; of AutoV1, which is of 64 KiB, nothing follows."""
    stated = {kind.upper(): value.lower() for kind, value in file.hashes.items() if value}
    kinds = {"SHA256": 64, "BLAKE3": 64 if BLAKE3 in EVERY else 0, "AUTOV2": 10, "AUTOV3": 12, "CRC32": 8}
    if not file.name.lower().endswith(_SAFETENSORS):
        del kinds["AUTOV3"]
    return {kind: stated[kind] for kind, length in kinds.items() if length and len(stated.get(kind, "")) == length}


def _contradicted(file: ModelFile, sha256: str, path: Path) -> str:
    """Which stated hash a file has not, in words, `""` where it has all. A SHA-256 is enough; without one whatever else
    is stated is taken in one more reading."""
    stated = _checkable(file)
    if "SHA256" in stated:
        taken, stated = {"SHA256": sha256}, {"SHA256": stated["SHA256"]}
    elif not stated.keys() - {"AUTOV2"}:
        taken = {"AUTOV2": sha256[:10]}
    else:
        taken = {kind.upper(): value for kind, value in digest_file(path, kinds=EVERY).by_kind().items()}
    wrong = (kind for kind, value in stated.items() if taken.get(kind) != value)
    return next((f"{kind} {taken.get(kind, 'none')[:12]}, not {stated[kind][:12]}" for kind in wrong), "")


@contextlib.contextmanager
def _open_meanwhile(path: Path) -> Iterator[Callable[[], bool]]:
    """Whether a name is of one file all the while; made where there is none. The file is held open, so that no later
    one can get its number. On Windows an open file keeps its name anyway."""
    if os.name == "nt":
        yield lambda: True
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

    def is_still_there() -> bool:
        with contextlib.suppress(FileNotFoundError):  # whoever had the lock took its file away
            return os.path.samestat(os.fstat(descriptor), os.stat(path))
        return False

    try:
        yield is_still_there
    finally:
        os.close(descriptor)


async def _until(cancelled: Callable[[], bool], work: Coroutine[Any, Any, T], story: _Story) -> T:
    """Run a story and end it within a moment when a person stops it, whatever it waits for."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=_PATIENCE))[0]:
            if cancelled():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):  # our own; it may have ended all the same
                    return await task
                raise DownloadStopped(
                    f"The download of {story.file.name} was stopped; what has arrived is kept for the next time."
                )
        return task.result()
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        raise
