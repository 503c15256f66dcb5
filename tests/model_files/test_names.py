"""Names of model files as they are compared."""

from __future__ import annotations

import pytest

from pack.civitai_bridge.model_files.names import stem_of


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Ink.safetensors", "ink"),
        ("style\\Ink.PT", "ink"),
        ("style/ink", "ink"),
        ("v1.5", "v1.5"),
        ("civitai_12_ink.safetensors", "ink"),
        ("civitai_12_", "civitai_12_"),
        ("civitai_x_ink", "civitai_x_ink"),
        ("STRASSE.bin", "strasse"),
    ],
)
def test_names_are_compared_by_stem(name: str, stem: str):
    assert stem_of(name) == stem
