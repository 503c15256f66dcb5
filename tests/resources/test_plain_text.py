"""Foreign text, without what a terminal would obey."""

from __future__ import annotations

import pytest

from pack.civitai_bridge.resources.plain_text import one_line, printable
from pack.civitai_bridge.resources.version import version_from_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcödé 夢 👩‍🎨", "plain ünïcödé 夢 👩‍🎨"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x\x1b]8;;http://e\x1b\\link", "xlink"),
        ("\x9b31mred", "31mred"),
        ("a\rb\x08c\x00d\x7f", "abcd"),
        ("\u202etxt.exe\u2066", "txt.exe"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b", ""),
    ],
)
def test_what_a_terminal_would_obey_is_gone(text: str, shown: str):
    assert printable(text) == shown


def test_a_name_is_one_line_with_its_own_spaces():
    assert one_line("a  name\nwith\t\x1b[2Jbreaks\u2028inside") == "a  name with breaks inside"


def test_names_of_strangers_are_cleaned_where_they_come_in():
    data = {
        "id": 1,
        "modelId": 2,
        "name": "v1\n[paid 0 Buzz]",
        "baseModel": "SDXL 1.0\x1b[2J",
        "model": {"name": "\x1b]0;title\x07A\r\nModel", "type": "LORA"},
        "air": "urn:air:sdxl:lora:civitai:2@1",
    }
    version = version_from_json(data)
    assert version.title == "A Model v1 [paid 0 Buzz]" and version.base_model == "SDXL 1.0"
