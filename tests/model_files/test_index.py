"""The index of model files: what is hashed, what is not hashed again, and what a folder full of surprises does to it."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from pack.civitai_bridge.catalog.shelf import Shelf
from pack.civitai_bridge.errors import FileTrouble, StateTrouble
from pack.civitai_bridge.model_files import index as module
from pack.civitai_bridge.model_files.index import HashIndex, Ownership, Progress, stem_of


@pytest.fixture
def place(tmp_path: Path):
    """An index, folders of two kinds, and what was really hashed."""
    return Place(tmp_path)


class Place:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.index = HashIndex(root / "state" / "hashes.sqlite3")
        self.folders: dict[str, list[Path]] = {"loras": [root / "loras", root / "more"], "checkpoints": [root / "big"]}
        for paths in self.folders.values():
            for path in paths:
                path.mkdir()

    def put(self, name: str, content: bytes | str, folder: str = "loras") -> Path:
        path = self.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def scan(self, **more: Any) -> Any:
        return self.index.scan(self.folders, **more)

    def names(self) -> dict[tuple[str, str], str]:
        return {(one.folder, one.name): one.sha256 for one in self.index.files().all}


def sha(content: str | bytes) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()


def header(facts: dict[str, Any]) -> bytes:
    text = json.dumps({"__metadata__": facts}).encode()
    return len(text).to_bytes(8, "little") + text


def test_every_model_file_is_found_and_hashed(place: Place):
    place.put(
        "a.safetensors", header({"ss_output_name": "Ink Style", "modelspec.title": "x", "other": "y"}) + b"tensors"
    )
    place.put("sub/deep/b.PT", "b")
    place.put("notes.txt", "no model")
    place.put("c.safetensors.part", "no model yet")
    place.put("d.ckpt", "d", "big")
    place.put("e.gguf", "e", "more")
    report = place.scan()
    assert (report.files, report.hashed, report.troubles) == (4, 4, ())
    assert {key[1] for key in place.names()} == {"a.safetensors", "sub/deep/b.PT", "d.ckpt", "e.gguf"}
    files = place.index.files()
    found = files.by_name["loras", "a.safetensors"]
    assert found.autov3 == sha(b"tensors")[:12]
    assert (found.output_name, files.by_stem.get("ink style")) == ("Ink Style", (found,))
    assert dict(place.index.facts(found.path)) == {"ss_output_name": "Ink Style", "modelspec.title": "x"}
    for value in (sha("b"), sha("b")[:10]):
        assert [one.name for one in files.by_hash.get(value)] == ["sub/deep/b.PT"]
    assert "e3b0c442" not in files.by_hash, "the AutoV1 of a small file names nothing"
    assert files.by_name["loras", "e.gguf"].rank == 1


def test_a_second_scan_hashes_and_writes_nothing(place: Place, monkeypatch: pytest.MonkeyPatch):
    place.put("a.pt", "a")
    place.scan()
    files = place.index.files()
    monkeypatch.setattr(module, "digest_file", lambda *_, **__: pytest.fail("hashed again"))
    report = place.scan()
    assert (report.hashed, report.unchanged) == (0, 1)
    assert place.index.files() is files


def test_a_changed_file_is_hashed_again_and_never_known_by_its_old_hash(place: Place):
    path = place.put("a.pt", "old")
    place.scan()
    path.write_text("newer")
    place.scan(cancelled=lambda: True)
    assert place.names() == {("loras", "a.pt"): ""}
    assert place.scan().hashed == 1
    assert place.names() == {("loras", "a.pt"): sha("newer")}


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
def test_a_moved_file_is_not_hashed_again(move: str, place: Place, monkeypatch: pytest.MonkeyPatch):
    place.put("a.pt", "content")
    place.scan()
    MOVES[move](place)
    monkeypatch.setattr(module, "digest_file", lambda *_, **__: pytest.fail("hashed again"))
    report = place.scan()
    assert report.hashed == 0
    assert set(place.names().values()) == {sha("content")}
    assert report.moved == (move != "restored in place")


def test_files_that_swap_names_swap_hashes(place: Place, monkeypatch: pytest.MonkeyPatch):
    a, b = place.put("a.pt", "1"), place.put("b.pt", "2")
    for path in (a, b):
        os.utime(path, ns=(10**9, 10**9))
    place.scan()
    os.rename(a, place.root / "c")
    os.rename(b, a)
    os.rename(place.root / "c", b)
    place.scan()
    assert place.names() == {("loras", "a.pt"): sha("2"), ("loras", "b.pt"): sha("1")}


def test_a_copy_is_a_file_of_its_own(place: Place):
    """Same size and time prove nothing while the first file is still there: training writes many such files."""
    first = place.put("a.pt", "content")
    place.scan()
    other = place.put("b.pt", "CONTENT")
    seen = first.stat()
    os.utime(other, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert place.scan().hashed == 1
    assert place.names()["loras", "b.pt"] == sha("CONTENT")


def test_a_file_that_went_and_came_back_is_known(place: Place, monkeypatch: pytest.MonkeyPatch):
    path = place.put("a.pt", "content")
    place.scan()
    os.rename(path, place.root / "away.pt")
    assert place.scan().gone == 1
    assert place.names() == {}
    os.rename(place.root / "away.pt", path)
    monkeypatch.setattr(module, "digest_file", lambda *_, **__: pytest.fail("hashed again"))
    assert place.scan().gone == 0
    assert place.names() == {("loras", "a.pt"): sha("content")}


def test_what_is_gone_for_long_is_forgotten(tmp_path: Path):
    now = [0.0]
    index = HashIndex(tmp_path / "h.sqlite3", clock=lambda: now[0])
    (tmp_path / "l").mkdir()
    (tmp_path / "l" / "a.pt").write_text("a")
    for step in (0.0, 1.0, 31 * 24 * 3600.0):
        now[0] = step
        index.scan({"l": [tmp_path / "l"]})
        (tmp_path / "l" / "a.pt").unlink(missing_ok=True)
    rows = sqlite3.connect(tmp_path / "h.sqlite3").execute("SELECT count(*) FROM files").fetchone()
    assert rows == (0,)


def test_a_folder_that_is_away_keeps_its_hashes(place: Place):
    place.put("a.pt", "a", "more")
    place.scan()
    os.rename(place.root / "more", place.root / "unplugged")
    report = place.scan()
    assert (report.gone, report.troubles) == (0, ())
    os.rename(place.root / "unplugged", place.root / "more")
    assert place.scan().hashed == 0


def test_links_in_a_ring_come_to_an_end(place: Place):
    place.put("sub/a.pt", "a")
    os.symlink(place.root / "loras", place.root / "loras" / "sub" / "ring")
    os.symlink(place.root / "loras" / "self", place.root / "loras" / "self")
    os.symlink(place.root / "loras" / "two.pt", place.root / "loras" / "one.pt")
    os.symlink(place.root / "loras" / "one.pt", place.root / "loras" / "two.pt")
    os.symlink(place.root / "nothing.pt", place.root / "loras" / "broken.pt")
    place.scan()
    assert list(place.names()) == [("loras", "sub/a.pt")]


def test_a_linked_folder_is_entered(place: Place):
    (place.root / "elsewhere").mkdir()
    (place.root / "elsewhere" / "a.pt").write_text("a")
    os.symlink(place.root / "elsewhere", place.root / "loras" / "linked")
    place.scan()
    assert list(place.names()) == [("loras", "linked/a.pt")]


def test_one_folder_under_two_keys_is_hashed_once(place: Place):
    place.folders = {"unet": [place.root / "big"], "diffusion_models": [place.root / "big"]}
    place.put("a.pt", "a", "big")
    assert place.scan().hashed == 1
    assert set(place.names()) == {("unet", "a.pt"), ("diffusion_models", "a.pt")}


@pytest.mark.parametrize("content", [b"", b"abc", (2**63).to_bytes(8, "little") + b"{}"], ids=["0", "3", "2^63"])
def test_a_file_that_is_no_safetensors_is_hashed_and_said(content: bytes, place: Place):
    place.put("x.safetensors", content)
    place.scan()
    [found] = place.index.files().all
    assert found.sha256 == sha(content) and found.autov3 == "" and "no safetensors" in found.trouble


def test_a_file_that_changes_while_it_is_hashed_waits_for_the_next_scan(place: Place, monkeypatch: pytest.MonkeyPatch):
    path = place.put("a.pt", "one")
    place.put("b.pt", "b")
    real = module.digest_file

    def changing(target: str, **more: Any) -> Any:
        def on_piece(size: int) -> None:
            more["on_piece"](size)
            if target == str(path):
                path.write_text("another")

        return real(target, **{**more, "on_piece": on_piece})

    monkeypatch.setattr(module, "digest_file", changing)
    report = place.scan()
    assert report.hashed == 1 and "changed while" in report.troubles[0]
    monkeypatch.setattr(module, "digest_file", real)
    assert place.scan().hashed == 1
    assert place.names()["loras", "a.pt"] == sha("another")


def test_a_cancelled_scan_goes_on_where_it_was(place: Place):
    for number in range(6):
        place.put(f"{number}.pt", str(number))
    seen: list[Progress] = []
    report = place.scan(workers=1, progress=seen.append, cancelled=lambda: bool(seen) and seen[-1].files >= 2)
    assert report.stopped and 1 <= report.hashed < 6
    rest = place.scan(progress=seen.append)
    assert rest.hashed == 6 - report.hashed and not rest.stopped
    assert (seen[-1].files, seen[-1].bytes) == (seen[-1].of_files, seen[-1].of_bytes)


def test_while_a_prompt_runs_half_of_the_cores_hash(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module.os, "cpu_count", lambda: 4)
    for number in range(12):
        place.put(f"{number}.pt", str(number))
    busy, most, lock, running = set(), [0], threading.Lock(), [True]
    real = module.digest_file

    def watched(target: str, **more: Any) -> Any:
        with lock:
            busy.add(target)
            most[0] = max(most[0], len(busy))
        threading.Event().wait(0.01)
        with lock:
            busy.discard(target)
        return real(target, **more)

    monkeypatch.setattr(module, "digest_file", watched)

    def pause() -> bool:
        running[0] = running[0] and place.index is not None and len(place.index.files().by_hash) < 10
        return running[0]

    report = place.scan(pause=pause)
    assert report.hashed == 12 and most[0] <= 4
    most[0] = 0
    for number in range(12):
        place.put(f"{number}.pt", f"again {number}")
    calls = [0]

    def always() -> bool:
        calls[0] += 1
        return calls[0] < 100_000 and any(one.sha256 == "" for one in place.index.files().all)

    place.scan(pause=always)
    assert most[0] <= 2


def test_kinds_that_were_not_taken_are_taken_later(place: Place):
    place.put("a.pt", "abc")
    place.scan()
    assert place.scan(kinds={"CRC32"}).hashed == 1
    assert place.index.files().by_hash.get("352441c2")
    assert place.scan(kinds={"CRC32"}).hashed == 0


def test_another_process_sees_what_was_scanned(place: Place):
    other = HashIndex(place.root / "state" / "hashes.sqlite3")
    assert other.files().all == ()
    place.put("a.pt", "a")
    place.scan()
    assert len(other.files().all) == 1


def test_a_damaged_index_is_said(tmp_path: Path):
    (tmp_path / "h.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(StateTrouble, match="the next scan makes it anew"):
        HashIndex(tmp_path / "h.sqlite3")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Ink.safetensors", "ink"),
        ("style\\Ink.PT", "ink"),
        ("style/ink", "ink"),
        ("v1.5", "v1.5"),
        ("civitai_12_ink.safetensors", "ink"),
        ("civitai_12_", "civitai_12_"),
        ("civitai_x_ink", "civitai_x_ink"),
        ("STRASSE.bin", "strasse"),
    ],
)
def test_names_are_compared_by_stem(name: str, stem: str):
    assert stem_of(name) == stem


# --- what is known without hashing


def test_a_file_whose_hashes_are_known_is_taken_in_and_not_read(place: Place, monkeypatch: pytest.MonkeyPatch):
    path = place.put("sub/a.safetensors", header({"ss_output_name": "ink"}) + b"x")
    taken = module.digest_file(path)
    monkeypatch.setattr(module, "digest_file", None)
    place.index.learn("loras", "sub/a.safetensors", str(path), 0, taken)
    one = place.index.files().by_name["loras", "sub/a.safetensors"]
    assert (one.sha256, one.output_name, one.rank) == (taken.sha256, "ink", 0)
    assert (report := place.scan()).unchanged == 1 and not report.hashed
    path.unlink()
    with pytest.raises(FileTrouble, match="cannot be read"):
        place.index.learn("loras", "sub/a.safetensors", str(path), 0, taken)


def test_what_nobody_knew_is_asked_again_after_a_day(tmp_path: Path):
    now = [1000.0]
    index = HashIndex(tmp_path / "h.sqlite3", clock=lambda: now[0])
    (tmp_path / "loras").mkdir()
    for name in ("a", "b"):
        (tmp_path / "loras" / f"{name}.pt").write_text(name)
    index.scan({"loras": [tmp_path / "loras"]})
    assert index.unasked() == sorted([sha("a"), sha("b")])
    index.own([Ownership(sha("a"), 7, 3), Ownership(sha("b"), 0)])
    assert index.unasked() == [] and index.undescribed() == [sha("a")]
    index.own([Ownership(sha("a"), 7, 3, {"name": "A"})])
    assert index.undescribed() == [] and index.owners()[sha("a")].about == {"name": "A"}
    assert [one.name for one in index.files().by_version.get(7)] == ["a.pt"] and index.files().by_version.get(8) == ()
    now[0] += 24 * 3600 + 1
    assert index.unasked() == [sha("b")]


def test_a_scan_of_some_folders_leaves_the_others_alone(place: Place):
    place.put("a.pt", "a")
    place.put("b.pt", "b", "big")
    place.scan()
    (place.root / "loras" / "a.pt").unlink()
    (place.root / "big" / "b.pt").unlink()
    report = place.index.scan({"checkpoints": place.folders["checkpoints"]}, whole=False)
    assert report.gone == 1 and list(place.names()) == [("loras", "a.pt")]


# --- files that look alike


def twins(tensors: int = 2000) -> tuple[bytes, bytes]:
    """Two trainings of one model: the same size and a header of more than a sample's length."""
    head = {f"t{n}": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]} for n in range(tensors)}
    text = json.dumps(head).encode()
    start = len(text).to_bytes(8, "little") + text
    return start + b"A" * 1000, start + b"B" * 1000


