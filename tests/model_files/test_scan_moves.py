"""Files that moved, and files that only look as if they had."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from model_folders import ModelFolders, sha

from pack.civitai_bridge.model_files.hashing import digest_file


@pytest.fixture
def models(tmp_path: Path) -> ModelFolders:
    return ModelFolders(tmp_path)


def to_another_disk(models: ModelFolders) -> None:
    copy(models.root / "loras/a.pt", models.root / "more/b.pt")
    os.unlink(models.root / "loras/a.pt")
    with models.index.database.transaction() as connection:  # as if it had lain on another one
        connection.execute("UPDATE files SET device = 'another'")


def restored_in_place(models: ModelFolders) -> None:
    copy(models.root / "loras/a.pt", models.root / "x")
    os.replace(models.root / "x", models.root / "loras/a.pt")


# How a file moves: how many of its names are known at once, how many are hashed when there is time.
MOVES = {
    "renamed": (lambda m: os.rename(m.root / "loras/a.pt", m.root / "loras/b.pt"), 1, 0),
    "moved to another folder": (lambda m: os.rename(m.root / "loras/a.pt", m.root / "more/b.pt"), 1, 0),
    "moved to another disk": (to_another_disk, 1, 1),
    "a hard link": (lambda m: os.link(m.root / "loras/a.pt", m.root / "loras/b.pt"), 2, 2),
    "a symbolic link": (lambda m: os.symlink(m.root / "loras/a.pt", m.root / "loras/b.pt"), 2, 0),
    "other rights": (lambda m: os.chmod(m.root / "loras/a.pt", 0o400), 1, 1),
    "restored in place": (restored_in_place, 0, 1),
}


def copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())
    seen = source.stat()
    os.utime(target, ns=(seen.st_atime_ns, seen.st_mtime_ns))


@pytest.mark.parametrize("name", MOVES)
def test_a_moved_file_is_known_at_once_and_hashed_only_where_something_speaks_against_it(
    name: str, models: ModelFolders
):
    move, known, hashed = MOVES[name]
    models.put("a.pt", "content")
    models.scan()
    move(models)
    models.scan(cancelled=lambda: True)
    files = models.index.files().all
    assert sum(file.sha256 == sha("content") for file in files) == known
    assert sum(bool(file.sha256) and not file.proved for file in files) == (hashed if known else 0)
    assert models.scan().hashed == hashed
    assert {file.sha256 for file in models.index.files().all} == {sha("content")}
    assert all(file.proved for file in models.index.files().all)
    assert models.scan().hashed == 0


def test_files_that_swap_names_swap_hashes(models: ModelFolders):
    a, b = models.put("a.pt", "1"), models.put("b.pt", "2")
    for path in (a, b):
        os.utime(path, ns=(10**9, 10**9))
    models.scan()
    os.rename(a, models.root / "c")
    os.rename(b, a)
    os.rename(models.root / "c", b)
    models.scan()
    assert models.names() == {("loras", "a.pt"): sha("2"), ("loras", "b.pt"): sha("1")}


def test_a_copy_is_a_file_of_its_own(models: ModelFolders):
    """Same size and time prove nothing while the first file is still there: training writes many such files."""
    first = models.put("a.pt", "content")
    models.scan()
    other = models.put("b.pt", "CONTENT")
    seen = first.stat()
    os.utime(other, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert models.scan().hashed == 1
    assert models.names()["loras", "b.pt"] == sha("CONTENT")


def test_a_file_that_went_and_came_back_is_known(models: ModelFolders):
    path = models.put("a.pt", "content")
    models.scan()
    os.rename(path, models.root / "away.pt")
    assert models.scan().gone == 1
    assert models.names() == {}
    os.rename(models.root / "away.pt", path)
    models.hash_nothing_more()
    assert models.scan().gone == 0
    assert models.names() == {("loras", "a.pt"): sha("content")}


def test_a_folder_that_is_away_keeps_its_hashes(models: ModelFolders):
    models.put("a.pt", "a", "more")
    models.scan()
    os.rename(models.root / "more", models.root / "unplugged")
    report = models.scan()
    assert (report.gone, report.troubles) == (0, ())
    os.rename(models.root / "unplugged", models.root / "more")
    assert models.scan().hashed == 0


def twins(tensors: int = 2000) -> tuple[bytes, bytes]:
    """Two trainings of one model: the same size and a header of more than a sample's length."""
    head = {f"t{n}": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]} for n in range(tensors)}
    text = json.dumps(head).encode()
    start = len(text).to_bytes(8, "little") + text
    return start + b"A" * 1000, start + b"B" * 1000


def at_one_time(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (1_700_000_000, 1_700_000_000))


