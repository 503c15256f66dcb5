"""The wait after a POST whose answer was lost: how long, what is looked for meanwhile, and what the node says."""

from __future__ import annotations

import asyncio
import json

import pytest
from fake_service import WANTED, FakeService, Servers, reply

from pack.civitai_bridge.errors import RateLimited, Unreachable
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.orchestration.outcome import Caller, State, Terms
from pack.civitai_bridge.orchestration.submit import count_addresses

LATE = Unreachable("it took too long to answer", timed_out=True)


class Log(FakeService):
    """Writes down, in order, what was asked and how long was slept between."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str | float] = []

    async def __call__(self, request: Request) -> Response:
        if self.name(request) in ("submit", "list"):
            self.log.append(self.name(request))
        return await super().__call__(request)

    async def sleep(self, seconds: float) -> None:
        self.log.append(seconds)
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("lost", "seconds"),
    [(Unreachable("cut"), 15), (LATE, 45), (reply(504), 45), (reply(524), 45), (reply(502), 15), (reply(500), 15), (reply(408), 15)],
    ids=["cut", "timed out", "504", "524", "502", "500", "408"],
)  # fmt: skip
async def test_an_order_whose_answer_was_lost_gets_its_time_with_a_look_right_before_the_next(
    make: Servers, lost: Response | Exception, seconds: int
):
    make.fleet = service = Log()
    service.before["submit"] = [lost]
    outcome = await make(sleep=service.sleep).generate(WANTED, Terms())
    again = service.log.index("submit", 1)
    between = service.log[1:again]
    assert sum(pause for pause in between if isinstance(pause, (int, float))) == seconds
    assert between == [5, "list"] * (seconds // 5), "and the last look is right before the POST"
    assert len(outcome.pictures) == 2 and len(service.workflows) == 1


async def test_a_lost_answer_is_looked_for_and_the_node_says_so(make: Servers, fleet: FakeService):
    fleet.after["submit"] = [Unreachable("cut")]
    texts: list[str] = []

    async def nap(seconds: float) -> None:
        await asyncio.sleep(0.3 if seconds == 5 else 0)

    def note(state: State) -> None:
        texts.append(state.text)

    await make(sleep=nap).generate(WANTED, Terms(), Caller(progress=note))
    assert any("looking for the order, so that it is not paid twice (up to 15 s)" in text for text in texts)
    assert fleet.count("submit") == 1


def test_pictures_that_civitai_fetches_are_counted_and_those_inside_the_body_are_not():
    step = {"prompt": "https://not.a/picture", "image": "https://a/b.png", "mask": "data:image/png;base64,AA"}
    many = {"images": ["https://a/1.png", "data:image/png;base64,AA", "https://a/2.png"]}
    body = {"steps": [{"$type": "imageGen", "input": step}, {"$type": "imageGen", "input": many}]}
    assert count_addresses(json.dumps(body)) == 3
    assert count_addresses("") == 0


async def test_a_long_pause_that_the_service_asks_for_ends_an_order_that_never_left(make: Servers, fleet: FakeService):
    fleet.before["submit"] = [Response(429, {"retry-after": "3600"}, b"")] * 4
    with pytest.raises(RateLimited, match="before"):
        await make().generate(WANTED, Terms())
    assert fleet.count("submit") == 1 and fleet.workflows == {}


async def test_an_order_that_may_have_left_sits_the_pause_out(make: Servers, fleet: FakeService):
    """The network floor waits for what belongs to an order; the order itself goes on under its key."""
    fleet.before["submit"] = [Unreachable("cut"), Response(429, {"retry-after": "3600"}, b"")]
    outcome = await make().generate(WANTED, Terms())
    orders = [request for request in fleet.requests if fleet.name(request) == "submit"]
    assert len(outcome.pictures) == 2 and len(fleet.workflows) == 1
    assert [order.of_order for order in orders] == [False, True, True] and all(order.fresh for order in orders)
