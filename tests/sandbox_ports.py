"""A sandbox on ports in a row, as `civitai-bridge sandbox --port N` has them: the shell looks for the storage beside the
site."""

from __future__ import annotations

import contextlib
import random

from pack.civitai_bridge.errors import BadSetting
from pack.civitai_bridge.sandbox.embedded import Embedded


def sandbox_with_ports_in_a_row() -> Embedded:
    """Started; `stop()` ends it."""
    for _ in range(20):
        with contextlib.suppress(BadSetting):  # a port is taken: others are tried
            return Embedded(port=random.randrange(20_000, 32_000), pace=0.1)
    raise AssertionError("no four free ports in a row")
