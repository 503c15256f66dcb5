"""What the wallets hold: both wire formats of the site, a key without the right, answers of another form."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import Fake, reply

from pack.civitai_bridge.errors import CivitaiError, Forbidden, Unauthorized, Unreadable
from pack.civitai_bridge.website.wallets import wallets


def refusal(status: int, name: str) -> dict[str, Any]:
    return {"error": {"json": {"message": name, "code": -32003, "data": {"code": name, "httpStatus": status}}}}


@pytest.mark.parametrize(
    "data",
    [
        {"json": {"yellow": 120, "blue": 7.9, "green": 0}},
        '[{"yellow":1,"blue":2,"green":3},120,7.9,0]',
    ],
)
async def test_the_wallets_are_read_in_both_forms(data: Any):
    send = Fake(reply(200, {"result": {"data": data}}))
    assert await wallets(send) == {"yellow": 120, "blue": 7, "green": 0}
    assert (send.requests[0].method, send.requests[0].path) == ("GET", "/api/trpc/buzz.getBuzzAccount")


@pytest.mark.parametrize(
    ("status", "data", "error"),
    [
        (403, refusal(403, "FORBIDDEN"), Forbidden),
        (401, refusal(401, "UNAUTHORIZED"), Unauthorized),
        (404, refusal(404, "NOT_FOUND"), CivitaiError),
        (502, None, CivitaiError),
        (200, {"result": {"data": {"json": None}}}, Unreadable),
        (200, {"result": {"data": {"json": {"yellow": "a lot"}}}}, Unreadable),
        (200, ["yellow"], Unreadable),
    ],
)
async def test_an_answer_without_wallets_is_its_error(status: int, data: Any, error: type):
    with pytest.raises(error):
        await wallets(Fake(reply(status, data)))
