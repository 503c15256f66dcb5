"""`link.json`: the key of the room, and a code that was entered and is not a key yet.

    code entered -> {"code", "code_at", …}          the key of before stays until the new one is here
    upgradeKey   -> {"key", "paired_at"}
    kicked       -> no key

The file is replaced whole (0600), and held against other processes while it is changed."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import BadInput, BadSetting
from ..settings import read_json, write_json

NAME = "link.json"
LOCK = ".link.lock"  # held by the one process that is the agent
CODE_LIVES = 15 * 60.0  # seconds after which a code is given up: later it may be a stranger's
BESIDE_A_KEY = 3 * 60.0  # the same where there is a key, whose room is left alone meanwhile
_CODE = re.compile(r"[0-9a-f]{6}")
_KEY = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True)
class Pairing:
    """What opens the room. `key` has 128 hex digits, `code` has 6; both are `""` where there is none. Times are seconds
    since the epoch."""

    key: str = field(default="", repr=False)
    paired_at: float = 0.0
    code: str = field(default="", repr=False)
    code_at: float = 0.0

    @property
    def secret(self) -> str:
        """What to join with: a code that was entered, else the key."""
        return self.code or self.key

    @property
    def code_lives(self) -> float:
        """Seconds for which the code waits for CivitAI's page."""
        return BESIDE_A_KEY if self.key else CODE_LIVES

    def __bool__(self) -> bool:
        return bool(self.secret)


def read_code(text: str) -> str:
    """A pairing code in lower case. Raises BadInput without repeating it."""
    code = text.strip().lower()
    if not _CODE.fullmatch(code):
        raise BadInput(
            "A pairing code has 6 characters, 0 to 9 and A to F. CivitAI shows one when you add a Link there."
        )
    return code


def read_key(data: object) -> str:
    """The key of an `upgradeKey` message, `""` where it has none."""
    key = data.get("key") if isinstance(data, dict) else None
    return key.lower() if isinstance(key, str) and _KEY.fullmatch(key.lower()) else ""


def is_held(home: Path) -> bool:
    """Whether a process is the agent of this state folder now."""
    lock = FileLock(home / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False
    lock.release()
    return False


class PairingFile:
    """`link.json` of one state folder. `clock` gives seconds since the epoch."""

    def __init__(self, home: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = home / NAME
        self._clock = clock

    def load(self) -> Pairing:
        """What it holds; a code that is too old is none. Raises BadSetting."""
        pairing = _pairing(read_json(self.path))
        if pairing.code and not 0 <= self._clock() - pairing.code_at <= pairing.code_lives:
            return replace(pairing, code="", code_at=0.0)
        return pairing

    def stamp(self) -> tuple[int, int, int]:
        """Changes whenever the file was written; cheap."""
        try:
            status = self.path.stat()
        except OSError:
            return (0, 0, 0)
        return status.st_ino, status.st_mtime_ns, status.st_size

    def enter(self, code: str) -> None:
        """Keep a code; the key stays until the relay gives a new one. Raises BadSetting."""
        with self._held() as pairing:
            self._write(replace(pairing, code=code, code_at=self._clock()))

    def upgrade(self, key: str) -> None:
        """Keep the key that the relay gave; no code is waited for any more. Raises BadSetting."""
        with self._held() as pairing:
            if pairing.key != key or pairing.code:
                self._write(Pairing(key, self._clock()))

    def forget(self, secret: str) -> None:
        """Forget a key or a code, and only that one: another may have been entered meanwhile. Raises BadSetting."""
        with self._held() as pairing:
            if pairing.key == secret:
                pairing = replace(pairing, key="", paired_at=0.0)
            if pairing.code == secret:
                pairing = replace(pairing, code="", code_at=0.0)
            self._write(pairing)

    def forget_all(self) -> bool:
        """Forget everything; True when there was something. Raises BadSetting."""
        with self._held() as pairing:
            if pairing:
                self._write(Pairing())
            return bool(pairing)

    def _write(self, pairing: Pairing) -> None:
        members = {
            "key": pairing.key,
            "paired_at": pairing.paired_at,
            "code": pairing.code,
            "code_at": pairing.code_at,
        }
        write_json(self.path, {name: value for name, value in members.items() if value})

    @contextlib.contextmanager
    def _held(self) -> Iterator[Pairing]:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = FileLock(self.path.with_name(f".{NAME}.lock"), timeout=10)
            lock.acquire()
        except (Timeout, OSError, NotImplementedError) as error:
            why = "another process holds it" if isinstance(error, Timeout) else "the state folder cannot be written"
            raise BadSetting(f"{NAME} cannot be changed: {why}.") from error
        try:
            yield _pairing(read_json(self.path))
        finally:
            lock.release()


def _pairing(data: dict[str, Any]) -> Pairing:
    key, code, paired_at, code_at = (data.get(name) for name in ("key", "code", "paired_at", "code_at"))
    return Pairing(
        key if isinstance(key, str) and _KEY.fullmatch(key) else "",
        float(paired_at) if isinstance(paired_at, (int, float)) else 0.0,
        code if isinstance(code, str) and _CODE.fullmatch(code) else "",
        float(code_at) if isinstance(code_at, (int, float)) else 0.0,
    )
