"""Hashes -> versions: how few questions are asked, what is remembered, and what "unknown" means."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fakes import Fake, answering, reply
from hypothesis import given
from hypothesis import strategies as st

from pack.civitai_bridge.errors import BadInput, NotFound, RateLimited, RegionBlocked, Unreachable, Unreadable
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.network.retries import retrying
from pack.civitai_bridge.resources.addresses import download_url
from pack.civitai_bridge.sandbox import Sandbox, files, images, models
from pack.civitai_bridge.website import ImageClient, Lookups, SiteClient, describe, identify
from pack.civitai_bridge.website.client import MOST_DETAILS, MOST_IDS, Owner
from pack.civitai_bridge.website.lookup import AT_ONCE


def sha(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def version(id: int, *hashes: str, **more: str) -> dict[str, Any]:
    stated = [{"SHA256": one.upper(), "AutoV2": one[:10].upper(), **more} for one in hashes]
    return {"id": id, "modelId": 1, "name": "v", "air": f"urn:air:sdxl:lora:civitai:1@{id}", "model": {"name": "M", "type": "LORA"},
            "files": [{"id": id * 10 + n, "name": "f", "hashes": one} for n, one in enumerate(stated)]}  # fmt: skip


class Site:
    """A Send that knows some hashes, counts, and sees how many questions are open at once."""

    def __init__(
        self, known: dict[str, dict[str, Any]], trouble: dict[str, Response | Exception] | None = None
    ) -> None:
        self.known, self.trouble = known, trouble or {}
        self.requests: list[Request] = []
        self.open = self.most = 0

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return self.answer(request)
        finally:
            self.open -= 1

    def answer(self, request: Request) -> Response:
        if request.method == "POST":
            hit = self.trouble.get("POST")
            if isinstance(hit, Exception):
                raise hit
            return hit or reply(200, [self.known[one] for one in request.json if one in self.known])
        name = request.path.rsplit("/", 1)[1]
        hit = self.trouble.get(name)
        if isinstance(hit, Exception):
            raise hit
        return hit or (reply(200, self.known[name]) if name in self.known else reply(404, {"error": "Model not found"}))


async def test_each_hash_is_asked_once_and_eight_at_a_time():
    names = [f"{n:010x}" for n in range(1, 31)]
    site = Site({name: version(n + 1, sha(name)) for n, name in enumerate(names[:20])})
    found = await identify(SiteClient(site), [*names, *names])
    assert len(site.requests) == 30 and site.most == AT_ONCE
    assert [found[name].version_id if found[name] else None for name in names] == [*range(1, 21), *[None] * 10]  # type: ignore[union-attr]
    assert found.unknown == {} and len(found) == 30


async def test_a_second_run_asks_nothing_until_the_answers_are_old():
    now = [0.0]
    lookups, site = Lookups(kept=600, clock=lambda: now[0]), Site({"00000000aa": version(7, sha("x"))})
    for _ in range(2):
        found = await identify(SiteClient(site), ["00000000aa", "00000000bb"], lookups)
        assert found["00000000aa"].version_id == 7 and found["00000000bb"] is None  # type: ignore[union-attr]
    assert len(site.requests) == 2
    now[0] = 600
    await identify(SiteClient(site), ["00000000aa", "00000000bb"], lookups)
    assert len(site.requests) == 4


async def test_an_answer_names_the_other_hashes_of_its_files():
    whole, lookups = sha("x"), Lookups()
    site = Site({whole[:10]: version(7, whole, AutoV1="12345678")})
    await identify(SiteClient(site), [whole[:10]], lookups)
    assert (await identify(SiteClient(site), [whole, "0x" + whole[:10].upper()], lookups))[whole].version_id == 7  # type: ignore[union-attr]
    assert len(site.requests) == 1
    assert (await identify(SiteClient(site), ["12345678"], lookups))["12345678"] is None, (
        "eight digits are of many files"
    )


@pytest.mark.parametrize("hash_", ["", "xyz", "e3b0c44298fc", "E3B0C442", "0x", "12345", "a" * 63, sha(""), "g" * 10])
async def test_what_can_be_no_hash_is_not_asked(hash_: str):
    site = Site({})
    assert (await identify(SiteClient(site), [hash_]))[hash_] is None and site.requests == []


async def test_twelve_digits_take_a_second_question_only_when_nothing_has_them():
    whole = sha("forge")
    site = Site({whole[:10]: version(3, whole), "abcdefabcdef": version(4, sha("y"))})
    found = await identify(SiteClient(site), [whole[:12], "abcdefabcdef"])
    assert (found[whole[:12]].version_id, found["abcdefabcdef"].version_id) == (3, 4)  # type: ignore[union-attr]
    assert len(site.requests) == 3


async def test_whole_hashes_share_a_question_and_what_it_does_not_know_may_be_blake3():
    known = [sha(str(n)) for n in range(5)]
    blake = sha("pretend blake3")
    site = Site({**{one: version(n + 1, one) for n, one in enumerate(known)}, blake: version(9, sha("other"))})
    original = site.answer
    site.answer = lambda request: (
        original(request)
        if request.method == "GET"
        else reply(200, [site.known[o] for o in request.json if o in known])
    )  # type: ignore[method-assign]
    found = await identify(SiteClient(site), [*known, blake, sha("nobody")])
    assert [r.method for r in site.requests] == ["POST", "GET", "GET"]
    assert found[blake].version_id == 9 and found[sha("nobody")] is None  # type: ignore[union-attr]


@pytest.mark.parametrize("trouble", [Unreachable("away"), reply(429), reply(451)])
async def test_no_answer_is_unknown_and_never_not_found(trouble: Any):
    site = Site({"00000000aa": version(7, sha("x"))}, {"00000000bb": trouble})
    lookups = Lookups()
    names = ["00000000aa", "00000000bb", *[f"{n:010x}" for n in range(1, 60)]]
    found = await identify(SiteClient(site), names, lookups)
    assert "00000000bb" in found.unknown and "00000000bb" not in found and found["00000000aa"]
    for ask in (found.get, found.__getitem__):
        with pytest.raises((Unreachable, RateLimited, RegionBlocked)):
            ask("00000000bb")
    assert len(site.requests) <= AT_ONCE, "a service that is away is not asked sixty times"
    site.trouble.clear()
    assert (await identify(SiteClient(site), ["00000000bb"], lookups))["00000000bb"] is None, (
        "errors are not remembered"
    )


async def test_one_odd_answer_spoils_no_other():
    site = Site({"00000000aa": version(7, sha("x"))}, {"00000000bb": reply(200, ["x"])})
    found = await identify(SiteClient(site), ["00000000bb", "00000000aa"])
    assert found["00000000aa"] and isinstance(found.unknown["00000000bb"], Unreadable)


async def test_a_batch_without_an_answer_leaves_its_hashes_unknown():
    site = Site({}, {"POST": Unreachable("away")})
    found = await identify(SiteClient(site), [sha("a"), sha("b"), "00000000aa"])
    assert set(found.unknown) == {sha("a"), sha("b"), "00000000aa"} and len(site.requests) == 1


@given(st.lists(st.text("0123456789abcdefABCDEFxz", max_size=14), max_size=12))
async def test_every_hash_gets_an_answer(names: list[str]):
    site = Site({})
    found = await identify(SiteClient(site), names)
    assert set(found) == set(names) and all(value is None for value in found.values())
    assert len(site.requests) <= 2 * len(set(names))


async def test_versions_are_described_eight_at_a_time_and_remembered():
    site = Site({str(n): version(n, sha(str(n))) for n in range(1, 20)}, {"30": reply(500), "31": reply(404)})
    lookups = Lookups()
    found = await describe(SiteClient(site), [*range(1, 20), 1, 30, 31], lookups)
    assert site.most == AT_ONCE and len(site.requests) == 21
    assert [found[n].version_id for n in range(1, 20)] == [*range(1, 20)]  # type: ignore[union-attr]
    assert found[31] is None and set(found.unknown) == {30}
    assert (await identify(SiteClient(site), [sha("7")], lookups))[sha("7")] is found[7]
    assert (await describe(SiteClient(site), [7, 31], lookups))[31] is None and len(site.requests) == 21


# --- the client's batches --------------------------------------------------------------------------------------------


async def test_batches_of_details_are_rekeyed_by_their_files():
    one, two = sha("1"), sha("2")
    send = answering(200, [version(5, two), None, version(9, one), version(4, one), version(6, one, two)])
    found = await SiteClient(send).by_hashes([one.upper(), two, one])
    assert {hash_: resource.version_id for hash_, resource in found.items()} == {one: 4, two: 5}
    assert send.requests[0].path == "/api/v1/model-versions/by-hash" and send.requests[0].json == [one, two]


@pytest.mark.parametrize(
    ("method", "most"), [(SiteClient.by_hashes, MOST_DETAILS), (SiteClient.ids_by_hashes, MOST_IDS)]
)
async def test_batches_keep_the_limits(method: Callable[..., Any], most: int):
    send = answering(200, [])
    assert await method(SiteClient(send), [sha(str(n)) for n in range(most + 1)]) == {}
    assert [len(request.json) for request in send.requests] == [most, 1]
    assert await method(SiteClient(send), []) == {} and len(send.requests) == 2
    with pytest.raises(BadInput, match="no whole SHA-256"):
        await method(SiteClient(send), [sha("x"), "abc"])
    with pytest.raises(Unreadable):
        await method(SiteClient(answering(200, {"a": 1})), [sha("x")])


async def test_ids_of_a_folder():
    one = sha("1")
    send = answering(
        200,
        [{"modelVersionId": 9, "modelId": 3, "hash": one.upper()}, {"modelVersionId": 4, "modelId": 2, "hash": one}],
    )
    assert await SiteClient(send).ids_by_hashes([one]) == {one: Owner(4, 2)}
    with pytest.raises(Unreadable):
        await SiteClient(answering(200, [None])).ids_by_hashes([one])


async def test_a_model_and_its_versions():
    body = {
        "id": 1,
        "name": "M",
        "type": "LORA",
        "modelVersions": [{"id": 5, "name": "b", "status": "Draft"}, {"id": 4, "name": "a", "baseModel": "Pony"}, None],
    }
    found = await SiteClient(answering(200, body)).model(1)
    assert (found.name, found.type, [v.version_id for v in found.versions]) == ("M", "LORA", [5, 4])
    assert found.newest and (found.newest.version_id, found.newest.base_model) == (4, "Pony")
    with pytest.raises(NotFound, match="model 1"):
        await SiteClient(answering(404, {"error": "No model with id 1"})).model(1)
    with pytest.raises(Unreadable):
        await SiteClient(answering(200, [1])).model(1)


def test_download_addresses_are_made_of_ids():
    base = "https://civitai.com/"
    assert download_url(base, 2) == "https://civitai.com/api/download/models/2"
    assert download_url(base, 2, 7, file_type="VAE") == "https://civitai.com/api/download/models/2?fileId=7"
    assert (
        download_url(base, 2, file_type="Text Encoder") == "https://civitai.com/api/download/models/2?type=Text+Encoder"
    )


# --- the sandbox, over sockets ---------------------------------------------------------------------------------------


@pytest.fixture
async def pretend() -> AsyncIterator[tuple[Sandbox, HttpClient]]:
    async with Sandbox() as sandbox, HttpClient() as network:
        yield sandbox, network


async def test_an_image_of_twenty_resources_takes_few_questions(pretend: tuple[Sandbox, HttpClient]):
    sandbox, network = pretend
    client = ImageClient(network.send_to(sandbox.site_url), network.send_to(sandbox.site_url, "mine"))
    site, lookups = SiteClient(network.send_to(sandbox.site_url)), Lookups()
    for _ in range(2):
        payload = await lookups.image(client, 900011)
        assert payload.meta
        hashes = list(payload.meta["hashes"].values())
        found = await identify(site, hashes, lookups)
        assert [found[one].version_id for one in hashes] == [300201 + 2 * n for n in range(10, 20)]  # type: ignore[union-attr]
        assert len(sandbox.requests) <= len(hashes) + 2


async def test_all_six_kinds_and_the_earliest_of_two(pretend: tuple[Sandbox, HttpClient]):
    sandbox, network = pretend
    site = SiteClient(network.send_to(sandbox.site_url))
    stated = files.hashes(models.VERSIONS[128078].files[0])
    found = await identify(site, stated.values())
    assert len(stated) == 6 and {resource.version_id for resource in found.values() if resource} == {128078}
    twice = files.hashes(models.VERSIONS[300073].files[0])
    assert (await identify(site, [twice["AutoV3"]]))[twice["AutoV3"]].version_id == 300075  # type: ignore[union-attr]
    private = files.hashes(models.VERSIONS[300063].files[0])
    assert await site.by_hashes([private["SHA256"], stated["SHA256"]]) == {
        stated["SHA256"].lower(): await site.version(128078)
    }
    assert (await site.ids_by_hashes([stated["SHA256"], sha("nobody")])) == {
        stated["SHA256"].lower(): Owner(128078, 101055)
    }


async def test_the_head_of_a_whole_file_is_found(pretend: tuple[Sandbox, HttpClient]):
    sandbox, network = pretend
    meta = images.IMAGES[900020].open_meta
    assert meta
    hashes = meta["hashes"]
    found = await identify(SiteClient(network.send_to(sandbox.site_url)), hashes.values())
    assert {name: found[one].version_id if found[one] else None for name, one in hashes.items()} == {  # type: ignore[union-attr]
        "model": 128713, "lora:harbourInk_v1": 300003, "lora:empty": None, "LORA:fineLines": 300087, "lora:long": 300019, "lora:gone": None,
    }  # fmt: skip


async def test_a_model_of_the_sandbox(pretend: tuple[Sandbox, HttpClient]):
    sandbox, network = pretend
    found = await SiteClient(network.send_to(sandbox.site_url)).model(300106)
    assert [v.base_model for v in found.versions] == ["SDXL 1.0", "SD 1.5"] and found.newest == found.versions[0]


async def test_images_are_remembered_and_errors_are_not():
    body = {"result": {"data": {"json": {"type": "image", "meta": None, "resources": []}}}}
    send, lookups = Fake(Unreachable("away"), reply(200, body)), Lookups()
    client = ImageClient(send, send)
    with pytest.raises(Unreachable):
        await lookups.image(client, 9)
    for _ in range(2):
        assert (await lookups.image(client, 9)).image_id == 9
    assert len(send.requests) == 2


async def test_what_is_remembered_of_images_stays_small_and_young():
    from pack.civitai_bridge.website.lookup import MOST_IMAGES

    now = [0.0]
    body = {"result": {"data": {"json": {"type": "image", "meta": None, "resources": []}}}}
    send, lookups = answering(200, body), Lookups(kept=10, clock=lambda: now[0])
    client = ImageClient(send, send)
    for image_id in range(1, MOST_IMAGES + 2):
        await lookups.image(client, image_id)
    await lookups.image(client, MOST_IMAGES + 1)
    assert len(send.requests) == MOST_IMAGES + 1
    await lookups.image(client, 1)
    assert len(send.requests) == MOST_IMAGES + 2, "the oldest was let go"
    now[0] = 10
    await lookups.image(client, MOST_IMAGES + 1)
    assert len(send.requests) == MOST_IMAGES + 3


async def test_a_hundred_pictures_wait_once_for_a_site_that_is_away():
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        start = time.monotonic()
        async with HttpClient() as network:
            site, lookups = (
                SiteClient(retrying(network.send_to(f"http://127.0.0.1:{closed.getsockname()[1]}"))),
                Lookups(),
            )
            for n in range(100):
                found = await identify(site, [f"{n:08x}aa", f"{n:08x}bb"], lookups)
                assert len(found.unknown) == 2 and isinstance(found.away, Unreachable)
        assert time.monotonic() - start < 6
