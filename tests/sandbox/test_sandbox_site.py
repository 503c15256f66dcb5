"""The sandbox's site by itself: each family, its refusals in CivitAI's words and order, and a storage
that keeps its hashes."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import pytest

from pack.civitai_bridge.sandbox import Sandbox, files, image_answers, images, model_answers, models, wire

VERSIONS = "/api/v1/model-versions"


class Caller:
    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session

    async def __call__(
        self, path: str, *, key: str | None = None, data: Any = None, method: str = "", **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, body (JSON where it is any) and headers."""
        given = {"User-Agent": "test/1", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if key:
            given["Authorization"] = f"Bearer {key}"
        url = path if path.startswith("http") else self.sandbox.site_url + path
        method = method or ("GET" if data is None else "POST")
        async with self.session.request(method, url, json=data, headers=given, allow_redirects=False) as answer:
            content = await answer.read()
            body = json.loads(content) if "json" in answer.headers.get("Content-Type", "") and content else content
            return answer.status, body, dict(answer.headers)

    async def trpc(self, given: Any, *, key: str | None = "mine", **headers: str) -> tuple[int, Any]:
        path = f"/api/trpc/image.getGenerationData?input={quote(json.dumps(given))}"
        status, body, _ = await self(path, key=key, **headers)
        return status, body

    async def located(self, path: str) -> str:
        status, body, headers = await self(f"/api/download/models/{path}", key="mine")
        assert status == 307, body
        return headers["Location"]


@pytest.fixture
async def call() -> AsyncIterator[Caller]:
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
        yield Caller(sandbox, session)


# --- bytes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "digest"),
    [
        (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
        (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
        (1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"),
        (5121, "628bd2cb2004694adaab7bbd778a25df25c47b9d4155a55f8fbd79f2fe154cff"),
        (102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"),
    ],
)
def test_blake3_as_its_authors_have_it(length: int, digest: str):
    assert files.blake3(bytes(n % 251 for n in range(length))).hex() == digest


async def test_every_file_that_storage_gives_has_the_hashes_that_the_site_states(call: Caller):
    checked = 0
    for version in models.VERSIONS.values():
        restricted = version.usage != "Download" or version.poi or version.deleted
        if not models.visible(version) or restricted or version.mode == "Archived" or not model_answers.usable(version):
            continue
        if version.paid or version.private or any(file.sends for file in version.files):
            continue
        for stated in model_answers.listed_files(version, ""):
            tail = f"?fileId={stated['id']}" if stated["id"] // 10 == version.id else "?type=VAE"
            status, content, headers = await call(await call.located(f"{version.id}{tail}"))
            assert status == 200 and len(content) == stated["sizeKB"] * 1024
            assert headers["Content-Disposition"].startswith("attachment; filename=")
            whole = hashlib.sha256(content).hexdigest().upper()
            payload = content[8 + int.from_bytes(content[:8], "little") :]
            real = {
                "SHA256": whole,
                "AutoV2": whole[:10],
                "AutoV1": hashlib.sha256(content[0x100000:0x110000]).hexdigest()[:8].upper(),
                "CRC32": f"{zlib.crc32(content):08X}",
                "AutoV3": hashlib.sha256(payload).hexdigest()[:12].upper(),
                "BLAKE3": files.blake3(content).hex().upper(),
            }
            assert stated["hashes"] == {kind: real[kind] for kind in stated["hashes"]}
            checked += 1
    assert checked > 50


@pytest.mark.parametrize("version_id", [128078, 300001, 300021, 300105])
def test_safetensors_headers_are_whole(version_id: int):
    content = files.content(models.VERSIONS[version_id].files[0])
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    notes = header.pop("__metadata__")
    assert notes["ss_output_name"] and notes["sshs_model_hash"]
    ends = [tensor["data_offsets"] for tensor in header.values()]
    assert ends[0][0] == 0 and max(end for _, end in ends) == len(content) - 8 - size


# --- tRPC ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["superjson", "devalue"])
@pytest.mark.parametrize(
    ("given", "key", "status", "name", "words"),
    [
        ({"json": {"id": 900001}}, None, 401, "UNAUTHORIZED", "Please use the public API instead"),
        ({"json": {"id": 900001}}, "wrong", 401, "UNAUTHORIZED", "Please use the public API instead"),
        ({"json": {"id": 900001}}, "no-media", 403, "FORBIDDEN", "required scope"),
        ({"json": {"id": 5}}, "mine", 404, "NOT_FOUND", "Could not find entity"),
        ({"json": {"id": "900001"}}, "mine", 400, "BAD_REQUEST", "received string"),
        ({"json": {}}, "mine", 400, "BAD_REQUEST", "received undefined"),
        ({"id": 900001}, "mine", 400, "BAD_REQUEST", "Invalid input"),
        (None, "mine", 400, "BAD_REQUEST", "Invalid input"),
        ("[{\"id\":1}", "mine", 400, "BAD_REQUEST", "Invalid input"),
    ],
)  # fmt: skip
async def test_trpc_refusals(call: Caller, pool: str, given: Any, key: str | None, status: int, name: str, words: str):
    call.sandbox.site.wire = pool
    got, body = await call.trpc(given, key=key)
    shape = wire.undevalue(json.loads(body["error"])) if pool == "devalue" else body["error"]["json"]
    assert got == status and shape["data"] == {"code": name, "httpStatus": status, "path": "image.getGenerationData"}
    assert words in shape["message"]


async def test_trpc_takes_a_devalue_input_a_token_a_post_and_the_sites_own_origin(call: Caller):
    for status, body in (
        await call.trpc('[{"id":1},900001]'),
        await call.trpc({"json": {"id": 900001, "authed": True}}, key=None, Origin="https://civitai.com"),
        (await call("/api/trpc/image.getGenerationData", key="mine", data={"json": {"id": 900001}}))[:2],
        (
            await call(
                f"/api/trpc/image.getGenerationData?token=mine&input={quote(json.dumps({'json': {'id': 900001}}))}"
            )
        )[:2],
    ):
        assert status == 200 and body["result"]["data"]["json"]["type"] == "image"
    assert (await call.trpc({"json": {"id": 1}}, key=None, Origin="https://evilcivitai.com"))[0] == 401
    status, body, _ = await call("/api/trpc/image.unknown?input={}", key="mine")
    assert status == 404 and "No procedure found on path" in body["error"]["json"]["message"]


async def test_a_batch_is_207_when_its_answers_differ(call: Caller):
    names = "image.getGenerationData,image.getGenerationData"
    for second, status in ((900002, 200), (1, 207)):
        given = quote(json.dumps({"0": {"json": {"id": 900001}}, "1": {"json": {"id": second}}}))
        got, body, _ = await call(f"/api/trpc/{names}?batch=1&input={given}", key="mine")
        assert got == status and len(body) == 2


async def test_absent_members_are_null_and_named(call: Caller):
    _, body = await call.trpc({"json": {"id": 900001}})
    data = body["result"]["data"]
    assert data["json"]["external"] is None and data["json"]["resources"][0]["strength"] is None
    assert data["meta"] == {
        "values": {"resources.0.strength": ["undefined"], "external": ["undefined"], "remixOfId": ["undefined"]},
        "v": 1,
    }
    assert data["json"]["onSite"] and data["json"]["displayKeys"] and data["json"]["canRemix"]


async def test_hidden_meta_leaves_the_resources(call: Caller):
    _, body = await call.trpc({"json": {"id": 900004}})
    payload = body["result"]["data"]["json"]
    assert (payload["meta"], payload["process"], payload["onSite"], payload["canRemix"]) == (None, None, False, False)
    assert len(payload["resources"]) == 2


# --- images ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("imageId=900001", [900001]),
        ("imageId=900009", []),
        ("imageId=900009&nsfw=X", [900009]),
        ("imageId=900009&browsingLevel=31", [900009]),
        ("imageId=900001&nsfw=true", []),
        ("imageId=900024&nsfw=true", [900024]),
        ("imageId=900023&browsingLevel=31", []),
        ("imageId=900023&browsingLevel=63", [900023]),
        ("imageId=900015&browsingLevel=31", []),
        ("imageId=5", []),
        ("postId=800001&browsingLevel=31&sort=Oldest", [900001, 900002, 900003, 900021, 900024]),
        ("postId=800001&browsingLevel=31", [900024, 900021, 900003, 900002, 900001]),
        ("postId=800001&sort=Oldest", [900001, 900002, 900003]),
        ("postId=800003&type=audio", [900019]),
        ("modelVersionId=300087", [900014]),
        ("postId=800002&requiringMeta=true", []),
    ],
)
async def test_which_images_are_listed(call: Caller, query: str, ids: list[int]):
    status, body, _ = await call(f"/api/v1/images?{query}")
    assert status == 200 and [item["id"] for item in body["items"]] == ids and body["metadata"] == {}


async def test_meta_is_off_by_default_wrapped_for_one_image_and_raw(call: Caller):
    async def meta(query: str) -> Any:
        return (await call(f"/api/v1/images?{query}"))[1]["items"][0]["meta"]

    assert await meta("imageId=900003") is None
    wrapped = await meta("imageId=900003&withMeta=true")
    assert wrapped["id"] == 900003 and isinstance(wrapped["meta"]["comfy"], str)
    assert await meta("imageId=900003&withMeta=true&flatMeta=true") == wrapped["meta"]
    assert (await meta("imageId=900004&withMeta=on")) == {"id": 900004, "meta": None}
    assert (await meta("postId=800001&withMeta=true&sort=Oldest"))["prompt"]
    with pytest.raises(ValueError):
        json.loads((await meta("imageId=900010&withMeta=true&flatMeta=true"))["comfy"])


async def test_pages_of_images(call: Caller):
    _, first, _ = await call("/api/v1/images?limit=5&sort=Oldest&browsingLevel=31")
    _, second, _ = await call(first["metadata"]["nextPage"])
    assert len(first["items"]) == len(second["items"]) == 5
    assert not {item["id"] for item in first["items"]} & {item["id"] for item in second["items"]}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/images?limit=201", 400), ("/api/v1/images?nsfw=maybe", 400), ("/api/v1/images?imageId=x", 400), ("/api/v1/images?sort=Random", 400),
        ("/api/v1/images?limit=200&page=6", 429), ("/api/v1/images?cursor=x", 400), ("/api/v1/models?limit=100&page=11", 429),
        ("/api/v1/models?query=a&page=1", 400), ("/api/v1/models?favorites=false", 401), ("/api/v1/models?types=LORA,VAE", 400),
        ("/api/v1/models/0", 400), ("/api/v1/models/x", 400), ("/api/v1/models/5", 404), (VERSIONS + "/300063", 404), (VERSIONS + "/99999999999", 500),
        (VERSIONS + "/300055", 404), (VERSIONS + "/300057", 404), (VERSIONS + "/mini/300001?modelFileId=5", 404), (VERSIONS + "/mini/300001?epoch=1", 400),
        (VERSIONS + "/by-hash/abc", 404), ("/api/v1/me", 401),
    ],
)  # fmt: skip
async def test_refusals_of_rest(call: Caller, path: str, status: int):
    got, body, _ = await call(path)
    assert got == status and "error" in body


