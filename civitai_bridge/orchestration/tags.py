"""A person's tags on an order, by which its workflow is found again in the account's list.

CivitAI keeps at most 10 tags of 200 characters on a workflow, each once (its contract's WorkflowTemplate). Two are
ours, the pack's name and the purchase's key.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from ..errors import BadInput

TAG = "civitai-bridge"  # on every workflow of ours
MOST_TAGS = 8  # beside our own two
LONGEST_TAG = 200  # in UTF-16 units, as the service counts characters
# A purchase is found by its key as a tag: a workflow with another purchase's key would be taken for that purchase.
_KEY = re.compile(r"cb-[0-9a-f]{32}", re.IGNORECASE)
_NOT_IN_A_LINE = ("Cc", "Cs", "Zl", "Zp")  # controls, halves of characters, separators of lines and paragraphs


def split_tags(text: str) -> tuple[str, ...]:
    """The tags of a text that names them with commas between; what is empty is left out."""
    return tuple(filter(None, (tag.strip() for tag in text.split(","))))


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags without spaces around them, each once, without our own. Raises BadInput with the tag that CivitAI would
    not take, or that would not be found again."""
    checked: dict[str, None] = {}
    for tag in (tag.strip() for tag in tags):
        if problem := _problem(tag):
            raise BadInput(f"The tag {_shown(tag)} cannot be used: it {problem}. Nothing was ordered.")
        if tag.lower() != TAG:
            checked[tag] = None
    if len(checked) > MOST_TAGS:
        raise BadInput(
            f"{len(checked)} tags are named, but an order takes {MOST_TAGS} beside our own. Nothing was ordered."
        )
    return tuple(checked)


def _problem(tag: str) -> str:
    if not tag:
        return "is empty"
    if any(unicodedata.category(character) in _NOT_IN_A_LINE for character in tag):
        return "holds a line break or another control character"
    if "," in tag:
        return "holds a comma, which stands between tags; name each by itself"
    if (length := len(tag.encode("utf-16-le")) // 2) > LONGEST_TAG:
        return f"has {length} characters, and CivitAI takes at most {LONGEST_TAG}"
    if _KEY.match(tag):
        return "looks like the key of a purchase, by which we find what was paid; choose another"
    return ""


def _shown(tag: str) -> str:
    return repr(tag if len(tag) <= 40 else f"{tag[:39]}…")
