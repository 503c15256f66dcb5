"""The nodes on the stand-in: what they declare, what they hand on, how they stop."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pack.civitai_bridge.errors import BadInput, NotFound
from pack.civitai_bridge.generation import GenerationData, Network
from pack.civitai_bridge.loop import backstage
from pack.civitai_bridge.sandbox import Embedded

SNAPSHOT = json.loads((Path(__file__).parent / "object_info.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def embedded() -> Iterator[Embedded]:
    made = Embedded(pace=0.05)
    yield made
    made.stop()
    backstage().stop()


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


def test_the_list_of_nodes(nodes: Any):
    listed = asyncio.run(nodes.extension().get_node_list())
    schemas = [node.define_schema() for node in listed]
    assert [s.node_id for s in schemas] == ["CivitaiBridgeGenerate", "CivitaiBridgeEstimate", "CivitaiBridgeResolve"]
    assert len({s.display_name for s in schemas}) == 3
    assert [s.is_output_node for s in schemas] == [False, True, True], "a node that pays is never a root of execution"


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
        networks=(Network("urn:air:sdxl:lora:civitai:3@4", 0.6),),
    )
    wanted, terms = nodes.generate.read_inputs({"model": "", "prompt": "", "steps": 20, "generation": data}, "p")
    assert (wanted.model, wanted.prompt, wanted.seed, wanted.steps, wanted.cfg) == (
        data.model_air,
        "from an image",
        5,
        20,
        4.0,
    )
    assert [lora.reference for lora in wanted.loras] == ["urn:air:sdxl:lora:civitai:3@4"] and terms.prompt_id == "p"
    stack = [{"air": "", "version_id": 300001, "strength": 0.5, "name": "x"}]
    wanted, terms = nodes.generate.read_inputs(
        {"model": 128078, "prompt": "x", "loras": stack, "max_buzz": 7, "reuse_paid": False}, ""
    )
    assert wanted.model == "128078" and wanted.loras[0].reference == "300001" and wanted.loras[0].strength == 0.5
    assert (terms.max_buzz, terms.reuse_paid) == (7, False)


def test_estimate_buys_nothing(nodes: Any, sandbox: Any, comfy: Any):
    before = len(sandbox.ledger)
    out = run(nodes.generate.CivitaiBridgeEstimate, **small())
    assert out.args[:2] == (1.0, True) and len(sandbox.ledger) == before
    assert out.ui["text"] == [out.args[2]]


def test_resolve_finds_the_file_by_its_exact_name(nodes: Any, sandbox: Any, comfy: Any):
    node = nodes.resources.CivitaiBridgeResolve
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
        ticket = nodes.host.Ticket("12")
        from pack.civitai_bridge.orchestration.generate import State

        ticket.show(State("x", "8 Buzz · 1 s", 0.5))
        ticket.show(State("x", "8 Buzz · 1 s", 0.6))
        ticket.leave()
        ticket.show(State("x", "after", 0.9))

    asyncio.run(execute())
    assert comfy.texts == [("8 Buzz · 1 s", "12", "client-1")] and [value for _, value in comfy.progress] == [
        50.0,
        60.0,
    ]


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
    with pytest.raises(BadInput, match="civitai-bridge login"):
        run(nodes.generate.CivitaiBridgeGenerate, **small())


def wait_for(condition: Any, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