def at_one_time(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (1_700_000_000, 1_700_000_000))


def replaced(place: Place, first: bytes, second: bytes) -> None:
    (place.root / "loras" / "a.safetensors").unlink()
    place.put("keeps the inode", b"x")
    at_one_time(place.put("b.safetensors", second))


def replaced_with_its_inode(place: Place, first: bytes, second: bytes) -> None:
    path = place.root / "loras" / "a.safetensors"
    path.write_bytes(second)
    at_one_time(path)
    path.rename(path.with_name("b.safetensors"))


def overwritten(place: Place, first: bytes, second: bytes) -> None:
    at_one_time(place.put("a.safetensors", second))


@pytest.mark.parametrize("how", [replaced, replaced_with_its_inode, overwritten])
@pytest.mark.parametrize("tensors", [0, 2000])
def test_other_bytes_of_the_same_size_and_time_are_hashed(how: Any, tensors: int, place: Place):
    first, second = twins(tensors)
    at_one_time(place.put("a.safetensors", first))
    place.scan()
    how(place, first, second)
    place.scan()
    assert set(place.names().values()) == {sha(second)}


def test_a_renamed_file_is_itself_and_not_a_twin_that_is_gone(place: Place):
    first, second = twins()
    a, b = place.put("a.safetensors", first), place.put("b.safetensors", second)
    at_one_time(a, b)
    place.scan()
    a.unlink()
    b.rename(b.with_name("c.safetensors"))
    assert place.scan().hashed == 0
    assert place.names() == {("loras", "c.safetensors"): sha(second)}


