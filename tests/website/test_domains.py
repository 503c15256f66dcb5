"""civitai.com, .red and .green are one site: what one does not show is asked of the other, once."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from fakes import Fake, answering, reply

from pack.civitai_bridge.app import open_site
from pack.civitai_bridge.errors import NotFound, Unreachable
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.resources.addresses import other_domain
from pack.civitai_bridge.resources.reference import ImageReference, VersionReference, read_reference
from pack.civitai_bridge.settings import Settings
from pack.civitai_bridge.website import ImageClient, SiteClient, with_other_domain

VERSION = {
    "id": 7,
    "modelId": 1,
    "name": "v",
    "air": "urn:air:sdxl:lora:civitai:1@7",
    "model": {"name": "M", "type": "LORA"},
}


def unknown() -> Fake:
    return answering(404, {"error": "Model not found"})


async def test_a_version_that_only_the_other_domain_shows_is_found():
    first, second = unknown(), answering(200, VERSION)
    assert (await SiteClient(with_other_domain(first, second)).version(7)).name == "M"
    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_what_is_known_is_asked_of_one_domain_alone():
    second = answering(200, VERSION)
    await SiteClient(with_other_domain(answering(200, VERSION), second)).version(7)
    assert second.requests == []


@pytest.mark.parametrize("second", [unknown(), Fake(Unreachable("away")), answering(503)])
async def test_not_found_stays_not_found_where_the_other_knows_no_more(second: Fake):
    with pytest.raises(NotFound, match="version 7"):
        await SiteClient(with_other_domain(unknown(), second)).version(7)
    assert len(second.requests) == 1


async def test_an_image_that_the_public_list_leaves_out_is_asked_of_the_other():
    entry = {"id": 9, "type": "image", "modelVersionIds": [7]}
    first, second = answering(200, {"items": []}), answering(200, {"items": [entry], "metadata": {}})
    image = await ImageClient(with_other_domain(first, second)).public_image(9)
    assert image.version_ids == (7,)


async def test_the_hashes_of_a_batch_that_nothing_was_said_of_are_asked_of_the_other():
    known, hidden, nobody = (hashlib.sha256(name).hexdigest() for name in (b"a", b"b", b"c"))

    def listing(version_id: int, hash_: str) -> dict[str, Any]:
        return {**VERSION, "id": version_id, "files": [{"id": 1, "name": "f", "hashes": {"SHA256": hash_.upper()}}]}

    second = answering(200, [listing(8, hidden)])
    site = SiteClient(with_other_domain(answering(200, [listing(7, known), None]), second))
    found = await site.by_hashes([known, hidden, nobody])
    assert {hash_: version.version_id for hash_, version in found.items()} == {known: 7, hidden: 8}
    assert second.requests[0].json == [hidden, nobody]


class Network:
    """An HttpClient that knows nothing, and remembers whom it was to ask with which key."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def send_to(self, base_url: str, key: str | None = None) -> Any:
        async def send(request: Request) -> Response:
            self.asked.append((base_url, key))
            return reply(404, {"error": "Model not found"})

        return send


@pytest.mark.parametrize(
    ("site_url", "asked"),
    [
        ("https://civitai.com", ["https://civitai.com", "https://civitai.red"]),
        ("https://www.civitai.com", ["https://www.civitai.com", "https://civitai.red"]),
        ("https://civitai.green", ["https://civitai.green", "https://civitai.red"]),
        ("https://civitai.red", ["https://civitai.red", "https://civitai.com"]),
        ("https://civitai.com.example", ["https://civitai.com.example"]),
        ("https://civitai.com:8443", ["https://civitai.com:8443"]),
        ("http://127.0.0.1:8190", ["http://127.0.0.1:8190"]),
    ],
)
async def test_the_key_goes_to_the_other_domain_only_from_one_of_civitais_own(
    site_url: str, asked: list[str], tmp_path
):
    network = Network()
    site = open_site(Settings(key="secret", home=tmp_path, site_url=site_url), network)  # type: ignore[arg-type]
    for send in (site.best, site.public):
        with pytest.raises(NotFound):
            await SiteClient(send).version(7)
    assert network.asked == [(url, "secret") for url in asked] + [(url, None) for url in asked]


def test_no_other_site_has_another_domain():
    assert other_domain("https://civitai.com.evil.example") is None and other_domain("http://civitai.com") is None


def test_addresses_of_civitai_green_are_read():
    assert read_reference("https://civitai.green/models/1?modelVersionId=2") == VersionReference(2)
    assert read_reference("www.civitai.green/images/5") == ImageReference(5)