# --- versions --------------------------------------------------------------------------------------------------------


async def version(call: Caller, version_id: int) -> dict[str, Any]:
    status, body, _ = await call(f"{VERSIONS}/{version_id}")
    assert status == 200, body
    return body


async def test_versions_of_each_kind(call: Caller):
    unets = (await version(call, 300021))["files"]
    assert [file["metadata"]["fp"] for file in unets] == ["fp16", "fp8"] and [f["primary"] for f in unets] == [
        True,
        False,
    ]
    assert (await version(call, 300021))["air"].startswith("urn:air:flux1:unet:")
    sizes = (await version(call, 300023))["files"]
    assert [file["metadata"]["format"] for file in sizes] == ["GGUF", "GGUF", "SafeTensor"] and sizes[2]["primary"]
    linked = (await version(call, 300025))["files"][-1]
    assert (linked["type"], linked["id"]) == ("VAE", 3000050)
    assert [f["type"] for f in (await version(call, 300027))["files"]] == [
        "Diffusion Model",
        "Text Encoder",
        "VAE",
        "Config",
    ]
    assert (await version(call, 300035))["files"][0]["hashes"] == {}
    assert "AutoV3" not in (await version(call, 300037))["files"][0]["hashes"]
    assert (await version(call, 300031))["files"][0]["name"] == "badhandsaway.pt"
    assert [f["name"] for f in (await version(call, 300033))["files"]][1] == "quietcolours-neg.safetensors"
    assert (await version(call, 300045))["paidAccess"] == {"permanent": False, "endsAt": "2099-01-01T00:00:00.000Z"}
    assert (await version(call, 300047))["paidAccess"] == {"permanent": True, "endsAt": None}
    assert (await version(call, 300065))["files"][0]["name"] == "suisai style v1.safetensors"
    assert (await version(call, 300103))["stats"]["downloadCount"] is None
    assert (await version(call, 300011))["files"] == [] and "downloadUrl" not in await version(call, 300011)
    assert (await version(call, 300053))["model"]["mode"] == "TakenDown"
    assert {(await version(call, n))["usageControl"] for n in (300013, 300041, 300043)} == {
        "InternalGeneration",
        "Generation",
        "ExternalGeneration",
    }
    _, mini, _ = await call(f"{VERSIONS}/mini/300023?modelFileId=3000231")
    assert mini["air"].endswith("@300023+3000231") and mini["fileName"] == "manySizes_Q4_K_M.gguf"


