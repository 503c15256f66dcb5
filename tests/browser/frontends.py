"""ComfyUI's real frontend, as it is published on PyPI: unpacked once, in `frontend/VERSION` of the environment that runs this."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "comfyui-frontend-package"
VERSIONS = ("1.35.9", "1.49.6", "1.58.1")  # of core 0.8.0, of core 0.33.0, and the newest that was tried
CACHE = Path(sys.prefix) / "frontend"


def frontend(version: str) -> Path:
    """The folder with the frontend's index.html; downloaded by pip where it is not here yet."""
    folder = CACHE / version
    static = folder / "comfyui_frontend_package" / "static"
    if not (static / "index.html").is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as place:
            command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
            subprocess.run([*command, "-d", place, f"{PACKAGE}=={version}"], check=True)
            wheel = next(Path(place).glob("*.whl"))
            unpacked = Path(place) / "unpacked"
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(unpacked)
            shutil.rmtree(folder, ignore_errors=True)
            unpacked.rename(folder)
    return static
