"""Names of CivitAI as a person types them: refused before a request where they could name another route."""

from __future__ import annotations

import re

from ..errors import BadInput

LONGEST = 200  # characters; the longest id seen has 40
_PLAIN = re.compile(r"[A-Za-z0-9_.\-]+")
_BLOB = re.compile(r"[0-9A-Z]{26}(\.[A-Za-z0-9]{1,5})?")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9a-fA-F]{32}")

WORKFLOW, JOB, BLOB = "workflow", "job", "blob"


def checked_id(text: str, what: str = WORKFLOW) -> str:
    """An id of a workflow, job or blob without the blanks around it. Raises BadInput for what cannot be one: empty, too
    long, or with a character that an address gives another meaning (slash, question mark, quotes, …).

    assert checked_id(" 8484131-20260121222126332 ") == "8484131-20260121222126332"
    """
    name = text.strip()
    if not name:
        raise BadInput(f"The {what} id is empty. `civitai-bridge workflows` lists ids.")
    if len(name) > LONGEST or not _PLAIN.fullmatch(name) or not name.strip("."):
        raise BadInput(
            f"{_short(name)} is no {what} id: it may hold letters, digits, dashes, dots and underscores alone, at most "
            f"{LONGEST} of them."
        )
    return name


def checked_step(text: str) -> str:
    """A step's name, which may hold more than an id: blanks, `$0`, letters of any script. Raises BadInput."""
    name = text.strip()
    if not name or len(name) > LONGEST or name in (".", "..") or not name.isprintable() or set(name) & set("/\\?#"):
        raise BadInput(f"{_short(name)} is no name of a step; steps are called by their name, or `$0`, `$1`, …")
    return name


def kind_of_id(text: str) -> str:
    """What an id most likely names: `workflow`, `job` or `blob`.

    assert kind_of_id("JNFDW54JNTATNW42HACYCWSQP0.jpeg") == "blob"
    assert kind_of_id("58de87d7-d594-4d71-ae43-dd8fc1bcbd23") == "job"
    assert kind_of_id("0-019be44b-181e-7a7e-ab1b-b58dc7610dca") == "workflow"
    """
    name = text.strip()
    if _BLOB.fullmatch(name):
        return BLOB
    return JOB if _UUID.fullmatch(name) else WORKFLOW


def _short(name: str) -> str:
    return repr(name if len(name) <= 60 else f"{name[:60]}…")
