"""The browser: the distribution's own Chromium, without a window."""

from __future__ import annotations

import shutil

# Without these Chromium asks its maker's hosts at every start.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


def chromium() -> str | None:
    """Its program; Playwright's download of one is not used."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
