"""What a room removed lies beside its folder, and comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pack.civitai_bridge.errors import BadInput, FileTrouble
from pack.civitai_bridge.link.book import LinkBook
from pack.civitai_bridge.link.trash import FOLDER, empty, list_trash, restore, trash
from pack.civitai_bridge.model_files.folders import folders_below
from pack.civitai_bridge.model_files.listing import list_models


@pytest.fixture
def book(tmp_path: Path):
    book = LinkBook(tmp_path / "state" / "link.sqlite3", clock=lambda: 5.0)
    yield book
    book.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "loras"
    (folder / "sub").mkdir(parents=True)
    for name in ("ink.safetensors", "ink.preview.png", "ink.civitai.info", "ink.txt", "other.safetensors"):
        (folder / "sub" / name).write_text(name)
    return folder


def remove(book: LinkBook, root: Path, name: str = "sub/ink.safetensors"):
    return trash(book, root, root / name, folder="loras", name=name, sha256="ab" * 32, job="a")


def test_a_removed_file_takes_its_companions_along_and_no_loader_lists_it(book: LinkBook, root: Path):
    removed = remove(book, root)
    assert sorted(path.name for path in (root / "sub").iterdir()) == ["ink.txt", "other.safetensors"]
    assert sorted(path.name for path in (root / FOLDER).iterdir()) == [
        f"{removed.number}-ink.civitai.info.removed",
        f"{removed.number}-ink.preview.png.removed",
        f"{removed.number}-ink.safetensors.removed",
    ]
    listed = list_models(folders_below(root.parent))
    assert [path.rsplit("/", 1)[-1] for path in listed.files] == ["other.safetensors"]
    assert [(each.name, each.size, each.at, each.job) for each in list_trash(book)] == [
        ("sub/ink.safetensors", 15, 5.0, "a")
    ]


def test_it_comes_back_with_them_but_over_nothing(book: LinkBook, root: Path):
    removed = remove(book, root)
    (root / "sub" / "ink.safetensors").write_text("a new one")
    with pytest.raises(FileTrouble, match="there again"):
        restore(book, removed.number)
    (root / "sub" / "ink.safetensors").unlink()
    restore(book, removed.number)
    assert (root / "sub" / "ink.safetensors").read_text() == "ink.safetensors"
    assert (root / "sub" / "ink.preview.png").exists() and list_trash(book) == []
    with pytest.raises(BadInput):
        restore(book, removed.number)


def test_what_another_file_of_the_same_stem_shares_stays(book: LinkBook, root: Path):
    (root / "sub" / "ink.ckpt").write_text("x")
    remove(book, root)
    assert (root / "sub" / "ink.preview.png").exists()


def test_a_kill_before_the_move_leaves_the_file_and_an_empty_trash(book: LinkBook, root: Path):
    target = str(root / FOLDER / "9-ink.safetensors.removed")
    with book.database.transaction() as connection:
        connection.execute(
            "INSERT INTO trash (at, folder, name, sha256, size, job, moves) VALUES (1, 'loras', 'x', '', 1, 'a', ?)",
            (json.dumps([[str(root / "sub" / "ink.safetensors"), target]]),),
        )
    assert list_trash(book) == [] and (root / "sub" / "ink.safetensors").exists()


def test_emptying_deletes_what_is_in_it_and_the_folder(book: LinkBook, root: Path):
    remove(book, root)
    second = remove(book, root, "sub/other.safetensors")
    assert empty(book, [second.number]) == len("other.safetensors")
    assert [each.name for each in list_trash(book)] == ["sub/ink.safetensors"]
    assert empty(book) == 15 and not (root / FOLDER).exists() and empty(book) == 0


def test_what_cannot_be_moved_stays_where_it_is(book: LinkBook, root: Path):
    (root / FOLDER).write_text("a file in the folder's place")
    with pytest.raises(FileTrouble):
        remove(book, root)
    assert (root / "sub" / "ink.safetensors").exists() and list_trash(book) == []