def test_other_rights_are_no_other_bytes(place: Place, monkeypatch: pytest.MonkeyPatch):
    path = place.put("a.pt", "a")
    place.scan()
    path.chmod(0o400)
    monkeypatch.setattr(module, "digest_file", lambda *_, **__: pytest.fail("hashed again"))
    assert (report := place.scan()).unchanged == 1 and not report.moved
    monkeypatch.setattr(module, "_samples", lambda *_: pytest.fail("looked into again"))
    assert place.scan().unchanged == 1


def test_an_index_of_before_is_taken_over(place: Place, monkeypatch: pytest.MonkeyPatch):
    place.put("a.pt", "a")
    place.scan()
    place.index.close()
    path = place.root / "state" / "hashes.sqlite3"
    with sqlite3.connect(path) as old:
        old.execute("ALTER TABLE files DROP COLUMN ctime_ns")
    old.close()
    place.index = HashIndex(path)
    monkeypatch.setattr(module, "digest_file", lambda *_, **__: pytest.fail("hashed again"))
    assert place.scan().unchanged == 1 and place.scan().unchanged == 1
    with sqlite3.connect(path) as new:
        assert new.execute("SELECT ctime_ns FROM files").fetchone()[0] > 0
    new.close()


# --- what cannot be written down


def test_half_a_character_in_a_header_ends_no_scan(place: Place):
    place.put("a.safetensors", header({"ss_output_name": "\ud800x", "modelspec.\udfff": "\udc00"}) + b"x")
    place.put("b.pt", "b")
    assert place.scan().hashed == 2
    one = place.index.files().by_name["loras", "a.safetensors"]
    assert one.output_name == "\ufffdx"
    assert dict(place.index.facts(one.path)) == {"ss_output_name": "\ufffdx", "modelspec.\ufffd": "\ufffd"}


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_that_are_no_text_are_left_out_and_said(place: Place):
    place.put("good.pt", "good")
    odd = os.fsencode(place.root / "loras") + b"/caf\xe9"
    try:
        os.mkdir(odd)
    except OSError:
        pytest.skip("this file system takes no such names")
    for name in (odd + b"/in.pt", odd + b".pt", odd + b".txt"):
        with open(name, "wb") as out:
            out.write(b"x")
    place.folders["odd"] = [Path(os.fsdecode(odd))]
    for _ in range(2):
        report = place.scan()
        assert list(place.names()) == [("loras", "good.pt")]
        assert len(report.troubles) == 3 and all("no valid text" in one for one in report.troubles)
        "\n".join(report.troubles).encode()
    with pytest.raises(FileTrouble, match="no valid text"):
        path = os.fsdecode(odd + b".pt")
        place.index.learn("loras", os.path.basename(path), path, 0, module.digest_file(path))