def replaced(models: ModelFolders, first: bytes, second: bytes) -> None:
    (models.root / "loras" / "a.safetensors").unlink()
    models.put("keeps the inode", b"x")
    at_one_time(models.put("b.safetensors", second))


def replaced_with_its_inode(models: ModelFolders, first: bytes, second: bytes) -> None:
    path = models.root / "loras" / "a.safetensors"
    path.write_bytes(second)
    at_one_time(path)
    path.rename(path.with_name("b.safetensors"))


def overwritten(models: ModelFolders, first: bytes, second: bytes) -> None:
    at_one_time(models.put("a.safetensors", second))


@pytest.mark.parametrize("how", [replaced, replaced_with_its_inode, overwritten])
@pytest.mark.parametrize("tensors", [0, 2000])
def test_other_bytes_of_the_same_size_and_time_are_hashed(how: Any, tensors: int, models: ModelFolders):
    first, second = twins(tensors)
    at_one_time(models.put("a.safetensors", first))
    models.scan()
    how(models, first, second)
    models.scan()
    assert set(models.names().values()) == {sha(second)}


def test_a_renamed_file_is_itself_and_not_a_twin_that_is_gone(models: ModelFolders):
    first, second = twins()
    a, b = models.put("a.safetensors", first), models.put("b.safetensors", second)
    at_one_time(a, b)
    models.scan()
    a.unlink()
    b.rename(b.with_name("c.safetensors"))
    assert models.scan().hashed == 0
    assert models.names() == {("loras", "c.safetensors"): sha(second)}


def test_a_changed_file_that_is_listed_no_more_is_not_known_by_its_old_hash(models: ModelFolders):
    path = models.put("sub/a.pt", "a")
    models.scan()
    path.write_text("other")
    (models.root / "loras" / "sub").rename(models.root / "loras" / ".sub")
    os.symlink(models.root / "loras" / ".sub", models.root / "loras" / "sub")
    models.scan()
    assert set(models.names().values()) == {sha("other")}


def middle(letter: str) -> bytes:
    """Bytes of which no sample shows the letter."""
    return b"a" * 100_000 + letter.encode() * 1000 + b"a" * 400_000


def test_other_bytes_of_the_same_size_time_and_samples_on_another_disk_are_found_out(models: ModelFolders):
    at_one_time(path := models.put("a.pt", middle("b")))
    models.scan()
    path.unlink()
    with models.index.database.transaction() as connection:
        connection.execute("UPDATE files SET device = 'another'")
    at_one_time(models.put("c.pt", middle("d"), "more"))
    models.scan(cancelled=lambda: True)
    [file] = models.index.files().all
    assert (file.sha256, file.proved) == (sha(middle("b")), False), "taken over, and marked"
    assert models.scan().hashed == 1
    [file] = models.index.files().all
    assert (file.sha256, file.proved) == (sha(middle("d")), True)


@pytest.mark.parametrize("how", ["two candidates", "the old one is there still", "the same disk"])
def test_a_file_that_may_be_another_is_hashed_and_not_known_until_then(how: str, models: ModelFolders):
    at_one_time(first := models.put("a.pt", middle("b")), second := models.put("b.pt", middle("c")))
    models.scan()
    column = "inode" if how == "the same disk" else "device"  # a new file may get the inode of one that is gone
    with models.index.database.transaction() as connection:
        connection.execute(f"UPDATE files SET {column} = 'another'")
    if how != "the old one is there still":
        first.unlink()
        second.unlink()
    at_one_time(models.put("c.pt", middle("d"), "more"))
    models.scan(cancelled=lambda: True)
    assert models.names()["loras", "c.pt"] == ""
    models.scan()
    assert models.names()["loras", "c.pt"] == sha(middle("d"))


def test_a_changed_byte_with_the_old_time_is_found_out_when_there_is_time(models: ModelFolders):
    at_one_time(path := models.put("a.pt", middle("b")))
    models.scan()
    with open(path, "r+b") as file:
        file.seek(100_500)
        file.write(b"X")
    at_one_time(path)
    models.scan(cancelled=lambda: True)
    [file] = models.index.files().all
    assert file.sha256 == sha(middle("b")) and not file.proved and file.is_as_hashed()
    models.index.learn("loras", "a.pt", str(path), 0, digest_file(path))
    [file] = models.index.files().all
    assert file.sha256 == sha(path.read_bytes()) and file.proved
    assert models.scan().hashed == 0


def test_whether_a_file_is_as_it_was_hashed_is_looked_at_when_asked(models: ModelFolders):
    path = models.put("a.pt", "content")
    models.scan()
    [file] = models.index.files().all
    assert file.is_as_hashed()
    path.write_text("CONTENT")
    os.utime(path, ns=(1, file.mtime_ns + 1))
    assert not file.is_as_hashed()
    path.unlink()
    assert not file.is_as_hashed()
