"""What a person has agreed to: graphs by their fingerprint, each with the most Buzz that was agreed to.

`consents.json` in the state folder; the newest 500. A file that cannot be read holds nothing, and it is asked again."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import BadInput, BadSetting
from ..resources.json_values import integer, mapping
from ..settings import read_json, write_json

NAME = "consents.json"
MOST = 500
LARGEST_BUZZ = 10**9
_HASH = re.compile("[0-9a-f]{64}")
_ONE_AT_A_TIME = threading.Lock()


def agreed_to(home: Path, fingerprint: str) -> int | None:
    """The most Buzz that was agreed to for a graph; None where nobody was asked yet."""
    return integer(mapping(_stored(home).get(fingerprint)).get("most_buzz"))


def agree(home: Path, fingerprint: object, most_buzz: object, *, clock: Callable[[], float] = time.time) -> int:
    """Remember that a person agreed to a graph that may cost so much. Raises BadInput, BadSetting."""
    if not isinstance(fingerprint, str) or not _HASH.fullmatch(fingerprint):
        raise BadInput("Send the `hash` of a graph as it was answered, 64 hex digits.")
    if type(most_buzz) is not int or not 0 <= most_buzz <= LARGEST_BUZZ:
        raise BadInput("Send the `most_buzz` that was agreed to, a whole number of Buzz.")
    with _ONE_AT_A_TIME:
        graphs = _stored(home)
        graphs.pop(fingerprint, None)  # a newer agreement stands at the end
        graphs[fingerprint] = {"most_buzz": most_buzz, "at": int(clock())}
        newest = dict(list(graphs.items())[-MOST:])
        write_json(home / NAME, {"graphs": newest})
    return most_buzz


def _stored(home: Path) -> dict[str, Mapping[str, Any]]:
    try:
        graphs = mapping(read_json(home / NAME).get("graphs"))
    except BadSetting:
        return {}
    return {key: entry for key, entry in graphs.items() if _HASH.fullmatch(key) and isinstance(entry, Mapping)}
