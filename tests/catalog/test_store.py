"""The catalogs on disk: nothing is ever written over a text that was not understood."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from catalog_texts import NEW, NOW, ODD, add, make
from filelock import FileLock
from pack_root import ROOT

from pack.civitai_bridge.catalog.entries import LORAS, MODELS
from pack.civitai_bridge.catalog.store import CatalogStore
from pack.civitai_bridge.errors import CatalogBusy, CatalogDamaged, CatalogTrouble

# --- version, date, first save


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('{"version": 3, "date": "x", "categories": []}', 4),
        ('{"version": "3", "categories": []}', "4"),
        ('{"version": 12.0}', 13),
        ('{"version": 12.5}', 13),
        ('{"version": 1e300}', 1),
        ('{"version": Infinity}', 1),
        ('{"version": NaN}', 1),
        ('{"version": null}', 1),
        ('{"version": true}', 1),
        ("{}", 1),
        ('{"a": 1}', 1),
        (" { } ", 1),
    ],
)
def test_version_counts_up_and_date_is_set(text: str, version: Any, tmp_path: Path):
    data = json.loads(add(make(tmp_path, text)))
    assert (data["version"], data["date"]) == (version, "2026-11-20 14:05")
    assert data["categories"][0]["models"] == [NEW]


def test_the_first_save_makes_a_file_that_people_can_read(tmp_path: Path):
    store = CatalogStore(tmp_path / "not" / "yet", clock=lambda: NOW)
    assert list(store.load(MODELS).entries()) == []
    text = add(store)
    expected = {
        "version": 1,
        "date": "2026-11-20 14:05",
        "categories": [{"id": "loras", "name": "LoRAs", "models": [NEW]}],
    }
    assert json.loads(text) == expected
    assert text.count("\n") > 10
    if os.name != "nt":
        assert stat.S_IMODE((tmp_path / "not" / "yet").stat().st_mode) == 0o700


def test_the_previous_version_is_kept_and_the_mode_too(tmp_path: Path):
    store = make(tmp_path, ODD)
    os.chmod(tmp_path / MODELS, 0o640)
    first = add(store)
    assert (tmp_path / "models.json.previous").read_bytes().decode() == ODD
    add(store, entry={"file": "z"})
    assert (tmp_path / "models.json.previous").read_bytes().decode() == first
    if os.name != "nt":
        assert stat.S_IMODE((tmp_path / MODELS).stat().st_mode) == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == [".catalogs.lock", MODELS, "models.json.previous"]


def test_where_no_second_name_is_possible_the_previous_version_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def no_links(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    add(make(tmp_path, ODD))
    assert (tmp_path / "models.json.previous").read_bytes().decode() == ODD


def test_a_linked_catalog_stays_a_link(tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "c.json").write_text(ODD)
    here = tmp_path / "here"
    here.mkdir()
    (here / MODELS).symlink_to(elsewhere / "c.json")
    add(make(here))
    assert (here / MODELS).is_symlink()
    assert json.loads((elsewhere / "c.json").read_text())["version"] == 13


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        (b"", 1, 1),
        (b"{", 1, 2),
        (b'{"version": 1,\n  "categories": [ {"id": "a"} }\n', 2, 31),
        (b'{"version": 1,\r\n "categories": [{"id": "a", "models": [{"a": 1},]}]}', 2, 49),
        (b'{"a": 1} x', 1, 10),
        (b"{'a': 1}", 1, 2),
        (b'{"a" 1}', 1, 6),
        (b'{"a": "line\nbreak"}', 1, 12),
        (b'{"a": 1\n "b": "\xff"}', 2, 8),
        (b'\xff\xfe{\x00}\x00', 1, 1),
        (b'{"a": [1, 2}', 1, 12),
        (b"<html>", 1, 1),
    ],
    ids=range(12),
)  # fmt: skip
def test_invalid_json_is_named_by_line_and_column_and_left_alone(
    content: bytes, line: int, column: int, tmp_path: Path
):
    store = make(tmp_path, content)
    with pytest.raises(CatalogDamaged, match=f"line {line}, column {column}") as caught:
        store.load(MODELS)
    assert (caught.value.line, caught.value.column, caught.value.path) == (line, column, str(tmp_path / MODELS))
    with pytest.raises(CatalogDamaged):
        add(store)
    assert (tmp_path / MODELS).read_bytes() == content


@pytest.mark.parametrize(
    "text",
    ["[]", "7", '{"categories": {}}', '{"categories": 1}', '{"categories": [{"id": "loras", "models": {}}]}', '{"a": ' + "[" * 200_000, '{"a": ' + "1" * 5000 + "}"],
    ids=range(7),
)  # fmt: skip
def test_json_of_another_shape_is_said_and_left_alone(text: str, tmp_path: Path):
    store = make(tmp_path, text)
    with pytest.raises(CatalogDamaged, match="left as it is"):
        add(store)
    assert (tmp_path / MODELS).read_text() == text


def test_one_damaged_catalog_does_not_hide_the_other(tmp_path: Path):
    store = make(tmp_path, "{")
    (tmp_path / LORAS).write_text(ODD)
    assert len(list(store.load(LORAS).entries())) == 3


def test_a_read_only_folder_is_read_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = make(tmp_path, ODD)
    real = os.open

    def refusing(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refusing)
    assert len(list(store.load(MODELS).entries())) == 3
    with pytest.raises(CatalogTrouble, match="read-only"):
        add(store)
    assert (tmp_path / MODELS).read_text() == ODD


def test_a_full_disk_leaves_the_catalog_whole(tmp_path: Path):
    """The limit on file sizes stands in for a full disk: the write fails half-way, in a process of its own."""
    text = json.dumps(json.loads(ODD) | {"fill": "x" * 60_000})
    (tmp_path / MODELS).write_text(text)
    script = f"""
