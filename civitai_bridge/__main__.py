"""`python -m civitai_bridge …`, and `python PATH/TO/PACK/civitai_bridge …` from anywhere."""

from __future__ import annotations

import sys

if not __package__:
    # Run as a folder: the folder itself is first on sys.path, where its modules would hide others. Its parent belongs
    # there.
    from pathlib import Path

    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p or ".").resolve() != here)]

from civitai_bridge.cli import main

if __name__ == "__main__":
    sys.exit(main())
