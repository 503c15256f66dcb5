"""Workflow Query and Workflow Images on the stand-in of ComfyUI and the sandbox."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from pack.civitai_bridge.errors import BadInput, BadRequest, CivitaiError, NotFound
from pack.civitai_bridge.network.background import background_loop
from pack.civitai_bridge.sandbox import Embedded
from pack.civitai_bridge.sandbox.made import fill, put_workflow
from pack.civitai_bridge.sandbox.users import user_id
from pack.civitai_bridge.sandbox.workflows import RETENTION


@pytest.fixture
def sandbox(embedded: Embedded, monkeypatch: pytest.MonkeyPatch, comfy: Any, tmp_path: Any) -> Any:
    monkeypatch.setenv("CIVITAI_ORCHESTRATION_URL", embedded.sandbox.orchestration_url)
    monkeypatch.setenv("CIVITAI_SITE_URL", embedded.sandbox.site_url)
    monkeypatch.setenv("CIVITAI_API_TOKEN", f"key-of-{tmp_path.name}")
    return embedded.sandbox


@pytest.fixture
def user(tmp_path: Any) -> str:
    return str(user_id(f"key-of-{tmp_path.name}"))


def run(node: Any, **inputs: Any) -> Any:
    return asyncio.run(node.execute(**inputs))


def fingerprint(node: Any, **inputs: Any) -> Any:
    return asyncio.run(node.fingerprint_inputs(**inputs))


def ids_of(sandbox: Any, user: str) -> list[str]:
    """Newest first."""
    return [run.id for run in reversed(sandbox.orchestrator.runs.values()) if run.user == user]


def test_a_query_lists_ids_page_by_page(nodes: Any, sandbox: Any, user: str):
    fill(sandbox.orchestrator, user, count=5)
    node = nodes.workflows.CivitaiBridgeWorkflowQuery
    first = run(node, take=3)
    assert first.args[0] == ids_of(sandbox, user)[:3] and first.args[1]
    second = run(node, take=3, cursor=first.args[1])
    assert second.args[0] == ids_of(sandbox, user)[3:] and second.args[1] == ""
    assert run(node, oldest_first=True).args[0] == ids_of(sandbox, user)[::-1]
    (listed,) = run(node, tags="made, made:2").args[0]
    assert listed == ids_of(sandbox, user)[2]
    report = first.ui["text"][0]
    assert report.count("succeeded") == 3 and "a lighthouse" in report and f"cursor {first.args[1]}" in report
    assert first.args[2] == report and "sig=" not in report


def test_a_query_that_fits_nothing_stops_what_follows_with_a_sentence(nodes: Any, sandbox: Any):
    out = run(nodes.workflows.CivitaiBridgeWorkflowQuery, tags="nobody has this")
    (blocker,) = out.args[0]
    assert type(blocker).__name__ == "ExecutionBlocker" and "No workflow of your account" in blocker.message
    assert out.args[1] == ""


def test_where_civitai_ignores_a_filter_it_is_kept_here_and_said(nodes: Any, sandbox: Any, user: str):
    fill(sandbox.orchestrator, user, count=3)
    sandbox.script.switch("ignored_filters", ("fromDate", "toDate"))
    try:
        out = run(nodes.workflows.CivitaiBridgeWorkflowQuery, from_date="2020-01-01", to_date="2020-01-02")
    finally:
        sandbox.script.switch("ignored_filters", ())
    assert type(out.args[0][0]).__name__ == "ExecutionBlocker" and "CivitAI ignored dates" in out.args[2]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"take": 0}, "take is 0"),
        ({"take": 99_999}, "take is 99999"),
        ({"tags": "x" * 201}, "1 to 200"),
        ({"tags": ",".join(map(str, range(11)))}, "at most 10"),
        ({"from_date": "yesterday"}, "from_date is 'yesterday'"),
        ({"to_date": "2026-02-30"}, "to_date"),
        ({"from_date": "2026-02-02", "to_date": "2026-02-01"}, "is after"),
    ],
)
def test_a_query_that_cannot_be_asked_is_a_sentence(nodes: Any, sandbox: Any, inputs: dict[str, Any], words: str):
    before = len(sandbox.requests)
    with pytest.raises(BadInput, match=words):
        run(nodes.workflows.CivitaiBridgeWorkflowQuery, **inputs)
    assert len(sandbox.requests) == before


def test_a_cursor_of_another_query_is_a_sentence(nodes: Any, sandbox: Any, user: str):
    fill(sandbox.orchestrator, user, count=3)
    node = nodes.workflows.CivitaiBridgeWorkflowQuery
    cursor = run(node, take=1).args[1]
    with pytest.raises(BadRequest, match="cursor"):
        run(node, take=1, tags="made", cursor=cursor)


def test_a_workflow_a_job_and_a_blob_give_their_pictures(nodes: Any, sandbox: Any, user: str):
    pytest.importorskip("torch", reason="make test installs a CPU build where there is one")
    fill(sandbox.orchestrator, user, count=1, pictures=2)
    (workflow_id,) = ids_of(sandbox, user)
    node = nodes.workflows.CivitaiBridgeWorkflowImages
    images, mask, generation, status, cost, report = run(node, workflow_id=f" {workflow_id} ").args
    assert images.shape == (2, 64, 64, 3) and mask.shape == (2, 64, 64) and (status, cost) == ("succeeded", 8.0)
    assert (generation.seed, generation.arrived, generation.engine) == (42, (0, 1), "sdcpp/sdxl")
    assert generation.workflow_id == workflow_id and "2 pictures" in report and "sig=" not in report
    step = sandbox.orchestrator.runs[workflow_id].data["steps"][0]
    assert run(node, workflow_id=step["jobs"][0]["id"]).args[0].shape[0] == 2
    by_blob = run(node, workflow_id=step["output"]["images"][1]["id"])
    assert by_blob.args[0].shape[0] == 1 and by_blob.args[2].workflow_id == "" and by_blob.args[3] == "succeeded"


def test_without_a_picture_what_follows_is_stopped_and_the_rest_is_told(nodes: Any, sandbox: Any, user: str):
    failed = {"status": "failed", "steps": [{"$type": "imageGen", "name": "a", "status": "failed",
              "input": {"prompt": "x"}, "jobs": [{"id": "j", "status": "failed", "reason": "no_provider_available"}]}]}  # fmt: skip
    video = {"steps": [{"$type": "videoGen", "name": "a", "input": {"prompt": "x"},
             "output": {"video": {"id": "V.mp4", "available": True}}}]}  # fmt: skip
    node = nodes.workflows.CivitaiBridgeWorkflowImages
    for data, words in ((failed, "no worker on the fleet"), (video, "no IMAGE as well (video)")):
        made = put_workflow(sandbox.orchestrator, user, data, {"V.mp4": (b"x", "video/mp4")} if data is video else {})
        out = run(node, workflow_id=made.id)
        assert all(type(value).__name__ == "ExecutionBlocker" for value in out.args[:2])
        assert words in out.args[5] and out.args[3] == data.get("status", "succeeded") and out.args[2].prompt == "x"
        assert fingerprint(node, workflow_id=made.id) == fingerprint(node, workflow_id=made.id), "nothing will change"


def test_nothing_is_kept_before_it_is_over(nodes: Any, sandbox: Any, user: str):
    node, going = (
        nodes.workflows.CivitaiBridgeWorkflowImages,
        {"status": "processing", "completedAt": None, "steps": []},
    )
    made = put_workflow(sandbox.orchestrator, user, going)
    assert fingerprint(node, workflow_id=made.id) != fingerprint(node, workflow_id=made.id)
    out = run(node, workflow_id=made.id, wait=False)
    assert "no picture yet" in out.args[0].message and out.args[3] == "processing"
    first, second = fingerprint(node, workflow_id=made.id), fingerprint(node, workflow_id=made.id)
    assert first is not second and first != second, "core compares the objects before the values"
    made.data["status"] = "canceled"
    assert run(node, workflow_id=made.id).args[3] == "canceled"
    assert fingerprint(node, workflow_id=made.id) == fingerprint(node, workflow_id=made.id)
    assert fingerprint(node) != fingerprint(node), "what a wire brings is not known before it runs"
    assert fingerprint(node, workflow_id="no such") != fingerprint(node, workflow_id="no such")


def test_bad_ids_and_what_is_not_ours_are_sentences(nodes: Any, sandbox: Any, user: str):
    fill(sandbox.orchestrator, "another", count=1)
    (foreign,) = ids_of(sandbox, "another")
    node = nodes.workflows.CivitaiBridgeWorkflowImages
    for name, error, words in (
        (foreign, NotFound, "another account's, was deleted, or is older than the 30 days"),
        ("58de87d7-d594-4d71-ae43-dd8fc1bcbd23", NotFound, "Job not found.*step"),
        ("JNFDW54JNTATNW42HACYCWSQP0.jpeg", NotFound, "Blob not found"),
        ("", BadInput, "empty"),
        ("a/b", BadInput, "is no workflow id"),
        ("..", BadInput, "is no workflow id"),
        ("x" * 300, BadInput, "is no workflow id"),
        (None, BadInput, "empty"),
    ):
        with pytest.raises(error, match=words) as caught:
            run(node, workflow_id=name)
        assert isinstance(caught.value, CivitaiError)


def test_pictures_older_than_thirty_days_are_named_as_gone(nodes: Any, sandbox: Any, user: str):
    fill(sandbox.orchestrator, user, count=1)
    (workflow_id,) = ids_of(sandbox, user)
    made = sandbox.orchestrator.runs[workflow_id]
    made.blobs[0].renewed = time.time() - RETENTION - 1
    node = nodes.workflows.CivitaiBridgeWorkflowImages
    out = run(node, workflow_id=workflow_id)
    assert "no longer kept" in out.args[5] and "no longer kept" in out.args[0].message
    with pytest.raises(NotFound, match="30 days"):
        run(node, workflow_id=made.blobs[0].id)


def test_the_ledger_names_the_node_and_the_tags_of_an_order(nodes: Any, sandbox: Any):
    inputs = {"model": "128078", "prompt": "x", "width": 64, "height": 64, "tags": "a, b"}
    request, terms = nodes.generate.read_inputs(inputs, "p")
    assert request.tags == ("a", "b") and terms.asked_by == "CivitAI Generate"
    clone = type("Clone", (nodes.generate.CivitaiBridgeGenerate,), {"hidden": type("H", (), {"unique_id": "7"})})
    journal = background_loop().start(nodes.app.journal()).result(20)
    try:
        asyncio.run(clone.execute(**inputs))
    except ImportError:
        pass  # there is no torch here; the order was bought all the same
    (purchase,) = journal.rows()
    assert (purchase.about["asked_by"], purchase.about["tags"]) == ("CivitAI Generate, node 7", ["a", "b"])


def test_pictures_that_were_bought_here_come_from_the_disk_and_wait_no_longer(nodes: Any, sandbox: Any):
    pytest.importorskip("torch", reason="make test installs a CPU build where there is one")
    from pack.civitai_bridge.orchestration.outcome import Terms
    from pack.civitai_bridge.orchestration.request import GenerationRequest

    async def order() -> Any:
        fleet = await nodes.services.services().fleet()
        request = GenerationRequest(model="128078", prompt="left waiting", width=64, height=64, quantity=2)
        return fleet, await fleet.generate(request, Terms())

    fleet, outcome = background_loop().start(order()).result(20)
    assert [purchase.state for purchase in fleet.journal.rows()] == ["finished"], "nobody has them yet"
    before = len([seen for seen in sandbox.requests if seen.route == "content"])
    out = run(nodes.workflows.CivitaiBridgeWorkflowImages, workflow_id=outcome.workflow_id)
    assert out.args[0].shape == (2, 64, 64, 3) and out.args[2].model_name == "SD XL v1.0 VAE fix"
    assert (out.args[2].width, out.args[2].base_model) == (64, "SDXL 1.0")
    assert len([seen for seen in sandbox.requests if seen.route == "content"]) == before
    for _ in range(100):
        if fleet.journal.rows()[0].state == "collected":
            break
        time.sleep(0.02)
    assert fleet.journal.rows()[0].state == "collected"


def test_of_a_partial_batch_the_pictures_come_and_the_rest_has_its_reason(nodes: Any, sandbox: Any):
    pytest.importorskip("torch", reason="make test installs a CPU build where there is one")
    from pack.civitai_bridge.orchestration.outcome import Terms
    from pack.civitai_bridge.orchestration.request import GenerationRequest

    async def order() -> str:
        request = GenerationRequest(model="128078", prompt="partly", seed=5, width=64, height=64, quantity=3)
        return (await (await nodes.services.services().fleet()).generate(request, Terms())).workflow_id

    sandbox.script.job(seconds=0.1, blocked=(0,), reason="ChildReference")
    workflow_id = background_loop().start(order()).result(20)
    out = run(nodes.workflows.CivitaiBridgeWorkflowImages, workflow_id=workflow_id)
    assert out.args[0].shape[0] == 2 and out.args[3] == "succeeded"
    assert out.args[2].arrived == (1, 2) and list(out.args[2].missing) == [0] and out.args[2].seed == 5
    assert "Picture 1 of step gen: It is withheld: moderation saw a reference to a child" in out.args[5]
    node = nodes.workflows.CivitaiBridgeWorkflowImages
    assert fingerprint(node, workflow_id=workflow_id) == fingerprint(node, workflow_id=workflow_id), "it stays so"