import resource, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from datetime import datetime
from pathlib import Path
from civitai_bridge.catalog.store import CatalogStore
from civitai_bridge.errors import CatalogTrouble
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
try:
    with CatalogStore(Path({str(tmp_path)!r})).changing() as change:
        change.append("models.json", "loras", {{"file": "x"}})
except CatalogTrouble as error:
    print(error)
"""
    if os.name == "nt":
        pytest.skip("no such limit on Windows")
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "disk is full" in said and "Nothing was changed" in said
    assert (tmp_path / MODELS).read_text() == text
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".part")] == []


def test_a_catalog_that_another_program_holds_is_said(tmp_path: Path):
    store = make(tmp_path, ODD, patience=0.05)
    with FileLock(tmp_path / ".catalogs.lock"), pytest.raises(CatalogBusy, match="another program"):
        add(store)
    add(store)


def test_what_somebody_wrote_in_between_is_not_lost(tmp_path: Path):
    """A tool that knows no lock writes after we have read: its version is read and added to."""
    (tmp_path / MODELS).write_text(ODD)
    times = []

    def late() -> datetime:  # asked for the date of a save
        if not times:
            (tmp_path / MODELS).write_text(ODD.replace('"x-tool"', '"y-tool"'))
        times.append(1)
        return NOW

    text = add(CatalogStore(tmp_path, clock=late))
    assert '"y-tool"' in text and "ink.safetensors" in text and len(times) == 2


def test_a_change_from_outside_is_seen(tmp_path: Path):
    store = make(tmp_path, ODD)
    assert store.load(MODELS) is store.load(MODELS)
    (tmp_path / MODELS).write_text("{}")
    assert list(store.load(MODELS).entries()) == []


def test_leavings_of_a_killed_save_are_swept(tmp_path: Path):
    (tmp_path / ".models.json.123-456.part").write_text("half")
    add(make(tmp_path, ODD))
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*.part"))


def test_a_file_of_another_tool_is_not_swept(tmp_path: Path):
    theirs = [".tool.json.download.part", ".models.json.theirs.part", ".other.json.1-2.part"]
    ours = [".models.json.1-2.part", ".loras.json.previous.part", "..promoting.json.3-4.part"]
    for name in (*theirs, *ours):
        (tmp_path / name).write_text("half")
    add(make(tmp_path, ODD))
    assert sorted(path.name for path in tmp_path.glob(".*.part")) == sorted(theirs)


@pytest.mark.parametrize("text", [ODD, '{"version":1,"categories":[{"id":"é","models":[]}]}'])
def test_half_a_letter_can_be_written(tmp_path: Path, text: str):
    entry = {"name": "x\ud800é", "file": "x", "trigger_words": ["\udfff"]}
    add(make(tmp_path, text), entry=entry)
    store = CatalogStore(tmp_path)
    assert [one.raw for one in store.load(MODELS).entries()][-1 if text is not ODD else 3] == entry


def test_a_file_system_without_locks_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no(*_: Any, **__: Any) -> None:
        raise NotImplementedError("no flock")

    monkeypatch.setattr(FileLock, "acquire", no)
    with pytest.raises(CatalogTrouble, match="without locks"):
        add(make(tmp_path, ODD))


def test_threads_and_stores_do_not_lose_entries(tmp_path: Path):
    stores = [make(tmp_path, ODD), CatalogStore(tmp_path)]

    def work(number: int) -> None:
        for n in range(5):
            add(stores[number % 2], entry={"file": f"{number}-{n}"})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files = [entry.file for entry in CatalogStore(tmp_path).load(MODELS).entries()]
    assert len(files) == len(set(files)) == 3 + 20
    assert CatalogStore(tmp_path).load(MODELS).document.data["version"] == 12 + 20


_SERVER = """
import sys
sys.path.insert(0, {root!r})
from datetime import datetime
from pathlib import Path
from civitai_bridge.catalog.promote import promote
from civitai_bridge.catalog.store import CatalogStore
store, first = CatalogStore(Path(sys.argv[1])), int(sys.argv[2])
for n in range(first, first + 20):
    with store.changing() as change:
        change.append("models.json", "loras", {{"file": f"{{n}}.pt", "dest": "loras", "civitai_version_id": n}})
    if n % 2:
        promote(store, n)
