"""One order and its POSTs: lost answers, clear and unclear ones, and how long is waited before the next."""

from __future__ import annotations

import asyncio
import json

import pytest
from fake_service import BASE, WANTED, Answer, FakeService, Naps, Servers, Shifted, reply, spent, states
from stories import NO, FullJournal, Slow, until

from pack.civitai_bridge.errors import (
    CivitaiError,
    OutOfBuzz,
    RateLimited,
    StateTrouble,
    Unconfirmed,
    Unreachable,
    WorkflowFailed,
)
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.orchestration.fleet import Fleet
from pack.civitai_bridge.orchestration.outcome import Caller, State, Terms
from pack.civitai_bridge.orchestration.submit import count_addresses
from pack.civitai_bridge.orchestration.timings import pause_before


@pytest.mark.parametrize(
    "lost",
    [
        Unreachable("cut"),
        reply(500),
        Response(502, {"content-type": "text/html"}, (b"<!DOCTYPE html><p>Bad gateway")),
        Response(200, {}, b"{cut"),
    ],
    ids=["dropped", "500", "html", "cut json"],
)
async def test_a_lost_answer_is_found_and_never_paid_twice(bridge: Fleet, fleet: FakeService, lost: Answer):
    fleet.after["submit"] = [lost]
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and len(fleet.workflows) == 1


async def test_a_post_that_never_arrived_is_sent_again_under_its_key(bridge: Fleet, fleet: FakeService):
    fleet.before["submit"] = [Unreachable("refused"), reply(503)]
    await bridge.generate(WANTED, Terms())
    assert len(fleet.submits) == 3 and len({json.dumps(body) for body in fleet.submits}) == 1
    assert len(fleet.workflows) == 1


async def test_too_many_requests_are_waited_out(bridge: Fleet, fleet: FakeService):
    fleet.before["submit"] = [Response(429, {"retry-after": "7"}, b"")]
    await bridge.generate(WANTED, Terms())
    assert len(fleet.workflows) == 1


async def test_a_no_after_an_unclear_attempt_is_looked_up_before_it_is_believed(bridge: Fleet, fleet: FakeService):
    """The first POST arrived and emptied the wallet; the second is refused for lack of Buzz."""
    fleet.after["submit"] = [Unreachable("cut")]
    fleet.before["list"] = [reply(200, {"items": []})] * 2
    fleet.before["submit"] = [None, reply(403, "Insufficient buzz")]
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and len(fleet.workflows) == 1


async def test_a_clear_no_costs_nothing_and_says_why(bridge: Fleet, fleet: FakeService):
    fleet.before["submit"] = [reply(403, "Insufficient buzz")]
    with pytest.raises(OutOfBuzz):
        await bridge.generate(WANTED, Terms())
    assert states(bridge) == ["refused"] and spent(bridge.journal, bridge.settings.base) == 0
    await bridge.generate(WANTED, Terms())
    assert len({body["externalId"] for body in fleet.submits}) == 2


async def test_when_nobody_knows_the_row_waits_and_the_next_run_uses_its_key(bridge: Fleet, fleet: FakeService):
    fleet.before["submit"] = [Unreachable("down")] * 4
    fleet.before["list"] = [Unreachable("down")] * 20
    with pytest.raises(Unconfirmed, match="not known"):
        await bridge.generate(WANTED, Terms())
    assert states(bridge) == ["unconfirmed"]
    fleet.before.clear()
    outcome = await bridge.generate(WANTED, Terms())
    assert len({body["externalId"] for body in fleet.submits}) == 1 and len(outcome.pictures) == 2


async def test_a_killed_process_is_followed_by_one_that_finds_the_run(make: Servers, fleet: FakeService):
    first = make()
    fleet.gate = asyncio.Event()
    errand = asyncio.ensure_future(first.generate(WANTED, Terms()))
    while not fleet.workflows:
        await asyncio.sleep(0.01)
    errand.cancel()
    await asyncio.gather(errand, return_exceptions=True)
    await first.close()  # the row is left in `sent`, its attempt without an outcome
    fleet.gate = None
    outcome = await make().generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and len(fleet.workflows) == 1 and fleet.count("submit") == 1


async def test_the_service_making_two_of_one_order_is_named(bridge: Fleet, fleet: FakeService):
    real = fleet.submit

    async def twice(request: Request) -> Response:
        answer = await real(request)
        fleet.workflows["7-twin"] = {**fleet.workflows["7-1"], "id": "7-twin", "createdAt": "2026-11-22T00:00:00Z"}
        return answer

    fleet.submit = twice  # type: ignore[method-assign]
    fleet.after["submit"] = [Unreachable("cut")]
    outcome = await bridge.generate(WANTED, Terms())
    assert outcome.workflow_id == "7-1" and "7-twin" in outcome.report


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


