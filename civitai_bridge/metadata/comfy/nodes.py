"""Node classes as data: `nodes.json` beside this file holds a row for each class that its inputs do not explain.

Most samplers, loaders and encoders need no row: they are known by the names of their inputs. A row is one line:

    "ImpactSwitch": {"select": "select", "of": "input{}"}

and may say, each where it applies:

`widgets`   the names of its widgets in order, for pages that did not write them down; `each` those that come again
            and again behind them, with {} for 1, 2, 3 …
`gives`     for each output the input whose value it hands on; "a|b": the first of them that is written; "#width" and
            "#height": a side of the size that the node's preset names; "#json": CivitAI's model selector;
            "#reference": the version that our own nodes look up; "" for none
`passes`    true: it hands on its only wire (a reroute)
`first`     it hands on the first input that is there: names, or one name with {} for 1, 2, 3 …
`select`    the input that numbers the branch, `of` the branches ("input{}" or a list), `from` the first number (1);
            several outputs: `of` is a list of lists
`choose`    the input that says yes or no, `yes` and `no` the branches
`join`      texts that it puts together: names or a name with {}; `between`: the input with the delimiter, or "=" and
            the delimiter itself; `skips`: true where empty pieces are left out; `strips`: true where each is trimmed;
            `newlines`: true where a delimiter of backslash and n is a new line
`lines`     [text, number]: it hands on one line of a text, by its number from 0, over again from the first
`replace`   [text, find, replacement, find, replacement …]: inputs of a node that replaces words
`pipe`      what it puts on its pipe: the input by the name that samplers give it ("~" before one that holds a text),
            or "@n" for its own output n
`takes`     the inputs from which a pipe comes in, the later ones over the earlier
`slots`     for each output what of the pipe it gives: a name, "pipe" for all of it, "" for something of its own
`texts`     inputs that hold the prompt: a list, or {"positive": …, "negative": …}
`hides`     own inputs that are not those of its sampling
`when`      values that inputs must have for a `join`; else what it makes is not written
`pick`      the input that names the branch, `of` the branches by that name
`inverse`   the input that goes to the output which `select` or `choose` says
`loras`     the input with a JSON list of LoRAs; `air` the one with an AIR, which counts where no file is named
`tags`      inputs in whose text `<lora:…>` is applied to the model
`model`     the input that names its model file
`size`      [width, height], or one input with a text like "832 x 1216", or that one before the two; numbers whose
            names hold "override" win where they are not 0
`schedule`  the schedule that it makes, where its name is not an input; `sampler` the sampler
`role`      `sampler`, `detailer`, `upscale` (samples again, enlarged), `generate` (a service samples), `helper` (no
            sampler, though it looks like one)
`scale`     the input that says by how much it enlarges
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
_NO_ROW: Row = {}


@cache
def _table() -> Mapping[str, Row]:
    text = (Path(__file__).parent / "nodes.json").read_text("utf-8")
    return {kind: row for pack in json.loads(text).values() for kind, row in pack.items()}


@cache
def _families() -> tuple[str, ...]:
    return tuple(kind[:-1] for kind in _table() if kind.endswith("*"))


@lru_cache(4096)
def row(kind: str) -> Row:
    """A class's row; an empty one for a class that has none. A row whose name ends with `*` is that of a family."""
    table = _table()
    if kind in table:
        return table[kind]
    return next((table[f"{family}*"] for family in _families() if kind.startswith(family)), _NO_ROW)


@cache
def _rules() -> Mapping[str, Row]:
    return {kind: of for kind, of in _table().items() if not of.keys() <= {"widgets", "each"}}


@lru_cache(4096)
def rules(kind: str) -> Row:
    """A class's row where it says more than the names of widgets; else an empty one."""
    return _rules().get(kind) or (_NO_ROW if kind in _table() else row(kind))


def numbered(names: str | list[str], inputs: Mapping[str, Any]) -> list[str]:
    """The names of a row as a list: `input{}` becomes those of input1, input2 … (or input01) that the node has.

    assert numbered("any_{}", {"any_02": 1, "any_01": 2}) == ["any_01", "any_02"]"""
    if isinstance(names, list):
        return names
    head, _, tail = names.partition("{}")
    pattern = re.compile(f"{re.escape(head)}([0-9]{{1,4}}){re.escape(tail)}")
    places = {int(match[1]): name for name in inputs if (match := pattern.fullmatch(name)) is not None}
    return [places[number] for number in sorted(places)]
