"""The catalogs on disk: an edit changes what was meant and not one byte besides; nothing is ever written over a text
that was not understood."""

from __future__ import annotations

import difflib
import errno
import json
import os
import re
import stat
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pack_root import ROOT

from pack.civitai_bridge.catalog import store as store_module
from pack.civitai_bridge.catalog.edit import Document, read_document, with_member
from pack.civitai_bridge.catalog.entries import LORAS, MODELS, entry_from_json
from pack.civitai_bridge.catalog.store import CatalogStore
from pack.civitai_bridge.errors import CatalogBusy, CatalogDamaged, CatalogTrouble

NEW = {"name": "Ink é", "file": "ink.safetensors", "dest": "loras", "civitai_version_id": 7, "tags": [], "trigger_words": ["a", "b"]}  # fmt: skip
NOW = datetime(2026, 11, 20, 14, 5)


def make(folder: Path, text: str | bytes | None = None, name: str = MODELS, **more: Any) -> CatalogStore:
    if text is not None:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return CatalogStore(folder, clock=lambda: NOW, **more)


def add(store: CatalogStore, category: str = "loras", entry: Any = NEW, name: str = MODELS) -> str:
    with store.changing() as change:
        change.append(name, category, entry)
    return (store.folder / name).read_bytes().decode()


def content(document: Document) -> tuple[str, list[tuple[str, Any]]]:
    return document.text, list(document.entries())


def unstamped(text: str) -> str:
    text = re.sub(r'("version"\s*:\s*"?)\d+', r"\g<1>0", text, count=1)
    return re.sub(r'("date"\s*:\s*)"[^"]*"', r'\1""', text, count=1)


def is_one_insertion(old: str, new: str) -> bool:
    """Whether `new` is `old` with one piece put in."""

    def same(one: str, other: str) -> int:
        return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))

    return len(new) > len(old) and same(old, new) + same(old[::-1], new[::-1]) >= len(old)


# --- the promise of the text


ODD = """{ "version": 12, "date": "2026-11-20 14:05", "x-tool": 1.50,
  "categories": [ { "id": "checkpoints", "name": "Checkpoints", "colour": "#\\u0066f0",
    "models": [ { "name": "Juggernaut \\u00e9 \\/ XL", "file": "j.safetensors", "dest": "checkpoints",
      "civitai_version_id": "123456", "size_gb": 6.620, "n": 1E+3, "big": 123456789012345678901234567890 } ] },
    { "id": "loras", "name": "L", "models": [ { "name": "a", "file": "a.safetensors" }, {"name":"b"  ,  "file":"b"} ] }, 7,
    { "id": "mine", "models": [] } ], "after": [1,2 , 3] }"""
STYLES = {
    "as the facts show it": ODD,
    "a byte-order mark": "\ufeff" + ODD,
    "CRLF": ODD.replace("\n", "\r\n"),
    "indent 2": json.dumps(json.loads(ODD), indent=2),
    "indent 4, CRLF": json.dumps(json.loads(ODD), indent=4).replace("\n", "\r\n"),
    "tabs": json.dumps(json.loads(ODD), indent="\t"),
    "one line": json.dumps(json.loads(ODD)),
    "no blanks": json.dumps(json.loads(ODD), separators=(",", ":")),
    "trailing blanks": ODD + " \n\n",
    "lone surrogate": ODD.replace("\\u0066f0", "\\ud800"),
}


@pytest.mark.parametrize("category", ["loras", "checkpoints", "mine", "brand new"])
@pytest.mark.parametrize("style", STYLES)
def test_adding_puts_in_one_piece_and_stamps_it(style: str, category: str, tmp_path: Path):
    old = STYLES[style]
    new = add(make(tmp_path, old), category)
    assert is_one_insertion(unstamped(old), unstamped(new))
    data, before = json.loads(new.removeprefix("\ufeff")), json.loads(old.removeprefix("\ufeff"))
    assert (data["version"], data["date"]) == (13, "2026-11-20 14:05")
    put = next(c for c in data["categories"] if isinstance(c, dict) and c["id"] == category)
    assert put["models"].pop() == NEW
    if category == "brand new":
        data["categories"].pop()
    assert {**data, "version": 12} == before


@pytest.mark.parametrize("indent", [2, 4, "\t"])
def test_a_line_diff_shows_the_new_lines_version_and_date_only(indent: int | str, tmp_path: Path):
    old = json.dumps({**json.loads(ODD), "date": "2020-01-01 00:00"}, indent=indent)
    for category in ("loras", "checkpoints"):
        new = add(make(tmp_path, old), category)
        gone = [line[2:] for line in difflib.ndiff(old.splitlines(), new.splitlines()) if line.startswith("- ")]
        assert [line.split('"')[1] for line in gone] == ["version", "date"]
        assert new == json.dumps(json.loads(new), indent=indent), "the entry is written as the file is"


def blanks(draw: Any, newline: str) -> str:
    return draw(st.sampled_from(["", " ", newline, newline + "  ", "\t", newline + newline + "    "]))


VALUES = st.sampled_from(
    ['"x"', "1", "-0", "1.50", "1E+3", "0.1e-7", "true", "null", "[]", "[ 1 , 2]", '{"a" : {}}', '"\\u00e9\\/\\ud83d"', '"é✓"', '"}],{["', '""', "12345678901234567890.000"]
)  # fmt: skip


