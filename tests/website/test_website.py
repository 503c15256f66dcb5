"""The site client and `resolve`, on remembering fakes."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import Fake, answering, reply

from pack.civitai_bridge.errors import BadInput, BadRequest, NotFound, RateLimited, UnknownReference, Unreadable
from pack.civitai_bridge.network.exchange import Response
from pack.civitai_bridge.website import SiteClient, resolve

AIR = "urn:air:sdxl:checkpoint:civitai:1@2"
MINI = {"air": AIR, "versionName": "v1", "modelName": "M", "baseModel": "SDXL 1.0", "fileName": "m.safetensors", "fileType": "Model", "canGenerate": True, "hashes": {"SHA256": "AB"}, "size": 2.5}  # fmt: skip


def version(**more: Any) -> dict[str, Any]:
    return {
        "id": 2, "modelId": 1, "name": "v1", "status": "Published", "baseModel": "SDXL 1.0", "air": AIR, "trainedWords": ["glow"],
        "usageControl": "Download", "model": {"name": "M", "type": "Checkpoint"},
        "files": [
            {"id": 8, "name": "config.yaml", "type": "Config", "primary": False, "hashes": {}},
            {"id": 9, "name": "m.safetensors", "type": "Model", "primary": True, "sizeKB": 10.5, "hashes": {"AutoV2": "ABCDEF0123"},
             "metadata": {"format": "SafeTensor"}},
        ],
        **more,
    }  # fmt: skip


async def test_a_version_is_read():
    send = answering(200, version())
    found = await SiteClient(send).version(2)
    assert (found.air, found.name, found.version_name, found.base_model, found.type) == (
        AIR,
        "M",
        "v1",
        "SDXL 1.0",
        "checkpoint",
    )
    assert found.trained_words == ("glow",) and found.ecosystem == "sdxl" and found.is_checkpoint
    assert found.primary and found.primary.name == "m.safetensors" and found.primary.size_kb == 10.5
    assert send.requests[0].path == "/api/v1/model-versions/2"


async def test_an_air_is_composed_only_when_the_api_gives_none():
    found = await SiteClient(answering(200, version(air=None))).version(2)
    assert found.air == AIR and found.air_composed
    pony = version(air=None, baseModel="Pony", model={"name": "P", "type": "LORA"})
    assert (await SiteClient(answering(200, pony)).version(2)).air == "urn:air:sdxl:lora:civitai:1@2"


@pytest.mark.parametrize("mode", ["Archived", "TakenDown"])
async def test_what_was_taken_away_is_noted(mode: str):
    found = await SiteClient(
        answering(200, version(model={"name": "M", "type": "LORA", "mode": mode}, files=[]))
    ).version(2)
    assert found.notes and found.primary is None


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (404, {"error": "Model not found"}, NotFound, "version 2 is unknown, not published or not visible"),
        (404, {"error": "Missing model file"}, NotFound, "no file yet"),
        (400, {"error": "✖ Invalid input: expected number, received NaN\n  → at id"}, BadRequest, "expected number"),
        (
            400,
            {"error": {"name": "ZodError", "message": '[{"path":["id"],"message":"Too big"}]'}},
            BadRequest,
            "id: Too big",
        ),
        (429, {"error": "slow"}, RateLimited, "fewer requests"),
        (200, [1], Unreadable, "not a model version"),
        (200, {"id": "x"}, Unreadable, "not a model version"),
    ],
)
async def test_errors_are_sentences(status: int, body: Any, kind: type[Exception], words: str):
    with pytest.raises(kind, match=words):
        await SiteClient(answering(status, body)).version(2)


async def test_a_page_is_not_data():
    page = Fake(Response(200, {"content-type": "text/html"}, b"<!DOCTYPE html><p>Just a moment"))
    with pytest.raises(Unreadable, match="a page"):
        await SiteClient(page).version(2)


async def test_generation_asks_once_for_what_names_a_version():
    for text in (
        "2",
        AIR,
        "https://civitai.com/models/1?modelVersionId=2",
        "1@2",
        "https://civitai.com/model-versions/2",
    ):
        send = answering(200, MINI)
        found = await resolve(SiteClient(send), text, for_generation=True)
        assert (found.air, found.can_generate) == (AIR, True)
        assert [r.path for r in send.requests] == ["/api/v1/model-versions/mini/2"]


async def test_a_pinned_file_goes_along():
    send = answering(200, {**MINI, "air": AIR + "+7"})
    found = await resolve(SiteClient(send), AIR + "+7", for_generation=True)
    assert found.air == AIR + "+7" and send.requests[0].query == (("modelFileId", "7"),)


async def test_a_model_means_its_newest_published_version():
    models = {"modelVersions": [{"id": 5, "status": "Draft"}, {"id": 4, "status": "Published"}, {"id": 3}]}
    send = Fake(reply(200, models), reply(200, {**MINI, "air": "urn:air:sdxl:checkpoint:civitai:1@4"}))
    assert (await resolve(SiteClient(send), "https://civitai.com/models/1", for_generation=True)).version_id == 4
    assert [r.path for r in send.requests] == ["/api/v1/models/1", "/api/v1/model-versions/mini/4"]
    with pytest.raises(NotFound, match="no published version"):
        await resolve(SiteClient(answering(200, {"modelVersions": []})), "civitai:1")


async def test_a_hash_takes_one_more():
    send = Fake(reply(200, version()), reply(200, MINI))
    assert (await resolve(SiteClient(send), "abcdef0123", for_generation=True)).can_generate is True
    assert [r.path for r in send.requests] == [
        "/api/v1/model-versions/by-hash/abcdef0123",
        "/api/v1/model-versions/mini/2",
    ]


async def test_twelve_digits_may_be_the_head_of_the_whole_file():
    send = Fake(reply(404, {"error": "Model not found"}), reply(200, version()))
    await SiteClient(send).by_hash("abcdef012345")
    assert [r.path.rsplit("/", 1)[1] for r in send.requests] == ["abcdef012345", "abcdef0123"]
    with pytest.raises(NotFound, match="hash"):
        await SiteClient(answering(404, {"error": "Model not found"})).by_hash("abcdef0123")


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("urn:air:flux1:lora:huggingface:org/x@main", BadInput, "huggingface"),
        ("sd_xl.safetensors", UnknownReference, "file name"),
        ("https://civitai.com/images/1", UnknownReference, "not of a model"),
    ],
)
async def test_what_the_site_cannot_be_asked(text: str, kind: type[Exception], words: str):
    send = answering(200, MINI)
    with pytest.raises(kind, match=words):
        await resolve(SiteClient(send), text)
    assert send.requests == []


async def test_an_air_whose_model_is_another_is_refused():
    for more in ({"for_generation": True}, {}):
        answer = MINI if more else version()
        with pytest.raises(BadInput, match="names model 9, but version 2 belongs to model 1"):
            await resolve(SiteClient(answering(200, answer)), "urn:air:sdxl:checkpoint:civitai:9@2", **more)


@pytest.mark.parametrize("text", ["1@0", "1@99999999999", "e3b0c44298fc", "e3b0c44298"])
async def test_what_cannot_be_is_refused_without_asking(text: str):
    send = answering(200, MINI)
    with pytest.raises(UnknownReference):
        await resolve(SiteClient(send), text)
    assert send.requests == []


async def test_an_unknown_base_model_keeps_its_spaces():
    air = "urn:air:some new thing:checkpoint:civitai:1@2"
    found = await SiteClient(answering(200, {**MINI, "air": air, "baseModel": "Some New Thing"})).mini(2)
    assert found.air == air


@pytest.mark.parametrize("more", [{"modelId": "x", "air": None}, {"modelId": None, "air": None}])
async def test_an_air_is_never_made_of_nothing(more: dict[str, Any]):
    with pytest.raises(Unreadable, match="neither"):
        await SiteClient(answering(200, version(**more))).version(2)


async def test_odd_members_are_passed_over():
    odd = version(files=[None, {"id": "x", "hashes": None, "metadata": []}], trainedWords=None)
    assert (await SiteClient(answering(200, odd)).version(2)).files[0].id == 0
    with pytest.raises(NotFound):
        await SiteClient(answering(200, {"modelVersions": {"a": 1}})).newest_version(1)


async def test_addresses_of_the_configured_site_count():
    from pack.civitai_bridge.resources.addresses import SITE_HOSTS

    found = await resolve(
        SiteClient(answering(200, version())),
        "https://my.site/models/1?modelVersionId=2",
        hosts=SITE_HOSTS | {"my.site"},
    )
    assert found.version_id == 2
