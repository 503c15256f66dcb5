"""Model folders of two kinds on a temporary disk, and an index of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pack.civitai_bridge.model_files.hashing import Hashing
from pack.civitai_bridge.model_files.index import HashIndex
from pack.civitai_bridge.model_files.progress import ScanControl
from pack.civitai_bridge.model_files.scan import ScanReport, scan


class ModelFolders:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.index = HashIndex(root / "state" / "hashes.sqlite3")
        self.folders: dict[str, list[Path]] = {"loras": [root / "loras", root / "more"], "checkpoints": [root / "big"]}
        for paths in self.folders.values():
            for path in paths:
                path.mkdir()

    def put(self, name: str, content: bytes | str, folder: str = "loras") -> Path:
        path = self.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def scan(self, **more: Any) -> ScanReport:
        """`more` are arguments of ScanControl or of scan."""
        control = {name: more.pop(name) for name in ("workers", "pause", "cancelled", "progress") if name in more}
        return scan(self.index, self.folders, ScanControl(**control), **more)

    def names(self) -> dict[tuple[str, str], str]:
        return {(file.folder, file.name): file.sha256 for file in self.index.files().all}

    def hash_nothing_more(self) -> None:
        """From now on a file that is hashed fails the test."""
        self.index.hashing = Hashing(digest=lambda *_, **__: pytest.fail("hashed again"))


def sha(content: str | bytes) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()


def header(facts: dict[str, Any]) -> bytes:
    text = json.dumps({"__metadata__": facts}).encode()
    return len(text).to_bytes(8, "little") + text