async def test_an_accepted_order_is_never_believed_refused(make: Servers, fleet: FakeService):
    """The process died (or its disk filled) between the answer to the POST and its row; then the wallet is empty."""
    bridge = make(journal=(journal := FullJournal(make.home / "journal.sqlite3")))
    journal.full = "accepted"
    with pytest.raises(StateTrouble):
        await bridge.generate(WANTED, Terms())
    journal.full = ""
    fleet.before["submit"] = [NO] * 9
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and len(fleet.workflows) == 1


async def test_a_run_is_found_with_a_clock_that_is_an_hour_ahead(make: Servers, fleet: FakeService):
    clock = Shifted()
    clock.ahead = 3600.0
    fleet.after["submit"] = [Unreachable("lost answer")]
    fleet.before["submit"] = [None, NO]  # type: ignore[list-item]
    outcome = await make(clock=clock).generate(WANTED, Terms())
    assert outcome.workflow_id == "7-1"
    asked = [dict(r.query) for r in fleet.requests if fleet.name(r) == "list"]
    assert asked and all("fromDate" not in query for query in asked)


async def test_a_post_that_is_still_worked_on_gets_no_second_one_beside_it(make: Servers):
    fleet = make.fleet = Slow()
    first = make()
    errand = asyncio.ensure_future(first.generate(WANTED, Terms()))
    await until(lambda: fleet.live == 1)
    errand.cancel()
    await asyncio.gather(errand, return_exceptions=True)
    await first.close()
    later = make(sleep=lambda seconds: asyncio.sleep(seconds / 50))
    again = asyncio.ensure_future(later.generate(WANTED, Terms()))
    asyncio.get_running_loop().call_later(0.5, fleet.work.set)  # 25 s by the clock of `later`
    outcome = await again
    assert (fleet.most, fleet.charges) == (1, 1) and len(outcome.pictures) == 2


async def test_a_clock_that_jumps_while_the_post_is_under_way_sends_no_second_one(make: Servers):
    fleet, clock = Slow(), Shifted()
    make.fleet = fleet
    first, second = make(clock=clock), make(clock=clock)
    errands = [asyncio.ensure_future(first.generate(WANTED, Terms()))]
    await until(lambda: fleet.live == 1)
    errands.append(asyncio.ensure_future(second.generate(WANTED, Terms())))
    await asyncio.sleep(0.1)
    clock.ahead = 60.0
    await asyncio.sleep(0.5)
    fleet.work.set()
    outcomes = await asyncio.gather(*errands)
    assert (fleet.most, fleet.charges) == (1, 1) and len({o.workflow_id for o in outcomes}) == 1


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_list_that_refuses_finds_nothing_and_the_key_keeps_a_second_run_away(
    make: Servers, fleet: FakeService, status: int
):
    fleet.after["submit"] = [Unreachable("lost answer")]
    fleet.before["list"] = [reply(status)] * 50
    outcome = await make().generate(WANTED, Terms())
    assert outcome.workflow_id == "7-1" and len(fleet.workflows) == 1


@pytest.mark.parametrize("status", [408, 409, 418, 425, 499, 500])
async def test_an_odd_answer_to_a_submit_is_no_refusal(make: Servers, fleet: FakeService, status: int):
    fleet.after["submit"] = [reply(status)]
    fleet.before["list"] = [reply(200, {"items": []})]
    outcome = await make().generate(WANTED, Terms())
    assert outcome.workflow_id == "7-1" and len(fleet.workflows) == 1


async def test_an_old_order_is_sent_again_only_at_a_price_and_limits_that_are_allowed_today(
    make: Servers, fleet: FakeService
):
    clock = Shifted()
    bridge = make(clock=clock, limit_buzz_per_day=20)
    fleet.before["submit"] = [Unreachable("down")] * 4
    with pytest.raises(Unconfirmed):
        await bridge.generate(WANTED, Terms(prompt_id="old"))
    clock.ahead = 3 * 24 * 3600.0
    fleet.asked_price = 25
    with pytest.raises(Unconfirmed, match=r"limit_buzz_per_day.*may have arrived") as caught:
        await bridge.generate(WANTED, Terms(prompt_id="new"))
    assert "Nothing was bought" not in str(caught.value)
    assert fleet.count("submit") == 4 and states(bridge) == ["unconfirmed"]
    fleet.asked_price = 16
    outcome = await bridge.generate(WANTED, Terms(prompt_id="new"))
    assert outcome.paid_now and len({body["externalId"] for body in fleet.submits}) == 1
    assert bridge.journal.rows()[0].prompt_id == "new"


async def test_pauses_are_bounded_however_often_it_failed():
    assert [pause_before(n, None) for n in (1, 2, 3, 4, 700)] == [0.5, 1.5, 4.5, 13.5, 30.0]


async def test_an_empty_wallet_says_so_on_the_node_and_costs_nothing(make: Servers, fleet: FakeService):
    fleet.before["submit"] = [NO]
    bridge = make()
    with pytest.raises(OutOfBuzz, match="Buzz"):
        await bridge.generate(WANTED, Terms())
    assert spent(bridge.journal, BASE) == 0


