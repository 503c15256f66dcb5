"""Statuses on their way: held, the newest alone, never one after the end, again after a rejoin."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pack.civitai_bridge.errors import Unreachable
from pack.civitai_bridge.link.limits import RateLimits
from pack.civitai_bridge.link.outbox import FINAL, LARGEST, Outbox, fitting


def status(word: str, id_: str = "a", **fields: Any) -> dict[str, Any]:
    return {"type": "resources:add", "id": id_, "status": word, **fields}


async def sent(outbox: Outbox, seconds: float = 0.01) -> list[dict[str, Any]]:
    out: list[Any] = []

    async def emit(one: Any) -> None:
        out.append(one)

    try:
        await asyncio.wait_for(outbox.send_all(emit), seconds)
    except asyncio.TimeoutError:
        pass
    return out


async def test_while_nobody_is_joined_only_the_newest_of_each_command_is_kept():
    outbox = Outbox()
    for progress in range(50):
        outbox.put(status("processing", progress=progress))
    outbox.put(status("pending", "b"))
    assert await sent(outbox) == [status("processing", progress=49), status("pending", "b")]
    assert outbox.is_empty and await sent(outbox) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(("pending", "processing", "success", "error", "canceled")), max_size=12))
def test_a_command_has_one_end_whatever_is_put(words: list[str]):
    async def run() -> list[dict[str, Any]]:
        outbox, seen = Outbox(), []
        for word in words:
            outbox.put(status(word))
            seen += await sent(outbox, 0.0005)
        outbox.rejoined()
        return seen + await sent(outbox, 0.001)

    said = [one["status"] for one in asyncio.run(run())]
    first = next((word for word in words if word in FINAL), None)
    ends = [word for word in said if word in FINAL]
    assert set(ends) <= {first} and (
        first is None or all(word == first for word in said[said.index(first) :] if first in said)
    )


async def test_what_the_connection_took_with_it_goes_out_again_for_a_while():
    now = [0.0]
    outbox = Outbox(clock=lambda: now[0], resend=120)
    outbox.put(status("success"))

    async def broken(_: Any) -> None:
        raise Unreachable("gone")

    with pytest.raises(Unreachable):
        await outbox.send_all(broken)
    assert await sent(outbox) == [status("success")]
    now[0] = 100.0
    outbox.rejoined()
    assert await sent(outbox) == [status("success")]
    now[0] = 300.0
    outbox.rejoined()
    assert await sent(outbox) == [] and not outbox.knows("resources:add", "a")


async def test_a_list_never_goes_out_behind_what_is_newer_than_it():
    outbox = Outbox()
    listed = {"type": "activities:list", "id": "l", "status": "success", "activities": [status("processing")]}
    outbox.put(status("processing"))
    outbox.put(listed)
    outbox.put(status("success"))
    assert await sent(outbox) == [listed, status("success")]
    outbox.rejoined()
    assert await sent(outbox) == [listed, status("success")]
    outbox.forget_ended(("resources:add",))
    outbox.rejoined()
    assert await sent(outbox) == [listed]


async def test_a_list_that_nobody_asked_for_takes_the_place_of_an_earlier_one():
    outbox = Outbox()
    for number in range(3):
        outbox.push({"type": "resources:list", "id": str(number), "resources": []})
    assert [one["id"] for one in await sent(outbox)] == ["2"]


def test_a_status_that_the_relay_would_not_let_through_becomes_an_error_that_says_so():
    large = fitting(status("success", images=["x" * LARGEST]))
    assert large["status"] == "error" and large["error"].endswith(".") and "images" not in large
    assert fitting(status("success")) == status("success")


def test_rates_refill_and_a_clock_that_is_set_back_gives_nothing():
    now = [0.0]
    limits = RateLimits(clock=lambda: now[0])
    assert [limits.take("resources:list") for _ in range(31)].count(True) == 30
    assert limits.take("resources:add") and not limits.take("resources:list")
    now[0] = -100.0
    assert not limits.take("resources:list")
    now[0] = -97.5
    assert [limits.take("resources:list") for _ in range(4)].count(True) == 2
