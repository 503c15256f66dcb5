"""Network tags in prompt text: `<lora:name:0.8>`, `<lyco:…>`, `<hypernet:…>`."""

from __future__ import annotations

_KINDS = ("lora:", "lyco:", "hypernet:")


def network_tags(text: str) -> list[str]:
    """The tags as they stand in the text, in order.

    assert network_tags("a <lora:x:0.8> b") == ["<lora:x:0.8>"]
    """
    tags, start = [], 0
    while (start := text.find("<", start)) >= 0:
        end = text.find(">", start)
        if end < 0:
            break
        last = text.rfind("<", start, end)
        inner = text[last + 1 : end]
        if inner.lower().startswith(_KINDS) and "\n" not in inner:
            tags.append(text[last : end + 1])
        start = end + 1
    return tags