async def test_a_model_lists_versions_without_air_or_rules(call: Caller):
    _, body, _ = await call("/api/v1/models/300022")
    (listed,) = body["modelVersions"]
    assert not {"air", "modelId", "usageControl"} & set(listed) and "trainedWords" not in listed
    assert [file.get("primary") for file in listed["files"]] == [None, None, True]
    assert listed["files"][0]["metadata"]["quantType"] == "Q8_0"


async def test_batches_of_hashes(call: Caller):
    def sha(version_id: int, place: int = 0) -> str:
        return models.sha256(models.VERSIONS[version_id].files[place])

    wanted = [sha(300073), sha(300063), sha(128078).lower(), "0" * 64, sha(300039), sha(300039, 1)]
    status, body, _ = await call(VERSIONS + "/by-hash", data=wanted)
    assert status == 200 and [item and item["id"] for item in body] == [128078, 300039, 300039, None, 300073, 300075]
    assert body[0]["downloadUrl"] == "https://undefined/api/download/models/128078"
    _, ids, _ = await call(VERSIONS + "/by-hash/ids", data=[sha(300001)])
    assert ids == [{"modelVersionId": 300001, "modelId": 300000, "hash": sha(300001)}]
    for tail, most in (("", 100), ("/ids", 10_000)):
        assert (await call(VERSIONS + "/by-hash" + tail, data=["0" * 64] * most))[0] == 200
        for bad, words in ((["0" * 64] * (most + 1), "Too many hashes"), (["0" * 63], "Invalid hash"), ({}, "array")):
            status, body, _ = await call(VERSIONS + "/by-hash" + tail, data=bad)
            assert status == 400 and body["error"].startswith("Request must include an array of SHA256 Hashes. ")
            assert words in body["error"]