"""


def test_two_servers_at_once_lose_and_double_nothing(tmp_path: Path):
    (tmp_path / MODELS).write_text(ODD)
    command = [sys.executable, "-c", _SERVER.format(root=str(ROOT)), str(tmp_path)]
    running = [subprocess.Popen([*command, str(first)]) for first in (1000, 2000, 3000)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    store = CatalogStore(tmp_path)
    models = [e.version_id for e in store.load(MODELS).entries() if 1000 <= (e.version_id or 0) < 4000]
    loras = [e.version_id for e in store.load(LORAS).entries()]
    every = [n for first in (1000, 2000, 3000) for n in range(first, first + 20)]
    assert sorted(models) == [n for n in every if n % 2 == 0] and sorted(loras) == [n for n in every if n % 2]
    assert (
        store.load(MODELS).document.data["version"] == 12 + 60 + 30 and store.load(LORAS).document.data["version"] == 30
    )


def test_the_owner_stays_where_it_may_be_given(tmp_path: Path):
    if os.name == "nt" or os.geteuid() != 0:
        pytest.skip("only root gives files away")
    store = make(tmp_path, ODD)
    os.chown(tmp_path / MODELS, 65534, 65533)
    add(store)
    now = (tmp_path / MODELS).stat()
    assert (now.st_uid, now.st_gid) == (65534, 65533)


def test_other_names_of_a_catalog_go_on_showing_it(tmp_path: Path):
    """A hard link that a person made for another tool."""
    store = make(tmp_path, ODD)
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "theirs.json"
    os.link(tmp_path / MODELS, other)
    first = add(store)
    assert other.read_bytes().decode() == first and os.path.samefile(other, tmp_path / MODELS)
    assert (tmp_path / "models.json.previous").read_bytes().decode() == ODD
    add(store, entry={"file": "z"})
    assert '"z"' in other.read_text() and (tmp_path / "models.json.previous").read_bytes().decode() == first
    assert not list(tmp_path.glob(".*.rewrite")) and not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("written", [0, 1, 200, None])
def test_a_rewrite_that_was_killed_is_finished_by_whoever_comes_next(tmp_path: Path, written: int | None):
    store = make(tmp_path, ODD)
    os.link(tmp_path / MODELS, tmp_path / "theirs.json")
    new = add(store)
    torn = (new.encode()[:written] + ODD.encode()[written:]) if written is not None else new.encode()
    (tmp_path / MODELS).write_bytes(torn)
    (tmp_path / ".models.json.rewrite").write_bytes(new.encode())
    assert len(list(make(tmp_path).load(MODELS).entries())) == 4
    assert (tmp_path / "theirs.json").read_bytes() == new.encode()


def test_a_rewrite_is_not_finished_over_what_a_person_has_mended(tmp_path: Path):
    make(tmp_path, '{"version": 7}')
    (tmp_path / "models.json.previous").write_text(ODD)
    (tmp_path / ".models.json.rewrite").write_text(ODD)
    assert make(tmp_path).load(MODELS).document.data == {"version": 7}


def test_a_planted_link_beside_a_catalog_is_never_followed(tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    store = make(tmp_path, ODD)
    (tmp_path / ".models.json.previous.part").symlink_to(victim)
    add(store)
    assert victim.read_text() == "untouched"
