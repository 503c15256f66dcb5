"""A killed owner on this machine is known at once; any other is known by its heart."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pack.civitai_bridge.errors import LimitReached
from pack.civitai_bridge.orchestration.journal import Journal
from pack.civitai_bridge.orchestration.limits import Limits
from pack.civitai_bridge.orchestration.owners import has_ended, new_owner
from pack.civitai_bridge.orchestration.purchase import CANCELED, SENT, Buyer, PlannedPurchase, new_key

_BUYER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from pack_root import load_pack
load_pack("pack")
from pack.civitai_bridge.orchestration.journal import Journal
from pack.civitai_bridge.orchestration.limits import Limits
from pack.civitai_bridge.orchestration.owners import new_owner
from pack.civitai_bridge.orchestration.purchase import Buyer, PlannedPurchase
journal, owner = Journal(Path(sys.argv[2])), new_owner()
for key in ("unsent", "sent"):
    planned = PlannedPurchase(key, key, Buyer("me", "https://a"), "{}", 10)
    journal.reserve([planned], Limits(100, 20), usable=lambda *_: True, owner=lambda _: owner)
journal.begin_attempt("sent", owner)
print(owner, flush=True)
sys.stdin.readline()
"""


def planned(price: int = 10) -> PlannedPurchase:
    return PlannedPurchase(new_key(), new_key(), Buyer("me", "https://a"), "{}", price)


def reserve(journal: Journal, price: int) -> None:
    journal.reserve([planned(price)], Limits(100, 20), usable=lambda *_: True, owner=lambda _: new_owner())


def test_our_own_process_has_not_ended_and_names_of_elsewhere_prove_nothing():
    owner = new_owner()
    assert not has_ended(owner) and new_owner() != owner
    for other in ("", "0" * 32, owner.replace(owner.split(".")[0], "another-machine"), "a.b.c.d", "1.2"):
        assert not has_ended(other)
    assert has_ended(owner.replace(f".{os.getpid()}.", ".4194399."))


def test_a_number_that_another_process_has_by_now_is_not_its_owner():
    machine, pid, rest = new_owner().split(".", 2)
    assert has_ended(f"{machine}.{pid}.1.00.{'0' * 32}") and rest


def test_a_killed_owner_is_followed_at_once_and_what_it_never_sent_holds_no_buzz(tmp_path: Path):
    path = tmp_path / "journal.sqlite3"
    command = [sys.executable, "-c", _BUYER, str(Path(__file__).parent.parent), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as buyer:
        assert buyer.stdout is not None
        owner = buyer.stdout.readline().strip()
        journal = Journal(path)
        assert not has_ended(owner) and journal.take("sent", "next") is None
        with pytest.raises(LimitReached):
            reserve(journal, 10)
        buyer.kill()
        while not has_ended(owner):  # until the system has ended it; its parent has not looked yet
            time.sleep(0.01)
        reserve(journal, 10)
        unsent = journal.get("unsent")
        assert unsent is not None and (unsent.state, unsent.error[:10]) == (CANCELED, "never sent")
        taken = journal.take("sent", "next")
        assert taken is not None and (taken.owner, taken.state) == ("next", SENT)
        journal.close()


def test_opening_the_journal_frees_what_a_killed_process_never_sent(tmp_path: Path):
    path = tmp_path / "journal.sqlite3"
    command = [sys.executable, "-c", _BUYER, str(Path(__file__).parent.parent), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as buyer:
        assert buyer.stdout is not None and buyer.stdout.readline()
        buyer.kill()
    journal = Journal(path)
    assert {row.key: row.state for row in journal.rows()} == {"unsent": CANCELED, "sent": SENT}
    journal.close()


def test_an_owner_whose_start_the_system_did_not_tell_is_not_taken_for_dead():
    machine, pid, *_ = new_owner().split(".")
    assert not has_ended(f"{machine}.{pid}.0.00.x")