# --- downloads -------------------------------------------------------------------------------------------------------

OUTCOMES = [
    ("0", "mine", 400, "at modelVersionId"),
    ("abc", "mine", 400, "at modelVersionId"),
    ("300001?type=Nonsense", "mine", 400, "at type"),
    ("300001?fileId=x", "mine", 400, "at fileId"),
    ("5", "mine", 404, "File not found"),
    ("300059", "mine", 404, "File not found"),
    ("300011", "mine", 410, "Model archived, not available for download"),
    ("300055", "mine", 404, "File not found"),
    ("300009", "mine", 404, "File not found"),
    ("300041", "mine", 401, "disabled downloads"),
    ("300043", None, 401, "disabled downloads"),
    ("300001", None, 401, "requires you to be logged in"),
    ("300001", "wrong", 401, "requires you to be logged in"),
    ("300045", "mine", 403, "Early Access"),
    ("300049", "mine", 403, "do not have access"),
    ("300001?fileId=5", "mine", 404, "File not found"),
    ("300001?type=VAE", "mine", 404, "File not found"),
    ("300083", "mine", 404, "File not found"),
    ("300039?type=Model&format=SafeTensor&size=full&fp=fp32", "mine", 307, "twins_fp32.safetensors"),
    ("300021?type=UNet&format=SafeTensor&size=full&fp=fp8", "mine", 404, "File not found"),
    ("300021?type=UNet&format=SafeTensor&size=pruned&fp=fp8", "mine", 307, "twoPrecisions_fp8"),
    ("300021?fileId=3000211", "mine", 307, "twoPrecisions_fp8"),
    ("300025?type=VAE", "mine", 307, "clearSkyVAE"),
    ("300045", "bought", 307, "earlyBird"),
    ("300049", "bought", 307, "privateWork"),
    ("300001", "mine", 307, "storybookLight"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "key", "status", "words"), OUTCOMES, ids=[f"{o[0]}-{o[2]}" for o in OUTCOMES])
