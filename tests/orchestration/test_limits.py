"""Limits of a prompt and of a day, and the sentences that say how much is left."""

from __future__ import annotations

import pytest

from pack.civitai_bridge.errors import LimitReached
from pack.civitai_bridge.orchestration.limits import DAY, Limits, Spending, check_limits
from pack.civitai_bridge.orchestration.purchase import Buyer, PlannedPurchase

NOW = 1_800_000_000.0


def planned(price: int, prompt_id: str = "p") -> PlannedPurchase:
    return PlannedPurchase("key", "hash", Buyer("me", "https://a"), "{}", price, prompt_id)


def refused(price: int, limits: Limits, *spent: Spending) -> LimitReached:
    with pytest.raises(LimitReached) as caught:
        check_limits([planned(price)], limits, spent, NOW)
    return caught.value


@pytest.mark.parametrize(("day", "prompt", "name"), [(0, 100, "limit_buzz_per_day"), (100, 0, "limit_buzz_per_prompt")])
def test_a_setting_of_0_means_that_nothing_may_be_bought_and_no_time_is_named(day: int, prompt: int, name: str):
    error = refused(1, Limits(prompt, day), Spending(NOW - 60, "q", 5))
    assert str(error) == (
        f"The setting {name} is 0, so nothing may be bought; this would cost 1 Buzz. Nothing was bought."
    )
    assert (error.limit, error.left, error.frees_at) == (name, 0, None)


def test_what_costs_nothing_is_within_every_limit():
    check_limits([planned(0)], Limits(0, 0), [], NOW)


@pytest.mark.parametrize(("spent", "left", "verb"), [(6, 1, "is"), (5, 2, "are"), (7, 0, "are"), (9, 0, "are")])
def test_what_is_left_is_said_in_right_grammar(spent: int, left: int, verb: str):
    of_day = refused(8, Limits(100, 7), Spending(NOW - 60, "q", spent))
    of_prompt = refused(8, Limits(7, 100), Spending(NOW - 60, "p", spent))
    assert f"{left} of the day's limit of 7 {verb} left" in str(of_day)
    assert f"{left} of the limit of 7 for one prompt {verb} left" in str(of_prompt)
    assert of_day.frees_at == NOW - 60 + DAY and of_prompt.frees_at is None


def test_one_buzz_is_spent_and_two_are():
    for spent, words in ((1, "1 Buzz of this prompt is spent"), (2, "2 Buzz of this prompt are spent")):
        assert words in str(refused(8, Limits(7, 100), Spending(NOW - 60, "p", spent)))
