"""The sandbox's bank: wallets, debits, credits. Its ledger is the truth that tests compare journals with."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ORDER = ("blue", "green", "yellow")  # the account's own order


@dataclass(frozen=True)
class Entry:
    """One movement of the ledger; `kind` is debit or credit, `amount` whole Buzz."""

    when: float
    user: str
    kind: str
    amount: int
    wallet: str
    workflow: str
    key: str


@dataclass
class Bank:
    """Wallets by user, opened with `opening`, and every movement."""

    opening: dict[str, int] = field(default_factory=lambda: {"blue": 200, "green": 0, "yellow": 100_000})
    balances: dict[str, dict[str, int]] = field(default_factory=dict)
    ledger: list[Entry] = field(default_factory=list)

    def of(self, user: str) -> dict[str, int]:
        return self.balances.setdefault(user, dict(self.opening))

    def split(self, user: str, amount: int, wallets: Sequence[str]) -> dict[str, int] | None:
        """Which wallets would pay, in order; None when they do not hold enough."""
        left, paid = amount, {}
        for wallet in wallets or ORDER:
            part = min(left, self.of(user).get(wallet, 0))
            if part > 0:
                paid[wallet] = part
                left -= part
        return paid if left <= 0 else None

    def charge(self, user: str, paid: Mapping[str, int], workflow: str, key: str) -> None:
        for wallet, amount in paid.items():
            self.of(user)[wallet] -= amount
            self.ledger.append(Entry(time.time(), user, "debit", amount, wallet, workflow, key))

    def refund(self, user: str, paid: Mapping[str, int], workflow: str, key: str) -> None:
        for wallet, amount in paid.items():
            self.of(user)[wallet] = self.of(user).get(wallet, 0) + amount
            self.ledger.append(Entry(time.time(), user, "credit", amount, wallet, workflow, key))


def price(step: Mapping[str, Any]) -> tuple[int, dict[str, float]]:
    """Buzz for a resolved imageGen input and its factors, by the published formulas."""
    count = int(step.get("quantity") or step.get("numImages") or 1)
    width, height = float(step.get("width") or 1024), float(step.get("height") or 1024)
    area, steps = width * height / 1024**2, float(step.get("steps") or 20)
    cheap = 1.0 if step.get("cfgScale") == 1 else 2.0
    sources = len(step.get("images") or ()) + 1
    engine, family = step.get("engine"), step.get("ecosystem") or step.get("model") or ""
    usual = 30.0 if engine == "comfy" else 20.0
    if family == "sdxl":
        each = 8 * area * steps / usual
    elif family == "sd1":
        each = 4 * area * 4 * steps / usual
    elif family == "flux1":
        each = 8 * area * steps / 20 if engine == "comfy" else 0.5 * steps * sources * cheap
    elif family in ("klein", "flux2Klein"):
        each = (0.5 if str(step.get("modelVersion", "")).startswith("9b") else 0.3) * steps * sources * cheap
    elif family == "zImage":
        each = 8 * area * steps / 9 if step.get("model") == "turbo" else 20 * area * steps / 20
    elif family == "qwen":
        each = 30 * (width * height / 1328**2) * steps / 20 * (1 + 0.1 * (sources - 1))
    elif family == "anima":
        each = 8 * area * steps / 25
    elif engine == "flux1-kontext":
        each = {"dev": 35.0, "pro": 45.0, "max": 90.0}.get(str(family), 45.0)
    elif family in ("dev", "flex", "pro", "max", "flux2Dev"):
        each = math.ceil(width * height / 1e6) * 20.0 * (2 if step.get("loras") else 1)
    else:
        each = 39.0
    return max(1, math.ceil(each * count)), {"base": each, "quantity": float(count)}


def fees_of(step: Mapping[str, Any], fees: Mapping[str, float]) -> dict[str, float]:
    """What creators take for an input: AIR to Buzz, for every picture, for each of the named models and LoRAs in it."""
    count = int(step.get("quantity") or step.get("numImages") or 1)
    text = json.dumps(step)
    return {air: fee * count for air, fee in fees.items() if json.dumps(air) in text}