async def test_every_outcome_of_a_download(call: Caller, path: str, key: str | None, status: int, words: str):
    got, body, headers = await call(f"/api/download/models/{path}", key=key)
    assert got == status
    assert words in (urlsplit(headers["Location"]).path if status == 307 else json.dumps(body, ensure_ascii=False))
    if status == 307:
        assert headers["Cache-Control"] == "no-store, max-age=0"
        assert headers["Location"].startswith(call.sandbox.storage_url + "/")


async def test_the_sites_own_moods(call: Caller):
    site = call.sandbox.site
    site.login = False
    assert (await call("/api/download/models/300001"))[0] == 307
    assert (await call("/api/download/models/300051"))[0] == 401
    site.quota = 1
    status, body, _ = await call("/api/download/models/300001", key="mine")
    assert status == 429 and "unusual amount of downloading" in body["error"]
    site.blocked = True
    assert (await call("/api/download/models/300001", key="mine"))[:2] == (403, {"error": "Forbidden"})
    status, _, _ = await call(
        call.sandbox.orchestration_url + "/sandbox/control", data={"site": {"blocked": False, "quota": 0}}
    )
    assert status == 200 and (await call("/api/download/models/300001", key="mine"))[0] == 307
    for wishes in ({"nonsense": 1}, {"storage_troubles": ["nonsense"]}, {"storage": 1}):
        assert (await call(call.sandbox.orchestration_url + "/sandbox/control", data={"site": wishes}))[0] == 400


async def test_a_browser_is_sent_to_a_page(call: Caller):
    status, _, headers = await call("/api/download/models/300001", User_Agent="My Operator 1.0")
    assert status == 307 and "/login" in headers["Location"]
    status, body, _ = await call("/api/download/models/5", key="mine", User_Agent="Mozilla/5.0")
    assert (status, body) == (404, b"File not found")


# --- storage ---------------------------------------------------------------------------------------------------------


async def test_storage_refuses_a_key_a_head_and_a_signature_that_is_not_its_own(call: Caller):
    url = await call.located("300001")
    for address, status, words in (
        (url.replace("X-Amz-Signature=", "X-Amz-Signature=0"), 403, b"SignatureDoesNotMatch"),
        (url.split("?")[0], 403, b"SignatureDoesNotMatch"),
        (url.replace("3000010", "3000030"), 403, b"SignatureDoesNotMatch"),
    ):
        got, body, _ = await call(address)
        assert got == status and words in body
    got, body, _ = await call(url, key="mine")
    assert got == 400 and b"InvalidRequest" in body
    assert (await call(url, method="HEAD"))[0] == 403
    got, body, _ = await call(await call.located("300085"))
    assert got == 403 and b"Request has expired" in body
    call.sandbox.site.storage.seconds = -1
    assert (await call(await call.located("300001")))[0] == 403


