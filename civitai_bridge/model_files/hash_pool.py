"""A bounded pool of threads that hashes files; what is done comes out in batches, as it is done."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from ..errors import FileTrouble
from .atomic import reason
from .file_rows import hashed_row
from .hashing import Hashing
from .listing import ListedFile
from .progress import HashingProgress, ScanControl

_BATCH_SECONDS, _BATCH_FILES = 0.5, 64
_PATIENCE = 0.05  # seconds between two looks of a thread that waits whether it may go on


class HashPool:
    """`done` counts the files that were hashed; `stopped` says that the scan was cancelled or broke off; `troubles` are
    sentences about files that could not be hashed."""

    def __init__(
        self, files: Sequence[ListedFile], kinds: Collection[str], hashing: Hashing, control: ScanControl
    ) -> None:
        self.done, self.stopped = 0, False
        self.troubles: list[str] = []
        self._waiting: queue.SimpleQueue[ListedFile] = queue.SimpleQueue()
        for file in files:
            self._waiting.put(file)
        self._kinds, self._hashing, self._control = kinds, hashing, control
        cores = os.cpu_count() or 1
        self._threads = max(1, cores if control.workers is None else control.workers)
        self._while_paused = max(1, cores // 2)
        self._finished: queue.SimpleQueue[tuple[Any, ...] | str | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._counting = threading.Lock()
        self._bytes, self._files = 0, 0
        self._of_files, self._of_bytes = len(files), sum(file.size for file in files)

    def run(self) -> Iterator[list[tuple[Any, ...]]]:
        """Rows of hashed files, in batches. When the caller goes away the threads end after the chunk they are at."""
        if not self._of_files:
            return
        threads = [
            threading.Thread(target=self._work, args=(number,), name=f"civitai-hash-{number}", daemon=True)
            for number in range(min(self._threads, self._of_files))
        ]
        for thread in threads:
            thread.start()
        try:
            yield from self._batches(len(threads))
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _batches(self, running: int) -> Iterator[list[tuple[Any, ...]]]:
        batch: list[tuple[Any, ...]] = []
        since = time.monotonic()
        while running:
            with contextlib.suppress(queue.Empty):  # nothing yet: what is there is kept below
                finished = self._finished.get(timeout=_BATCH_SECONDS)
                if finished is None:
                    running -= 1
                elif isinstance(finished, str):
                    self.troubles.append(finished)
                else:
                    batch.append(finished)
                    self.done += 1
            if batch and (len(batch) >= _BATCH_FILES or time.monotonic() - since > _BATCH_SECONDS or not running):
                yield batch
                batch, since = [], time.monotonic()

    def _work(self, number: int) -> None:
        """One thread: file after file, until none is left or the scan is to end."""
        path = ""
        try:
            while self._may_go_on(number, idle=True):
                try:
                    file = self._waiting.get_nowait()
                except queue.Empty:
                    return
                path = file.path
                self._finished.put(self._hash(number, file))
                with self._counting:
                    self._files += 1
                self._tell(path)
            self.stopped = True
        except _Stopped:
            self.stopped = True
        except Exception as error:
            self._finished.put(f"{path} could not be hashed: {error}.")
            self.stopped = True
        finally:
            self._finished.put(None)

    def _hash(self, number: int, file: ListedFile) -> tuple[Any, ...] | str:
        """The row of a file, or a sentence why there is none."""

        def on_chunk(size: int) -> None:
            if not self._may_go_on(number):
                raise _Stopped
            with self._counting:
                self._bytes += size
            self._tell(file.path)

        with self._counting:
            unfinished = self._of_files - self._files
        two_threads = 2 * unfinished <= self._threads and not self._control.pause()
        try:
            digests = self._hashing.digest(file.path, kinds=self._kinds, two_threads=two_threads, on_chunk=on_chunk)
            return hashed_row(file, digests, self._hashing)
        except FileTrouble as error:
            return str(error)
        except OSError as error:  # gone between its hashes and its header
            return f"{file.path} cannot be read: {reason(error)}."

    def _may_go_on(self, number: int, idle: bool = False) -> bool:
        """Wait while a prompt runs and half of the cores are busy hashing already; False when the scan is cancelled.
        A thread that is `idle` has no file and need not wait when none is left."""
        while True:
            if self._stop.is_set() or self._control.cancelled():
                return False
            if number < self._while_paused or (idle and self._waiting.empty()) or not self._control.pause():
                return True
            time.sleep(_PATIENCE)

    def _tell(self, path: str) -> None:
        self._control.progress(HashingProgress(self._files, self._of_files, self._bytes, self._of_bytes, path))


class _Stopped(Exception):
    """The scan is cancelled in the middle of a file."""
