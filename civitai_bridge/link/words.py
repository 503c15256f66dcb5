"""Errors as a room may read them: sentences without this machine's folders, without keys, without addresses that may be
signed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import BadSetting, CatalogTrouble, CivitaiError, FileTrouble, StateTrouble
from ..resources.plain_text import one_line

LONGEST = 500  # characters
UNEXPECTED = "Something went wrong at this ComfyUI; its console says what."
# What is about this machine's own files: the person reads it in the log, the room has nothing to do with it.
_OWN_AFFAIRS: tuple[tuple[type[CivitaiError], str], ...] = (
    (BadSetting, "This ComfyUI's settings cannot be used at the moment; its log says why."),
    (StateTrouble, "This ComfyUI cannot write down what it does at the moment; its log says why."),
    (CatalogTrouble, "This ComfyUI's catalog cannot be used at the moment; its log says why."),
    (FileTrouble, "A model file on this ComfyUI cannot be read or written; its log says why."),
)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>)]+")
# `/srv/some where/x.txt`, `C:\Users\me`, `\\server\share`: what begins like a path, up to a quote or the part's end.
_PATH = re.compile(r"(?<![\w.…/\\])(?:~|[A-Za-z]:)?[\\/]{1,2}[^\s\\/'\"`:;,()]+(?:[\\/][^\\/'\"`:;,()\n]*)*")
_MANY_DIGITS = re.compile(r"[0-9a-fA-F]{65,}")


def room_sentence(error: CivitaiError, *, secrets: Iterable[str] = (), folders: Iterable[str | Path] = ()) -> str:
    """Why a command ended in an error. `secrets` are cut out, and paths of `folders` and below, and whatever looks like
    a path or an address."""
    for kind, sentence in _OWN_AFFAIRS:
        if isinstance(error, kind):
            return sentence
    return without_own_affairs(str(error), secrets=secrets, folders=folders)


def without_own_affairs(text: str, *, secrets: Iterable[str] = (), folders: Iterable[str | Path] = ()) -> str:
    """A text without secrets, addresses and this machine's paths, on one line and not too long."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "…")
    text = _ADDRESS.sub("…", text)
    for folder in sorted({str(folder) for folder in folders}, key=len, reverse=True):
        if len(folder) > 1:
            text = text.replace(folder, "the folder")
    text = _MANY_DIGITS.sub("…", _PATH.sub("…", text))
    text = one_line(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
