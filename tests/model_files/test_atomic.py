"""The one writer: the old bytes or the new ones, never half of them, and nothing that somebody else has."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pack.civitai_bridge.model_files.atomic import (
    is_full,
    is_refused,
    place_new,
    put_in_place,
    reason,
    replace_file,
    written_beside,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def failing(code: int) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_file_is_replaced_whole_and_nothing_is_left_beside(tmp_path: Path):
    path = tmp_path / "a.json"
    for content in (b"one", b"another", b""):
        replace_file(path, content)
        assert path.read_bytes() == content and names(tmp_path) == ["a.json"]


@pytest.mark.skipif(os.name == "nt", reason="modes are of POSIX")
def test_a_secret_is_never_readable_for_others(tmp_path: Path):
    with written_beside(tmp_path / "key", b"secret", mode=0o600) as part:
        assert part.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, failing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space") as caught:
        replace_file(path, b"new")
    assert is_full(caught.value) and not is_refused(caught.value)
    assert path.read_bytes() == b"old" and names(tmp_path) == ["a.json"]


def test_a_new_file_takes_the_first_free_name(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"mine")
    assert place_new(tmp_path, ["a", "b", "c"], b"new") == tmp_path / "b"
    assert (tmp_path / "a").read_bytes() == b"mine" and (tmp_path / "b").read_bytes() == b"new"
    with pytest.raises(FileExistsError):
        place_new(tmp_path, ["a", "b"], b"third")
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("links", [True, False])
def test_a_finished_file_never_takes_the_name_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool):
    if not links:
        monkeypatch.setattr(os, "link", failing(errno.EOPNOTSUPP))
    part, target = tmp_path / "x.part", tmp_path / "x"
    part.write_bytes(b"new")
    target.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        put_in_place(part, target)
    assert target.read_bytes() == b"mine" and part.read_bytes() == b"new"
    target.unlink()
    put_in_place(part, target)
    assert target.read_bytes() == b"new" and names(tmp_path) == ["x"]


def test_an_error_without_a_text_of_the_system_still_has_words():
    assert reason(OSError("odd")) == "odd" and reason(PermissionError(errno.EACCES, "Permission denied")) == (
        "Permission denied"
    )
    assert is_refused(PermissionError(errno.EACCES, "Permission denied"))


@pytest.mark.skipif(not hasattr(os, "chown"), reason="there are no such owners here")
@pytest.mark.parametrize("is_root", [True, False])
def test_a_file_that_another_saves_stays_its_owner_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_root: bool):
    path, given = tmp_path / "a.json", []
    path.write_bytes(b"old")
    status = os.stat(path)
    other = os.stat_result((*status[:4], status.st_uid + 1, status.st_gid + 1, *status[6:]))

    def chown(part: Path, owner: int, group: int) -> None:
        if owner != -1 and not is_root:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        given.append((owner, group))

    monkeypatch.setattr(os, "chown", chown)
    monkeypatch.setattr(Path, "stat", lambda self, **_: other if self == path else os.stat(self))
    replace_file(path, b"new")
    assert given == [(other.st_uid if is_root else -1, other.st_gid)] and path.read_bytes() == b"new"


def test_a_finished_file_gets_its_name_on_another_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = os.link

    def link(source: Path, target: Path) -> None:
        if source == part:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target)

    part, target = tmp_path / "x.part", tmp_path / "x"
    part.write_bytes(b"new")
    monkeypatch.setattr(os, "link", link)
    put_in_place(part, target)
    assert target.read_bytes() == b"new" and names(tmp_path) == ["x"]
