"""Scans: what is hashed, what is not hashed again, and what a folder full of surprises does to them."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from model_folders import ModelFolders, header, sha

from pack.civitai_bridge.errors import FileTrouble
from pack.civitai_bridge.model_files.hashing import Digests, Hashing, digest_file
from pack.civitai_bridge.model_files.index import HashIndex
from pack.civitai_bridge.model_files.listing import Listing, list_models
from pack.civitai_bridge.model_files.progress import HashingProgress
from pack.civitai_bridge.model_files.scan import scan


@pytest.fixture
def models(tmp_path: Path) -> ModelFolders:
    return ModelFolders(tmp_path)


def test_every_model_file_is_found_and_hashed(models: ModelFolders):
    models.put(
        "a.safetensors", header({"ss_output_name": "Ink Style", "modelspec.title": "x", "other": "y"}) + b"tensors"
    )
    models.put("sub/deep/b.PT", "b")
    models.put("notes.txt", "no model")
    models.put("c.safetensors.part", "no model yet")
    models.put("d.ckpt", "d", "big")
    models.put("e.gguf", "e", "more")
    report = models.scan()
    assert (report.files, report.hashed, report.troubles) == (4, 4, ())
    assert {key[1] for key in models.names()} == {"a.safetensors", "sub/deep/b.PT", "d.ckpt", "e.gguf"}
    files = models.index.files()
    found = files.by_name["loras", "a.safetensors"]
    assert found.autov3 == sha(b"tensors")[:12]
    assert (found.output_name, files.by_stem.get("ink style")) == ("Ink Style", [found])
    assert dict(models.index.facts(found.path)) == {"ss_output_name": "Ink Style", "modelspec.title": "x"}
    for value in (sha("b"), sha("b")[:10]):
        assert [one.name for one in files.by_hash.get(value)] == ["sub/deep/b.PT"]
    assert "e3b0c442" not in files.by_hash, "the AutoV1 of a small file names nothing"
    assert files.by_name["loras", "e.gguf"].rank == 1


def test_a_second_scan_hashes_and_writes_nothing(models: ModelFolders):
    models.put("a.pt", "a")
    models.scan()
    files = models.index.files()
    models.hash_nothing_more()
    report = models.scan()
    assert (report.hashed, report.unchanged) == (0, 1)
    assert models.index.files() is files


def test_a_changed_file_is_hashed_again_and_never_known_by_its_old_hash(models: ModelFolders):
    path = models.put("a.pt", "old")
    models.scan()
    path.write_text("newer")
    models.scan(cancelled=lambda: True)
    assert models.names() == {("loras", "a.pt"): ""}
    assert models.scan().hashed == 1
    assert models.names() == {("loras", "a.pt"): sha("newer")}


def test_what_is_gone_for_long_is_forgotten(tmp_path: Path):
    now = [0.0]
    index = HashIndex(tmp_path / "h.sqlite3", clock=lambda: now[0])
    (tmp_path / "l").mkdir()
    (tmp_path / "l" / "a.pt").write_text("a")
    for step in (0.0, 1.0, 31 * 24 * 3600.0):
        now[0] = step
        scan(index, {"l": [tmp_path / "l"]})
        (tmp_path / "l" / "a.pt").unlink(missing_ok=True)
    rows = sqlite3.connect(tmp_path / "h.sqlite3").execute("SELECT count(*) FROM files").fetchone()
    assert rows == (0,)


def test_links_in_a_ring_come_to_an_end(models: ModelFolders):
    models.put("sub/a.pt", "a")
    os.symlink(models.root / "loras", models.root / "loras" / "sub" / "ring")
    os.symlink(models.root / "loras" / "self", models.root / "loras" / "self")
    os.symlink(models.root / "loras" / "two.pt", models.root / "loras" / "one.pt")
    os.symlink(models.root / "loras" / "one.pt", models.root / "loras" / "two.pt")
    os.symlink(models.root / "nothing.pt", models.root / "loras" / "broken.pt")
    models.scan()
    assert list(models.names()) == [("loras", "sub/a.pt")]


def test_a_linked_folder_is_entered(models: ModelFolders):
    (models.root / "elsewhere").mkdir()
    (models.root / "elsewhere" / "a.pt").write_text("a")
    os.symlink(models.root / "elsewhere", models.root / "loras" / "linked")
    models.scan()
    assert list(models.names()) == [("loras", "linked/a.pt")]


def test_folders_of_a_drive_that_numbers_nothing_are_all_entered(models: ModelFolders, monkeypatch: pytest.MonkeyPatch):
    models.put("a/x.pt", b"x")
    models.put("b/c/y.pt", b"y")
    (models.root / "loras" / "ring").symlink_to(models.root / "loras", target_is_directory=True)
    real = os.stat

    def numberless(path: Any, *more: Any, **options: Any) -> os.stat_result:
        status = real(path, *more, **options)
        return os.stat_result((status.st_mode, 0, *status[2:])) if os.path.isdir(str(path)) else status

    monkeypatch.setattr(os.path, "isdir", lambda path: stat.S_ISDIR(real(path).st_mode))
    monkeypatch.setattr(os, "stat", numberless)
    assert set(models.names()) == set() and models.scan().files == 2
    assert set(models.names()) == {("loras", "a/x.pt"), ("loras", "b/c/y.pt")}


def test_one_folder_under_two_keys_is_hashed_once(models: ModelFolders):
    models.folders = {"unet": [models.root / "big"], "diffusion_models": [models.root / "big"]}
    models.put("a.pt", "a", "big")
    assert models.scan().hashed == 1
    assert set(models.names()) == {("unet", "a.pt"), ("diffusion_models", "a.pt")}


@pytest.mark.parametrize("content", [b"", b"abc", (2**63).to_bytes(8, "little") + b"{}"], ids=["0", "3", "2^63"])
def test_a_file_that_is_no_safetensors_is_hashed_and_said(content: bytes, models: ModelFolders):
    models.put("x.safetensors", content)
    models.scan()
    [found] = models.index.files().all
    assert found.sha256 == sha(content) and found.autov3 == "" and "no safetensors" in found.trouble


def test_a_file_that_changes_while_it_is_hashed_waits_for_the_next_scan(models: ModelFolders):
    path = models.put("a.pt", "one")
    models.put("b.pt", "b")

    def changing(target: str, **more: Any) -> Digests:
        def on_chunk(size: int) -> None:
            more["on_chunk"](size)
            if target == str(path):
                path.write_text("another")

        return digest_file(target, **{**more, "on_chunk": on_chunk})

    models.index.hashing = Hashing(digest=changing)
    report = models.scan()
    assert report.hashed == 1 and "changed while" in report.troubles[0]
    models.index.hashing = Hashing()
    assert models.scan().hashed == 1
    assert models.names()["loras", "a.pt"] == sha("another")


def test_a_cancelled_scan_goes_on_where_it_was(models: ModelFolders):
    for number in range(6):
        models.put(f"{number}.pt", str(number))
    seen: list[HashingProgress] = []
    report = models.scan(workers=1, progress=seen.append, cancelled=lambda: bool(seen) and seen[-1].files >= 2)
    assert report.stopped and 1 <= report.hashed < 6
    rest = models.scan(progress=seen.append)
    assert rest.hashed == 6 - report.hashed and not rest.stopped
    assert (seen[-1].files, seen[-1].bytes) == (seen[-1].of_files, seen[-1].of_bytes)


def test_while_a_prompt_runs_half_of_the_cores_hash(models: ModelFolders, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    for number in range(12):
        models.put(f"{number}.pt", str(number))
    busy, most, lock, running = set(), [0], threading.Lock(), [True]

    def watched(target: str, **more: Any) -> Digests:
        with lock:
            busy.add(target)
            most[0] = max(most[0], len(busy))
        threading.Event().wait(0.01)
        with lock:
            busy.discard(target)
        return digest_file(target, **more)

    models.index.hashing = Hashing(digest=watched)

    def pause() -> bool:
        running[0] = running[0] and models.index is not None and len(models.index.files().by_hash) < 10
        return running[0]

    report = models.scan(pause=pause)
    assert report.hashed == 12 and most[0] <= 4
    most[0] = 0
    for number in range(12):
        models.put(f"{number}.pt", f"again {number}")
    calls = [0]

    def always() -> bool:
        calls[0] += 1
        return calls[0] < 100_000 and any(one.sha256 == "" for one in models.index.files().all)

    models.scan(pause=always)
    assert most[0] <= 2


def test_kinds_that_were_not_taken_are_taken_later(models: ModelFolders):
    models.put("a.pt", "abc")
    models.scan()
    assert models.scan(kinds={"CRC32"}).hashed == 1
    assert models.index.files().by_hash.get("352441c2")
    assert models.scan(kinds={"CRC32"}).hashed == 0


def test_a_scan_of_some_folders_leaves_the_others_alone(models: ModelFolders):
    models.put("a.pt", "a")
    models.put("b.pt", "b", "big")
    models.scan()
    (models.root / "loras" / "a.pt").unlink()
    (models.root / "big" / "b.pt").unlink()
    report = scan(models.index, {"checkpoints": models.folders["checkpoints"]}, whole=False)
    assert report.gone == 1 and list(models.names()) == [("loras", "a.pt")]


def test_half_a_character_in_a_header_ends_no_scan(models: ModelFolders):
    models.put("a.safetensors", header({"ss_output_name": "\ud800x", "modelspec.\udfff": "\udc00"}) + b"x")
    models.put("b.pt", "b")
    assert models.scan().hashed == 2
    one = models.index.files().by_name["loras", "a.safetensors"]
    assert one.output_name == "\ufffdx"
    assert dict(models.index.facts(one.path)) == {"ss_output_name": "\ufffdx", "modelspec.\ufffd": "\ufffd"}


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_that_are_no_text_are_left_out_and_said(models: ModelFolders):
    models.put("good.pt", "good")
    odd = os.fsencode(models.root / "loras") + b"/caf\xe9"
    try:
        os.mkdir(odd)
    except OSError:
        pytest.skip("this file system takes no such names")
    for name in (odd + b"/in.pt", odd + b".pt", odd + b".txt"):
        with open(name, "wb") as out:
            out.write(b"x")
    models.folders["odd"] = [Path(os.fsdecode(odd))]
    for _ in range(2):
        report = models.scan()
        assert list(models.names()) == [("loras", "good.pt")]
        assert len(report.troubles) == 3 and all("no valid text" in one for one in report.troubles)
        "\n".join(report.troubles).encode()
    with pytest.raises(FileTrouble, match="no valid text"):
        path = os.fsdecode(odd + b".pt")
        models.index.learn("loras", os.path.basename(path), path, 0, digest_file(path))


def test_a_time_beyond_every_calendar_ends_no_scan(models: ModelFolders):
    path = models.put("a.pt", "a")
    try:
        os.utime(path, (10**11, 10**11))
    except (OSError, OverflowError):
        pytest.skip("this file system takes no such time")
    assert models.scan().hashed == 1 and models.scan().unchanged == 1


def test_a_file_that_goes_between_its_hashes_and_its_header_is_said(models: ModelFolders):
    path = models.put("a.safetensors", b"x")
    models.put("b.pt", "b")

    def vanishing(target: str, **more: Any) -> Digests:
        digests = digest_file(target, **more)
        path.unlink(missing_ok=True)
        return digests

    models.index.hashing = Hashing(digest=vanishing)
    report = models.scan(workers=1)
    assert not report.stopped and report.hashed == 1 and "cannot be read" in report.troubles[0]


def test_what_is_learned_while_others_are_listed_stays(models: ModelFolders):
    models.put("old.pt", "old")

    def list_folders(folders: Any) -> Listing:
        listing = list_models(folders)
        new = models.put("new.pt", "new")
        models.index.learn("loras", "new.pt", str(new), 0, digest_file(new))
        return listing

    assert models.scan(list_folders=list_folders).gone == 0
    assert set(models.names()) == {("loras", "old.pt"), ("loras", "new.pt")}


def test_a_scan_of_fewer_folders_leaves_what_others_have(models: ModelFolders):
    models.put("a.pt", "a")
    gone = models.put("b.pt", "b", "more")
    models.put("c.pt", "c", "more")
    models.put("c.pt", "another", "loras")
    models.scan()
    gone.unlink()
    narrow = HashIndex(models.root / "state" / "hashes.sqlite3")
    for lost in (1, 0):
        assert scan(narrow, {"loras": [models.root / "loras"]}).gone == lost
        others = [one.name for one in narrow.files().all if one.path.startswith(str(models.root / "more"))]
        assert others == ["c.pt"]
        assert set(models.names()) == {("loras", "a.pt"), ("loras", "c.pt")}
        assert narrow.files().by_name["loras", "c.pt"].sha256 == sha("another"), "what the scan had comes first"
    models.scan()
    assert sorted(one.rank for one in models.index.files().all) == [0, 0, 1]
