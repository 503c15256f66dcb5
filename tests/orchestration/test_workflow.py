"""Reading what the orchestrator says, in both dialects and with parts missing."""

from __future__ import annotations

from typing import Any

import pytest

from pack.civitai_bridge.orchestration.workflow import reason_in_words, workflow_from_json


def finished(**step: Any) -> dict[str, Any]:
    return {"id": "1-2", "status": "succeeded", "steps": [{"$type": "imageGen", "name": "gen", **step}]}


def image(**fields: Any) -> dict[str, Any]:
    return {"id": "A.png", "available": True, "url": "https://x/?sig=secret", "width": 8, "height": 8, **fields}


@pytest.mark.parametrize("status", ["unassigned", "preparing", "scheduled", "processing", "pending", "something new"])
def test_unknown_and_moving_words_are_not_the_end(status: str):
    assert not workflow_from_json({"status": status}).done


@pytest.mark.parametrize("status", ["succeeded", "failed", "expired", "canceled", "deleted"])
def test_ends(status: str):
    assert workflow_from_json({"status": status}).done


def test_money_is_read_and_split_by_wallet():
    workflow = workflow_from_json(
        {
            "cost": {"total": 16},
            "transactions": {
                "insufficientBuzz": False,
                "list": [
                    {"type": "debit", "amount": 10, "id": "1", "accountType": "blue"},
                    {"type": "debit", "amount": 6, "id": "2", "accountType": "yellow"},
                    {"type": "credit", "amount": 6, "id": "3", "accountType": "yellow"},
                ],
            },
        }
    )
    assert (workflow.cost, workflow.debited, workflow.credited) == (16, 16, 6)
    assert workflow.wallets == {"blue": 10}


@pytest.mark.parametrize(
    ("total", "read"), [(16, 16), (15.2, 16), (0, 0), (None, None), ("16", None), (float("nan"), None)]
)
def test_a_price_is_never_read_too_low(total: Any, read: int | None):
    assert workflow_from_json({"cost": {"total": total}}).cost == read


@pytest.mark.parametrize("external", ["8796584-cb-1", "cb-1"])
def test_our_run_is_known_by_echo_or_tag(external: str):
    assert workflow_from_json({"externalId": external}).is_of("cb-1")
    assert workflow_from_json({"tags": ["civitai-bridge", "cb-1"]}).is_of("cb-1")
    assert not workflow_from_json({"externalId": "8-xcb-1", "tags": ["cb-2"]}).is_of("cb-1")


def test_none_is_no_reason_for_a_block():
    workflow = workflow_from_json(finished(output={"images": [image(blockedReason="none")]}))
    assert not workflow.images[0].blocked and workflow.reasons == ()


def test_slots_keep_their_place():
    workflow = workflow_from_json(finished(output={"images": [image(), image(id="B", available=False), image(id="C")]}))
    assert [(i.index, i.id, i.available) for i in workflow.images] == [
        (0, "A.png", True),
        (1, "B", False),
        (2, "C", True),
    ]


@pytest.mark.parametrize(
    "output", [{"blobs": [image()]}, {"blob": image()}, {"image": image()}, {"deep": {"er": [image()]}}]
)
def test_pictures_are_found_wherever_they_stand(output: dict[str, Any]):
    assert [blob.id for blob in workflow_from_json(finished(output=output)).images] == ["A.png"]


def test_signed_addresses_are_not_in_the_repr():
    assert "secret" not in repr(workflow_from_json(finished(output={"images": [image()]})))


def test_queue_and_progress_in_both_dialects():
    older = finished(
        jobs=[
            {"queuePosition": {"precedingJobs": 7}, "estimatedProgressRate": 0.5},
            {"queuePosition": {"precedingJobs": 3}},
        ]
    )
    newer = finished(queuePosition={"support": "available", "precedingJobs": 3}, estimatedProgressRate=0.5)
    for data in (older, newer):
        workflow = workflow_from_json(data)
        assert (workflow.preceding_jobs, workflow.progress) == (3, 0.5)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"jobs": [{"reason": "no_provider_available"}]}, "no worker"),
        ({"jobs": [{"blockedReason": "ChildReference"}]}, "moderation"),
        ({"output": {"errors": ["CUDA out of memory"]}}, "CUDA out of memory"),
        ({"output": {"images": [{"id": "1", "available": False, "blockedReason": "MatureContent"}]}}, "mature"),
        ({"output": {"externalTOSViolation": True, "message": "no logos"}}, "no logos"),
        ({"metadata": {"error": "worker died"}}, "worker died"),
    ],
)
def test_every_place_of_a_reason_is_read(step: dict[str, Any], words: str):
    assert words in "; ".join(workflow_from_json(finished(**step)).reasons)


def test_a_reason_is_cut_and_cleaned():
    assert reason_in_words("a\x1b[31m\nb" + "x" * 1000) == ("a [31m b" + "x" * 1000)[:400] + "…"


@pytest.mark.parametrize(
    "data", [{}, {"steps": None}, {"steps": [None, 3]}, {"steps": [{"output": []}]}, {"transactions": []}]
)
def test_missing_parts_are_empty(data: dict[str, Any]):
    workflow = workflow_from_json(data)
    assert (workflow.images, workflow.cost, workflow.debited) == ((), None, 0)


@pytest.mark.parametrize(
    ("cost", "counts"),
    [
        ({"base": 16, "total": 16}, 16),
        ({"base": 16, "fees": {"urn:air:sdxl:lora:civitai:1@2": 3.5}, "total": 16}, 20),
        ({"base": 16, "fees": {"a": 2, "b": 3}, "total": 21}, 21),
        ({"base": 16, "fixed": {"loras": 4}, "tips": {"civitai": 1, "creators": 2}, "total": 16}, 23),
        ({"base": 16, "fees": ["not", "a map"], "tips": None, "total": 18}, 18),
        ({"base": 16, "total": None}, None),
    ],
)
def test_the_most_that_a_price_can_mean_counts(cost: dict[str, Any], counts: int | None):
    """Whether `total` holds the creators' fees the contract does not say."""
    assert workflow_from_json({"cost": cost}).cost == counts
