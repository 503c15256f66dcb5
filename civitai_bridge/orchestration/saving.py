"""Pictures that were bought, copied to a person's folder under new names."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StateTrouble
from ..model_files.atomic import place_new, reason

if TYPE_CHECKING:
    from .outcome import BoughtPicture

_LONGEST_NAME = 60


def check_folder(folder: Path) -> None:
    """Make the folder and see that files can be put there, before anything is paid. Raises StateTrouble."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StateTrouble(
            f"Pictures cannot be written to {folder}: {reason(error)}. Nothing was bought; choose another --output."
        ) from error


def save_pictures(
    workflow_id: str, pictures: Iterable[BoughtPicture], folder: Path, *, once: bool = False
) -> list[Path]:
    """The files, WORKFLOW_INDEX_SEED.FORMAT each; nothing there is ever overwritten. With `once` a picture that was
    written there before is not written again. Raises StateTrouble."""
    workflow = "".join(c for c in workflow_id if c.isalnum() or c in "-_")[:_LONGEST_NAME] or "workflow"
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for picture in pictures:
            seed = "" if picture.seed is None else f"_{picture.seed}"
            stem = f"{workflow}_{picture.index}{seed}"
            names = (f"{stem}{f'_{n}' if n else ''}.{picture.format}" for n in range(100_000))
            content = picture.path.read_bytes()
            before = folder / f"{stem}.{picture.format}"
            files.append(before if once and _holds(before, content) else place_new(folder, names, content))
    except OSError as error:
        raise StateTrouble(
            f"The pictures could not be written to {folder}: {reason(error)}. They are kept: "
            "`civitai-bridge journal list`."
        ) from error
    return files


def _holds(file: Path, content: bytes) -> bool:
    try:
        return file.stat().st_size == len(content) and file.read_bytes() == content
    except OSError:
        return False
