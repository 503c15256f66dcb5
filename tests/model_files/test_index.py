"""The index of model files: what it remembers, and for whom."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from model_folders import ModelFolders, header, sha

from pack.civitai_bridge.errors import FileTrouble, StateTrouble
from pack.civitai_bridge.model_files.hashing import EVERY, OPTIONAL, Hashing, digest_file
from pack.civitai_bridge.model_files.index import HashIndex
from pack.civitai_bridge.model_files.indexed import Ownership
from pack.civitai_bridge.model_files.scan import scan


@pytest.fixture
def models(tmp_path: Path) -> ModelFolders:
    return ModelFolders(tmp_path)


WITH_BLAKE3 = Hashing(EVERY | {"BLAKE3"}, partial(digest_file, optional={**OPTIONAL, "BLAKE3": hashlib.sha512}))


def test_another_process_sees_what_was_scanned(models: ModelFolders):
    other = HashIndex(models.root / "state" / "hashes.sqlite3")
    assert other.files().all == ()
    models.put("a.pt", "a")
    models.scan()
    assert len(other.files().all) == 1


def garbage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def another_program_s(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE files (name TEXT)")
    other.close()


@pytest.mark.parametrize("damage", [garbage, truncated, another_program_s])
def test_a_damaged_index_is_begun_again(models: ModelFolders, damage: Any, caplog: pytest.LogCaptureFixture):
    models.put("a.pt", "a")
    models.scan()
    path = models.index.database.path
    models.index.close()
    damage(path)
    models.index = HashIndex(path)
    assert models.index.files().all == () and "begun again" in caplog.text
    assert path.with_name(path.name + ".damaged").exists()
    assert models.scan().hashed == 1 and models.names() == {("loras", "a.pt"): sha("a")}


def test_an_index_that_is_damaged_while_it_is_used_is_begun_again(models: ModelFolders):
    for number in range(200):
        models.put(f"{number}.pt", str(number))
    models.scan()
    other = HashIndex(models.index.database.path)
    with other.database.reading() as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = models.index.database.path
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    assert other.files().all == () and models.index.files().all == ()
    assert models.scan().hashed == 200 and len(other.files().all) == 200


def test_an_index_that_cannot_be_opened_is_said(tmp_path: Path):
    (tmp_path / "h.sqlite3").mkdir()
    with pytest.raises(StateTrouble, match="can also be deleted"):
        HashIndex(tmp_path / "h.sqlite3")


def test_a_file_whose_hashes_are_known_is_taken_in_and_not_read(models: ModelFolders):
    path = models.put("sub/a.safetensors", header({"ss_output_name": "ink"}) + b"x")
    taken = digest_file(path)
    models.hash_nothing_more()
    models.index.learn("loras", "sub/a.safetensors", str(path), 0, taken)
    one = models.index.files().by_name["loras", "sub/a.safetensors"]
    assert (one.sha256, one.output_name, one.rank) == (taken.sha256, "ink", 0)
    assert (report := models.scan()).unchanged == 1 and not report.hashed
    path.unlink()
    with pytest.raises(FileTrouble, match="cannot be read"):
        models.index.learn("loras", "sub/a.safetensors", str(path), 0, taken)


def test_what_nobody_knew_is_asked_again_after_a_day(tmp_path: Path):
    now = [1000.0]
    index = HashIndex(tmp_path / "h.sqlite3", clock=lambda: now[0])
    (tmp_path / "loras").mkdir()
    for name in ("a", "b"):
        (tmp_path / "loras" / f"{name}.pt").write_text(name)
    scan(index, {"loras": [tmp_path / "loras"]})
    assert index.unasked() == sorted([sha("a"), sha("b")])
    index.own([Ownership(sha("a"), 7, 3), Ownership(sha("b"), 0)])
    assert index.unasked() == [] and index.undescribed() == [sha("a")]
    index.own([Ownership(sha("a"), 7, 3, {"name": "A"})])
    assert index.undescribed() == [] and index.owners()[sha("a")].about == {"name": "A"}
    assert [one.name for one in index.files().by_version.get(7)] == ["a.pt"] and index.files().by_version.get(8) is None
    now[0] += 24 * 3600 + 1
    assert index.unasked() == [sha("b")]


def test_an_index_of_before_is_taken_over(models: ModelFolders):
    models.put("a.pt", "a")
    models.scan()
    models.index.close()
    path = models.root / "state" / "hashes.sqlite3"
    with sqlite3.connect(path) as old:
        old.execute("ALTER TABLE files DROP COLUMN ctime_ns")
    old.close()
    models.index = HashIndex(path)
    models.hash_nothing_more()
    assert models.scan().unchanged == 1 and models.scan().unchanged == 1
    with sqlite3.connect(path) as new:
        assert new.execute("SELECT ctime_ns FROM files").fetchone()[0] > 0
    new.close()


def test_a_kind_that_was_wanted_is_taken_by_every_later_scan(models: ModelFolders):
    models.put("a.pt", "abc")
    models.scan()
    assert models.index.is_missing("CRC32")
    HashIndex(models.root / "state" / "hashes.sqlite3").require(["CRC32", "BLAKE3"])
    models.index.hashing = Hashing(kinds=EVERY - {"BLAKE3"})
    assert models.scan().hashed == 1, "without its package a kind is not asked of files again and again"
    assert models.scan().hashed == 0 and models.index.required() == {"CRC32", "BLAKE3"}
    assert models.index.files().by_hash.get("352441c2") and not models.index.is_missing("CRC32")
    models.index.hashing = WITH_BLAKE3
    assert models.scan().hashed == 1 and models.scan().hashed == 0
    assert models.index.files().by_hash.get(hashlib.sha512(b"abc").hexdigest())


def test_what_is_stated_of_bytes_is_not_taken_again(models: ModelFolders):
    path = models.put("a.pt", "abc")
    models.scan()
    models.index.state({sha("abc"): {"BLAKE3": "AB" * 32, "AutoV1": "x"}, sha("else"): {"CRC32": "00000000"}})
    models.index.hashing = WITH_BLAKE3
    models.index.require(["BLAKE3"])
    assert models.scan().hashed == 0 and models.index.files().by_hash.get("ab" * 32)
    models.index.hashing = Hashing(kinds=EVERY - {"BLAKE3"})
    assert models.scan(kinds={"CRC32"}).hashed == 1 and models.index.files().by_hash.get("ab" * 32), "and it stays"
    path.write_text("other")
    models.scan()
    assert not models.index.files().by_hash.get("ab" * 32)
