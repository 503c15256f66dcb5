"""A new file under the first free name, put there whole: nothing is overwritten, nothing is ever half there."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path


def place_new(folder: Path, names: Iterable[str], write: Callable[[Path], object]) -> Path:
    """Let `write` make a file beside, then give it the first of `names` that is free in `folder`.

    The name is reserved by exclusive create, so that two programs never take the same one; a full disk or a kill leaves
    no half file under it. Raises OSError; FileExistsError when no name is free."""
    part = folder / f".{uuid.uuid4().hex}.part"
    try:
        write(part)
        for name in names:
            target = folder / name
            try:
                os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
            except FileExistsError:
                continue
            try:
                os.replace(part, target)  # only over the empty file that was just made
            except OSError:
                target.unlink(missing_ok=True)
                raise
            return target
        raise FileExistsError(f"No name is free in {folder}.")
    finally:
        part.unlink(missing_ok=True)