@pytest.mark.parametrize("refusal", ["max_buzz", "wallet"])
async def test_nothing_was_bought_is_never_said_of_an_order_that_may_have_arrived(
    make: Servers, fleet: FakeService, refusal: str
):
    fleet.after["submit"] = [Unreachable("lost")] * 4
    fleet.before["list"] = [reply(503)] * 999
    bridge = make()
    with pytest.raises(Unconfirmed):
        await bridge.generate(WANTED, Terms())
    fleet.insufficient = refusal == "wallet"
    with pytest.raises(Unconfirmed, match="may have arrived") as caught:
        await bridge.generate(WANTED, Terms(max_buzz=10 if refusal == "max_buzz" else None))
    assert "Nothing was bought" not in str(caught.value) and len(fleet.workflows) == 1


async def test_an_old_order_is_not_sent_again_for_a_prompt_that_is_over(make: Servers, fleet: FakeService):
    fleet.before["submit"] = [Unreachable("down")] * 4
    bridge = make()
    with pytest.raises(Unconfirmed):
        await bridge.generate(WANTED, Terms())
    with pytest.raises(Unconfirmed):
        await bridge.generate(WANTED, Terms(), Caller(abandoned=lambda: fleet.count("price") > 1))
    assert fleet.count("submit") == 4 and states(bridge) == ["unconfirmed"]


@pytest.mark.parametrize("cuts", [1, 3])
async def test_a_cut_connection_gets_its_time_before_the_next_post(make: Servers, cuts: int):
    fleet = make.fleet = Slow()
    real, posts = fleet.submit, []

    async def cut(request: Request) -> Response:
        posts.append(asyncio.ensure_future(real(request)))
        await asyncio.sleep(0.02)
        if len(posts) <= cuts:
            raise Unreachable("the connection broke off")
        return await posts[-1]

    fleet.submit = cut  # type: ignore[method-assign]
    bridge = make(sleep=lambda seconds: asyncio.sleep(seconds / 20))
    asyncio.get_running_loop().call_later(0.5, fleet.work.set)  # 10 s by the clock of the bridge
    outcome = await bridge.generate(WANTED, Terms())
    await asyncio.gather(*posts)
    assert (fleet.most, fleet.charges) == (1, 1) and len(outcome.pictures) == 2


async def test_a_clear_no_is_believed_when_an_hour_has_shown_nothing(make: Servers, fleet: FakeService):
    clock = Shifted()
    bridge = make(clock=clock)
    fleet.before["submit"] = [reply(500)] + [reply(400, {"detail": "no such sampler"})] * 9
    with pytest.raises(Unconfirmed):
        await bridge.generate(WANTED, Terms())
    clock.ahead = 2 * 3600.0
    with pytest.raises(CivitaiError, match="no such sampler"):
        await bridge.generate(WANTED, Terms())
    assert states(bridge) == ["refused"] and spent(bridge.journal, BASE) == 0


@pytest.mark.parametrize("lost", [True, False])
async def test_of_two_runs_of_one_order_the_one_with_pictures_is_taken(make: Servers, fleet: FakeService, lost: bool):
    """The service made two workflows of an order whose first answer was lost; the one that we know of fails."""
    real, real_poll = fleet.submit, fleet.poll

    async def twice(request: Request) -> Response:
        answer = await real(request)
        first = fleet.workflows["7-1"]
        fleet.workflows.setdefault("7-twin", {**first, "id": "7-twin", "createdAt": "2026-11-22T00:00:00Z"})
        return answer

    async def first_fails(request: Request) -> Response:
        if request.path.endswith("/7-1"):
            money = [{"type": "debit", "amount": 16}, {"type": "credit", "amount": 16}]
            return reply(200, fleet.workflows["7-1"] | {"status": "failed", "transactions": {"list": money}})
        return await real_poll(request)

    fleet.submit, fleet.poll = twice, first_fails  # type: ignore[method-assign]
    fleet.after["submit"] = [Unreachable("cut")] if lost else []
    bridge = make()
    if not lost:
        with pytest.raises(WorkflowFailed):
            await bridge.generate(WANTED, Terms())
        return
    outcome = await bridge.generate(WANTED, Terms())
    assert outcome.workflow_id == "7-twin" and len(outcome.pictures) == 2
    assert "made more than one workflow of this order (7-twin)" in outcome.report
    twin = bridge.journal.get("7-1")
    assert twin is not None and (twin.state, twin.cost) == ("failed", 0), "the money of the other is looked after too"


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


async def test_a_long_pause_that_is_asked_for_instead_of_a_price_ends_at_once(make: Servers, fleet: FakeService):
    fleet.before["price"] = [Response(429, {"retry-after": "3600"}, b"")] * 4
    naps = Naps()
    with pytest.raises(RateLimited, match="not to be asked again before"):
        await make(sleep=naps).generate(WANTED, Terms())
    assert naps.total == 0 and fleet.count("price") == 1 and not fleet.workflows
