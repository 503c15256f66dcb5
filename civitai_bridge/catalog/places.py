"""Where the file of an entry is, and where a new one belongs: a `dest` and a name against ComfyUI's model folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput
from ..model_files.folders import Folders
from ..model_files.names import below

_OLD_NAMES = {"unet": "diffusion_models", "clip": "text_encoders"}  # folder keys of ComfyUI that it still reads


@dataclass(frozen=True)
class Place:
    """A file on disk: what ComfyUI's loaders of `folder` call it, and where it is. `folder` is `""` outside of
    ComfyUI's folders."""

    folder: str
    name: str
    path: str


@dataclass(frozen=True)
class ModelFolders:
    """ComfyUI's folder keys with all their paths, and the models root for a `dest` that is no key."""

    folders: Folders
    root: str | Path | None = None

    def find(self, dest: str, file: str) -> Place | None:
        """What is under a name in any of the paths of a `dest`, whatever it is."""
        key = dest if dest in self.folders else folder_key(dest)
        if key in self.folders:
            return _first(key, file, self.folders[key])
        if below("x", file) is None:
            return None
        relative = "/".join(filter(None, (dest.strip("/"), file))).replace("\\", "/")
        head, _, rest = relative.partition("/")
        place = _first(folder_key(head), rest, self.folders.get(folder_key(head), ()))
        if place is not None or self.root is None:
            return place
        return _first("", relative, (self.root,))

    def target(self, dest: str, file: str) -> Place:
        """Where a file of this `dest` belongs, whether it is there or not: in the first of the key's paths, else below
        the models root. Raises BadInput where there is no such place."""
        head, _, rest = dest.replace("\\", "/").strip("/").partition("/")
        key = head if head in self.folders else folder_key(head)
        name = "/".join(filter(None, (rest, file)))
        if self.folders.get(key):
            root: str | Path = _default_root(key, self.folders[key])
        elif self.root is not None:
            key, root, name = "", self.root, "/".join((head, name))
        else:
            raise BadInput(
                f"There is no model folder {dest!r} here. Start ComfyUI once, set CIVITAI_BRIDGE_MODELS to the models "
                "folder, or name a folder with --dir."
            )
        path = below(root, name)
        if path is None:
            raise BadInput(f"{dest}/{file} leads out of the model folders.")
        return Place(key, name, path)

    def rank(self, place: Place) -> int:
        """The number of the path of its key that a place is in."""
        for number, path in enumerate(self.folders.get(place.folder, ())):
            if below(path, place.name) == place.path:
                return number
        return 0


FoldersNow = Callable[[], ModelFolders]


def folder_key(name: str) -> str:
    """A folder key by its present name.

    assert folder_key("unet") == "diffusion_models"
    """
    return _OLD_NAMES.get(name, name)


def _first(key: str, name: str, roots: Sequence[str | Path]) -> Place | None:
    for root in roots:
        path = below(root, name)
        if path is not None and os.path.isfile(path):
            return Place(key, name.replace("\\", "/"), path)
    return None


def _default_root(key: str, roots: Sequence[str | Path]) -> str | Path:
    """The first path of a key; not the old `models/unet` where `models/diffusion_models` is another of them."""
    first = Path(roots[0])
    if folder_key(first.name) == key != first.name:
        return next((root for root in roots if Path(root) == first.with_name(key)), first)
    return roots[0]
