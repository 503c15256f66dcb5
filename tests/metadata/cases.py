"""The cases in `tests/data/metadata`: texts of a picture, and what reading them must give.

Each file holds `texts` (the text chunks of a PNG by name, graphs as JSON) and `expected`: fields of `GenerationData`;
`loras`: [name, weight]; `nets`: [name, weight, hash]; `hires`: [scale, steps, denoise, upscaler]; `others`: [kind,
name]; `others_or_net`: [kind, name, weight]; null: nothing may be claimed. Run as a script it prints right and short
per family (`python3 tools/dev.py cases`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from pack_root import load_pack

DATA = Path(__file__).resolve().parent.parent / "data" / "metadata"
FAMILIES = ("texts", "graphs", "workflows")


def cases(family: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The cases of a family by name."""
    for path in sorted((DATA / family).glob("*.json")):
        yield path.stem, json.loads(path.read_text("utf-8"))


def texts_of(case: Mapping[str, Any]) -> dict[str, str]:
    """The texts as they stand in a file: graphs that are written out become text."""
    return {name: text if isinstance(text, str) else json.dumps(text) for name, text in case["texts"].items()}


def expected_of(case: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a case wants; some say only `sampler`: [sampler, scheduler] and `networks`, as other readers' samples do."""
    if "expected" in case:
        return case["expected"]
    sampling = {} if case["sampler"] is None else dict(zip(("sampler", "scheduler"), case["sampler"], strict=True))
    return {**sampling, **({} if case["networks"] is None else {"networks": case["networks"]})}


def wrong(data: Any, expected: Mapping[str, Any]) -> list[str]:
    """What reading gave that is not what the case wants, each in one line."""
    lines = []
    for name, want in expected.items():
        got = _READERS[name](data) if name in _READERS else getattr(data, name)
        if want is None:
            right = got in (None, "", (), [])
        elif name in _WITHIN:
            right = all(one in got for one in ([want] if name == "others_or_net" else want))
        else:
            right = got == _named(want)
        if not right:
            lines.append(f"{name}: {got!r}, not {want!r}")
    return lines


def _named(want: Any) -> Any:
    """What a case wants with nothing where it says null inside a list."""
    return [_named(one) if one is not None else "" for one in want] if isinstance(want, list) else want


_WITHIN = ("others", "others_or_net")
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "loras": lambda data: [[one.name, one.total[0]] for one in data.networks if one.kind in ("lora", "lyco")],
    "nets": lambda data: [[one.name, one.total[0], one.hash] for one in data.networks],
    "hires": lambda data: None if data.upscale is None else ["" if data.upscale.scale is None else data.upscale.scale, "" if data.upscale.steps is None else data.upscale.steps, "" if data.upscale.denoise is None else data.upscale.denoise, data.upscale.upscaler],
    "networks": lambda data: [[one.name, one.total[0], one.hash or one.version_id] for one in data.networks],
    "others": lambda data: [[one.kind, one.name] for one in data.others],
    "others_or_net": lambda data: [[one.kind, one.name, one.total[0]] for one in (*data.networks, *data.others)],
}  # fmt: skip


def main() -> int:
    """Print how many cases of each family are right, and what is wrong with the others."""
    load_pack("pack")
    from pack.civitai_bridge.metadata.read import generation_from_texts

    failed = 0
    for family in FAMILIES:
        lines = [
            f"    {name}: {'; '.join(found)}"
            for name, case in cases(family)
            if (found := wrong(generation_from_texts(texts_of(case)), expected_of(case)))
        ]
        count = len(list(cases(family)))
        print(f"{family}: {count - len(lines)} right, {len(lines)} short of {count}", *lines, sep="\n")
        failed += len(lines)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
