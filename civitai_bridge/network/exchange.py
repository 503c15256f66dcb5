"""The seam to the network: a request goes in, a response comes out. Everything above it is tested with plain functions.

`Send` raises Unreachable when there is no answer and never for a status; `expect` turns a status into an error with a
sentence.
"""

from __future__ import annotations

import json as _json
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from ..errors import (
    ApiError,
    BadRequest,
    CloudflareChallenge,
    Conflict,
    Forbidden,
    Gone,
    NotFound,
    OutOfBuzz,
    RateLimited,
    RegionBlocked,
    ServerTrouble,
    Unauthorized,
    Unreadable,
)
from .hosts import SHORT_PAUSE, clock_time

LONGEST_PAUSE = 86_400.0  # seconds that are believed of a Retry-After
_LONGEST = 400  # characters of the service's own words in a message


def _always() -> bool:
    return True


@dataclass(frozen=True)
class Request:
    """`path` is joined to the base address of the Send; `timeout` is in seconds to the end of the answer.

    Either `json` or `content` (with its type) is the body. `of_order` = it belongs to an order that may have left, so
    no memory of failures keeps it back; `fresh` = it is an order, and never leaves on a connection that may be dead.
    `is_wanted` is asked while a pause of the service is sat out: what nobody wants any more does not leave."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    json: Any = field(default=None, repr=False)
    content: bytes | None = field(default=None, repr=False)
    content_type: str = ""
    timeout: float = 30.0
    of_order: bool = False
    fresh: bool = False
    is_wanted: Callable[[], bool] = field(default=_always, repr=False)


@dataclass(frozen=True)
class Response:
    """Header names are in lower case; `content` is the whole, unpacked body."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. Raises Unreadable: cut off, HTML, nothing at all, or not UTF-8."""
        try:
            return _json.loads(self.content)
        except (ValueError, RecursionError) as error:
            what = (
                "nothing" if not self.content.strip() else "a page" if self.text.lstrip()[:1] == "<" else "broken JSON"
            )
            raise Unreadable(f"The service answered with {what} instead of data.", status=self.status) from error


Send = Callable[[Request], Awaitable[Response]]


def expect(response: Response, *, service: str = "CivitAI") -> Any:
    """The JSON of a 2xx answer, None for an empty one. Raises the ApiError that fits any other."""
    if not 200 <= response.status < 300:
        raise error_from(response, service=service)
    return response.json() if response.content.strip() else None


def message_of(response: Response) -> str:
    """What the service says went wrong, in one line; `""` when it says nothing that a person can read.

    Reads every shape that the two services answer with: problem+json with `errors`, `detail` and `title`,
    bare strings, `{"error": …}` in its five forms, HTML pages, and nothing."""
    text = response.text.strip()
    if not text or text[:1] == "<":
        return ""
    try:
        data = _json.loads(text)
    except (ValueError, RecursionError):
        return clean(text)
    return clean("; ".join(dict.fromkeys(part for part in _words(data) if part)))


def error_from(response: Response, *, service: str = "CivitAI") -> ApiError:
    """The error for an answer that is not 2xx; its message is a sentence that says what to do."""
    status, detail = response.status, message_of(response)
    said = f" It says: {detail.rstrip('.')}." if detail else ""
    after = retry_after(response)
    if status == 402 or (status in (400, 403) and _speaks_of_money(detail)):
        return OutOfBuzz(
            f"{service} says the wallet cannot pay this.{said} Buy Buzz or choose another wallet (setting "
            "`currencies`).",
            status=status,
            detail=detail,
        )
    if is_challenge(response):
        return CloudflareChallenge(
            f"Cloudflare, which stands before {service}, wants to see a browser and did not let the request through. "
            "Turn off a VPN or proxy, or wait some minutes, and try again.",
            status=status,
            retry_after=after,
        )
    kind, sentence = _kind(status)
    text = sentence.format(service=service, status=status)
    if status == 429 and after is not None and after > SHORT_PAUSE:
        text = f"{service} asks not to be asked again before {clock_time(time.time() + after)}."
    return kind(f"{text}{said}", status=status, detail=detail, retry_after=after)


