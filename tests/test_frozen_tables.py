"""Tables written before the house was rebuilt. Saved graphs, scripts and kept pictures hold on to what is in them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pack.civitai_bridge import errors
from pack.civitai_bridge.orchestration.body import OrderRules, build
from pack.civitai_bridge.orchestration.echo import request_hash
from pack.civitai_bridge.orchestration.request import GenerationRequest, ResolvedLora
from pack.civitai_bridge.orchestration.variants import variants
from pack.civitai_bridge.resources.version import ModelVersion

TABLES = Path(__file__).parent / "tables"
REQUESTS = json.loads((TABLES / "request_hash.json").read_text(encoding="utf-8"))["rows"]
CODES = json.loads((TABLES / "error_codes.json").read_text(encoding="utf-8"))


def version(row: Mapping[str, Any] | None) -> Any:
    return row and ModelVersion(version_id=202, model_id=101, name="M", version_name="v1", **row)


def hash_of(row: Mapping[str, Any]) -> str:
    """The request hash of one row of the table, by the road that an order takes."""
    inputs = {name: base64.b64decode(value) if name == "image" else value for name, value in row["request"].items()}
    request = GenerationRequest(**{"model": "202", **inputs})
    loras = tuple(ResolvedLora(version(lora), strength) for lora, strength in row.get("loras", ()))
    base = row.get("base", "https://orchestration.civitai.com")
    rules = OrderRules(base=base, currencies=tuple(row.get("currencies", ())), mature_content="allowed")
    order = build(request, version(row["model"]), loras, version(row.get("vae")), rules=rules)
    return request_hash(row.get("account", "acct"), base, order.body, request.seed)


@pytest.mark.parametrize("row", REQUESTS, ids=lambda row: row["hash"][:8])
def test_a_request_keeps_its_hash(row: Mapping[str, Any]):
    assert hash_of(row) == row["hash"]


def test_the_table_of_hashes_has_every_engine():
    assert {row["request"]["engine"] for row in REQUESTS if "engine" in row["request"]} == set(variants())


def classes() -> dict[str, dict[str, Any]]:
    every = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.CivitaiError)]
    return {kind.code: {"exit_code": kind.exit_code} for kind in every}


def test_every_error_keeps_its_code_and_exit_code():
    """By code, not by class: a class may be renamed, and a new one may come."""
    now = classes()
    for row in CODES.values():
        assert now[row["code"]]["exit_code"] == row["exit_code"]
