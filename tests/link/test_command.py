"""A room's message becomes a command, or is none."""

from __future__ import annotations

import pytest

from pack.civitai_bridge.errors import BadInput
from pack.civitai_bridge.link.message import Command, read_command


def test_a_command_keeps_its_id_and_date_and_writes_its_type_in_lower_case():
    command = read_command({"id": "a-1", "type": "Resources:ADD", "createdAt": "2026-11-28T12:00:00Z", "resource": {}})
    assert command == Command("a-1", "resources:add", "Resources:ADD", "2026-11-28T12:00:00Z", {"resource": {}})
    assert command.envelope == {"id": "a-1", "type": "Resources:ADD", "createdAt": "2026-11-28T12:00:00Z"}


@pytest.mark.parametrize("data", [None, [], "x", {}, {"id": 7}, {"id": ""}, {"id": "x" * 101}, {"id": "a\x1b[2J"}])
def test_what_cannot_be_answered_is_no_command(data: object):
    with pytest.raises(BadInput):
        read_command(data)


def test_hostile_dates_types_and_statuses_are_not_repeated():
    command = read_command({"id": "a", "type": ["x"], "createdAt": "x" * 50, "status": "success", "progress": 3})
    assert command.envelope == {"id": "a", "type": ""} and command.fields == {"progress": 3}