def test_a_time_beyond_every_calendar_ends_no_scan(place: Place):
    path = place.put("a.pt", "a")
    try:
        os.utime(path, (10**11, 10**11))
    except (OSError, OverflowError):
        pytest.skip("this file system takes no such time")
    assert place.scan().hashed == 1 and place.scan().unchanged == 1


def test_a_file_that_goes_between_its_hashes_and_its_header_is_said(place: Place, monkeypatch: pytest.MonkeyPatch):
    path, real = place.put("a.safetensors", b"x"), module.digest_file
    place.put("b.pt", "b")

    def vanishing(target: str, **more: Any) -> Any:
        taken = real(target, **more)
        path.unlink(missing_ok=True)
        return taken

    monkeypatch.setattr(module, "digest_file", vanishing)
    report = place.scan(workers=1)
    assert not report.stopped and report.hashed == 1 and "cannot be read" in report.troubles[0]


# --- several who know of one index


def test_what_is_learned_while_others_are_listed_stays(place: Place, monkeypatch: pytest.MonkeyPatch):
    place.put("old.pt", "old")
    real = module._Listing.places

    def places(self: Any, folders: Any) -> Any:
        found = real(self, folders)
        new = place.put("new.pt", "new")
        place.index.learn("loras", "new.pt", str(new), 0, module.digest_file(new))
        return found

    monkeypatch.setattr(module._Listing, "places", places)
    assert place.scan().gone == 0
    assert set(place.names()) == {("loras", "old.pt"), ("loras", "new.pt")}


