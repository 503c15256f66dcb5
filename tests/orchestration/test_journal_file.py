"""The journal's file: for its owner alone, whole after every kill, and named in words where it cannot be used."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fake_orders import plan, reserve

from pack.civitai_bridge.errors import StateTrouble
from pack.civitai_bridge.orchestration.journal import Journal, rollback_note
from pack.civitai_bridge.orchestration.purchase import Buyer, PlannedPurchase, new_key


def test_the_file_is_for_its_owner_alone(journal: Journal, tmp_path: Path):
    if os.name == "nt":
        pytest.skip("needs POSIX permissions; run by CI on Linux")
    assert stat.S_IMODE((tmp_path / "state" / "journal.sqlite3").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_a_process_killed_in_a_transaction_leaves_the_journal_whole(journal: Journal, tmp_path: Path):
    reserve(journal, plan("a"))
    script = (
        "import sqlite3, os, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('BEGIN IMMEDIATE')\n"
        "db.execute('DELETE FROM purchases')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "state" / "journal.sqlite3"
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode != 0
    assert len(journal.rows()) == 1
    reserve(journal, plan("b"))


_SERVER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from pack_root import load_pack
load_pack("pack")
from pack.civitai_bridge.orchestration.journal import Journal
from pack.civitai_bridge.orchestration.limits import Limits
from pack.civitai_bridge.orchestration.purchase import Buyer, PlannedPurchase
path, owner = Path(sys.argv[2]), lambda _: "o"
if sys.argv[3] == "list":
    journal = Journal(path)
    print(len(journal.rows()))
    journal.close()
else:
    journals = [Journal(path), Journal(path)]  # a setting was changed: two Bridges in one process
    print("ready", flush=True)
    sys.stdin.readline()
    plan = PlannedPurchase("bought", "hash", Buyer("me", "https://a"), "{}", 900, "")
    journals[0].reserve([plan], Limits(1000, 1000), usable=lambda *_: True, owner=owner)
    journals[0].begin_attempt("bought", "o")
    journals[0].accepted("bought", 1, owner="o", workflow_id="w", state="accepted")
    print("written", flush=True)
    sys.stdin.readline()
"""


def test_a_second_journal_in_a_process_and_a_list_beside_it_lose_nothing(tmp_path: Path):
    """Closing a second descriptor of the file would drop the process's locks, and the list would take the WAL away."""
    path, tests = tmp_path / "journal.sqlite3", str(Path(__file__).parent.parent)

    def listed() -> str:
        asked = [sys.executable, "-c", _SERVER, tests, str(path), "list"]
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()

    asked = [sys.executable, "-c", _SERVER, tests, str(path), "server"]
    with subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout and server.stdin and server.stdout.readline() == "ready\n"
        assert listed() == "0"
        server.stdin.write("\n")
        server.stdin.flush()
        assert server.stdout.readline() == "written\n"
        assert listed() == "1"
        server.kill()
    assert listed() == "1"


def test_a_damaged_file_is_named_and_never_replaced(tmp_path: Path):
    path = tmp_path / "journal.sqlite3"
    path.write_bytes(b"this is not a database, but it may be all that is left of one" * 20)
    with pytest.raises(StateTrouble, match="damaged"):
        Journal(path)
    assert path.read_bytes().startswith(b"this is not")


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateTrouble, match="Nothing was sent without it"):
        Journal(tmp_path / "file" / "journal.sqlite3")


def test_a_drive_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """SQLite's own lock-less file system stands for an SMB or FUSE mount that cannot lock."""
    if os.name == "nt":
        pytest.skip("needs SQLite's unix-none VFS; run by CI on Linux")
    real = sqlite3.connect

    def without_locks(path: Path, **options: Any) -> sqlite3.Connection:
        return real(f"file:{quote(str(path))}?vfs=unix-none", uri=True, **options)

    monkeypatch.setattr(sqlite3, "connect", without_locks)
    with pytest.raises(StateTrouble, match=r"cannot lock files.*CIVITAI_BRIDGE_HOME.*Nothing was sent"):
        Journal(tmp_path / "journal.sqlite3")


def test_a_drive_without_wal_that_locks_is_used_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if os.name == "nt":
        pytest.skip("needs SQLite's unix-dotfile VFS; run by CI on Linux")
    real = sqlite3.connect

    def dotfile(path: Path, **options: Any) -> sqlite3.Connection:
        return real(f"file:{quote(str(path))}?vfs=unix-dotfile", uri=True, **options)

    monkeypatch.setattr(sqlite3, "connect", dotfile)
    journal = Journal(tmp_path / "journal.sqlite3")
    reserve(journal, plan())
    assert len(journal.rows()) == 1 and "rollback journal" in rollback_note(journal)
    journal.close()


def test_a_journal_that_another_program_holds_is_waited_for_and_then_named(tmp_path: Path):
    path = tmp_path / "journal.sqlite3"
    journal = Journal(path, patience=0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateTrouble, match=r"holds it locked.*Nothing was sent"):
        reserve(journal, plan())
    other.execute("ROLLBACK")
    other.close()
    assert len(reserve(journal, plan())) == 1
    journal.close()


def test_a_new_journal_that_another_server_is_just_making_is_waited_for(tmp_path: Path):
    path = tmp_path / "state" / "journal.sqlite3"
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(0.3, lambda: (other.execute("COMMIT"), other.close()))
    timer.start()
    journal = Journal(path, patience=5.0)
    assert journal.rows() == [] and journal.database.mode == "wal"
    journal.close()
    timer.join()


def test_a_disk_that_is_full_is_named_and_the_journal_stays_whole(journal: Journal, tmp_path: Path):
    (first,) = reserve(journal, plan("a"))
    pages = journal.database._connection.execute("PRAGMA page_count").fetchone()[0]
    journal.database._connection.execute(
        f"PRAGMA max_page_count = {pages}"
    )  # SQLite then says SQLITE_FULL, as a full disk does
    large = PlannedPurchase(new_key(), "b", Buyer("me", "https://a"), "x" * 200_000, 1)
    with pytest.raises(StateTrouble, match=r"the disk is full.*Nothing was sent"):
        reserve(journal, large)
    journal.database._connection.execute("PRAGMA max_page_count = 1000000")
    assert [row.key for row in journal.rows()] == [first.key]
    assert len(reserve(journal, large)) == 1


@pytest.mark.parametrize(
    "change",
    [
        "PRAGMA user_version = 99",
        "ALTER TABLE purchases ADD COLUMN something_new TEXT NOT NULL DEFAULT ''",
        """UPDATE purchases SET slots = '[{"index": 0, "seed": 1, "something_new": 2}]'""",
    ],
)
def test_a_journal_of_a_newer_version_is_left_alone_and_named(tmp_path: Path, change: str):
    path = tmp_path / "journal.sqlite3"
    journal = Journal(path)
    reserve(journal, plan())
    journal.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute(change)
    other.close()
    with pytest.raises(StateTrouble, match=r"written by a newer version.*Nothing was sent"):
        Journal(path).rows()
