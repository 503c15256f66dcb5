"""Files that moved, and files that only look as if they had."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from model_folders import ModelFolders, sha

from pack.civitai_bridge.model_files.hashing import Hashing


@pytest.fixture
def models(tmp_path: Path) -> ModelFolders:
    return ModelFolders(tmp_path)


MOVES = {
    "renamed": lambda p: os.rename(p.root / "loras/a.pt", p.root / "loras/b.pt"),
    "moved to another folder": lambda p: os.rename(p.root / "loras/a.pt", p.root / "more/b.pt"),
    "moved to another disk": lambda p: (copy(p.root / "loras/a.pt", p.root / "more/b.pt"), os.unlink(p.root / "loras/a.pt")),
    "a hard link": lambda p: os.link(p.root / "loras/a.pt", p.root / "loras/b.pt"),
    "a symbolic link": lambda p: os.symlink(p.root / "loras/a.pt", p.root / "loras/b.pt"),
    "restored in place": lambda p: (copy(p.root / "loras/a.pt", p.root / "x"), os.replace(p.root / "x", p.root / "loras/a.pt")),
}  # fmt: skip


def copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())
    seen = source.stat()
    os.utime(target, ns=(seen.st_atime_ns, seen.st_mtime_ns))


@pytest.mark.parametrize("move", MOVES)
def test_a_moved_file_is_not_hashed_again(move: str, models: ModelFolders):
    models.put("a.pt", "content")
    models.scan()
    MOVES[move](models)
    models.hash_nothing_more()
    report = models.scan()
    assert report.hashed == 0
    assert set(models.names().values()) == {sha("content")}
    assert report.moved == (move != "restored in place")


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


def test_other_rights_are_no_other_bytes(models: ModelFolders):
    path = models.put("a.pt", "a")
    models.scan()
    path.chmod(0o400)
    models.hash_nothing_more()
    assert (report := models.scan()).unchanged == 1 and not report.moved
    models.index.hashing = Hashing(sample=lambda *_: pytest.fail("looked into again"))
    assert models.scan().unchanged == 1


def test_a_changed_file_that_is_listed_no_more_is_not_known_by_its_old_hash(models: ModelFolders):
    path = models.put("sub/a.pt", "a")
    models.scan()
    path.write_text("other")
    (models.root / "loras" / "sub").rename(models.root / "loras" / ".sub")
    os.symlink(models.root / "loras" / ".sub", models.root / "loras" / "sub")
    models.scan()
    assert set(models.names().values()) == {sha("other")}
