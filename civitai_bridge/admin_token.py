"""The token of the admin routes: fixed by CIVITAI_BRIDGE_ADMIN_TOKEN, else made once and kept in credentials.json."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import BadSetting
from .settings import load_credential, save_credential

_NAME = "admin_token"


def admin_token(home: Path, environ: Mapping[str, str] | None = None) -> str:
    """The token of this state folder (mode 0600); made when first asked for, the same for every process."""
    environ = os.environ if environ is None else environ
    if fixed := environ.get("CIVITAI_BRIDGE_ADMIN_TOKEN", "").strip():
        return fixed
    if known := load_credential(home, _NAME):
        return known
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(home / ".credentials.lock", timeout=10):
            if known := load_credential(home, _NAME):  # another process was first
                return known
            made = secrets.token_urlsafe(32)
            save_credential(home, _NAME, made)
            return made
    except (Timeout, OSError) as error:
        raise BadSetting(f"The admin token cannot be kept in {home}: the folder cannot be written.") from error


def is_admin(token: str, given: str) -> bool:
    """Whether a token is the right one, in a time that tells nothing."""
    return bool(token) and secrets.compare_digest(token.encode(), given.encode("utf-8", "replace"))
