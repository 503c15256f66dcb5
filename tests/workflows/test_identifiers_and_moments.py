"""Ids and dates as people type them: what is refused before a request, and what a date means."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from pack.civitai_bridge.errors import BadInput
from pack.civitai_bridge.resources.moments import moment_of
from pack.civitai_bridge.workflows.details import details_from_json
from pack.civitai_bridge.workflows.identifiers import checked_id, checked_step, kind_of_id
from pack.civitai_bridge.workflows.moments import window
from pack.civitai_bridge.workflows.query import WorkflowFilter


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[misc]


@pytest.mark.parametrize(
    "text", ["", "  ", "a/b", "../x", "..", "a?b", "a b", "a'b", "ключ", "a%2fb", "x" * 201, "a\x00"]
)
def test_an_id_that_could_name_another_route_is_refused(text: str):
    with pytest.raises(BadInput, match="id"):
        checked_id(text)


def test_ids_are_told_apart_and_steps_may_be_called_by_their_place():
    assert kind_of_id("JNFDW54JNTATNW42HACYCWSQP0.jpeg") == "blob"
    assert kind_of_id("58de87d7-d594-4d71-ae43-dd8fc1bcbd23") == "job"
    assert kind_of_id("8484131-20260121222126332") == kind_of_id("abc123-def456") == "workflow"
    assert checked_step(" $0 ") == "$0" and checked_step("bilde größer") == "bilde größer"
    for name in ("", "a/b", "..", "a\nb"):
        with pytest.raises(BadInput):
            checked_step(name)


def test_a_day_alone_is_the_whole_day():
    day = window("2024-01-20", "2024-01-20")
    assert (day.begin, day.end) == (utc(2024, 1, 20), utc(2024, 1, 21))
    assert day.holds(utc(2024, 1, 20)) and day.holds(utc(2024, 1, 20, 23, 59, 59))
    assert not day.holds(utc(2024, 1, 21)) and not day.holds(utc(2024, 1, 19, 23))
    assert day.holds(None)


def test_a_moment_is_meant_in_utc_unless_it_says_otherwise():
    hours = window("2024-01-20T06:00:00Z", "2024-01-20T12:00:00")
    assert hours.holds(utc(2024, 1, 20, 12)) and not hours.holds(utc(2024, 1, 20, 12, 0, 1))
    assert window("2024-01-20T06:00+02:00").begin == utc(2024, 1, 20, 4)
    assert moment_of("2026-10-01T10:00:00.1234567Z") == utc(2026, 10, 1, 10) + timedelta(microseconds=123456)


@pytest.mark.parametrize("text", ["2024-13-01", "2023-02-29", "yesterday", "2024-1-2", "2024-01-20T25:00:00Z", "0"])
def test_a_date_that_is_none_is_refused_by_name(text: str):
    with pytest.raises(BadInput, match=r"--to is .* no date"):
        window("", text)


def test_a_window_that_holds_nothing_is_refused():
    with pytest.raises(BadInput, match="after"):
        window("2024-01-22", "2024-01-20")


@pytest.mark.parametrize("take", [0, -1, 201, 99999])
def test_a_page_of_no_size_is_refused_before_a_request(take: int):
    with pytest.raises(BadInput, match=f"--take is {take}"):
        WorkflowFilter(take=take).checked()


def test_what_the_service_did_not_filter_is_filtered_here_and_said():
    rows = [
        {"id": "1", "status": "succeeded", "tags": ["a", "b"], "createdAt": "2024-01-20T10:00:00Z"},
        {"id": "2", "status": "failed", "tags": ["a", "b"], "createdAt": "2024-01-20T10:00:00Z"},
        {"id": "3", "status": "succeeded", "tags": ["a"], "createdAt": "2024-01-20T10:00:00Z"},
        {"id": "4", "status": "succeeded", "tags": ["a", "b"], "createdAt": "2024-01-21T00:00:00Z"},
        {"id": "5", "status": "processing", "tags": ["a", "b"], "createdAt": "2024-01-20T00:00:00Z"},
    ]
    query = WorkflowFilter(tags=("a", "b"), exclude_failed=True, window=window("2024-01-20", "2024-01-20"))
    kept, ignored = query.sift(map(details_from_json, rows))
    assert [each.id for each in kept] == ["1", "5"]
    assert ignored == {"tags", "dates", "excludeFailed"}
    by_status = WorkflowFilter(statuses=("processing",))
    assert [each.id for each in by_status.sift(map(details_from_json, rows))[0]] == ["5"]
    assert by_status.sift(map(details_from_json, rows))[1] == frozenset()
