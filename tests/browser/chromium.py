"""The browser: the distribution's own Chromium, without a window."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

# Without these Chromium asks its maker's hosts at every start.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


def chromium() -> str | None:
    """Its program; Playwright's download of one is not used."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def launched() -> Iterator[Browser]:
    """A browser until the tests are over. Without one they are skipped, and on CI failed."""
    program = chromium()
    if program is None:
        message = "Chromium is not installed here; on Debian: apt-get install chromium."
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()
