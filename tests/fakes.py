"""Remembering fakes: a `Send` that plays answers and keeps what it was asked."""

from __future__ import annotations

import json
from typing import Any

from pack.civitai_bridge.network.exchange import Request, Response


def reply(status: int, data: Any = None, **headers: str) -> Response:
    """A JSON answer; `data` None = an empty body."""
    content = b"" if data is None else json.dumps(data).encode()
    return Response(status, {"content-type": "application/json", **headers}, content)


class Fake:
    """Plays its answers in turn (the last one for ever) and remembers the requests. An exception is raised."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def answering(status: int, data: Any = None) -> Fake:
    return Fake(reply(status, data))
