"""The sandbox's list of workflows: every filter of the contract, cursors that belong to their query, pages of at most
200; and the list of the staff, a bare array of at most ten."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .views import view
from .workflows import TERMINAL, Orchestrator, Run, invalid, moment, problem

MOST, MOST_OF_STAFF = 200, 10
_FILTERS = ("tags", "excludeTags", "query", "fromDate", "toDate", "excludeFailed", "ascending", "hideMatureContent")


def listed(orchestrator: Orchestrator, user: str, query: Mapping[str, list[str]]) -> dict[str, Any]:
    """A page of a user's workflows, the newest first unless `ascending`. Raises Refusal (400)."""
    ignored = orchestrator.script.ignored_filters
    query = {name: values for name, values in query.items() if name not in ignored}
    take = _number("take", _one(query, "take", "100"), MOST)
    start = _start(query)
    runs = [run for run in orchestrator.runs.values() if _fits(orchestrator, run, user, query)]
    runs.sort(key=lambda run: run.data["createdAt"], reverse=not _flag(query, "ascending", False))
    hide = _flag(query, "hideMatureContent", True)
    page = [view(orchestrator, run, hide_mature=hide) for run in runs[start : start + take]]
    is_last = start + take >= len(runs)
    body: dict[str, Any] = {"items": page, "next": None if is_last else f"{start + take}.{_digest(query)}"}
    if orchestrator.script.omit_next and is_last:
        del body["next"]
    return body


def staff_list(orchestrator: Orchestrator, query: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Any user's workflows, as the staff's route gives them. Raises Refusal (400)."""
    take = _number("Take", _one(query, "Take", "10"), MOST_OF_STAFF)
    names = {"Tags": "tags", "Query": "query", "ExcludeFailed": "excludeFailed", "Inverse": "ascending"}
    asked = {names[name]: values for name, values in query.items() if name in names}
    user = _one(query, "UserId", "")
    runs = [run for run in orchestrator.runs.values() if _fits(orchestrator, run, user, asked)]
    runs.sort(key=lambda run: run.data["createdAt"], reverse=not _flag(asked, "ascending", False))
    return [view(orchestrator, run) for run in runs[:take]]


def _fits(orchestrator: Orchestrator, run: Run, user: str, query: Mapping[str, list[str]]) -> bool:
    words = _one(query, "query", "")
    since, until = (_moment(name, _one(query, name, "")) for name in ("fromDate", "toDate"))
    tags = set(run.data.get("tags") or ())
    if run.user != user or run.deleted or time.time() - run.born < orchestrator.script.list_lag:
        return False
    if not set(query.get("tags", ())) <= tags or set(query.get("excludeTags", ())) & tags:
        return False
    if words and words.lower() not in json.dumps(run.data.get("metadata") or {}, ensure_ascii=False).lower():
        return False
    if _flag(query, "excludeFailed", False) and run.status in TERMINAL[1:]:
        return False
    created = _moment("createdAt", run.data["createdAt"])
    assert created is not None
    return (since is None or created >= since) and (until is None or created <= until)


def _start(query: Mapping[str, list[str]]) -> int:
    """Where a page begins; a cursor of another query is refused."""
    cursor = _one(query, "cursor", "")
    if not cursor:
        return 0
    number, _, digest = cursor.partition(".")
    if not number.isdecimal() or digest != _digest(query):
        raise invalid({"cursor": [f"The value '{cursor}' is not valid for Cursor."]})
    return int(number)


def _digest(query: Mapping[str, list[str]]) -> str:
    asked = [(name, sorted(query[name])) for name in _FILTERS if query.get(name)]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]


def _one(query: Mapping[str, list[str]], name: str, otherwise: str) -> str:
    return query.get(name, [otherwise])[0]


def _flag(query: Mapping[str, list[str]], name: str, otherwise: bool) -> bool:
    word = _one(query, name, str(otherwise)).lower()
    if word not in ("true", "false"):
        raise invalid({name: [f"The value '{word}' is not valid."]})
    return word == "true"


def _number(name: str, text: str, most: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise invalid({name: [f"The value '{text}' is not valid for {name}: it must be between 1 and {most}."]})
    return int(text)


def _moment(name: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        return moment(text)
    except ValueError as error:
        raise invalid({name: [f"The value '{text}' is not valid for {name}."]}) from error


def refuse_zip(accept: str) -> None:
    """The list as a zip is not to be had here. Raises Refusal (406)."""
    if "application/zip" in accept:
        raise problem(406, "Not Acceptable", "This deployment gives lists as JSON alone.")
