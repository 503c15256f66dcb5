"""Equal questions: asked once while one is under way, and not again for minutes."""

from __future__ import annotations

import asyncio
import time

import pytest
from fakes import Fake, answering, reply

from pack.civitai_bridge.errors import Unreachable
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.network.notices import listening, tell
from pack.civitai_bridge.website import AnswerMemory, SiteClient, remembering
from pack.civitai_bridge.website.memory import FRESH, FRESH_UNKNOWN, MOST_ANSWERS, MOST_BYTES

VERSION = Request("GET", "/api/v1/model-versions/mini/7")


class Slow:
    """A Send that answers when it is let go; counts, and notices when its caller went away."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked = self.ended = 0

    async def __call__(self, request: Request) -> Response:
        self.asked += 1
        try:
            tell("CivitAI asks for a pause")
            await self.gate.wait()
        except asyncio.CancelledError:
            self.ended += 1
            raise
        return reply(200, {"n": self.asked})


async def test_sixteen_nodes_with_one_model_ask_once_and_the_next_prompt_not_at_all():
    send = Slow()
    ask = remembering(send, AnswerMemory())
    answers = [asyncio.ensure_future(ask(VERSION)) for _ in range(16)]
    await asyncio.sleep(0)
    send.gate.set()
    assert {answer.content for answer in await asyncio.gather(*answers)} == {b'{"n": 1}'}
    assert (await ask(VERSION)).content == b'{"n": 1}' and send.asked == 1


async def test_an_answer_is_asked_again_after_minutes_and_not_found_sooner():
    now = [0.0]
    send = Fake(reply(200, 1), reply(404, {"error": "Model not found"}), reply(200, 2))
    ask = remembering(send, AnswerMemory(clock=lambda: now[0]))
    for seconds, asked in (
        (0, 1),
        (FRESH - 1, 1),
        (FRESH, 2),
        (FRESH + FRESH_UNKNOWN - 1, 2),
        (FRESH + FRESH_UNKNOWN, 3),
    ):
        now[0] = seconds
        await ask(VERSION)
        assert len(send.requests) == asked, seconds


async def test_trouble_is_told_to_all_who_wait_and_never_remembered():
    send = Fake(Unreachable("away"), reply(503), reply(200, 1))
    ask = remembering(send, AnswerMemory())
    both = await asyncio.gather(ask(VERSION), ask(VERSION), return_exceptions=True)
    assert [type(one) for one in both] == [Unreachable, Unreachable] and len(send.requests) == 1
    assert [(await ask(VERSION)).status, (await ask(VERSION)).status] == [503, 200]


async def test_who_goes_away_ends_the_question_only_when_nobody_else_waits():
    send = Slow()
    ask = remembering(send, AnswerMemory())
    first, second = asyncio.ensure_future(ask(VERSION)), asyncio.ensure_future(ask(VERSION))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    assert send.ended == 0 and not second.done()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    third = asyncio.ensure_future(ask(VERSION))  # not caught by the question that is just ending
    send.gate.set()
    assert (await third).status == 200 and (send.asked, send.ended) == (2, 1)


async def test_all_who_wait_are_told_what_for():
    send = Slow()
    ask = remembering(send, AnswerMemory())
    heard: list[str] = []

    async def node(name: str) -> Response:
        with listening(lambda sentence: heard.append(f"{name}: {sentence}")):
            return await ask(VERSION)

    nodes = [asyncio.ensure_future(node(name)) for name in ("a", "b")]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    send.gate.set()
    await asyncio.gather(*nodes)
    assert heard == ["a: CivitAI asks for a pause", "b: CivitAI asks for a pause"]


async def test_other_questions_other_routes_and_changes_go_through():
    send = answering(200, {})
    ask = remembering(send, AnswerMemory())
    for request in (
        VERSION,
        Request("GET", VERSION.path, query=(("modelFileId", "1"),)),
        *[Request("GET", "/api/v1/me")] * 2,
        *[Request("GET", "/api/download/models/7")] * 2,
        *[Request("POST", "/api/v1/model-versions/by-hash", json=[])] * 2,
    ):
        await ask(request)
    assert len(send.requests) == 8


async def test_the_memory_has_an_end():
    memory = AnswerMemory()
    big = b'"' + b"x" * (MOST_BYTES // 3 - 2) + b'"'

    async def send(request: Request) -> Response:
        return Response(200, {}, big)

    ask = remembering(send, memory)
    for n in range(5):
        await ask(Request("GET", f"/api/v1/models/{n}"))
    assert [path for path, _ in memory.answers] == ["/api/v1/models/2", "/api/v1/models/3", "/api/v1/models/4"]


async def test_two_clients_of_one_account_share_what_they_asked():
    send = answering(200, {"air": "urn:air:sdxl:lora:civitai:1@7", "modelName": "M"})
    ask = remembering(send, AnswerMemory())
    assert (await SiteClient(ask).mini(7)).name == (await SiteClient(ask).mini(7)).name == "M"
    assert len(send.requests) == 1


async def test_ten_thousand_answers_are_kept_in_no_time_and_no_more():
    now = [0.0]
    memory = AnswerMemory(clock=lambda: now[0])
    ask = remembering(answering(404, {"error": "Model not found"}), memory)
    start = time.monotonic()
    for n in range(MOST_ANSWERS + 10):
        await ask(Request("GET", f"/api/v1/model-versions/by-hash/{n:08x}"))
    assert len(memory.answers) == MOST_ANSWERS and time.monotonic() - start < 3
    now[0] = FRESH_UNKNOWN
    await ask(VERSION)
    assert len(memory.answers) == 1 and memory.size == len(memory.answers[VERSION.path, ()][1].content)


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("content", [b"<!DOCTYPE html><p>busy", b'{"air": "urn:', b""])
async def test_a_page_or_half_an_answer_is_not_kept(status: int, content: bytes):
    send = Fake(Response(status, {"content-type": "application/json"}, content), reply(200, 1))
    ask = remembering(send, AnswerMemory())
    await ask(VERSION)
    assert (await ask(VERSION)).content == b"1" and len(send.requests) == 2
