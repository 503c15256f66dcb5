"""Judges a plan of Civitai Link by the relay's log, the site's log of requests, and what lies in the model folders; the
agent is asked nothing."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fire.link_plan import KEY, VERSIONS

from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.link import Browser

FINAL = ("success", "error", "canceled")
SURE = ("", "twice")  # fates with which a command really reaches the agent
BESIDE = (".civitai.info", ".preview.png", ".removed", ".part", ".lock")  # companions, the trash, what was begun
LIVES_ON = 1.0  # seconds for which a connection must last after a command, so that it was certainly heard


@dataclass
class LinkVerdict:
    """What came of a plan; `wrong` is empty when every promise held."""

    counts: dict[str, int] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    faults: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


@dataclass
class _Story:
    """All that the relay saw of one command."""

    kind: str
    delivered: list[Any] = field(default_factory=list)
    statuses: list[Mapping[str, Any]] = field(default_factory=list)


def judge(sandbox: Sandbox, browser: Browser, wishes: Mapping[int, bool], home: Path, consoles: bytes) -> LinkVerdict:
    """`wishes` says of each version whether its file shall be here at the end."""
    verdict = LinkVerdict()
    stories = _stories(sandbox)
    _ends(sandbox, stories, verdict)
    _files(sandbox, wishes, home / "models", verdict)
    _secrets(sandbox, stories, home, browser, consoles, verdict)
    # What the relay itself made late or doubled is no fault of the agent.
    verdict.wrong += [each for each in browser.page.complaints if "after its end came more" not in each]
    return verdict


def _stories(sandbox: Sandbox) -> dict[tuple[str, str], _Story]:
    stories: dict[tuple[str, str], _Story] = {}
    for line in sandbox.link.relay.log:
        if line.role != "sd" or not isinstance(line.data, dict) or "id" not in line.data:
            continue
        key = (line.data["id"], line.data.get("type", ""))
        if line.way == "out" and line.event == "command":
            stories.setdefault(key, _Story(key[1])).delivered.append(line)
        elif line.way == "in" and line.event == "commandStatus" and key in stories:
            stories[key].statuses.append(line.data)
    return stories


def _ends(sandbox: Sandbox, stories: Mapping[tuple[str, str], _Story], verdict: LinkVerdict) -> None:
    gone = {
        line.sid: line.when for line in sandbox.link.relay.log if line.way == "state" and line.event == "disconnect"
    }
    frozen = {line.sid for line in sandbox.link.relay.log if line.event == "connect" and line.fate == "silent"}
    unanswered = unheard = broken = 0
    for (name, kind), story in stories.items():
        words = [status.get("status") for status in story.statuses]
        ends = [word for word in words if word in FINAL]
        heard = any(
            line.fate in SURE and line.sid not in frozen and gone.get(line.sid, 1e18) - line.when > LIVES_ON
            for line in story.delivered
        )
        if len(set(ends)) > 1:
            verdict.wrong.append(f"{kind} {name} ended in several ways: {words}")
        elif ends and any(word != ends[0] for word in words[words.index(ends[0]) :]):
            verdict.wrong.append(f"{kind} {name} went on after its end: {words}")
        elif not ends and (words or heard):
            unanswered += 1
            verdict.wrong.append(f"{kind} {name} never ended: {words}")
        elif not ends:
            unheard += 1
            broken += any(line.fate in SURE and line.sid not in frozen for line in story.delivered)
        else:
            verdict.ends[f"{kind} {ends[0]}"] += 1
            if ends[0] == "error":
                verdict.errors[str(story.statuses[-1].get("error"))[:90]] += 1
    verdict.counts |= {
        "commands that reached the agent": len(stories) - unheard,
        "commands that were lost on their way": unheard,
        "… because the connection broke within a second": broken,
        "commands without an end": unanswered,
    }


def _files(sandbox: Sandbox, wishes: Mapping[int, bool], models: Path, verdict: LinkVerdict) -> None:
    known = {sandbox.link.resource(version)["hash"].lower(): version for version in VERSIONS}
    lying: dict[int, list[str]] = defaultdict(list)
    for path in sorted(models.rglob("*")):
        if not path.is_file() or path.name.endswith(BESIDE):
            continue
        version = known.get(hashlib.sha256(path.read_bytes()).hexdigest())
        if version is None:
            verdict.wrong.append(f"{path.relative_to(models)} is no file of the site")
        else:
            lying[version].append(path.name)
    for version, here in wishes.items():
        if here and not lying[version]:
            verdict.wrong.append(f"the file of {version} is lost")
        if not here and lying[version]:
            verdict.wrong.append(f"the file of {version} was removed and lies there: {lying[version]}")
    verdict.wrong += [
        f"the file of {version} is there as {names}" for version, names in lying.items() if len(names) > 1
    ]
    verdict.counts |= {
        "files that shall be here": sum(wishes.values()),
        "files that are here": sum(map(bool, lying.values())),
    }


def _secrets(
    sandbox: Sandbox, stories: Mapping[Any, _Story], home: Path, browser: Browser, consoles: bytes, verdict: LinkVerdict
) -> None:
    texts = json.dumps([story.statuses for story in stories.values()])
    keys = [row.key for row in sandbox.link.relay.instances.rows.values()]
    found = [f"{word[:12]}… stands in a status" for word in (KEY, str(home), "X-Amz-Signature", *keys) if word in texts]
    console = consoles.decode("utf-8", "replace")
    found += [f"{word[:12]}… stands on the console" for word in (KEY, "X-Amz-Signature=", *keys) if word in console]
    for seen in sandbox.requests:
        if "authorization" in {name.lower() for name in seen.headers} and seen.host != "site":
            found.append(f"the key went to {seen.host}'s {seen.route}")
    verdict.counts["secrets that were seen"] = len(found)
    verdict.wrong += found
