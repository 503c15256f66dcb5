"""CivitAI's two domains: what one of them does not show, the other is asked for once.

civitai.com and civitai.green leave out what is for adults, civitai.red shows it; they are one site with the same
routes, ids and keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import CivitaiError, Unreadable
from ..network.exchange import Request, Response, Send
from ..resources.json_values import mapping, objects, text

_HASH_ROUTES = ("/model-versions/by-hash", "/model-versions/by-hash/ids")


def with_other_domain(send: Send, other: Send) -> Send:
    """A Send that repeats at the other domain what this one does not know: 404, no image in a list, hashes of a batch
    that nothing was said of. Where the other one knows nothing either, or cannot be asked, the first answer stands."""

    async def ask(request: Request) -> Response:
        response = await send(request)
        again = _question_for_other(request, response)
        if again is None:
            return response
        try:
            second = await other(again)
        except CivitaiError:
            return response
        if second.status >= 400:
            return response
        return _together(response, second) if request.method == "POST" else second

    return ask


def _question_for_other(request: Request, response: Response) -> Request | None:
    if request.method == "GET":
        unknown = response.status == 404 or (request.path == "/api/v1/images" and _is_empty_list(response))
        return request if unknown else None
    if not request.path.endswith(_HASH_ROUTES) or response.status != 200:
        return None
    known = {hash_ for entry in _entries(response) for hash_ in _hashes(entry)}
    missing = [hash_ for hash_ in request.json if str(hash_).lower() not in known]
    return replace(request, json=missing) if missing else None


def _is_empty_list(response: Response) -> bool:
    try:
        return response.status == 200 and mapping(response.json()).get("items") == []
    except Unreadable:
        return False


def _entries(response: Response) -> list[Mapping[str, Any]]:
    try:
        return objects(response.json())
    except Unreadable:
        return []


def _hashes(entry: Mapping[str, Any]) -> list[str]:
    """The SHA-256, in lower case, that an entry of a batch answers."""
    files = [text(mapping(file.get("hashes")).get("SHA256")) for file in objects(entry.get("files"))]
    return [hash_.lower() for hash_ in (text(entry.get("hash")), *files) if hash_]


def _together(first: Response, second: Response) -> Response:
    return replace(first, content=json.dumps([*_entries(first), *_entries(second)]).encode())
