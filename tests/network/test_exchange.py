"""From an answer to a sentence: every shape that the services use for an error."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest
from fakes import reply
from hypothesis import given
from hypothesis import strategies as st

from pack.civitai_bridge.errors import (
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
from pack.civitai_bridge.network.exchange import Response, error_from, expect, message_of


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"title": (
"One or more validation errors "
"occurred."
), "status": 400, "errors": {"steps[0].input.width": ["must be 64"]}}, "steps[0].input.width: must be 64"),
        ({"errors": {"$.steps[0].input": "could not be converted"}}, "$.steps[0].input: could not be converted"),
        ({"title": "Bad Request", "errors": {"messages": [(
"Some Model is not enabled for "
"generation."
)]}}, "Some Model is not enabled for generation."),
        ({"type": None, "title": "Not Found", "status": 404, "detail": "gone fishing", "instance": None}, "gone fishing"),
        ({"title": "Not Found", "status": 404}, "Not Found"),
        ("Insufficient funds", "Insufficient funds"),
        ({"error": "Model not found"}, "Model not found"),
        ({"error": "Unauthorized", "message": "log in first"}, "Unauthorized: log in first"),
        ({"error": {"name": "ZodError", "message": '[{"path":["limit"],"message":"Too big"}]'}}, "limit: Too big"),
        ({"message": "deep", "code": "X"}, "deep"),
        ([{"message": "first"}, {"message": "second"}], "first; second"),
        ({}, ""),
        (7, ""),
    ],
)  # fmt: skip
def test_messages(body: Any, words: str):
    assert message_of(reply(400, body)) == words


@pytest.mark.parametrize("content", [b"", b"   ", b"<!DOCTYPE html><h1>502</h1>"])
def test_nothing_readable_is_no_message(content: bytes):
    assert message_of(Response(502, {}, content)) == ""


def test_plain_text_and_broken_bytes_are_shown_cleaned():
    assert message_of(Response(500, {}, b"error code: 1015")) == "error code: 1015"
    assert "\x1b" not in message_of(Response(500, {}, b"bad \x1b[31m \xff"))
    assert len(message_of(Response(500, {}, b"x" * 10_000))) < 500


def test_no_credential_survives():
    text = message_of(reply(400, "Bearer abc.def refused for https://x/?sig=SECRET&exp=1&token=T"))
    assert "abc.def" not in text and "SECRET" not in text and "=T" not in text


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"detail": "x"}, BadRequest), (422, {"detail": "x"}, BadRequest), (418, None, BadRequest), (401, None, Unauthorized),
        (402, None, OutOfBuzz), (403, "Not enough Buzz", OutOfBuzz), (400, {"detail": "Insufficient funds"}, OutOfBuzz),
        (403, {"detail": "mature flag"}, Forbidden), (404, None, NotFound), (409, None, Conflict), (410, None, Gone),
        (429, None, RateLimited), (451, {"error": "region"}, RegionBlocked), (500, None, ServerTrouble), (524, None, ServerTrouble),
        (308, None, Unreadable),
    ],
)  # fmt: skip
def test_kinds(status: int, body: Any, kind: type[ApiError]):
    error = error_from(reply(status, body))
    assert type(error) is kind and error.status == status
    assert str(error).endswith((".", "`).")) and "{" not in str(error)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("", None), ("soon", None), ("-3", None), ("1e9", 86400.0), ("nan", None), ("inf", None)],
)
def test_retry_after(value: str, seconds: float | None):
    assert error_from(Response(429, {"retry-after": value}, b"")).retry_after == seconds


@pytest.mark.parametrize(("shift", "least", "most"), [(90, 80, 90), (-90, 0, 0)])
def test_retry_after_may_be_a_date(shift: int, least: int, most: int):
    date = formatdate(time.time() + shift, usegmt=True)
    pause = error_from(Response(429, {"retry-after": date}, b"")).retry_after
    assert pause is not None and least <= pause <= most


def test_expect():
    assert expect(reply(200, {"a": 1})) == {"a": 1}
    assert expect(Response(204, {}, b"")) is None
    for content, what in ((b"{cut", "broken JSON"), (b"<html>", "a page")):
        with pytest.raises(Unreadable, match=what):
            expect(Response(200, {}, content))


@given(st.binary(max_size=200), st.integers(300, 599))
def test_any_answer_becomes_a_sentence(content: bytes, status: int):
    assert str(error_from(Response(status, {}, content))).strip()


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["errors", "messages", "detail", "error", "message", "title", "name"]), inner, max_size=4), max_leaves=12))  # fmt: skip
def test_any_json_becomes_a_sentence(body: Any):
    assert str(error_from(reply(400, body))).strip()


PAGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Cloudflare Ray ID: 1</body></html>"


@pytest.mark.parametrize(
    ("status", "headers", "content", "kind"),
    [
        (403, {"server": "cloudflare"}, PAGE, CloudflareChallenge),
        (503, {}, PAGE, CloudflareChallenge),
        (403, {"cf-mitigated": "challenge"}, b"", CloudflareChallenge),
        (403, {"server": "cloudflare"}, b'{"error": "not allowed"}', Forbidden),
        (403, {"server": "cloudflare"}, b"<html>Forbidden</html>", Forbidden),
        (404, {}, PAGE, NotFound),
    ],
)
def test_cloudflares_page_is_not_civitais_answer(
    status: int, headers: dict[str, str], content: bytes, kind: type[ApiError]
):
    assert type(error_from(Response(status, headers, content))) is kind


def test_a_long_pause_names_the_time():
    later = error_from(Response(429, {"retry-after": "7200"}, b""))
    assert "asks not to be asked again before" in str(later)