def is_challenge(response: Response) -> bool:
    """Whether the answer is Cloudflare's own page and not CivitAI's: a check for browsers, or a block."""
    if response.headers.get("cf-mitigated") == "challenge":
        return True
    is_page = response.text.lstrip()[:1] == "<" and "cloudflare" in response.text.lower()
    return response.status in (403, 429, 503) and is_page


def _kind(status: int) -> tuple[type[ApiError], str]:
    table: dict[int, tuple[type[ApiError], str]] = {
        400: (BadRequest, "{service} did not accept the request."),
        401: (
            Unauthorized,
            ("{service} does not accept the API key: it is wrong or expired. Run `civitai-bridge login`."),
        ),
        403: (Forbidden, "{service} does not allow this for your account."),
        404: (NotFound, "{service} does not know it, or it is not public."),
        409: (Conflict, "{service} says this conflicts with its present state."),
        410: (Gone, "{service} has removed it."),
        422: (BadRequest, "{service} did not accept the request."),
        429: (RateLimited, "{service} asks for fewer requests; wait a little and try again."),
        451: (RegionBlocked, "{service} is not available in your region."),
    }
    if status in table:
        return table[status]
    if 300 <= status < 400:
        return Unreadable, (
            "{service} answered with a redirect ({status}), which is never followed with a key. Check the address."
        )
    if status >= 500:
        return ServerTrouble, "{service} has trouble at the moment (HTTP {status}); try again in a while."
    return BadRequest, "{service} refused the request (HTTP {status})."


def _words(data: Any) -> Iterator[str]:
    """All readable parts in reading order; the first kind that says something is enough."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, list):
        for part in data[:5]:
            yield from _words(part)
    elif isinstance(data, Mapping):
        errors = data.get("errors")
        if isinstance(errors, Mapping) and errors:
            if errors.get("messages"):
                yield from _words(errors["messages"])
            for path, value in list(errors.items())[:8]:
                if path != "messages":
                    yield from (f"{path}: {word}" for word in _words(value))
            return
        if isinstance(data.get("detail"), str) and data["detail"]:
            yield data["detail"]
            return
        error = data.get("error")
        if isinstance(error, Mapping) and isinstance(error.get("message"), str):
            yield from _issues(error["message"])
            return
        if isinstance(error, str) and error:
            message = data.get("message")
            yield f"{error}: {message}" if isinstance(message, str) and message else error
            return
        for name in ("message", "title"):
            if isinstance(data.get(name), str) and data[name]:
                yield from _issues(data[name])
                return


def _issues(text: str) -> Iterator[str]:
    """A ZodError's message is itself JSON text of an array of issues."""
    if text.lstrip()[:1] == "[":
        try:
            for issue in _json.loads(text)[:5]:
                where = ".".join(str(part) for part in issue.get("path", ()))
                yield f"{where}: {issue.get('message', '')}" if where else str(issue.get("message", ""))
            return
        except (ValueError, AttributeError, TypeError):
            pass  # not that shape after all: the text is shown as it is
    yield text


def clean(text: str) -> str:
    """A foreign text for a person: one line, no control characters, no credentials, no signed queries, not endless."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    text = re.sub(r"(?i)\bbearer\s+\S+", "Bearer …", text)
    text = re.sub(r"(?i)\b(sig|token|exp|key|signature|x-amz-[a-z-]+)=[^&\s\"']+", r"\1=…", text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _speaks_of_money(detail: str) -> bool:
    low = detail.lower()
    return any(word in low for word in ("buzz", "insufficient", "funds", "budget", "balance"))


def retry_after(response: Response) -> float | None:
    """Seconds for which the service asks to be left alone (Retry-After as seconds or as a date), at most a day; None
    where it says nothing that can be read."""
    value = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
        seconds = max(0.0, seconds)  # a date that has passed
    return min(seconds, LONGEST_PAUSE) if math.isfinite(seconds) and seconds >= 0 else None
