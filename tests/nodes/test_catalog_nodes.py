"""Catalog Check, Add, Promote and Download on the stand-in, and the routes that the server is given."""

from __future__ import annotations

import asyncio
import importlib
import json
import math
import os
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pack.civitai_bridge.app import Tuning
from pack.civitai_bridge.errors import (
    BadInput,
    BadSetting,
    DownloadDamaged,
    NotALora,
    NotFound,
    NotInCatalog,
    UnknownReference,
)
from pack.civitai_bridge.metadata.generation import GenerationData, UsedResource
from pack.civitai_bridge.network.background import background_loop
from pack.civitai_bridge.orchestration.timings import Timings
from pack.civitai_bridge.sandbox import Embedded, files, models
from pack.civitai_bridge.settings import save_setting

LORA, OTHER, CHECKPOINT = 300001, 300003, 128078
NAME = "storybookLight_v2.safetensors"


@pytest.fixture
def sandbox(embedded: Embedded, nodes: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The site, a models folder that ComfyUI knows, and an end that leaves nothing open."""
    monkeypatch.setenv("CIVITAI_ORCHESTRATION_URL", embedded.sandbox.orchestration_url)
    monkeypatch.setenv("CIVITAI_SITE_URL", embedded.sandbox.site_url)
    monkeypatch.setenv("CIVITAI_API_TOKEN", "a-key")
    core, models = sys.modules["folder_paths"], tmp_path / "models"
    known = {key: ([str(models / key)], set()) for key in ("checkpoints", "loras", "vae", "custom_nodes")}
    for paths, _ in known.values():
        os.makedirs(paths[0])
    monkeypatch.setattr(core, "folder_names_and_paths", known)
    monkeypatch.setattr(core, "models_dir", str(models), raising=False)
    background_loop().start(_allow(embedded.sandbox.storage_url)).result(10)
    embedded.sandbox.script.faults.clear()
    embedded.sandbox.requests.clear()
    yield embedded.sandbox
    background_loop().start(nodes.app.close()).result(10)
    background_loop().stop()


async def _allow(url: str) -> None:
    (await background_loop().network()).allow_loopback(url)


@pytest.fixture
def catalog(nodes: Any, sandbox: Any) -> Any:
    return importlib.import_module("pack.nodes.catalog")


def run(node: Any, **inputs: Any) -> Any:
    """One node in a prompt loop of its own, with an id, as core runs it."""
    clone = type("Clone", (node,), {"hidden": type("Hidden", (), {"unique_id": "12"})})
    return asyncio.run(clone.execute(**inputs))


def home() -> Path:
    return Path(os.environ["CIVITAI_BRIDGE_HOME"])


def downloads_on() -> None:
    save_setting(home(), "graph_downloads", "on")


def loaded(sandbox: Any) -> list[str]:
    return [seen.path for seen in sandbox.requests if seen.route in ("download", "storage")]


# --- check


def test_check_tells_what_is_here_and_what_is_missing(catalog: Any, tmp_path: Path):
    run(catalog.CivitaiBridgeCatalogAdd, reference=str(LORA))
    (tmp_path / "models" / "loras" / NAME).write_bytes(files.content(models.VERSIONS[LORA].files[0]))
    out = run(catalog.CivitaiBridgeCatalogCheck, resources=f"{LORA}\n{CHECKPOINT}\n")
    all_present, missing, report = out.args
    assert (all_present, missing) == (False, str(CHECKPOINT)) and out.ui == {"text": [report]}
    assert report.endswith("1 present, 1 not found.")
    assert run(catalog.CivitaiBridgeCatalogCheck, resources=str(LORA)).args[:2] == (True, "")


@pytest.mark.parametrize(
    ("wire", "missing"),
    [
        (models.VERSIONS[LORA].air, 1),
        (LORA, 1),
        ([{"air": models.VERSIONS[LORA].air, "strength": 1.0}, {"air": "", "name": "nobody", "strength": 1.0}], 2),
        (
            GenerationData(model_air=models.VERSIONS[CHECKPOINT].air, networks=(UsedResource("", version_id=LORA),)),
            2,
        ),
        (UsedResource("", version_id=LORA), 1),
        ("", 0),
        (None, 0),
        ([], 0),
        (GenerationData(), 0),
    ],
)
def test_check_understands_every_wire(catalog: Any, wire: Any, missing: int):
    all_present, listed, _ = run(catalog.CivitaiBridgeCatalogCheck, resources=wire).args
    assert len(listed.splitlines()) == missing and all_present is (missing == 0)


def test_check_refuses_what_is_no_resource(catalog: Any):
    with pytest.raises(BadInput, match="references, LoRAs and generation data"):
        run(catalog.CivitaiBridgeCatalogCheck, resources=object())


async def _at_once(_: float) -> None:
    return None


def test_a_service_that_is_away_is_unknown_and_no_error(catalog: Any, nodes: Any, sandbox: Any):
    nodes.app.tuning = Tuning(timings=Timings(sleep=_at_once))
    sandbox.script.fault("site", "drop", times=50)
    out = run(catalog.CivitaiBridgeCatalogCheck, resources=str(OTHER))
    assert out.args[0] is False and "unknown" in out.args[2] and "could not be asked" in out.args[2]


# --- add and promote


def test_add_and_promote_say_what_became_of_it(catalog: Any):
    added = [run(catalog.CivitaiBridgeCatalogAdd, reference=r).args for r in (str(LORA), LORA)]
    assert added[0] == ("added", NAME, "loras", f"Added: Storybook Light v2 [SDXL 1.0 FP16] ({NAME} in loras).")
    assert added[1][:3] == ("already_exists", NAME, "loras")
    out = [run(catalog.CivitaiBridgeCatalogPromote, reference=str(LORA)) for _ in range(2)]
    assert out[0].args == ("promoted", "sdxl_loras", f"Moved to loras.json: {NAME} in sdxl_loras.")
    assert out[1].args == ("already_exists", "sdxl_loras", "It is in loras.json already.")
    assert out[0].ui == {"text": [out[0].args[2]]}
    assert json.loads((home() / "loras.json").read_text())["categories"][0]["id"] == "sdxl_loras"


def test_what_a_creator_restricts_is_a_status_and_no_error(catalog: Any):
    status, file, category, report = run(catalog.CivitaiBridgeCatalogAdd, reference="300013").args
    assert (status, file, category) == ("restricted", "", "") and "InternalGeneration" in report


@pytest.mark.parametrize(
    ("node", "reference", "error"),
    [
        ("CatalogAdd", "999999", NotFound),
        ("CatalogAdd", "", UnknownReference),
        ("CatalogAdd", "no reference", UnknownReference),
        ("CatalogPromote", str(OTHER), NotInCatalog),
        ("CatalogPromote", None, UnknownReference),
        ("Download", "999999", NotFound),
        ("Download", "  ", UnknownReference),
    ],
)
def test_what_cannot_be_is_an_error_in_words(catalog: Any, node: str, reference: Any, error: type[Exception]):
    downloads_on()
    with pytest.raises(error) as caught:
        more = {"allow_download": True} if node == "Download" else {}
        run(getattr(catalog, f"CivitaiBridge{node}"), reference=reference, **more)
    assert str(caught.value).endswith(".")


def test_an_archived_model_is_a_reason_and_no_error(catalog: Any):
    downloads_on()
    file, status = run(catalog.CivitaiBridgeDownload, reference="300011", allow_download=True).args
    assert status == "missing" and "archived" in file.message


def test_only_a_lora_is_promoted(catalog: Any):
    run(catalog.CivitaiBridgeCatalogAdd, reference=str(CHECKPOINT))
    with pytest.raises(NotALora, match="only `loras`"):
        run(catalog.CivitaiBridgeCatalogPromote, reference=str(CHECKPOINT))


# --- download


@pytest.mark.parametrize(
    ("setting", "switch", "words"), [("off", True, "graph_downloads on"), ("on", False, "allow_download"), ("off", False, "graph_downloads on")]
)  # fmt: skip
def test_a_graph_alone_loads_nothing(catalog: Any, sandbox: Any, setting: str, switch: bool, words: str):
    save_setting(home(), "graph_downloads", setting)
    out = run(catalog.CivitaiBridgeDownload, reference=str(LORA), allow_download=switch)
    file, status = out.args
    assert status == "missing" and words in file.message and out.ui == {"text": [file.message]}
    assert loaded(sandbox) == []


def test_a_download_lands_where_loaders_look(catalog: Any, sandbox: Any, comfy: Any, tmp_path: Path):
    downloads_on()
    out = run(catalog.CivitaiBridgeDownload, reference=str(LORA), allow_download=True)
    assert out.args == (NAME, "downloaded")
    assert (tmp_path / "models" / "loras" / NAME).read_bytes() == files.content(models.VERSIONS[LORA].files[0])
    assert "Downloaded" in out.ui["text"][0] and comfy.progress[-1][0] == "12" and 0 < comfy.progress[-1][1] <= 100
    assert comfy.texts and {(node, client) for _, node, client in comfy.texts} == {("12", "client-1")}
    before = loaded(sandbox)
    save_setting(home(), "graph_downloads", "off")
    assert run(catalog.CivitaiBridgeDownload, reference=str(LORA)).args == (NAME, "present")
    assert loaded(sandbox) == before, "what is here needs no permission and no request"
    assert run(catalog.CivitaiBridgeCatalogCheck, resources=str(LORA)).args[0] is True


def test_what_may_not_be_had_blocks_with_the_reason(catalog: Any, sandbox: Any):
    downloads_on()
    for reference in ("300013", "300045"):
        file, status = run(catalog.CivitaiBridgeDownload, reference=reference, allow_download=True).args
        assert status == "missing" and file.message.endswith("."), reference


def test_wrong_bytes_are_an_error_and_no_file(catalog: Any, sandbox: Any, tmp_path: Path):
    downloads_on()
    sandbox.script.fault("storage", "wrong", times=20)
    with pytest.raises(DownloadDamaged):
        run(catalog.CivitaiBridgeDownload, reference=str(LORA), allow_download=True)
    assert not (tmp_path / "models" / "loras" / NAME).exists()


def test_the_button_stops_a_download_and_the_next_one_goes_on(catalog: Any, sandbox: Any, comfy: Any, tmp_path: Path):
    from standin_comfy import InterruptProcessingException

    downloads_on()
    sandbox.script.fault("storage", "slow", seconds=20.0)

    async def prompt() -> None:
        asyncio.get_running_loop().call_later(0.5, lambda: setattr(comfy, "interrupted", True))
        await catalog.CivitaiBridgeDownload.execute(reference=str(LORA), allow_download=True)

    started = time.monotonic()
    with pytest.raises(InterruptProcessingException):
        asyncio.run(prompt())
    assert time.monotonic() - started < 10 and comfy.interrupted, "the flag is peeked at, never cleared"
    assert not (tmp_path / "models" / "loras" / NAME).exists()
    comfy.interrupted = False
    assert run(catalog.CivitaiBridgeDownload, reference=str(LORA), allow_download=True).args == (NAME, "downloaded")


def test_a_teardown_lets_the_download_go_on(catalog: Any, sandbox: Any, comfy: Any, tmp_path: Path):
    """A sibling failed: what a person allowed to be loaded arrives all the same."""
    downloads_on()
    sandbox.script.fault("storage", "slow", seconds=0.8)

    async def prompt() -> None:
        task = asyncio.ensure_future(catalog.CivitaiBridgeDownload.execute(reference=str(LORA), allow_download=True))
        await asyncio.sleep(0.4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    comfy.history = {comfy.prompt_id: {"status": {"messages": [["execution_error", {}]]}}}
    asyncio.run(prompt())
    wait_for(lambda: (tmp_path / "models" / "loras" / NAME).exists())


def test_a_file_outside_every_loader_is_said(catalog: Any, sandbox: Any):
    home().mkdir(parents=True, exist_ok=True)
    entry = {"name": "x", "file": NAME, "dest": "my_own_place", "civitai_version_id": LORA}
    (home() / "models.json").write_text(json.dumps({"version": 1, "categories": [{"id": "x", "models": [entry]}]}))
    downloads_on()
    out = run(catalog.CivitaiBridgeDownload, reference=str(LORA), allow_download=True)
    assert out.args[1] == "downloaded" and "no folder that a loader" in out.args[0].message
    assert "no folder that a loader" in out.ui["text"][0]


def test_they_are_asked_each_time(catalog: Any):
    for name in ("CatalogCheck", "CatalogAdd", "CatalogPromote"):
        assert math.isnan(getattr(catalog, f"CivitaiBridge{name}").fingerprint_inputs(reference="1"))


def test_a_file_that_is_here_keeps_what_follows_in_the_cache(catalog: Any, tmp_path: Path):
    def fingerprint(**inputs: Any) -> Any:
        return asyncio.run(catalog.CivitaiBridgeDownload.fingerprint_inputs(**inputs))

    for nothing in ({}, {"reference": None}, {"reference": str(LORA)}, {"reference": "no reference"}):
        assert math.isnan(fingerprint(**nothing, allow_download=True))
    downloads_on()
    run(catalog.CivitaiBridgeDownload, reference=str(LORA), allow_download=True)
    first, second = (fingerprint(reference=str(LORA), allow_download=False) for _ in range(2))
    assert first == second and len(first) == 16, "core saves it with the graph: no path is in it"
    os.utime(tmp_path / "models" / "loras" / NAME, (1, 1))
    assert fingerprint(reference=str(LORA)) != first
    (tmp_path / "models" / "loras" / NAME).unlink()
    assert math.isnan(fingerprint(reference=str(LORA)))


def test_loaders_take_the_file(catalog: Any):
    kind = catalog.CivitaiBridgeDownload.define_schema().outputs[0].io_type
    assert str(kind) == "COMBO" and not kind != ["a", "list"], "core compares a wire's type with a loader's list"


# --- the scan in the background


def scanned(nodes: Any) -> Any:
    """The desk, when no scan of it runs any more."""
    desk = background_loop().start(nodes.services.services().catalog()).result(10)
    wait_for(lambda: not any(watch.is_running for watch in nodes.services.services().watches.values()))
    return desk


def names(desk: Any) -> list[str]:
    return sorted(one.name for one in desk.index.files().all if one.sha256)


def put(models: Path, name: str, data: bytes) -> Path:
    path = models / "models" / "loras" / name
    path.write_bytes(data)
    return path


def test_files_that_come_later_are_hashed_and_asked_about_without_a_key(
    nodes: Any, sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("CIVITAI_API_TOKEN")
    nodes.app.tuning = Tuning(look_every=0.0)
    data = files.content(models.VERSIONS[LORA].files[0])
    assert names(scanned(nodes)) == []
    put(tmp_path, "late.safetensors", data)
    desk = scanned(nodes)
    assert names(desk) == ["late.safetensors"] and [one.version_id for one in desk.index.files().all] == [LORA]
    assert "/api/v1/model-versions/by-hash/ids" in [seen.path for seen in sandbox.requests]
    desk.index.require(["CRC32"])
    assert not scanned(nodes).index.is_missing("CRC32")


def test_files_are_looked_at_again_when_it_is_due_and_not_sooner(
    nodes: Any, sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    nodes.app.tuning = Tuning(look_every=0.0)
    path = put(tmp_path, "a.safetensors", b"a")
    first = scanned(nodes).index.files()
    path.write_bytes(b"other")
    assert scanned(nodes).index.files() is first, "no name is new"
    nodes.app.tuning = Tuning(look_every=0.0, scan_every=0.0)
    assert scanned(nodes).index.files() is not first
    nodes.app.tuning = Tuning(look_every=3600.0)
    path.unlink()
    assert names(scanned(nodes)) == ["a.safetensors"], "somebody has just looked"


def test_a_list_that_cannot_be_had_keeps_nobody_from_the_catalogs(
    nodes: Any, sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(sys.modules["folder_paths"], "get_filename_list", lambda folder: {}[folder])
    put(tmp_path, "a.safetensors", b"a")
    assert names(scanned(nodes)) == ["a.safetensors"]
    assert "cannot be seen" in caplog.text


def test_a_scan_that_fails_is_logged_whatever_it_was(
    nodes: Any, sandbox: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(path: Any = ".") -> Any:
        raise RuntimeError("surrogates not allowed")

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", broken)
        service = scanned(nodes)
    assert "could not be looked at" in caplog.text and "surrogates" in caplog.text and service.scanning is None


def test_how_far_the_hashing_is_stands_in_the_log(nodes: Any, caplog: pytest.LogCaptureFixture):
    from pack.civitai_bridge.model_files.progress import HashingProgress

    caplog.set_level("INFO")
    tell = nodes.watch.log_tenths()
    for done in range(0, 1001, 25):
        tell(HashingProgress(done, 1000, done, 1000))
    assert (
        len(caplog.messages) == 10 and caplog.messages[0] == "10 % of the bytes; 100 of 1,000 files are hashed so far."
    )
    nodes.watch.log_tenths()(HashingProgress(1, 1, 0, 0))


def test_check_says_that_files_are_hashed_still(catalog: Any, nodes: Any, monkeypatch: pytest.MonkeyPatch):
    from pack.civitai_bridge.model_files.progress import HashingProgress

    desk = scanned(nodes)
    desk.scanning = HashingProgress(1200, 50_000, 1, 2)
    report = run(catalog.CivitaiBridgeCatalogCheck, resources=str(OTHER)).args[2]
    assert report.startswith("1,200 of 50,000 files are hashed so far.") and report.endswith("1 not found.")


def test_the_index_is_never_read_on_the_loop_of_all_stories(catalog: Any, nodes: Any, tmp_path: Path):
    put(tmp_path, NAME, files.content(models.VERSIONS[LORA].files[0]))
    service, seen = scanned(nodes), []

    def watch(frame: types.FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_name == "files" and code.co_filename.endswith("index.py"):
            seen.append(code.co_filename)

    async def watching(hook: Any) -> None:
        sys.setprofile(hook)  # of the loop's thread alone

    background_loop().start(watching(watch)).result(10)
    try:
        assert run(nodes.resolve.CivitaiBridgeResolve, reference=str(LORA)).args[6] == "present"
        stack = nodes.loras.CivitaiBridgeLoraStack
        wire = [{"air": models.VERSIONS[LORA].air, "strength": 1.0}]
        assert run(stack, loras=wire).args[0] == [(NAME, 1.0, 1.0)]
        assert run(catalog.CivitaiBridgeCatalogCheck, resources=str(LORA)).args[2]
    finally:
        background_loop().start(watching(None)).result(10)
    assert seen == [] and service.index


# --- the routes


def test_the_server_is_given_the_routes_and_a_token(
    nodes: Any, sandbox: Any, comfy: Any, monkeypatch: pytest.MonkeyPatch
):
    started: list[Any] = []
    server = sys.modules["server"].PromptServer.instance
    monkeypatch.setattr(server, "app", types.SimpleNamespace(on_startup=started, on_shutdown=[]), raising=False)
    asyncio.run(nodes.extension().get_node_list())
    assert {
        "/admin/civitai/image/{id:\\d+}", "/admin/civitai/catalog", "/admin/civitai/add/{id:\\d+}",
        "/admin/civitai/promote-to-lora/{id:\\d+}", "/civitai_bridge/session",
    } <= set(comfy.routes)  # fmt: skip
    assert not home().exists(), "listing the nodes touches no disk"
    for each in started:
        asyncio.run(each(server.app))
    kept = home() / "credentials.json"
    wait_for(kept.exists)
    assert len(json.loads(kept.read_text())["admin_token"]) > 30
    if os.name != "nt":
        assert kept.stat().st_mode & 0o777 == 0o600


def test_a_server_without_a_place_for_a_token_starts_all_the_same(
    nodes: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CIVITAI_BRIDGE_HOME", str(tmp_path / "file" / "state"))
    nodes.startup.make_token()
    assert "admin routes" in caplog.text


def test_a_state_folder_that_cannot_be_made_is_a_sentence_and_lets_nobody_in(
    nodes: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("CIVITAI_BRIDGE_HOME")
    core = sys.modules["folder_paths"]
    monkeypatch.setattr(core, "get_system_user_directory", lambda name: str(tmp_path / "file" / name))
    host = importlib.import_module("pack.nodes.host.services")
    with pytest.raises(BadSetting, match="cannot be made"):
        host.load_server_settings()


def test_what_is_wrong_with_the_environments_key_leaves_the_admin_token_alone(
    nodes: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("CIVITAI_API_TOKEN", "two words")
    nodes.startup.make_token()
    assert not caplog.records and (home() / "credentials.json").exists()


def wait_for(condition: Any, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def test_every_file_of_a_version_is_loaded_where_the_node_says_so(catalog: Any, sandbox: Any):
    downloads_on()
    out = run(catalog.CivitaiBridgeDownload, reference="300027", allow_download=True, files="all")
    assert out.args[1] == "downloaded" and out.ui["text"][0].count("Downloaded: In Parts") > 1
    again = run(catalog.CivitaiBridgeDownload, reference="300027", allow_download=True, files="all")
    assert again.args[1] == "present" and again.ui["text"][0].count("Here already") > 1
