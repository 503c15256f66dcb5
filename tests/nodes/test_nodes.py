"""The nodes on the stand-in: what they declare, what they hand on, how they stop."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sqlite3
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import pytest

from pack.civitai_bridge.errors import (
    BadInput,
    BlobUnavailable,
    CivitaiError,
    LimitReached,
    NotFound,
    StateTrouble,
    StillRunning,
)
from pack.civitai_bridge.metadata.generation import GenerationData, UsedResource
from pack.civitai_bridge.network.background import background_loop
from pack.civitai_bridge.orchestration.journal import Journal
from pack.civitai_bridge.sandbox import Embedded
from pack.civitai_bridge.settings import save_setting
from pack.civitai_bridge.wording import at_a_graph, command, public_command

ROOTS = (
    "ImageData", "ReadImage", "Resolve", "Estimate", "CatalogCheck", "CatalogAdd", "CatalogPromote", "Download", "SaveImage",
    "WorkflowImages", "WorkflowQuery",
)  # fmt: skip
SNAPSHOT = json.loads((Path(__file__).parent / "object_info.json").read_text(encoding="utf-8"))


@pytest.fixture
def sandbox(embedded: Embedded, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("CIVITAI_ORCHESTRATION_URL", embedded.sandbox.orchestration_url)
    monkeypatch.setenv("CIVITAI_SITE_URL", embedded.sandbox.site_url)
    monkeypatch.setenv("CIVITAI_API_TOKEN", "a-key")
    return embedded.sandbox


def run(node: Any, **inputs: Any) -> Any:
    """One node in a prompt loop of its own, as core runs it."""
    return asyncio.run(node.execute(**inputs))


def small(**more: Any) -> dict[str, Any]:
    return {"model": "128078", "prompt": f"a lighthouse {time.monotonic_ns()}", "width": 64, "height": 64, **more}


def order(nodes: Any, inputs: dict[str, Any], prompt_id: str) -> Any:
    """Request, terms and notes of a Generate node, before the price."""
    return background_loop().start(nodes.generate._order(inputs, prompt_id)).result(20)


def test_the_list_of_nodes(nodes: Any):
    listed = asyncio.run(nodes.extension().get_node_list())
    schemas = [node.define_schema() for node in listed]
    assert sorted(s.node_id for s in schemas) == sorted(SNAPSHOT)
    assert len({s.display_name for s in schemas}) == len(schemas)
    inner = {s.node_id for s in schemas if not s.is_output_node}
    assert "CivitaiBridgeGenerate" in inner, "a node that pays is never a root of execution"
    assert not inner & {f"CivitaiBridge{name}" for name in ROOTS}


@pytest.mark.parametrize("name", sorted(SNAPSHOT))
def test_inputs_and_outputs_are_frozen(nodes: Any, name: str):
    """New inputs are optional and come last, new outputs come last; the snapshot is of the real ComfyUI."""
    listed = {n.define_schema().node_id: n.define_schema() for n in asyncio.run(nodes.extension().get_node_list())}
    schema, wanted = listed[name], SNAPSHOT[name]
    assert [i.id for i in schema.inputs if not i.optional] == wanted["input_order"]["required"]
    assert [i.id for i in schema.inputs if i.optional] == wanted["input_order"].get("optional", [])
    assert [o.id for o in schema.outputs] == wanted["output_name"]
    assert [str(o.io_type) for o in schema.outputs] == wanted["output"] or name == "CivitaiBridgeGenerate"


def test_every_input_and_output_explains_itself(nodes: Any):
    for node in asyncio.run(nodes.extension().get_node_list()):
        schema = node.define_schema()
        assert schema.description
        for part in [*schema.inputs, *schema.outputs]:
            own = part.inner.options if getattr(part, "inner", None) else part.options
            assert own.get("tooltip"), f"{schema.node_id}.{part.id}"


def test_defaults_are_the_contracts(nodes: Any):
    info = SNAPSHOT["CivitaiBridgeGenerate"]["input"]["optional"]
    defaults = {name: spec[1].get("default") for name, spec in info.items() if len(spec) > 1}
    assert {n: defaults[n] for n in ("quantity", "width", "steps", "cfg", "engine", "operation", "denoise", "max_buzz", "reuse_paid", "wait_minutes")} == {
        "quantity": 1, "width": 0, "steps": 0, "cfg": 0.0, "engine": "auto", "operation": "auto", "denoise": 0.7, "max_buzz": 0,
        "reuse_paid": True, "wait_minutes": 30,
    }  # fmt: skip
    assert info["seed"][1]["max"] == 2**53 - 1


def test_generate_gives_tensors_and_text(nodes: Any, sandbox: Any, comfy: Any):
    torch = pytest.importorskip("torch", reason="make test installs a CPU build where there is one")
    node = nodes.generate.CivitaiBridgeGenerate
    out = run(node, **small(quantity=2))
    images, mask, generation, workflow_id, air, cost, urls, report = out.args
    assert images.shape == (2, 64, 64, 3) and images.dtype == torch.float32 and 0 <= images.min() and images.max() <= 1
    assert mask.shape == (2, 64, 64) and not mask.any()
    assert generation.engine == "comfy/sdxl" and workflow_id and cost == 1.0
    assert air == "urn:air:sdxl:checkpoint:civitai:101055@128078"
    assert len(urls.splitlines()) == 2 and "sig=" not in report
    assert out.ui == {"text": [report]}


def test_an_image_and_a_mask_go_along(nodes: Any, sandbox: Any, comfy: Any):
    torch = pytest.importorskip("torch", reason="make test installs a CPU build where there is one")
    picture = torch.rand(2, 48, 64, 3)
    out = run(nodes.generate.CivitaiBridgeGenerate, **small(image=picture, denoise=0.4))
    body = json.loads(next(s for s in reversed(sandbox.requests) if s.route == "submit").body)
    assert body["steps"][0]["input"]["operation"] == "createVariant" and out.args[0].shape == (1, 64, 64, 3)
    with pytest.raises(BadInput, match="takes no mask"):
        run(nodes.generate.CivitaiBridgeGenerate, **small(image=picture, mask=torch.ones(1, 48, 64)))


def test_a_wire_may_bring_loras_and_a_generation(nodes: Any):
    data = GenerationData(
        prompt="from an image",
        model_air="urn:air:sdxl:checkpoint:civitai:1@2",
        seed=5,
        steps=12,
        cfg=4.0,
        sampler="euler",
        networks=(UsedResource("urn:air:sdxl:lora:civitai:3@4", 0.6),),
    )
    wanted, terms, _ = order(nodes, {"model": "", "prompt": "", "steps": 20, "generation": data}, "p")
    assert (wanted.model, wanted.prompt, wanted.seed, wanted.steps, wanted.cfg) == (
        data.model_air,
        "from an image",
        5,
        20,
        4.0,
    )
    assert [lora.reference for lora in wanted.loras] == ["urn:air:sdxl:lora:civitai:3@4"] and terms.prompt_id == "p"
    stack = [{"air": "", "version_id": 300001, "strength": 0.5, "name": "x"}]
    wanted, terms, _ = order(
        nodes, {"model": 128078, "prompt": "x", "loras": stack, "max_buzz": 7, "reuse_paid": False}, ""
    )
    assert wanted.model == "128078" and wanted.loras[0].reference == "300001" and wanted.loras[0].strength == 0.5
    assert (terms.max_buzz, terms.reuse_paid) == (7, False)


def test_estimate_buys_nothing(nodes: Any, sandbox: Any, comfy: Any):
    before = len(sandbox.ledger)
    out = run(nodes.generate.CivitaiBridgeEstimate, **small())
    assert out.args[:2] == (1.0, True) and len(sandbox.ledger) == before
    assert out.ui["text"] == [out.args[2]]


def test_resolve_finds_the_file_by_its_exact_name(nodes: Any, sandbox: Any, comfy: Any):
    node = nodes.resolve.CivitaiBridgeResolve
    out = run(node, reference="128078")
    name = out.args[7].message.split("no ")[1].split(" in ")[0]
    assert out.args[6] == "missing"
    comfy.files["checkpoints"] = [f"other/x{name}", f"sdxl\\{name}"]
    out = run(node, reference=128078)
    assert out.args[6:8] == ("present", f"sdxl\\{name}") and out.args[1] == 128078 and "exact" in out.args[8]


def test_progress_goes_to_who_queued_it(nodes: Any, sandbox: Any, comfy: Any):
    async def execute() -> None:
        clone = type("Clone", (nodes.generate.CivitaiBridgeEstimate,), {})
        clone.hidden = type("Hidden", (), {"unique_id": "12"})
        node_run = nodes.interrupt.NodeRun("12")
        from pack.civitai_bridge.orchestration.outcome import State

        node_run.show(State("x", "8 Buzz · 1 s", 0.5))
        node_run.show(State("x", "8 Buzz · 1 s", 0.6, 8, "wf-1"))
        node_run.leave()
        node_run.show(State("x", "after", 0.9))

    asyncio.run(execute())
    assert comfy.texts == [("8 Buzz · 1 s", "12", "client-1")] and [value for _, value in comfy.progress] == [
        50.0,
        60.0,
    ]
    assert [(event, client) for event, _, client in comfy.events] == [("civitai_bridge.job", "client-1")] * 2
    last = comfy.events[-1][1]
    assert (last["node"], last["progress"], last["price"], last["workflow_id"]) == ("12", 0.6, 8, "wf-1")


def test_the_button_becomes_cores_own_exception(nodes: Any, sandbox: Any, comfy: Any):
    from standin_comfy import InterruptProcessingException

    sandbox.script.job(seconds=1000)

    async def prompt() -> None:
        asyncio.get_running_loop().call_later(0.6, lambda: setattr(comfy, "interrupted", True))
        await nodes.generate.CivitaiBridgeGenerate.execute(**small())

    with pytest.raises(InterruptProcessingException):
        asyncio.run(prompt())
    wait_for(
        lambda: (
            sandbox.requests[-1].route in ("cancel", "poll") and any(s.route == "cancel" for s in sandbox.requests[-3:])
        )
    )
    assert comfy.interrupted, "the flag is peeked at, never cleared"


@pytest.mark.parametrize(("message", "cancels"), [("execution_interrupted", 1), ("execution_error", 0)])
def test_after_a_teardown_the_history_decides(nodes: Any, sandbox: Any, comfy: Any, message: str, cancels: int):
    sandbox.script.job(seconds=40)
    before = sum(1 for s in sandbox.requests if s.route == "cancel")
    orders = sum(1 for s in sandbox.requests if s.route == "submit")

    async def prompt() -> None:
        task = asyncio.ensure_future(nodes.generate.CivitaiBridgeGenerate.execute(**small()))
        while sum(1 for s in sandbox.requests if s.route == "submit") == orders:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(prompt())
    time.sleep(0.1)
    comfy.history = {comfy.prompt_id: {"status": {"messages": [[message, {}]]}}}
    wait_for(lambda: sum(1 for s in sandbox.requests if s.route == "cancel") - before >= cancels)
    time.sleep(0.4)
    assert sum(1 for s in sandbox.requests if s.route == "cancel") - before == cancels


def test_an_error_is_a_sentence_with_a_short_traceback(nodes: Any, sandbox: Any, comfy: Any):
    with pytest.raises(NotFound, match="not published") as caught:
        run(nodes.generate.CivitaiBridgeGenerate, **small(model="300009"))
    depth, here = 0, caught.value.__traceback__
    while here:
        depth, here = depth + 1, here.tb_next
    assert (depth < 12 and caught.value.__context__ is None) or caught.value.__suppress_context__


def test_no_key_is_said_on_the_node(nodes: Any, sandbox: Any, comfy: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CIVITAI_API_TOKEN")
    with pytest.raises(BadInput, match="login") as caught:
        run(nodes.generate.CivitaiBridgeGenerate, **small())
    words = (
        f"Enter your key in ComfyUI's Settings → Civitai Bridge, or run `{command()} login`, or set CIVITAI_API_TOKEN"
    )
    assert words in str(caught.value), "the page's field first, then the command as it is called in this install"


def test_a_stored_key_that_is_not_accepted_is_entered_again_on_the_page(
    nodes: Any, sandbox: Any, comfy: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("CIVITAI_API_TOKEN")
    assert at_a_graph("It is wrong. Run `civitai-bridge login`.").startswith(
        "It is wrong. Enter your key in ComfyUI's Settings → Civitai Bridge, or run `"
    )
    assert "; enter your key in " in at_a_graph("With an API key it may be read; run `civitai-bridge login`.")


def test_a_public_command_names_no_folder_of_the_server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    path = public_command().removeprefix("python ").strip('"')
    assert path.count("/") == 2 and path.endswith("/civitai_bridge")
    assert str(Path.home()) not in public_command()


def test_commands_are_named_as_they_work_in_this_install(nodes: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "civitai-bridge").write_text("#!/bin/sh\n")
    (tmp_path / "civitai-bridge").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command() == "civitai-bridge" or os.name == "nt"
    monkeypatch.setenv("PATH", "")
    report = nodes.base.report_text("Run `civitai-bridge journal list`.")
    assert sys.executable in report and report.replace('"', "").endswith("civitai_bridge journal list`.")
    parts = shlex.split(report.split("`")[1])
    done = subprocess.run(parts, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "The journal is empty." in done.stdout


def test_a_wrong_key_of_the_environment_is_said_of_the_environment(
    nodes: Any, sandbox: Any, comfy: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CIVITAI_API_TOKEN", "wrong")
    with pytest.raises(CivitaiError, match="environment variable CIVITAI_API_TOKEN") as caught:
        run(nodes.generate.CivitaiBridgeEstimate, **small())
    assert "Settings" not in str(caught.value), "a key that is entered on the page would not be read"
    monkeypatch.setenv("CIVITAI_API_TOKEN", "two words")
    with pytest.raises(CivitaiError, match="in the environment variable CIVITAI_API_TOKEN has characters"):
        run(nodes.generate.CivitaiBridgeEstimate, **small())


def test_an_error_has_no_path_in_its_name(nodes: Any, sandbox: Any, comfy: Any):
    with pytest.raises(NotFound) as caught:
        run(nodes.resolve.CivitaiBridgeResolve, reference="999999999")
    kind = type(caught.value)
    assert f"{kind.__module__}.{kind.__qualname__}" == "civitai_bridge.NotFound"


# --- what goes wrong, as the node says it (issue "Under fire", Bad input); nothing of it loses a picture or pays twice


def home() -> Path:
    return Path(os.environ["CIVITAI_BRIDGE_HOME"])


def submits(sandbox: Any) -> int:
    return sum(1 for seen in sandbox.requests if seen.route == "submit")


def test_a_limit_says_which_what_is_left_and_that_nothing_was_bought(nodes: Any, sandbox: Any, comfy: Any):
    save_setting(home(), "limit_buzz_per_prompt", 3)
    before = submits(sandbox)
    order = small() | {"width": 1024, "height": 1024, "steps": 30}
    with pytest.raises(LimitReached, match=r"3 of the limit of 3.*limit_buzz_per_prompt.*Nothing more was bought"):
        run(nodes.generate.CivitaiBridgeGenerate, **order)
    assert submits(sandbox) == before


def test_a_day_that_is_used_up_says_when_it_frees(nodes: Any, sandbox: Any, comfy: Any):
    pytest.importorskip("torch", reason="make test installs a CPU build where there is one")
    save_setting(home(), "limit_buzz_per_day", 12)
    size = {"width": 1024, "height": 1024, "steps": 30}
    run(nodes.generate.CivitaiBridgeGenerate, **small() | size)
    before = submits(sandbox)
    with pytest.raises(LimitReached, match=r"limit_buzz_per_day.*frees at \d\d:\d\d"):
        run(nodes.generate.CivitaiBridgeGenerate, **small() | size)
    assert submits(sandbox) == before


@pytest.mark.parametrize(("fault", "words"), [("wrong", "not a PNG, JPEG or WebP"), ("short", "not paid again")])
def test_bytes_that_are_no_picture_are_asked_again_and_never_paid_again(
    nodes: Any, sandbox: Any, comfy: Any, fault: str, words: str
):
    sandbox.script.fault("content", fault, times=200)
    before, order = submits(sandbox), small()
    with pytest.raises(BlobUnavailable, match=words):
        run(nodes.generate.CivitaiBridgeGenerate, **order)
    sandbox.script.faults.clear()
    result = run(nodes.generate.CivitaiBridgeGenerate, **order)
    assert result.args[0].shape[1:3] == (64, 64) and submits(sandbox) == before + 1


def test_a_state_folder_without_locks_is_named_before_anything_is_sent(
    nodes: Any, sandbox: Any, comfy: Any, monkeypatch: pytest.MonkeyPatch
):
    if os.name == "nt":
        pytest.skip("needs SQLite's unix-none VFS; run by CI on Linux")
    real, before = sqlite3.connect, submits(sandbox)

    def without_locks(path: Any, **options: Any) -> Any:
        return real(f"file:{path}?vfs=unix-none", uri=True, **options)

    monkeypatch.setattr(sqlite3, "connect", without_locks)
    with pytest.raises(StateTrouble, match="CIVITAI_BRIDGE_HOME"):
        run(nodes.generate.CivitaiBridgeGenerate, **small())
    assert submits(sandbox) == before


def test_the_same_request_alive_in_another_server_is_waited_for_and_said(nodes: Any, sandbox: Any, comfy: Any):
    order, before = small(), submits(sandbox)
    sandbox.script.job(seconds=20.0)  # one second here
    with pytest.raises(StillRunning):
        run(nodes.generate.CivitaiBridgeGenerate, **order, wait_minutes=0.003)
    background_loop().start(_forget(nodes)).result(10)
    journal = Journal(home() / "journal.sqlite3")
    (row,) = journal.rows()
    assert journal.take(row.key, "another server") is not None
    result = []
    clone = type("Clone", (nodes.generate.CivitaiBridgeGenerate,), {"hidden": type("Hidden", (), {"unique_id": "12"})})
    node = threading.Thread(target=lambda: result.append(run(clone, **order)))
    node.start()
    wait_for(lambda: any("under way elsewhere" in text for text, *_ in comfy.texts))
    assert not result
    journal.release(row.key, "another server")
    journal.close()
    node.join(20)
    assert result[0].args[0].shape[0] == 1 and submits(sandbox) == before + 1


def test_open_purchases_are_looked_after_when_the_server_has_started(
    nodes: Any, sandbox: Any, comfy: Any, monkeypatch: pytest.MonkeyPatch
):
    started: list[Any] = []
    server = sys.modules["server"].PromptServer.instance
    monkeypatch.setattr(server, "app", types.SimpleNamespace(on_startup=started), raising=False)
    nodes.startup.wake_for_what_is_open()
    (wake,) = started
    before = len(sandbox.requests)
    asyncio.run(wake(server.app))
    time.sleep(0.3)
    assert len(sandbox.requests) == before and not (home() / "journal.sqlite3").exists(), "nothing is open"
    sandbox.script.job(seconds=20.0)  # one second here
    with pytest.raises(StillRunning):
        run(nodes.generate.CivitaiBridgeGenerate, **small(wait_minutes=0.003))
    background_loop().start(_forget(nodes)).result(10)
    time.sleep(1.2)
    asyncio.run(wake(server.app))

    def states() -> list[str]:
        journal = Journal(home() / "journal.sqlite3")
        try:
            return [row.state for row in journal.rows()]
        finally:
            journal.close()

    wait_for(lambda: states() == ["finished"])


async def _forget(nodes: Any) -> None:
    """The server ends: its Fleets are closed, their purchases keep their state."""
    await nodes.app.close()


def wait_for(condition: Any, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


async def test_no_script_of_the_page_is_kept_by_a_browser_over_an_update(
    nodes: Any, comfy: Any, monkeypatch: pytest.MonkeyPatch
):
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    routes = web.RouteTableDef()
    monkeypatch.setattr(sys.modules["server"].PromptServer.instance, "routes", routes)
    nodes.startup.serve_scripts()
    pack = nodes.startup.comfyui.PACK
    folder, web_folder = pack.name, pack / "web"
    app = web.Application()
    app.add_routes([*routes, web.static(f"/extensions/{folder}", web_folder)])  # as ComfyUI does it
    scripts = [*web_folder.rglob("*.mjs")]
    async with TestClient(TestServer(app)) as page:
        for script in scripts[:3]:
            answer = await page.get(f"/extensions/{folder}/{script.relative_to(web_folder).as_posix()}")
            assert answer.status == 200 and answer.headers["Cache-Control"] == "no-cache"
            assert "javascript" in answer.headers["Content-Type"] and await answer.read() == script.read_bytes()
        assert (await page.get(f"/extensions/{folder}/../locales/en/no.mjs")).status == 404
        assert (await page.get(f"/extensions/{folder}/no.mjs")).status == 404
