"""What is here and what is missing: a resource against both catalogs and the files that are really on disk.

The order is version id, full hash, short hash, exact name; a part of a name never counts (site-api §8.2). The four
statuses are those of facts/catalog.md; what they cannot say is said in shades.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import BadInput, InvalidAir
from ..model_files.index import HashIndex
from ..model_files.indexed import Files, ModelPath
from ..model_files.names import below, stem_of
from ..resources.reference import (
    AirReference,
    FileReference,
    HashReference,
    ModelReference,
    Reference,
    VersionReference,
)
from ..resources.version import ModelFile, ModelVersion
from .entries import Entry, bare_hash, entry_from_json, hashes_of, whole
from .shelf import Shelf, no_collecting
from .store import CatalogStore, Loaded

PRESENT, MISSING, NOT_FOUND, UNKNOWN = "present", "missing", "not_found", "unknown"
_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_SHORT = (8, 10, 12)
_ALIASES = {"unet": "diffusion_models", "clip": "text_encoders"}  # ComfyUI's old names (site-api §7.1)

Folders = Mapping[str, Sequence[str | Path]]
_Ref = tuple[str, str, Mapping[str, Any]]  # catalog, category, entry as written


@dataclass(frozen=True)
class Wanted:
    """What is looked for, as much as is known of it. `folder` is a ComfyUI key and narrows names; `trouble` says why
    CivitAI could not be asked, and makes `unknown` of what would be `not_found`."""

    version_id: int | None = None
    model_id: int | None = None
    file_id: int | None = None
    hashes: tuple[str, ...] = ()
    name: str = ""
    folder: str = ""
    trouble: str = ""

    @classmethod
    def from_resource(cls, resource: ModelVersion, file: ModelFile | None = None) -> Wanted:
        """A version that CivitAI knows; without `file` its primary one is meant, and any file of the version will
        do."""
        chosen = file or resource.primary
        hashes = {kind.upper(): value for kind, value in (chosen.hashes if chosen else {}).items()}
        return cls(
            version_id=resource.version_id or None,
            model_id=resource.model_id or None,
            file_id=file.id or None if file else None,
            hashes=tuple(hashes[kind] for kind in ("SHA256", "AUTOV3") if hashes.get(kind)),
            name=chosen.name if chosen else "",
        )

    @classmethod
    def from_reference(cls, reference: Reference) -> Wanted:
        """What a person pasted, before anybody was asked."""
        match reference:
            case AirReference(air):
                try:
                    return cls(version_id=air.version_id, model_id=air.model_id, file_id=air.file_id)
                except InvalidAir:
                    return cls()
            case VersionReference(version_id, file_id):
                return cls(version_id=version_id, file_id=file_id)
            case ModelReference(model_id):
                return cls(model_id=model_id)
            case HashReference(hash_):
                return cls(hashes=(hash_,))
            case FileReference(name):
                return cls(name=name)
        return cls()


@dataclass(frozen=True)
class Note:
    """What a status cannot say; `code` is for programs."""

    code: str
    text: str


@dataclass(frozen=True)
class Place:
    """A file on disk: what ComfyUI's loaders of `folder` call it, and where it is."""

    folder: str
    name: str
    path: str


@dataclass(frozen=True)
class Located:
    """The answer for one resource. `how` is what decided (`version id`, `full hash`, `short hash`, `name`); `entry` and
    `place` are None where there is none."""

    status: str
    how: str = ""
    entry: Entry | None = None
    place: Place | None = None
    shades: tuple[Note, ...] = field(default=())

    @property
    def file(self) -> str:
        """The name for a loader of ComfyUI, `""` where no file is here."""
        return self.place.name if self.place else ""

    def as_json(self) -> dict[str, Any]:
        """The members that facts/catalog.md adds to a resource."""
        entry = self.entry
        found: dict[str, Any] = {"catalog_status": self.status, "catalog_file": entry.file if entry else None}
        if entry is not None:
            found.update(catalog_dest=entry.dest, catalog_name=entry.name)
        if self.shades:
            found["catalog_notes"] = [shade.text for shade in self.shades]
        return found

    def sentence(self) -> str:
        """One line for a report."""
        what = f" ({self.entry.file})" if self.entry else (f" ({self.file})" if self.file else "")
        return " ".join([f"{self.status}{what}.", *(shade.text for shade in self.shades)])


