"""The road of "a catalog version, then a generation with it" as its document has it: a version id, a prompt, the name
of an engine, a quantity; AIR, workflow id, price and the pictures' addresses come out."""

from __future__ import annotations

import json

import pytest
from work_room import Shell

from pack.civitai_bridge.sandbox import Sandbox


@pytest.mark.parametrize(
    ("engine", "version", "base_model", "name", "sent"),
    [
        ("sdxl", "128078", "SDXL 1.0", "v1.0 VAE fix", "comfy"),
        ("sd1", "128713", "SD 1.5", "8", "comfy"),
        ("flux2", "2612554", "Flux.2 Klein 9B", "9B", "flux2"),
    ],
)
def test_a_version_becomes_pictures(
    sandbox: Sandbox, shell: Shell, engine: str, version: str, base_model: str, name: str, sent: str
):
    words = ("--model", version, "--prompt", "a cat", "--engine", engine, "--quantity", "2", "--max-buzz", "500")
    done = shell("generate", *words, "--tag", "project:sea", "--tag", "b", "--json")
    data = done.data
    assert done.code == 0 and data["air"].endswith(f"@{version}") and data["workflow_id"]
    assert (data["base_model"], data["version_name"]) == (base_model, name)
    assert data["cost"] == sum(entry.amount for entry in sandbox.ledger if entry.workflow == data["workflow_id"])
    assert len(data["blob_urls"]) == len(data["files"]) == 2
    body = json.loads(next(seen for seen in reversed(sandbox.requests) if seen.route == "submit").body)
    assert body["steps"][0]["input"]["engine"] == sent
    assert body["tags"][:3] == ["civitai-bridge", "project:sea", "b"] and len(body["tags"]) == 4
    assert data["workflow_id"] in shell("workflows", "--tag", "project:sea", "--tag", "b").out
    assert data["workflow_id"] not in shell("workflows", "--tag", "project:sea", "--tag", "another").out


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (("--model", "128713", "--engine", "sdxl"), "wrong_family", "comfy/sd1"),
        (("--model", "128078", "--engine", "nope"), "unknown_variant", "nope"),
        (("--model", "128078", "--tag", "a,b"), "bad_input", "comma"),
        (("--model", "128078", "--tag", ""), "bad_input", "empty"),
    ],
)
def test_what_cannot_be_is_a_sentence_before_any_price(
    sandbox: Sandbox, shell: Shell, more: tuple[str, ...], code: str, words: str
):
    before = sum(seen.route in ("submit", "price") for seen in sandbox.requests)
    done = shell("generate", "--prompt", "a cat", "--max-buzz", "500", *more, "--json")
    assert done.code in (1, 2) and words in done.data["error"]["message"]
    assert before == sum(seen.route in ("submit", "price") for seen in sandbox.requests)
