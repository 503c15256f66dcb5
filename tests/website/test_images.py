"""What CivitAI knows of an image: envelopes of both wire formats on remembering fakes, and the sandbox over sockets."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakes import Fake, answering, reply
from hypothesis import given
from hypothesis import strategies as st

from pack.civitai_bridge.errors import (
    ApiError,
    BadRequest,
    CivitaiError,
    Forbidden,
    NoKey,
    NotFound,
    RateLimited,
    ServerTrouble,
    Unauthorized,
    Unreachable,
    Unreadable,
)
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.network.exchange import Response
from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox import wire as their_wire
from pack.civitai_bridge.website.images import MOST_AT_ONCE, GenerationPayload, ImageClient, PublicImage
from pack.civitai_bridge.website.wire import devalued

RESOURCE = {"imageId": 9, "modelVersionId": 602, "strength": 0.7, "modelId": 60, "modelName": "Ink", "modelType": "LORA", "versionId": 602, "versionName": "v1", "baseModel": "SDXL 1.0"}  # fmt: skip
PAYLOAD: dict[str, Any] = {
    "type": "image", "onSite": True, "process": "txt2img", "meta": {"prompt": "x", "steps": 30}, "displayKeys": ["seed"], "resources": [RESOURCE],
    "tools": [], "techniques": [{"id": 1, "name": "txt2img", "notes": None}], "external": None, "canRemix": True, "remixOfId": None,
}  # fmt: skip
SUPERJSON = {"result": {"data": {"json": PAYLOAD, "meta": {"values": {"external": ["undefined"]}, "v": 1}}}}


def failing(status: int, message: str, name: str = "X") -> dict[str, Any]:
    return {"error": {"json": {"message": message, "code": -32600, "data": {"code": name, "httpStatus": status}}}}


def client(send: Any) -> ImageClient:
    return ImageClient(send, send)


# --- tRPC ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["superjson", "devalue"])
async def test_a_payload_is_read_in_both_wire_formats(wire: str):
    send = answering(200, SUPERJSON if wire == "superjson" else {"result": {"data": their_wire.devalue(PAYLOAD)}})
    found = await client(send).generation_payload(9)
    assert (found.image_id, found.type, found.on_site, found.process) == (9, "image", True, "txt2img")
    assert found.meta == {"prompt": "x", "steps": 30} and found.resources == (RESOURCE,)
    assert found.raw == PAYLOAD and found.meta_state == "given" and found.remix_of is None
    (request,) = send.requests
    assert request.path == "/api/trpc/image.getGenerationData"
    assert json.loads(dict(request.query)["input"]) == {"json": {"id": 9}}


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "hidden"),  # a weight only comes out of a meta
        ({"resources": []}, "hidden or absent"),
        ({"resources": [{**RESOURCE, "strength": None}]}, "hidden or absent"),
        ({"resources": [], "external": {"source": {"name": "x"}}}, "hidden"),
    ],
)
async def test_hidden_and_absent_are_told_apart_only_where_the_answer_shows_it(change: dict[str, Any], state: str):
    send = answering(200, {"result": {"data": {"json": {**PAYLOAD, "meta": None, **change}}}})
    found = await client(send).generation_payload(9)
    assert found.meta is None and found.meta_state == state


ERRORS = [
    (401, failing(401, "Please use the public API instead: https://developer.civitai.com/"), Unauthorized, "does not accept the API key"),
    (403, failing(403, "Your API key does not have the required scope for this action"), Forbidden, "right to read media"),
    (404, failing(404, "Could not find entity"), NotFound, "does not know image 9"),
    (400, failing(400, '[{"path":["id"],"message":"Invalid input: expected number"}]'), BadRequest, "id: Invalid input"),
    (500, failing(500, "boom"), ServerTrouble, "boom"),
    (503, failing(503, "busy"), ServerTrouble, "busy"),
    (404, {"error": their_wire.devalue(failing(404, "Could not find entity")["error"]["json"])}, NotFound, "does not know image 9"),
    (401, {"error": their_wire.devalue(failing(401, "no")["error"]["json"])}, Unauthorized, "API key"),
    (200, failing(404, "Could not find entity"), NotFound, "image 9"),
    (429, {"error": "slow down"}, RateLimited, "fewer requests"),
    (502, {"error": {"json": None}}, ServerTrouble, "502"),
    (200, {"error": 7}, ServerTrouble, "500"),
    (451, {"error": "not available", "code": "REGION_BLOCKED"}, ApiError, "region"),
    (200, [1], Unreadable, "something else"),
    (200, {"result": {"data": 5}}, Unreadable, "unknown form"),
    (200, {"result": {"data": {"json": None}}}, Unreadable, "no generation data"),
    (200, {"result": {"data": "[[1"}}, Unreadable, "damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind", "words"), ERRORS, ids=[f"{e[0]}-{i}" for i, e in enumerate(ERRORS)])
async def test_every_envelope_of_an_error_is_a_sentence(status: int, body: Any, kind: type[Exception], words: str):
    with pytest.raises(kind, match=words):
        await client(answering(status, body)).generation_payload(9)


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (403, b"<!DOCTYPE html><p>blocked by the edge", Forbidden),
        (520, b"<html>", ServerTrouble),
        (503, b'{"message": "no healthy upstream"}', ServerTrouble),
        (404, b"null", NotFound),
        (429, b"", RateLimited),
        (200, b'{"result":{"data":{"json":{"type":"im', Unreadable),
        (200, b"<html>just a moment", Unreadable),
        (200, b"", Unreadable),
    ],
)
async def test_pages_and_half_answers_are_no_data(status: int, content: bytes, kind: type[Exception]):
    with pytest.raises(kind):
        await client(Fake(Response(status, {}, content))).generation_payload(9)


async def test_a_batch_gives_each_image_its_answer_or_its_own_error():
    send = answering(
        207, [SUPERJSON, failing(404, "Could not find entity"), {"result": {"data": their_wire.devalue(PAYLOAD)}}]
    )
    found = await client(send).generation_payloads([9, 10, 9, 11])
    assert isinstance(found[9], GenerationPayload) and isinstance(found[11], GenerationPayload)
    assert isinstance(found[10], NotFound) and "image 10" in str(found[10])
    (request,) = send.requests
    assert request.path == "/api/trpc/" + ",".join(["image.getGenerationData"] * 3)
    assert dict(request.query)["batch"] == "1"
    assert json.loads(dict(request.query)["input"])["1"] == {"json": {"id": 10}}


async def test_batches_are_bounded_and_a_whole_refusal_is_raised():
    send = Fake(reply(200, [SUPERJSON] * MOST_AT_ONCE), reply(200, [SUPERJSON]))
    assert len(await client(send).generation_payloads(range(1, MOST_AT_ONCE + 2))) == MOST_AT_ONCE + 1
    with pytest.raises(Unreadable, match="another number"):
        await client(answering(200, [SUPERJSON])).generation_payloads([1, 2])
    with pytest.raises(Unauthorized):
        await client(answering(401, failing(401, "no"))).generation_payloads([1, 2])


async def test_without_a_key_nothing_is_asked_of_trpc():
    send = answering(200, SUPERJSON)
    with pytest.raises(NoKey):
        await ImageClient(send).generation_payload(9)
    assert send.requests == []


# --- devalue ---------------------------------------------------------------------------------------------------------

DOCUMENTS: list[tuple[str, Any]] = [
    ('[{"id":1},123]', {"id": 123}),
    ('[[1,1],"a"]', ["a", "a"]),
    ('[{"a":-1,"b":1},null]', {"a": None, "b": None}),
    ("[[-2,1],5]", [None, 5]),
    ("[[-4,-5]]", [math.inf, -math.inf]),
    ("-1", None),
    ('[["Date","2026-01-01T00:00:00.000Z"]]', "2026-01-01T00:00:00.000Z"),
    ('[["Set",1,2],1,2]', [1, 2]),
    ('[["Map",1,2],"k",7]', {"k": 7}),
    ('[["BigInt","123456789012345678901"]]', 123456789012345678901),
    ('[["null","k",1],7]', {"k": 7}),
    ("[[-7,3,1,1],9]", [None, 9, None]),
    ("[[]]", []),
]


@pytest.mark.parametrize(("text", "value"), DOCUMENTS)
def test_devalue_documents(text: str, value: Any):
    assert devalued(text) == value
    assert math.isnan(devalued("-3"))


HOSTILE = {
    "a cycle": "[[0]]",
    "a far cycle": "[[1],[2],[0]]",
    "beyond the end": "[[5]]",
    "an unknown code": "[[-9]]",
    "an unknown kind": '[["Function","x"]]',
    "no document": '"x"',
    "empty": "[]",
    "cut off": "[[1],",
    "a place that is none": '[{"a":"b"}]',
    "true as a place": '[{"a":true}]',
    "deep": json.dumps([[n + 1] for n in range(5000)] + [1]),
    "deep JSON": "[" * 200_000,
    "a doubling": json.dumps([[n + 1, n + 1] for n in range(60)] + [1]),
    "a long sparse list": "[[-7,1000000000]]",
    "half a pair": '[["Map",1],"k"]',
    "a number that is none": '[["BigInt","x"]]',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_documents_that_cannot_be_are_refused(text: str):
    with pytest.raises(Unreadable, match="damaged"):
        devalued(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_what_the_pools_write_is_read_back(value: Any):
    read = devalued(their_wire.devalue(value))
    assert read == value and repr(read) == repr(value)


@given(st.text(max_size=60) | json_values.map(json.dumps))
def test_any_document_is_read_or_refused(text: str):
    try:
        devalued(text)
    except Unreadable:
        pass


@given(json_values)
async def test_any_answer_is_read_or_refused(body: Any):
    for data in (
        body,
        {"result": {"data": {"json": body}}},
        {"error": body},
        {"result": {"data": body}},
        {"items": body},
    ):
        for ask in (client(answering(200, data)).generation_payload, client(answering(200, data)).public_image):
            try:
                await ask(9)
            except CivitaiError:
                pass


# --- REST ------------------------------------------------------------------------------------------------------------

ITEM = {"id": 9, "url": "https://image.civitai.com/t/u/original=true/u.jpeg", "type": "image", "width": 8, "height": 9, "browsingLevel": 4, "postId": 3,
        "meta": {"prompt": "x"}, "username": "u", "baseModel": None, "modelVersionIds": [1, 2]}  # fmt: skip


def items(*found: Any, **metadata: Any) -> dict[str, Any]:
    return {"items": list(found), "metadata": metadata}


@pytest.mark.parametrize(
    ("meta", "read"),
    [
        ({"prompt": "x"}, {"prompt": "x"}),
        ({"id": 9, "meta": {"prompt": "x"}}, {"prompt": "x"}),
        ({"id": 9, "meta": None}, None),
        (None, None),
        ({"id": 8, "meta": {"prompt": "x"}}, {"id": 8, "meta": {"prompt": "x"}}),
        ("text", None),
    ],
)
async def test_the_public_entry_is_unwrapped(meta: Any, read: Any):
    send = answering(200, items({**ITEM, "meta": meta}))
    found = await ImageClient(send).public_image(9)
    assert found.meta == read and (found.version_ids, found.level, found.post_id) == ((1, 2), 4, 3)
    query = dict(send.requests[0].query)
    assert query == {"imageId": "9", "flatMeta": "true", "withMeta": "true", "browsingLevel": "31"}


@pytest.mark.parametrize("body", [items(), items({**ITEM, "id": 8}), items("x")])
async def test_an_empty_list_means_not_visible(body: Any):
    with pytest.raises(NotFound, match=r"shows no image 9 in public.*With an API key"):
        await ImageClient(answering(200, body)).public_image(9)


@pytest.mark.parametrize("body", [[], {}, {"items": None}, None])
async def test_what_is_no_list_is_unreadable(body: Any):
    with pytest.raises(Unreadable):
        await ImageClient(answering(200, body)).public_image(9)


async def test_a_post_is_read_to_its_end():
    send = Fake(reply(200, items(ITEM, {**ITEM, "id": 10}, nextCursor="a|b")), reply(200, items({**ITEM, "id": 11})))
    found = await ImageClient(send).images_of_post(3)
    assert [image.image_id for image in found] == [9, 10, 11]
    assert dict(send.requests[1].query)["cursor"] == "a|b"
    with pytest.raises(NotFound, match="no image of post 3"):
        await ImageClient(answering(200, items())).images_of_post(3)


async def test_a_list_that_never_ends_is_left():
    send = answering(200, items(ITEM, nextCursor="same"))
    assert await ImageClient(send).images_of_post(3)
    assert len(send.requests) == 2


async def test_a_key_that_is_not_accepted_leaves_the_public_entry():
    public, keyed = answering(200, items(ITEM)), answering(401, failing(401, "no"))
    found = await ImageClient(public, keyed).about(9)
    assert isinstance(found, PublicImage) and "does not accept the API key" in found.notes[0]
    with pytest.raises(Unauthorized):
        await ImageClient(answering(200, items()), keyed).about(9)
    with pytest.raises(NotFound):
        await ImageClient(public, answering(404, failing(404, "Could not find entity"))).about(9)
    assert isinstance(await ImageClient(public).about(9), PublicImage)


@pytest.mark.parametrize(
    "trouble",
    [
        reply(500, failing(500, "boom")), reply(503, failing(503, "busy")), reply(200, {"result": {}}),
        reply(400, failing(400, "other input")), Unreachable("It took too long.", timed_out=True),
    ],
)  # fmt: skip
async def test_a_route_that_fails_leaves_the_public_entry_and_says_so(trouble: Any):
    keyed = Fake(trouble)
    found = await ImageClient(answering(200, items(ITEM)), keyed).about(9)
    assert isinstance(found, PublicImage) and "so its public list is told instead" in found.notes[0]
    for public in (answering(200, items()), answering(503, {}), Fake(Unreachable("away"))):
        with pytest.raises((ServerTrouble, Unreadable, BadRequest, Unreachable)) as raised:
            await ImageClient(public, keyed).about(9)
        assert "away" not in str(raised.value)


async def test_a_host_without_a_connection_is_not_asked_for_another_route():
    public = answering(200, items(ITEM))
    with pytest.raises(Unreachable):
        await ImageClient(public, Fake(Unreachable("x", sent=False))).about(9)
    assert public.requests == []


# --- the sandbox, over sockets ---------------------------------------------------------------------------------------


@pytest.fixture
async def sandbox() -> AsyncIterator[tuple[Sandbox, HttpClient]]:
    async with Sandbox() as sandbox, HttpClient() as network:
        yield sandbox, network


@pytest.mark.parametrize("wire", ["superjson", "devalue"])
async def test_every_family_of_the_sandbox_is_read(sandbox: tuple[Sandbox, HttpClient], wire: str):
    from pack.civitai_bridge.sandbox.images import IMAGES

    pretend, network = sandbox
    pretend.site.wire = wire
    images = ImageClient(network.send_to(pretend.site_url), network.send_to(pretend.site_url, "mine"))
    found = await images.generation_payloads(IMAGES)
    for image_id, image in IMAGES.items():
        payload = found[image_id]
        assert isinstance(payload, GenerationPayload), payload
        assert payload.type == image.type and len(payload.resources) == len(image.resources)
        assert (payload.meta is None) == (image.hidden or image.meta is None)
    assert [found[n].meta_state for n in (900001, 900004, 900005, 900026)] == [
        "given",
        "hidden",
        "hidden or absent",
        "hidden",
    ]  # type: ignore[union-attr]
    assert found[900010].meta["comfy"] == {} and "3" in found[900003].meta["comfy"]["prompt"]  # type: ignore[union-attr, index]
    assert (found[900007].process, found[900008].process, found[900018].process) == (  # type: ignore[union-attr]
        "vid2vid:edit",
        "txt2img",
        "txt2img + Hi-Res + ControlNet",
    )
    assert found[900021].remix_of == 900002 and found[900021].external  # type: ignore[union-attr]


async def test_keys_of_each_kind_and_unknown_images(sandbox: tuple[Sandbox, HttpClient]):
    pretend, network = sandbox
    public = network.send_to(pretend.site_url)
    for wire in ("superjson", "devalue"):
        pretend.site.wire = wire
        for key, kind in (("wrong", Unauthorized), ("expired", Unauthorized), ("no-media", Forbidden)):
            with pytest.raises(kind):
                await ImageClient(public, network.send_to(pretend.site_url, key)).generation_payload(900001)
        with pytest.raises(NotFound, match="image 1"):
            await ImageClient(public, network.send_to(pretend.site_url, "mine")).generation_payload(1)


async def test_the_public_list_without_a_key(sandbox: tuple[Sandbox, HttpClient]):
    pretend, network = sandbox
    images = ImageClient(network.send_to(pretend.site_url))
    mature = await images.public_image(900009)
    assert mature.level == 8 and mature.meta and mature.meta["prompt"] == "a mature picture"
    assert (await images.public_image(900004)).meta is None
    comfy = (await images.public_image(900010)).meta
    assert comfy and isinstance(comfy["comfy"], str) and "undefined" in comfy["comfy"]
    for missing in (1, 900015, 900023):
        with pytest.raises(NotFound):
            await images.public_image(missing)
    assert [image.image_id for image in await images.images_of_post(800001)] == [900001, 900002, 900003, 900021, 900024]
    with pytest.raises(NotFound):
        await images.images_of_post(800008)
    assert all("authorization" not in {name.lower() for name in seen.headers} for seen in pretend.requests)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("html", ServerTrouble),
        ("limit", RateLimited),
        ("short", Unreadable),
        ("cut", Unreachable),
        ("drop", Unreachable),
    ],
)
async def test_trouble_on_the_way(sandbox: tuple[Sandbox, HttpClient], kind: str, error: type[Exception]):
    pretend, network = sandbox
    pretend.script.fault("trpc", kind)
    with pytest.raises(error):
        await client(network.send_to(pretend.site_url, "mine")).generation_payload(900001)


async def test_when_to_come_again_is_passed_on():
    send = Fake(reply(429, failing(429, "slow down"), **{"retry-after": "7"}))
    with pytest.raises(RateLimited) as caught:
        await client(send).generation_payload(9)
    assert caught.value.retry_after == 7