@dataclass(frozen=True)
class _Shelves:
    """The entries of both catalogs, ready for look-ups."""

    of: tuple[Loaded, Loaded]
    by_version: Shelf[int, _Ref] = field(default_factory=Shelf)
    by_hash: Shelf[str, _Ref] = field(default_factory=Shelf)
    by_stem: Shelf[str, _Ref] = field(default_factory=Shelf)
    _read: dict[int, Entry] = field(default_factory=dict)  # by the identity of what was written

    def refs(self) -> Iterator[_Ref]:
        for loaded in self.of:
            for category, raw in loaded.document.entries():
                yield loaded.name, category.id, raw

    def entry(self, ref: _Ref) -> Entry:
        """An entry as a value; the same one is not read twice."""
        found = self._read.get(id(ref[2]))
        if found is None:
            found = self._read[id(ref[2])] = entry_from_json(ref[2], ref[0], ref[1])
        return found

    @cached_property
    def by_model(self) -> Shelf[int, _Ref]:
        found: Shelf[int, _Ref] = Shelf()
        with no_collecting():
            for ref in self.refs():
                if (model := whole(ref[2].get("civitai_model_id"))) is not None:
                    found.put(model, ref)
        return found

    @cached_property
    def by_title(self) -> Shelf[str, _Ref]:
        found: Shelf[str, _Ref] = Shelf()
        with no_collecting():
            for ref in self.refs():
                if isinstance(name := ref[2].get("name"), str) and name:
                    found.put(name.casefold(), ref)
        return found


class Catalogs:
    """Both catalogs, the index of files, and ComfyUI's folders, asked together."""

    def __init__(
        self,
        store: CatalogStore,
        index: HashIndex | None,
        folders: Callable[[], Folders],
        models_root: str | Path | None = None,
    ) -> None:
        """`folders` gives ComfyUI's folder keys with all their paths; `models_root` is for a `dest` that is no key."""
        self.store = store
        self._index = index
        self._folders = folders
        self._root = models_root
        self._shelves: _Shelves | None = None

    def locate(self, wanted: Wanted) -> Located:
        return next(self.locate_all([wanted]))

    def locate_all(self, wanted: Iterable[Wanted]) -> Iterator[Located]:
        """Look up many against one state of catalogs and disk."""
        return map(self._looking().up, wanted)

    def place(self, entry: Entry) -> Place | None:
        """Where an entry's own file is, None where it is not on disk: also where another has its name."""
        return self._looking().own(entry)

    def lying(self, dest: str, file: str) -> Place | None:
        """What lies under a name in any of the paths of a dest, whatever it is."""
        return _own_place(dest, file, self._folders(), self._root)

    def target(self, dest: str, file: str) -> Place:
        """Where a file of this dest belongs, whether it is there or not: in the first of the key's paths, else below
        the models root. Raises BadInput where there is no such place."""
        folders = self._folders()
        head, _, rest = dest.replace("\\", "/").strip("/").partition("/")
        key = head if head in folders else _ALIASES.get(head, head)
        name = "/".join(filter(None, (rest, file)))
        if folders.get(key):
            root, named = _default_root(key, folders[key]), name
        elif self._root is not None:
            key, root, named = "", self._root, "/".join((head, name))
        else:
            raise BadInput(
                f"There is no model folder {dest!r} here. Start ComfyUI once, set CIVITAI_BRIDGE_MODELS to the models "
                "folder, or name a folder with --dir."
            )
        path = below(root, named)
        if path is None:
            raise BadInput(f"{dest}/{file} leads out of the model folders.")
        return Place(key, named, path)

    def rank(self, place: Place) -> int:
        """The number of the path of its key that a place lies in."""
        for number, path in enumerate(self._folders().get(place.folder, ())):
            if below(path, place.name) == place.path:
                return number
        return 0

    def list_(self) -> list[tuple[Entry, Place | None]]:
        """Every entry of both catalogs, with its file where that is on disk."""
        look = self._looking()
        return [(entry, look.own(entry)) for loaded in self.store.load_both() for entry in loaded.entries()]

    def map(self) -> dict[str, Any]:
        """All entries, doubly indexed (facts/catalog.md). A version in both catalogs shows the entry whose file is
        here."""
        look = self._looking()
        shelves = look.shelves
        by_version: dict[str, dict[str, Any]] = {}
        for version_id in shelves.by_version:
            for ref in shelves.by_version.get(version_id):
                entry = shelves.entry(ref)
                here = look.own(entry) is not None
                seen = by_version.get(str(version_id))
                if seen is None or (here and seen["status"] == MISSING):
                    by_version[str(version_id)] = {
                        "file": entry.file,
                        "dest": entry.dest,
                        "name": entry.name,
                        "base_model": entry.base_model,
                        "status": PRESENT if here else MISSING,
                        "catalog": entry.catalog,
                    }
        by_model: dict[str, list[int]] = {}
        for model_id in shelves.by_model:
            versions = [whole(ref[2].get("civitai_version_id")) for ref in shelves.by_model.get(model_id)]
            by_model[str(model_id)] = sorted({version for version in versions if version is not None})
        return {"by_version": by_version, "by_model": by_model}

    def _looking(self) -> _Look:
        with no_collecting():
            return _Look(self._shelve(), self._index.files() if self._index else Files(), self._folders(), self._root)

    def _shelve(self) -> _Shelves:
        both = self.store.load_both()
        shelves = self._shelves
        if shelves is None or any(a.document is not b.document for a, b in zip(shelves.of, both, strict=True)):
            self._shelves = shelves = _put_on_shelves(both)
        return shelves


