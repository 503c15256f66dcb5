"""An edit of a catalog changes what was meant and not one byte besides."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from catalog_texts import NEW, ODD, add, make
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pack.civitai_bridge.catalog.edit import Document, read_document, with_member
from pack.civitai_bridge.catalog.entries import MODELS


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


@pytest.mark.parametrize("text", ['{"a": 1}', '{ "a": 1.50 }', '{\n  "a": 1\n}', "{}"])
def test_a_member_is_put_at_the_end_of_an_entrys_text(text: str):
    new = with_member(text, "strength", "1.0")
    assert json.loads(new) == {**json.loads(text), "strength": 1.0}
    assert new.startswith(text.rstrip("}").rstrip())
