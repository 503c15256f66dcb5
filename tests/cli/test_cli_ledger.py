"""`journal list`, `journal export` and `buzz` in the shell, on the sandbox."""

from __future__ import annotations

import csv
import io

import pytest
from work_room import Shell

from pack.civitai_bridge.sandbox import Sandbox

ORDER = ("generate", "--model", "128078", "--width", "64", "--height", "64", "--yes")


def test_the_journal_is_a_table_with_totals_and_a_spreadsheet(shell: Shell):
    assert shell("journal", "list").out == "The journal is empty.\n" == shell("journal", "list", "--totals").out
    assert shell("journal", "export", "--csv").out.startswith('"when","asked_by","model","engine","state"')
    assert shell(*ORDER, "--prompt", "=1+1", "--tag", "a", "--seed", "1").code == 0
    assert shell(*ORDER, "--prompt", "b", "--quantity", "2", "--seed", "2").code == 0
    lines = shell("journal", "list").out.splitlines()
    (first, second) = shell("journal", "list", "--json").data
    for word in ("when", "asked by", "model", "Buzz", "refund", "state", "key"):
        assert word in lines[0]
    assert all(word in lines[1] for word in ("generate", "SD XL", "1 (1 blue)", "collected", first["key"]))
    assert (first["asked_by"], first["wallets"], first["tags"]) == ("generate", {"blue": 1}, ["a"])
    totals = shell("journal", "list", "--totals", "--json").data
    assert totals["all"] == [
        {"name": "all", "purchases": 2, "pictures": 3, "charged": 2, "refunded": 0, "net": 2}
    ] and [len(totals[name]) for name in ("by_day", "by_model", "by_engine")] == [1, 1, 1]
    assert any(line.split() == ["comfy/sdxl", "2", "3", "2", "0", "2"] for line in lines)
    rows = list(csv.DictReader(io.StringIO(shell("journal", "export", "--csv").out)))
    assert [(row["prompt"], row["blue"], row["net"], row["key"]) for row in rows] == [
        ("'=1+1", "1", "1", first["key"]), ("b", "1", "1", second["key"])
    ]  # fmt: skip
    assert [row["prompt"] for row in shell("journal", "export", "--csv", "--json").data] == ["=1+1", "b"]


def test_another_users_purchases_are_marked_and_do_not_count(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    assert shell(*ORDER, "--prompt", "c").code == 0
    monkeypatch.setenv("CIVITAI_API_TOKEN", "somebody-else")
    text = shell("journal", "list").out
    assert "(another account or address)" in text and "by_day" not in text and "purchases" not in text
    assert len(shell("journal", "export", "--csv").out.splitlines()) == 1


def test_buzz_tells_the_balance_what_was_spent_and_what_is_left(shell: Shell):
    assert shell(*ORDER, "--prompt", "d", "--quantity", "3").code == 0
    made = shell("buzz", "--json").data
    assert made["balance"]["blue"] == 200 - made["spent"]["today"] and made["spent"]["today"] > 0
    assert made["spent"]["left"] == 5000 - made["spent"]["last_24_hours"] and made["balance_unknown"] == ""
    text = shell("buzz").out
    assert f"{made['spent']['month']} this month" in text and "limit_buzz_per_day" in text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CIVITAI_API_TOKEN", "no-buzz", "may not read it"),
        ("CIVITAI_API_TOKEN", "wrong", "not known"),
        ("CIVITAI_API_TOKEN", "", "not known"),
        ("CIVITAI_SITE_URL", "http://127.0.0.1:9", "not known"),
    ],
)
def test_without_a_balance_the_rest_is_told(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
):
    monkeypatch.setenv(name, value)
    done = shell("buzz")
    assert done.code == 0 and words in done.out and "Spent here" in done.out and "limit_buzz_per_prompt" in done.out


def test_a_refund_that_nobody_saw_is_found(sandbox: Sandbox, shell: Shell):
    sandbox.script.job(seconds=0.1, end="failed")
    assert shell(*ORDER, "--prompt", "e", "--quantity", "2").code == 1
    made = shell("journal", "list", "--json").data[-1]
    assert (made["refunded"], made["cost"], made["wallets"]) == (made["charged"], 0, {"blue": made["charged"]})