def _put_on_shelves(both: tuple[Loaded, Loaded]) -> _Shelves:
    shelves = _Shelves(both)
    by_version, by_hash, by_stem = shelves.by_version.put, shelves.by_hash.put, shelves.by_stem.put
    with no_collecting():
        for ref in shelves.refs():
            raw = ref[2]
            if (version := whole(raw.get("civitai_version_id"))) is not None:
                by_version(version, ref)
            for value in hashes_of(raw):
                if not _NOTHING.startswith(value):
                    by_hash(value, ref)
                    if len(value) == 64:
                        by_hash(value[:10], ref)
            if isinstance(file := raw.get("file"), str) and file:
                by_stem(stem_of(file), ref)
    return shelves


class _Look:
    """One question after another against one state of everything."""

    def __init__(self, shelves: _Shelves, files: Files, folders: Folders, root: str | Path | None) -> None:
        self.shelves, self._files, self._folders, self._root = shelves, files, folders, root
        self._roots: dict[str, tuple[str, ...]] = {}

    def up(self, wanted: Wanted) -> Located:
        hashes = tuple(filter(_tells, map(bare_hash, wanted.hashes)))
        shades: list[Note] = []
        how, ref = self._entry(wanted, hashes, shades)
        entry = self.shelves.entry(ref) if ref else None
        place = self._place(wanted, hashes, entry, shades)
        if entry is not None:
            self._compare(wanted, hashes, entry, shades)
            return Located(PRESENT if place else MISSING, how, entry, place, tuple(shades))
        self._near(wanted, place, shades)
        if wanted.trouble:
            shades.append(Note("not_asked", f"CivitAI could not be asked: {wanted.trouble}"))
        known = (wanted.version_id is not None or hashes) and not wanted.trouble
        return Located(NOT_FOUND if known else UNKNOWN, "", None, place, tuple(shades))

    def _entry(self, wanted: Wanted, hashes: Sequence[str], shades: list[Note]) -> tuple[str, _Ref | None]:
        shelves = self.shelves
        if wanted.version_id is not None and (refs := shelves.by_version.get(wanted.version_id)):
            return "version id", self._best(refs, wanted, hashes)
        for value in hashes:
            if len(value) == 64 and (refs := shelves.by_hash.get(value)):
                return "full hash", self._best(refs, wanted, hashes)
        for value in hashes:
            if len(value) in _SHORT and (refs := _short(shelves.by_hash, value)):
                if len({_identity(ref[2]) for ref in refs}) == 1:
                    return "short hash", self._best(refs, wanted, hashes)
                shades.append(Note("ambiguous", f"The short hash {value} fits several entries; none is taken."))
        if wanted.name:
            named = shelves.by_stem.get(stem_of(wanted.name))
            refs = [ref for ref in named if not _contradicts(ref[2], wanted, hashes) and self._in_folder(ref, wanted)]
            if len({_identity(ref[2]) for ref in refs}) == 1:
                return "name", self._best(refs, wanted, hashes)
            if refs:
                shades.append(Note("ambiguous", f"Several entries have the file name {wanted.name}; none is taken."))
        return "", None

    def _in_folder(self, ref: _Ref, wanted: Wanted) -> bool:
        dest = str(ref[2].get("dest") or "").split("/")[0]
        return not wanted.folder or _ALIASES.get(dest, dest) == _ALIASES.get(wanted.folder, wanted.folder)

    def _best(self, refs: Sequence[_Ref], wanted: Wanted, hashes: Sequence[str]) -> _Ref:
        """Of several entries of one version: the very file, then one that is here."""
        if len(refs) == 1:
            return refs[0]

        def rank(ref: _Ref) -> tuple[bool, bool, bool]:
            same_file = wanted.file_id is not None and whole(ref[2].get("civitai_file_id")) == wanted.file_id
            return (
                same_file,
                any(value in hashes for value in hashes_of(ref[2])),
                self.own(self.shelves.entry(ref)) is not None,
            )

        return max(refs, key=rank)

    def own(self, entry: Entry) -> Place | None:
        """Where an entry's file is; None where it is not there, or other bytes are known to have its name."""
        place = _own_place(entry.dest, entry.file, self._folders, self._root)
        return place if place is None or not self._has_other_bytes(entry, place) else None

    def _has_other_bytes(self, entry: Entry, place: Place) -> bool:
        found = self._files.by_name.get((place.folder, place.name)) if entry.sha256 else None
        if found is None or not found.sha256 or found.path != place.path or found.sha256 == entry.sha256:
            return False
        with contextlib.suppress(OSError):  # gone just now: nothing is known of its bytes
            return os.stat(place.path).st_size == found.size  # else it was written anew since it was hashed
        return False

    def _place(self, wanted: Wanted, hashes: Sequence[str], entry: Entry | None, shades: list[Note]) -> Place | None:
        if entry is not None and (own := _own_place(entry.dest, entry.file, self._folders, self._root)):
            if not self._has_other_bytes(entry, own):
                return own
            shades.append(Note("other_bytes", f"{own.name} has other bytes than the catalog says."))
        full = {value for value in (*hashes, *(entry.hashes if entry else ())) if len(value) == 64}
        for value in full:
            if found := self._on_disk(self._files.by_hash.get(value, ()), wanted):
                if entry is not None:
                    shades.append(_renamed(found))
                return found
        for value in hashes:
            found_files = _short(self._files.by_hash, value) if len(value) in _SHORT else ()
            sure = len({one.sha256 for one in found_files}) == 1
            if sure and (found := self._on_disk(found_files, wanted)):
                if entry is not None:
                    shades.append(_renamed(found))
                return found
        if entry is None and wanted.version_id is not None:
            theirs = self._files.by_version.get(wanted.version_id, ())
            if found := self._on_disk(theirs, wanted):
                if full:
                    text = f"Another file of the same version is here: {found.name} in {found.folder}."
                    shades.append(Note("other_file", text))
                return found
        if wanted.name and entry is None and wanted.version_id is None and not full:
            named = [one for one in self._files.by_stem.get(stem_of(wanted.name), ()) if _fits(one, wanted)]
            named = [one for one in named if not is_other(one, hashes)]
            if len({one.path for one in named}) == 1:
                return self._on_disk(named, wanted)
        return None

    def _on_disk(self, files: Sequence[ModelPath], wanted: Wanted) -> Place | None:
        """The first of them that is there still, in the wanted folder if one is named; not below a path that its key
        no longer has."""
        for one in sorted(files, key=lambda one: not _fits(one, wanted)):
            if self._is_in_folder(one) and os.path.isfile(one.path):
                return Place(one.folder, one.name, one.path)
        return None

    def _is_in_folder(self, one: ModelPath) -> bool:
        roots = self._folders.get(one.folder)
        if not roots:
            return True
        if one.folder not in self._roots:
            self._roots[one.folder] = tuple(os.path.join(os.path.abspath(root), "") for root in roots)
        return one.path.startswith(self._roots[one.folder])

    def _compare(self, wanted: Wanted, hashes: Sequence[str], entry: Entry, shades: list[Note]) -> None:
        full = next((value for value in hashes if len(value) == 64), "")
        other_id = wanted.file_id is not None and entry.file_id is not None and wanted.file_id != entry.file_id
        if other_id or (full and entry.sha256 and full != entry.sha256):
            shades.append(Note("other_file", f"The entry is another file of the same version: {entry.file}."))
        if below("x", entry.file) is None:
            shades.append(Note("bad_name", f"The entry's file name {entry.file!r} leads out of its folder."))

    def _near(self, wanted: Wanted, place: Place | None, shades: list[Note]) -> None:
        """What comes close where no entry fits."""
        if place is not None:
            shades.append(Note("on_disk", f"It is on disk as {place.name} in {place.folder}, and in no catalog."))
        if wanted.model_id is not None and (refs := self.shelves.by_model.get(wanted.model_id)):
            others = [str(ref[2].get("file") or ref[2].get("name")) for ref in refs]
            some = ", ".join(others[:3]) + (" …" if len(others) > 3 else "")
            which = "Another version of the same model" if wanted.version_id is not None else "A version of the model"
            shades.append(Note("other_version", f"{which} is catalogued: {some}."))
        if not wanted.name or wanted.version_id is not None:
            return
        if refs := self.shelves.by_title.get(wanted.name.casefold()):
            text = f"An entry is called so ({refs[0][2].get('file')}), which proves nothing."
            shades.append(Note("same_title", text))