async def test_ranges(call: Caller):
    url = await call.located("300001")
    _, whole, headers = await call(url)
    assert headers["Accept-Ranges"] == "bytes"
    status, part, headers = await call(url, Range="bytes=100-")
    assert (status, part) == (206, whole[100:]) and headers[
        "Content-Range"
    ] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
    assert (await call(url, Range="bytes=5-9"))[:2] == (206, whole[5:10])
    status, _, headers = await call(url, Range=f"bytes={len(whole)}-")
    assert status == 416 and headers["Content-Range"] == f"bytes */{len(whole)}"
    assert (await call(url, Range="bytes=5-", If_Range='"another"'))[:2] == (200, whole)
    call.sandbox.site.storage.troubles.append("no range")
    assert (await call(url, Range="bytes=5-"))[:2] == (200, whole)


@pytest.mark.parametrize(("version_id", "trouble"), [("300079", ""), ("300001", "cut")])
async def test_a_body_that_is_cut_off(call: Caller, version_id: str, trouble: str):
    url = await call.located(version_id)
    call.sandbox.site.storage.troubles.extend([trouble] if trouble else [])
    with pytest.raises(aiohttp.ClientPayloadError):
        await call(url)


@pytest.mark.parametrize(
    ("version_id", "trouble", "same_size"),
    [("300077", "", True), ("300081", "", False), ("300001", "wrong", True), ("300001", "short", False)],
)
async def test_other_bytes_than_were_stated(call: Caller, version_id: str, trouble: str, same_size: bool):
    url = await call.located(version_id)
    call.sandbox.site.storage.troubles.extend([trouble] if trouble else [])
    status, content, _ = await call(url)
    (stated,) = (await version(call, int(version_id)))["files"]
    assert status == 200 and (len(content) == stated["sizeKB"] * 1024) is same_size
    assert hashlib.sha256(content).hexdigest().upper() != stated["hashes"]["SHA256"]


async def test_file_names_in_headers(call: Caller):
    _, _, headers = await call(await call.located("300067"))
    assert headers["Content-Disposition"] == 'attachment; filename="Chosen Name.safetensors"'
    _, _, headers = await call(await call.located("300069"))
    assert "../../evil.safetensors" in headers["Content-Disposition"], "a client must not trust it"


async def test_pictures_of_the_site(call: Caller):
    _, body, _ = await call("/api/v1/images?imageId=900001")
    status, content, headers = await call(body["items"][0]["url"])
    assert status == 200 and headers["Content-Type"] == "image/jpeg" and content[:2] == b"\xff\xd8"
    assert (await call(call.sandbox.storage_url + "/t/unknown/p/n.jpeg"))[0] == 404


async def test_the_log_names_each_route(call: Caller):
    await call.located("300001")
    await call("/api/v1/images")
    await call.trpc({"json": {"id": 900001}})
    await call(await call.located("300001"))
    assert [(seen.host, seen.route) for seen in call.sandbox.requests] == [
        ("site", "download"), ("site", "site"), ("site", "trpc"), ("site", "download"), ("storage", "storage"),
    ]  # fmt: skip


async def test_faults_of_the_site(call: Caller):
    call.sandbox.script.fault(
        "site", "status", status=503, body={"error": "Server busy, please retry shortly."}, after="2"
    )
    status, _, headers = await call("/api/v1/images")
    assert status == 503 and headers["Retry-After"] == "2"
    call.sandbox.script.fault("download", "status", status=451, body={"error": "no", "code": "REGION_BLOCKED"})
    assert (await call("/api/download/models/300001", key="mine"))[0] == 451


def test_every_image_names_versions_that_exist():
    for image in images.IMAGES.values():
        assert all(version_id in models.VERSIONS for version_id, _ in image.resources)
        wire.success(image_answers.generation_data(image), "superjson")
