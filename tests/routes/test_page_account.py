"""The account on the page: whose key, what was spent, what waits, what stands in the way."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from routes_room import CHECKPOINT, Room

from pack.civitai_bridge.orchestration.outcome import Terms
from pack.civitai_bridge.orchestration.request import GenerationRequest


async def account(room: Room) -> dict[str, Any]:
    answer = await room.admin("GET", "/civitai_bridge/account")
    assert answer.status == 200 and str(room.home) not in answer.text, answer.text
    return answer.data


async def test_a_key_with_money_spent_and_pictures_that_wait(room: Room):
    async def buy(fleet: Any) -> Any:
        return await fleet.generate(GenerationRequest(model=str(CHECKPOINT), prompt="a red boat"), Terms())

    before = await account(room)
    assert before["user"]["id"] and before["user_note"] == "" and before["waiting"] == []
    assert (before["spent_today"], before["left"]) == (0, 5000)
    assert before["limits"] == {"per_prompt": 1000, "per_day": 5000}
    outcome = await room.app_on_loop(lambda app: app.fleet(), buy)
    after = await account(room)
    assert after["spent_today"] == outcome.cost > 0 and after["left"] == 5000 - outcome.cost
    (waits,) = after["waiting"]
    assert (waits["key"], waits["prompt"], waits["pictures"], waits["arrived"]) == (outcome.key, "a red boat", 1, 1)
    assert {finding["state"] for finding in after["doctor"]} <= {"ok", "warning"}


async def test_without_a_key_and_with_the_service_away_the_rest_is_told(room: Room):
    room.forget(key="")
    answer = await account(room)
    assert (answer["user"], answer["user_note"], answer["wallet"]) == (None, "", None)
    room.forget(key="me", site_url="http://127.0.0.1:9", damage="settings.json cannot be read.")
    answer = await account(room)
    assert answer["user"] is None and "127.0.0.1" in answer["user_note"] and answer["spent_today"] == 0
    assert [finding["state"] for finding in answer["doctor"]].count("trouble") == 1


async def test_the_doctor_asks_the_services(room: Room):
    answer = (await room.admin("GET", "/civitai_bridge/doctor")).data
    assert answer["ok"] and {"versions", "settings", "answer", "key"} <= {each["topic"] for each in answer["findings"]}
    room.forget(orchestration_url="http://127.0.0.1:9")
    answer = (await room.admin("GET", "/civitai_bridge/doctor")).data
    assert not answer["ok"] and any(each["remedy"] for each in answer["findings"])