@st.composite
def catalogs(draw: Any) -> str:
    """Catalogs as nobody would write them, all of them valid."""
    newline = draw(st.sampled_from(["\n", "\r\n"]))

    def gap() -> str:
        return blanks(draw, newline)

    def joined(left: str, parts: list[str], right: str) -> str:
        return left + gap() + f"{gap()},{gap()}".join(parts) + gap() + right

    def member(key: str, value: str) -> str:
        return f'"{key}"{gap()}:{gap()}{value}'

    def entry() -> str:
        extra = [member(f"k{n}", draw(VALUES)) for n in range(draw(st.integers(0, 3)))]
        return (
            joined("{", [member("civitai_version_id", str(draw(st.integers(1, 6)))), *extra], "}")
            if draw(st.booleans())
            else joined("{", extra, "}")
        )

    def category(name: str) -> str:
        entries = [draw(st.sampled_from([entry(), entry(), "7"])) for _ in range(draw(st.integers(0, 4)))]
        parts = [member("id", f'"{name}"'), member("more", draw(VALUES))]
        if draw(st.integers(0, 4)):
            parts.append(member("models", joined("[", entries, "]")))
        return joined("{", draw(st.permutations(parts)), "}")

    some = [category(name) for name in draw(st.lists(st.sampled_from(["a", "loras", "c"]), unique=True))]
    parts = [member("version", str(draw(st.integers(0, 99)))), member("date", '"old"'), member("odd", draw(VALUES))]
    if draw(st.integers(0, 4)):
        parts.append(member("categories", joined("[", some, "]")))
    return draw(st.sampled_from(["", "\ufeff"])) + gap() + joined("{", draw(st.permutations(parts)), "}") + gap()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=catalogs(), category=st.sampled_from(["a", "loras", "new"]))
def test_whatever_a_catalog_looks_like_adding_is_one_insertion(text: str, category: str, tmp_path: Path):
    store = make(tmp_path, text)
    new = add(store, category)
    # Blanks inside an empty list or object may be replaced; everything that says something stays.
    old_, new_ = (re.sub(r"([\[{])\s+(?=[\]}])", r"\1", unstamped(t)) for t in (text, new))
    assert is_one_insertion(old_, new_)
    assert content(store.load(MODELS).document) == content(read_document(new)), "what is remembered is what was written"
    again = add(store, category, {**NEW, "file": "second"})
    assert content(store.load(MODELS).document) == content(read_document(again))
    first, second = [raw for c, raw in read_document(again).entries() if c == category and raw.get("name")][-2:]
    assert (first["file"], second["file"]) == ("ink.safetensors", "second")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=catalogs(), gone=st.integers(1, 6))
def test_whatever_a_catalog_looks_like_removing_leaves_the_others(text: str, gone: int, tmp_path: Path):
    store = make(tmp_path, text)
    before = list(read_document(text).entries())
    with store.changing() as change:
        taken = change.remove(MODELS, lambda raw: raw.get("civitai_version_id") == gone)
    new = (tmp_path / MODELS).read_bytes().decode()
    stay = [(c, raw) for c, raw in before if raw.get("civitai_version_id") != gone]
    assert list(read_document(new).entries()) == stay
    assert len(taken) == len(before) - len(stay)
    assert all(json.loads(one)["civitai_version_id"] == gone for one in taken)
    if not taken:
        assert new == text
    kept = read_document(new)
    assert content(store.load(MODELS).document) == content(kept)


def test_removing_what_was_added_gives_the_file_back(tmp_path: Path):
    for style, old in STYLES.items():
        store = make(tmp_path, old)
        add(store, "loras")
        with store.changing() as change:
            change.remove(MODELS, lambda raw: raw.get("civitai_version_id") == 7)
        assert unstamped((tmp_path / MODELS).read_bytes().decode()) == unstamped(old), style


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

    monkeypatch.setattr(store_module.os, "link", no_links)
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


# --- what is no catalog


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


# --- the disk says no


def test_a_read_only_folder_is_read_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = make(tmp_path, ODD)
    real = os.open

    def refusing(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, flags, *more, **named)

    monkeypatch.setattr(store_module.os, "open", refusing)
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


def test_what_somebody_wrote_in_between_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A tool that knows no lock writes after we have read: its version is read and added to."""
    store = make(tmp_path, ODD)
    real, times = store_module.append_entry, []

    def late(document: Any, *more: Any) -> Any:
        if not times:
            (tmp_path / MODELS).write_text(ODD.replace('"x-tool"', '"y-tool"'))
        times.append(1)
        return real(document, *more)

    monkeypatch.setattr(store_module, "append_entry", late)
    text = add(store)
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


# --- entries


@pytest.mark.parametrize(
    ("raw", "version_id"),
    [(7, 7), ("7", 7), (" 7", 7), ("7a", None), (None, None), (True, None), (7.0, 7), ("710001.0", 710001), (7.5, None), ("", None), ("٧", None), ("9" * 30, None)],
)  # fmt: skip
def test_a_version_id_may_be_a_numeric_string(raw: Any, version_id: int | None):
    assert entry_from_json({"civitai_version_id": raw}).version_id == version_id


def test_an_entry_takes_what_others_write():
    entry = entry_from_json({"file": 3, "civitai_base_model": "SDXL 1.0", "hash": "0xABC", "sha256": "D" * 64})
    assert (entry.file, entry.base_model, entry.hashes, entry.sha256) == ("", "SDXL 1.0", ("abc", "d" * 64), "d" * 64)
    assert entry_from_json({"base_model": "Pony", "civitai_base_model": "x"}).base_model == "Pony"


@pytest.mark.parametrize("text", ['{"a": 1}', '{ "a": 1.50 }', '{\n  "a": 1\n}', "{}"])
def test_a_member_is_put_at_the_end_of_an_entrys_text(text: str):
    new = with_member(text, "strength", "1.0")
    assert json.loads(new) == {**json.loads(text), "strength": 1.0}
    assert new.startswith(text.rstrip("}").rstrip())