def test_a_scan_of_fewer_folders_leaves_what_others_have(place: Place):
    place.put("a.pt", "a")
    gone = place.put("b.pt", "b", "more")
    place.put("c.pt", "c", "more")
    place.put("c.pt", "another", "loras")
    place.scan()
    gone.unlink()
    narrow = HashIndex(place.root / "state" / "hashes.sqlite3")
    for lost in (1, 0):
        assert narrow.scan({"loras": [place.root / "loras"]}).gone == lost
        others = [one.name for one in narrow.files().all if one.path.startswith(str(place.root / "more"))]
        assert others == ["c.pt"]
        assert set(place.names()) == {("loras", "a.pt"), ("loras", "c.pt")}
        assert narrow.files().by_name["loras", "c.pt"].sha256 == sha("another"), "what the scan had comes first"
    place.scan()
    assert sorted(one.rank for one in place.index.files().all) == [0, 0, 1]


def test_a_changed_file_that_is_listed_no_more_is_not_known_by_its_old_hash(place: Place):
    path = place.put("sub/a.pt", "a")
    place.scan()
    path.write_text("other")
    (place.root / "loras" / "sub").rename(place.root / "loras" / ".sub")
    os.symlink(place.root / "loras" / ".sub", place.root / "loras" / "sub")
    place.scan()
    assert set(place.names().values()) == {sha("other")}


