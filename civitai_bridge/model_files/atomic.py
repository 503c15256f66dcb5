"""A new file under the first free name, put there whole: nothing is overwritten, nothing is ever half there."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path


def take_name(part: Path, target: Path) -> None:
    """Give a finished file a name that nothing has, reserved by exclusive create, so that two programs never take the
    same one. Raises FileExistsError, OSError."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    try:
        os.replace(part, target)  # only over the empty file that was just made
    except OSError:
        target.unlink(missing_ok=True)
        raise


def place_new(folder: Path, names: Iterable[str], write: Callable[[Path], object]) -> Path:
    """Let `write` make a file beside, then give it the first of `names` that is free in `folder`.

    A full disk or a kill leaves no half file under it. Raises OSError; FileExistsError when no name is free."""
    part = folder / f".{uuid.uuid4().hex}.part"
    try:
        write(part)
        for name in names:
            try:
                take_name(part, folder / name)
            except FileExistsError:
                continue
            return folder / name
        raise FileExistsError(f"No name is free in {folder}.")
    finally:
        part.unlink(missing_ok=True)
