"""Foreign text as a terminal, a log or a node may show it."""

from __future__ import annotations

import html
import re

# Escape sequences of terminals (CSI, OSC, two characters), then every control character but tab and line feed, and the
# characters that turn the direction of what follows.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_TAG = re.compile(r"<(/?[A-Za-z][^<>]{0,2000}|!--.{0,2000}?--)>", re.DOTALL)
_BREAK = re.compile(r"\s*[\t\n\u2028\u2029]\s*")


def printable(text: str) -> str:
    """The text without what a terminal would obey; lines and tabs stay.

    assert printable("a\\x1b[31mb\\x1b]0;title\\x07c\\r\\nd") == "abc\\nd"
    """
    return _CONTROL.sub("", _ESCAPE.sub("", text))


def one_line(text: str) -> str:
    """A name as one line; spaces inside it stay, for a file may be called so.

    assert one_line("two\n lines\x1b[2J") == "two lines"
    """
    return _BREAK.sub(" ", printable(text))


def without_html(text: str) -> str:
    """The words of a piece of HTML, a line for each paragraph.

    assert without_html("<p>a &amp; b</p><p>c<br>d</p>") == "a & b\\nc\\nd"
    """
    lines = re.sub(r"(?i)</(p|li|h[1-6]|div|tr)>|<br\s*/?>", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", printable(html.unescape(_TAG.sub("", lines)))).strip()