# --- kinds of hash that a look-up needs


def test_a_kind_that_was_wanted_is_taken_by_every_later_scan(place: Place, monkeypatch: pytest.MonkeyPatch):
    place.put("a.pt", "abc")
    place.scan()
    assert place.index.lacks("CRC32")
    HashIndex(place.root / "state" / "hashes.sqlite3").want(["CRC32", "BLAKE3"])
    monkeypatch.setattr(module, "EVERY", module.EVERY - {"BLAKE3"})
    assert place.scan().hashed == 1, "without its package a kind is not asked of files again and again"
    assert place.scan().hashed == 0 and place.index.wanted() == {"CRC32", "BLAKE3"}
    assert place.index.files().by_hash.get("352441c2") and not place.index.lacks("CRC32")
    monkeypatch.setattr("pack.civitai_bridge.model_files.hashing.blake3", lambda: hashlib.sha512())
    monkeypatch.setattr(module, "EVERY", module.EVERY | {"BLAKE3"})
    assert place.scan().hashed == 1 and place.scan().hashed == 0
    assert place.index.files().by_hash.get(hashlib.sha512(b"abc").hexdigest())


def test_what_is_stated_of_bytes_is_not_taken_again(place: Place, monkeypatch: pytest.MonkeyPatch):
    path = place.put("a.pt", "abc")
    place.scan()
    place.index.state({sha("abc"): {"BLAKE3": "AB" * 32, "AutoV1": "x"}, sha("else"): {"CRC32": "00000000"}})
    monkeypatch.setattr(module, "EVERY", module.EVERY | {"BLAKE3"})
    place.index.want(["BLAKE3"])
    assert place.scan().hashed == 0 and place.index.files().by_hash.get("ab" * 32)
    monkeypatch.setattr(module, "EVERY", module.EVERY - {"BLAKE3"})
    assert place.scan(kinds={"CRC32"}).hashed == 1 and place.index.files().by_hash.get("ab" * 32), "and it stays"
    path.write_text("other")
    place.scan()
    assert not place.index.files().by_hash.get("ab" * 32)


def test_a_shelf_keeps_the_order_and_its_only_ones_cheap():
    shelf: Shelf[str, object] = Shelf()
    one, two, three = object(), object(), object()
    for key, value in (("a", one), ("b", two), ("a", three), ("a", one)):
        shelf.put(key, value)
    assert shelf.get("a") == (one, three) and shelf.get("b") == (two,) and shelf.get("c") == ()
    assert list(shelf) == ["a", "b"] and "a" in shelf and "c" not in shelf and len(shelf) == 2
