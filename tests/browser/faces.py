"""Which frontends and canvases a test is run on."""

from __future__ import annotations

import pytest
from frontends import VERSIONS

every_frontend = pytest.mark.parametrize("server", VERSIONS, indirect=True)
both_canvases = pytest.mark.parametrize(
    "comfy", [{"nodes2": False}, {"nodes2": True}], indirect=True, ids=["classic", "nodes2"]
)
