"""What an order is recognised by, and what the service's echo of it has lost."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from pack.civitai_bridge.orchestration.body import build
from pack.civitai_bridge.orchestration.echo import earlier_hashes, lost_in_echo, request_hash
from pack.civitai_bridge.orchestration.request import GenerationRequest
from pack.civitai_bridge.resources.version import ModelVersion

MODEL = ModelVersion("urn:air:sdxl:checkpoint:civitai:1@2", 2, 1, "M", "v1", "SDXL 1.0", type="checkpoint")


def png(width: int = 640) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, 400), (9, 9, 9)).save(out, "PNG")
    return out.getvalue()


def want(**more: Any) -> GenerationRequest:
    return GenerationRequest(**{"model": "2", "prompt": "a lighthouse", **more})


def _body(**more: Any) -> dict[str, Any]:
    return dict(build(want(**more), MODEL).body)


def test_the_hash_is_of_the_request_alone():
    one = request_hash("me", "https://a", _body(), 0)
    assert one == request_hash(
        "me", "https://a", {**dict(reversed(_body().items())), "tags": ["y"], "externalId": "k"}, 0
    )
    others = [
        request_hash("you", "https://a", _body(), 0),
        request_hash("me", "https://b", _body(), 0),
        request_hash("me", "https://a", _body(), 1),
        request_hash("me", "https://a", _body(steps=20), 0),
        request_hash("me", "https://a", {**_body(), "currencies": ["blue"]}, 0),
        request_hash("me", "https://a", _body(image=png()), 0),
        request_hash("me", "https://a", _body(image=png(641)), 0),
        request_hash("me", "https://a", _body(output_format="jpeg"), 0),
    ]
    assert len({one, *others}) == 1 + len(others)


@pytest.mark.parametrize(
    ("echo", "lost"),
    [
        ({}, []),
        ({"steps": 30, "scheduler": "normal", "width": 1024}, []),
        ({"prompt": None}, ["prompt was dropped."]),
        ({"seed": 5}, ["seed came back as 5 in place of 0."]),
        ({"model": "URN:AIR:sdxl:checkpoint:civitai:1@2"}, []),
    ],
)
def test_what_the_echo_lost(echo: dict[str, Any], lost: list[str]):
    sent = build(want(), MODEL).input
    assert lost_in_echo(sent, {**sent, **echo}) == lost


def test_an_echo_may_replace_pictures_and_rename_kleins_selectors():
    sent = {
        "engine": "flux2",
        "model": "klein",
        "modelVersion": "9b",
        "prompt": "x",
        "images": ["data:image/png;base64,AA"],
    }
    assert (
        lost_in_echo(sent, {"engine": "flux2", "modelVariant": "9b", "prompt": "x", "images": ["https://blob"]}) == []
    )
    assert lost_in_echo(sent, {"engine": "flux2", "modelVariant": "9b", "prompt": "x"}) == ["images was dropped."]
    assert lost_in_echo({"loras": {"urn:air:a:lora:civitai:1@2": 0.8}}, {"loras": {}, "prompt": ""}) != []
    assert lost_in_echo(sent, {}) == []


def test_todays_hash_names_no_key_and_earlier_ones_are_known_for_each_key_and_address():
    order = build(want(), MODEL)
    service = "https://orchestration.civitai.com"
    hashes = earlier_hashes(["k1", "k2"], service, order.body, 0)
    assert hashes[1] == request_hash("k1", "https://orchestration-new.civitai.com", order.body, 0)
    assert len(set(hashes)) == 6 and request_hash("", service, order.body, 0) not in hashes
    assert earlier_hashes(["k1"], "http://127.0.0.1:1", order.body, 0) == [
        request_hash("k1", "http://127.0.0.1:1", order.body, 0)
    ]