def _own_place(dest: str, file: str, folders: Folders, root: str | Path | None) -> Place | None:
    """An entry's file: `dest` is a folder key first, with all its paths; else a folder below the models root."""
    key = dest if dest in folders else _ALIASES.get(dest, dest)
    if key in folders:
        for path in folders[key]:
            if (inside := below(path, file)) is not None and os.path.isfile(inside):
                return Place(key, file.replace("\\", "/"), inside)
        return None
    if below("x", file) is None:
        return None
    relative = "/".join(filter(None, (dest.strip("/"), file))).replace("\\", "/")
    head, _, rest = relative.partition("/")
    for path in folders.get(_ALIASES.get(head, head), ()):
        inside = below(path, rest)
        if inside is not None and os.path.isfile(inside):
            return Place(_ALIASES.get(head, head), rest, inside)
    inside = below(root, relative) if root is not None else None
    return Place("", relative, inside) if inside is not None and os.path.isfile(inside) else None


def _default_root(key: str, roots: Sequence[str | Path]) -> str | Path:
    """The first path of a key; not the old `models/unet` where `models/diffusion_models` is another of them (site-api
    §7.1)."""
    first = Path(roots[0])
    if _ALIASES.get(first.name) == key:
        return next((root for root in roots if Path(root) == first.with_name(key)), first)
    return roots[0]


