"""Model files that a room had removed: moved into a folder beside them, from where a person brings them back.

    checkpoints/sub/x.safetensors -> checkpoints/.civitai-bridge-trash/12-x.safetensors.removed

The folder is on the model's own drive, so that a move is a rename; the ending keeps ComfyUI and every scan from listing
what is in it. Where each file was is written down before it is moved."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput, FileTrouble
from ..model_files.atomic import put_in_place, reason
from ..model_files.names import MODEL_ENDINGS
from .book import LinkBook

FOLDER = ".civitai-bridge-trash"
ENDING = ".removed"
_LONGEST_NAME = 255  # bytes, where file systems stop
# What programs keep beside a model file and is of no use without it.
BESIDE = (".civitai.info", ".preview.png", ".preview.jpg", ".preview.jpeg", ".preview.webp", ".metadata.json")


@dataclass(frozen=True)
class Trashed:
    """A removed model file. `at` is in seconds since the epoch; `name` is what ComfyUI called it in `folder`; `moves`
    are pairs of where a file was and where it is, the model file first."""

    number: int
    at: float
    folder: str
    name: str
    sha256: str
    size: int
    job: str
    moves: tuple[tuple[str, str], ...]

    @property
    def is_there(self) -> bool:
        """Whether the model file is still in the trash."""
        return os.path.lexists(self.moves[0][1])


def trash(book: LinkBook, root: Path, path: Path, *, folder: str, name: str, sha256: str, job: str = "") -> Trashed:
    """Move a model file of a model folder `root`, and what belongs to it, into the trash. `job` is the id of the
    command that wants it. Raises FileTrouble, StateTrouble; then it is where it was."""
    try:
        size = path.stat().st_size
        number = _reserve(book, (folder, name, sha256, size, job))
        moves = _planned(number, root, path)
        _note(book, number, moves)
        Path(moves[0][1]).parent.mkdir(exist_ok=True)
        _move(moves[0])
    except OSError as error:
        raise FileTrouble(f"{path} cannot be moved to the trash: {reason(error)}.") from error
    for move in moves[1:]:
        with contextlib.suppress(OSError):  # the model file is what counts; what stays beside it harms nobody
            _move(move)
    return Trashed(number, book.clock(), folder, name, sha256, size, job, tuple(moves))


def restore(book: LinkBook, number: int) -> Trashed:
    """Bring a model file back to where it was, over nothing. Raises BadInput, FileTrouble."""
    trashed = next((each for each in list_trash(book) if each.number == number), None)
    if trashed is None:
        raise BadInput(f"The trash of CivitAI Link holds nothing with the number {number}.")
    for place, (source, target) in enumerate(trashed.moves):
        try:
            if os.path.lexists(target):
                Path(source).parent.mkdir(parents=True, exist_ok=True)
                put_in_place(Path(target), Path(source))
        except FileExistsError as error:
            if place == 0:
                raise FileTrouble(f"{source} is there again; move it away, then restore the removed one.") from error
        except OSError as error:
            if place == 0:
                raise FileTrouble(f"{source} cannot be brought back: {reason(error)}.") from error
    _forget(book, [number])
    return trashed


def list_trash(book: LinkBook) -> list[Trashed]:
    """What the trash holds, the oldest first; what was taken out of its folder by hand is left out."""
    with book.database.reading() as connection:
        rows = connection.execute(
            "SELECT number, at, folder, name, sha256, size, job, moves FROM trash WHERE moves != '' ORDER BY number"
        ).fetchall()
    trashed = [Trashed(**{**row, "moves": tuple(map(tuple, json.loads(row["moves"])))}) for row in map(dict, rows)]
    return [each for each in trashed if each.is_there]


def empty(book: LinkBook, numbers: Sequence[int] | None = None) -> int:
    """Delete for good what the trash holds, or what has these numbers; how many bytes that gives back. Raises
    FileTrouble."""
    freed = 0
    for trashed in list_trash(book):
        if numbers is not None and trashed.number not in numbers:
            continue
        for _, target in trashed.moves:
            try:
                os.unlink(target)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise FileTrouble(f"{target} cannot be deleted: {reason(error)}.") from error
        freed += trashed.size
        _forget(book, [trashed.number])
        with contextlib.suppress(OSError):  # others are in it
            os.rmdir(Path(trashed.moves[0][1]).parent)
    return freed


def _reserve(book: LinkBook, columns: tuple[str, str, str, int, str]) -> int:
    with book.database.transaction() as connection:
        row = connection.execute(
            "INSERT INTO trash (at, folder, name, sha256, size, job, moves) VALUES (?, ?, ?, ?, ?, ?, '')",
            (book.clock(), *columns),
        )
        return int(row.lastrowid or 0)


def _note(book: LinkBook, number: int, moves: Sequence[tuple[str, str]]) -> None:
    with book.database.transaction() as connection:
        connection.execute("UPDATE trash SET moves = ? WHERE number = ?", (json.dumps(moves), number))


def _forget(book: LinkBook, numbers: Sequence[int]) -> None:
    with book.database.transaction() as connection:
        connection.executemany("DELETE FROM trash WHERE number = ?", [(number,) for number in numbers])


def _planned(number: int, root: Path, path: Path) -> list[tuple[str, str]]:
    """Where the file and its companions go: below the model folder, or below the file's own where that is another
    drive. A companion that another model file of the same stem shares stays."""
    is_same_drive = os.lstat(path).st_dev == os.stat(root).st_dev
    bin_ = (root if is_same_drive else path.parent) / FOLDER
    moves = [(str(path), str(bin_ / _name(number, path)))]
    if not _shares_stem(path):
        for companion in (path.with_name(path.stem + ending) for ending in BESIDE):
            if companion.is_file():
                moves.append((str(companion), str(bin_ / _name(number, companion))))
    return moves


def _name(number: int, path: Path) -> str:
    """A name in the trash; of a long one the end, where companions differ."""
    head = f"{number}-"
    rest = os.fsencode(path.name)[-(_LONGEST_NAME - len(head) - len(ENDING)) :]
    return f"{head}{rest.decode('utf-8', 'ignore')}{ENDING}"


def _shares_stem(path: Path) -> bool:
    others = (path.with_suffix(ending) for ending in MODEL_ENDINGS if ending != path.suffix.lower())
    return any(other.is_file() for other in others)


def _move(move: tuple[str, str]) -> None:
    """A rename over nothing: the number is the book's own, but the folder is a person's."""
    source, target = move
    if os.path.lexists(target):
        raise FileExistsError(17, "a file of this name is in the trash already", target)
    os.rename(source, target)
