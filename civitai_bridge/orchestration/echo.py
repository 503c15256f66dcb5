"""What an order is recognised by (its hash), and what the service's echo of it has lost."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ..resources.addresses import ORCHESTRATION, ORCHESTRATION_ADDRESSES

_PICTURES = ("image", "images", "mask", "maskImage")  # come back as addresses of the service's own


def request_hash(account: str, base_url: str, body: Mapping[str, Any], seed: int) -> str:
    """SHA-256 (64 hex) over what is asked where: images by their content, without tags, key, limits and waiting time.

    `account` is empty: who asked is in the journal beside it. Earlier versions had the key's fingerprint in it, and
    the address as it was typed (`earlier_hashes`)."""
    asked = {name: value for name, value in body.items() if name not in ("tags", "externalId", "metadata")}
    text = json.dumps(
        [account, base_url, by_content(asked), seed], sort_keys=True, ensure_ascii=True, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).hexdigest()


def earlier_hashes(accounts: Iterable[str], base_url: str, body: Mapping[str, Any], seed: int) -> list[str]:
    """What earlier versions called this request, for each key that ever bought and each address of the service."""
    bases = ORCHESTRATION_ADDRESSES if base_url == ORCHESTRATION else (base_url,)
    asked = by_content(body)
    return [request_hash(account, base, asked, seed) for account in accounts for base in bases]


def by_content(value: Any) -> Any:
    """JSON with every inline picture (`data:…`) replaced by its SHA-256, and whole floats written as whole numbers."""
    if isinstance(value, str) and value.startswith("data:"):
        return "sha256:" + hashlib.sha256(value.encode()).hexdigest()
    if isinstance(value, Mapping):
        return {name: by_content(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [by_content(inner) for inner in value]
    if isinstance(value, float) and value == int(value):
        return int(value)
    return value


def lost_in_echo(sent: Mapping[str, Any], echoed: Mapping[str, Any]) -> list[str]:
    """What the price's echo lost or changed against what was meant, a sentence each.

    The live server drops fields it does not know and charges all the same (measured; the contract promises a 400).
    Defaults that were filled in, the spelling of AIRs, pictures replaced by addresses, and `modelVariant` in place of
    Klein's selectors are no loss."""
    if not echoed:
        return []
    lost = []
    for name, value in sent.items():
        echo = echoed.get(name)
        if name in _PICTURES or value is None:
            if value and not echo:
                lost.append(f"{name} was dropped.")
        elif echo is None:
            if not (name in ("model", "modelVersion") and echoed.get("modelVariant")) and value not in ([], {}):
                lost.append(f"{name} was dropped.")
        elif not _same(value, echo):
            lost.append(f"{name} came back as {_short(echo)} in place of {_short(value)}.")
    return lost


def _same(sent: Any, echo: Any) -> bool:
    if isinstance(sent, bool) or isinstance(echo, bool):
        return sent is echo
    if isinstance(sent, (int, float)) and isinstance(echo, (int, float)):
        return sent == echo or (isinstance(sent, float) and math.isclose(sent, echo, rel_tol=1e-6))
    if isinstance(sent, str) and isinstance(echo, str):
        return sent.strip() == echo.strip() or (sent.lower().startswith("urn:air:") and sent.lower() == echo.lower())
    if isinstance(sent, Mapping) and isinstance(echo, Mapping):
        theirs = {str(name).lower(): value for name, value in echo.items()}
        return all(
            str(name).lower() in theirs and _same(value, theirs[str(name).lower()]) for name, value in sent.items()
        )
    if isinstance(sent, (list, tuple)) and isinstance(echo, (list, tuple)):
        return len(sent) == len(echo) and all(_same(ours, theirs) for ours, theirs in zip(sent, echo, strict=True))
    return sent == echo


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"
