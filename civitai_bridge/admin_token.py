"""The token of the admin routes: fixed by CIVITAI_BRIDGE_ADMIN_TOKEN, else made once and kept in credentials.json."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from .settings import kept_credential

_NAME = "admin_token"


def admin_token(home: Path, environ: Mapping[str, str] | None = None) -> str:
    """The token of this state folder (mode 0600); made when first asked for, the same for every process."""
    environ = os.environ if environ is None else environ
    if fixed := environ.get("CIVITAI_BRIDGE_ADMIN_TOKEN", "").strip():
        return fixed
    return kept_credential(home, _NAME, lambda: secrets.token_urlsafe(32))


def is_admin(token: str, given: str) -> bool:
    """Whether a token is the right one, in a time that tells nothing."""
    return bool(token) and secrets.compare_digest(token.encode(), given.encode("utf-8", "replace"))
