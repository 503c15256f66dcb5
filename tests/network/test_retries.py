"""What is repeated and what never is."""

from __future__ import annotations

import pytest
from fakes import Fake, reply

from pack.civitai_bridge.errors import Unreachable
from pack.civitai_bridge.network.exchange import Request
from pack.civitai_bridge.network.notices import listening
from pack.civitai_bridge.network.retries import retrying


class Naps(list):
    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.mark.parametrize("trouble", [Unreachable("x"), reply(429), reply(500), reply(503)])
@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "/x"),
        Request("PUT", "/x"),
        Request("DELETE", "/x"),
        Request("POST", "/v2/consumer/blobs/a/refresh"),
        Request("POST", "/api/v1/model-versions/by-hash", json=[]),
        Request("POST", "/api/v1/model-versions/by-hash/ids", json=[]),
    ],
)
async def test_harmless_requests_are_repeated(trouble: object, request_: Request):
    send, naps = Fake(trouble, trouble, reply(200, 1)), Naps()
    assert (await retrying(send, sleep=naps, jitter=lambda: 0.5)(request_)).status == 200
    assert len(send.requests) == 3 and naps == [0.75, 1.5]


@pytest.mark.parametrize("trouble", [Unreachable("x"), reply(429), reply(500)])
@pytest.mark.parametrize("query", [(), (("whatif", "true"),)])
async def test_a_submit_is_never_repeated(trouble: object, query: tuple[tuple[str, str], ...]):
    send = Fake(trouble)
    try:
        await retrying(send, sleep=Naps())(Request("POST", "/v2/consumer/workflows", query=query))
    except Unreachable:
        pass
    assert len(send.requests) == 1


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 409])
async def test_clear_answers_are_not_repeated(status: int):
    send = Fake(reply(status))
    await retrying(send, sleep=Naps())(Request("GET", "/x"))
    assert len(send.requests) == 1


async def test_in_the_end_the_last_answer_counts():
    send, naps = Fake(reply(503)), Naps()
    assert (await retrying(send, sleep=naps)(Request("GET", "/x"))).status == 503
    assert len(send.requests) == 5 and len(naps) == 4
    with pytest.raises(Unreachable):
        await retrying(Fake(Unreachable("x")), sleep=Naps())(Request("GET", "/x"))


async def test_a_short_pause_is_sat_out_and_told():
    naps, told = Naps(), []
    with listening(told.append):
        await retrying(Fake(reply(429, **{"retry-after": "7"}), reply(200)), sleep=naps)(Request("GET", "/x"))
    assert naps == [7.0] and told == ["CivitAI asks for a pause"]


async def test_a_long_pause_is_answered_at_once():
    send, naps = Fake(reply(429, **{"retry-after": "3600"}), reply(200)), Naps()
    assert (await retrying(send, sleep=naps)(Request("GET", "/x"))).status == 429
    assert naps == [] and len(send.requests) == 1


async def test_a_host_that_is_down_is_not_asked_again_and_an_order_asks_as_ever():
    down, naps = Unreachable("x", sent=False, again=False), Naps()
    send = Fake(down)
    with pytest.raises(Unreachable):
        await retrying(send, sleep=naps)(Request("GET", "/x"))
    assert len(send.requests) == 1 and naps == []
    send = Fake(down, down, reply(200))
    assert (await retrying(send, sleep=Naps())(Request("GET", "/x", of_order=True))).status == 200


async def test_a_look_up_that_finds_no_host_is_repeated_once_and_an_order_as_ever():
    unsent = Unreachable("x", sent=False)
    send = Fake(unsent)
    with pytest.raises(Unreachable):
        await retrying(send, sleep=Naps())(Request("GET", "/x"))
    assert len(send.requests) == 2
    send = Fake(unsent, unsent, unsent, unsent, reply(200))
    assert (await retrying(send, sleep=Naps())(Request("GET", "/x", of_order=True))).status == 200
