"""The Link instances of the sandbox's users: one row for each machine that is, or shall be, linked.

A row starts with a code of 6 hex digits and is upgraded to a key of 128 when both sides first meet in its room."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...model_files.atomic import replace_file

LIMIT = 10  # instances a user; the site says so when an eleventh is asked for
_FILE = "link-instances.json"


@dataclass(frozen=True)
class Instance:
    """A row as the relay keeps it; `born` is seconds since the epoch."""

    id: int
    user: str
    key: str
    name: str
    born: float
    activated: bool = False
    oauth_paired: bool = False
    install_id: str = ""

    def shown(self) -> dict[str, Any]:
        """The row as `GET /api/link` shows it to its user."""
        created = datetime.fromtimestamp(self.born, timezone.utc).isoformat(timespec="milliseconds")
        return {
            "id": self.id, "key": self.key, "name": self.name, "activated": self.activated, "origin": None,
            "oauthPaired": self.oauth_paired, "createdAt": created.replace("+00:00", "Z"),
        }  # fmt: skip


class LimitReached(Exception):
    """The user has as many instances as the site allows."""


class Instances:
    """All rows. `code_seconds` is how long an unused code is taken, None = as long as the sandbox runs; with a
    `folder` the rows outlive the sandbox."""

    def __init__(self, folder: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self.rows: dict[int, Instance] = {}
        self.code_seconds: float | None = None
        self._clock = clock
        self._path = folder / _FILE if folder else None
        self._last = 0
        self._load()

    def of(self, user: str) -> list[Instance]:
        """A user's rows, oldest first."""
        return [row for row in self.rows.values() if row.user == user]

    def by_key(self, key: str) -> Instance | None:
        """The row whose key this is now, in any case; None also for a code that is too old, or of the wrong length
        for a row: a code belongs to one that is not activated, a long key to one that is."""
        row = next((row for row in self.rows.values() if row.key == key.lower()), None)
        if row is None or (len(row.key) > 6) != row.activated:
            return None
        late = self.code_seconds is not None and self._clock() - row.born > self.code_seconds
        return None if late and not row.activated else row

    def add(self, user: str) -> Instance:
        """A new row with a code. Raises LimitReached."""
        if len(self.of(user)) >= LIMIT:
            raise LimitReached
        self._last += 1
        return self._keep(Instance(self._last, user, secrets.token_hex(3), f"Instance {self._last}", self._clock()))

    def rekey(self, row: Instance) -> Instance:
        """The row with a new code; its long key is no longer known."""
        return self._keep(replace(row, key=secrets.token_hex(3), activated=False, born=self._clock()))

    def rename(self, row: Instance, name: str) -> Instance:
        """The row under another name."""
        return self._keep(replace(row, name=name))

    def upgrade(self, row: Instance) -> Instance:
        """The row with its long key, once both sides have met."""
        return self._keep(replace(row, key=secrets.token_hex(64), activated=True))

    def pair_account(self, user: str, install_id: str, name: str, legacy_key: str) -> Instance:
        """The activated row of an installation that signed in; one that was paired by code is taken over by its key.
        Raises LimitReached."""
        row = next((row for row in self.of(user) if row.install_id == install_id), None)
        row = row or (self.by_key(legacy_key) if legacy_key else None) or self.add(user)
        paired = replace(row, install_id=install_id, name=name or row.name, oauth_paired=True)
        return self.upgrade(paired) if not row.activated else self._keep(paired)

    def delete(self, row: Instance) -> None:
        """Forget a row."""
        self.rows.pop(row.id, None)
        self._save()

    def _keep(self, row: Instance) -> Instance:
        self.rows[row.id] = row
        self._save()
        return row

    def _save(self) -> None:
        if self._path is not None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            document = {"last": self._last, "rows": [asdict(row) for row in self.rows.values()]}
            replace_file(self._path, json.dumps(document).encode())

    def _load(self) -> None:
        """What an earlier sandbox of the folder kept; nothing where it cannot be read: a sandbox starts anyway."""
        if self._path is None:
            return
        try:
            document: Mapping[str, Any] = json.loads(self._path.read_bytes())
            self.rows = {row["id"]: Instance(**row) for row in document["rows"]}
            self._last = int(document["last"])
        except (OSError, ValueError, KeyError, TypeError):
            self.rows = {}
