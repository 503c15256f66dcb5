"""A person's tags: what CivitAI takes of them, that they change neither request nor price, and where they end up."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from fake_service import WANTED, buy

from pack.civitai_bridge.errors import BadInput
from pack.civitai_bridge.orchestration.body import build
from pack.civitai_bridge.orchestration.purchase import new_key
from pack.civitai_bridge.orchestration.request import GenerationRequest
from pack.civitai_bridge.orchestration.tags import checked_tags, split_tags


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("", ()),
        (" , ,", ()),
        ("project:sea", ("project:sea",)),
        (" a , b b,,c\n", ("a", "b b", "c")),
        ("a\nb", ("a\nb",)),
    ],
)
def test_commas_stand_between_the_tags_of_a_text(text: str, tags: tuple[str, ...]):
    assert split_tags(text) == tags


@pytest.mark.parametrize(
    ("tags", "checked"),
    [
        (("a", "b", " a "), ("a", "b")),
        (("civitai-bridge", "Civitai-Bridge", "a"), ("a",)),
        (("灯台", "x" * 200, "user:1"), ("灯台", "x" * 200, "user:1")),
        ((*"abcdefgh", "a"), tuple("abcdefgh")),
        (("cb-1", "cb-" + "g" * 32), ("cb-1", "cb-" + "g" * 32)),
    ],
)
def test_a_tag_is_sent_once_and_ours_is_there_anyway(tags: tuple[str, ...], checked: tuple[str, ...]):
    assert checked_tags(tags) == checked


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (("",), "is empty"),
        (("  ",), "is empty"),
        (("a\nb",), "line break"),
        (("a\u2028b",), "line break"),
        (("a\x1b[2Jb",), "line break"),
        (("a\udce4b",), "control character"),
        (("a,b",), "comma"),
        (("x" * 201,), "201 characters"),
        (("😀" * 101,), "202 characters"),
        (tuple("abcdefghi"), "9 tags"),
        ((new_key(),), "key of a purchase"),
        ((new_key().upper() + "-twin-1",), "key of a purchase"),
    ],
)
def test_a_tag_that_would_not_be_taken_is_refused_by_name(tags: tuple[str, ...], words: str):
    with pytest.raises(BadInput, match=words) as caught:
        build(replace(WANTED, tags=tags, engine="flux2/pro", model=""), None)
    assert "Nothing was ordered" in str(caught.value) and len(str(caught.value)) < 200


def test_tags_stand_beside_our_own_two_and_change_no_request():
    request = GenerationRequest(prompt="x", engine="flux2/pro")
    plain, tagged = build(request, None), build(replace(request, tags=tuple("abcdefgh")), None)
    assert plain.hash == tagged.hash and plain.input == tagged.input
    sent = json.loads(tagged.submission("k-1"))
    assert sent["tags"] == ["civitai-bridge", *"abcdefgh", "k-1"] and len(sent["tags"]) == 10


async def test_a_workflow_is_listed_by_its_tag(bridge: Any, fleet: Any):
    outcome = await buy(bridge, replace(WANTED, tags=("project:sea",)))
    assert [workflow.id for workflow in await bridge.client.tagged("project:sea")] == [outcome.workflow_id]
    assert "not on it" not in outcome.report


async def test_an_order_that_was_bought_before_says_which_tags_it_lacks(bridge: Any, fleet: Any):
    await buy(bridge, replace(WANTED, tags=("a",)))
    again = await buy(bridge, replace(WANTED, tags=("a", "b")))
    assert len(fleet.submits) == 1 and not again.paid_now
    assert "The tag b is not on it" in again.report and any("tag b" in note for note in again.notes)