def _tells(value: str) -> bool:
    """Whether a hash names anything: the hash of nothing does not (site-api §4)."""
    return bool(value) and not _NOTHING.startswith(value)


def _short(by_hash: Any, value: str) -> Sequence[Any]:
    """Exact; else the first ten digits of twelve, which are an AutoV2 where Forge wrote them (site-api §4)."""
    return by_hash.get(value) or (by_hash.get(value[:10]) if len(value) == 12 else None) or ()


def _identity(raw: Mapping[str, Any]) -> object:
    """What makes two entries one model file: the version, else the bytes, else the name."""
    return whole(raw.get("civitai_version_id")) or next(iter(hashes_of(raw)), None) or raw.get("file")


def _contradicts(raw: Mapping[str, Any], wanted: Wanted, hashes: Sequence[str]) -> bool:
    """Whether an entry of the right name is known to be something else."""
    version = whole(raw.get("civitai_version_id"))
    if wanted.version_id is not None and version is not None and version != wanted.version_id:
        return True
    theirs = [value for value in hashes_of(raw) if len(value) == 64]
    return any(not full.startswith(value[:10]) for full in theirs for value in hashes if len(value) in (10, 64))


def is_other(one: ModelPath, hashes: Sequence[str]) -> bool:
    """Whether a file's bytes are known, and none of the wanted hashes is theirs."""
    known = {one.sha256, one.sha256[:10], one.autov1, one.autov3, one.blake3, one.crc32}
    return bool(one.sha256 and hashes) and not any(
        value in known or (len(value) == 12 and value[:10] == one.sha256[:10]) for value in hashes
    )


def _renamed(place: Place) -> Note:
    return Note("same_bytes", f"The same bytes are here under another name: {place.name} in {place.folder}.")


def _fits(one: ModelPath, wanted: Wanted) -> bool:
    return not wanted.folder or _ALIASES.get(one.folder, one.folder) == _ALIASES.get(wanted.folder, wanted.folder)
