"""What is asked of the list of workflows, and what of its answer belongs to that.

The service filters by tags, metadata, dates and failure; where a deployment ignores a filter, what came is filtered
again here and the page says so. There is no filter by status in the service: that is ours alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ..errors import BadInput
from ..resources.moments import moment_of
from .details import FAILED, WorkflowDetails
from .moments import ALWAYS, Window, written

MOST = 200  # workflows a page, as CivitAI's own pack asks at most; 100 is the service's default
USUAL, MOST_AT_ONCE = 20, 100  # a page for a person, and one of everything
MOST_TAGS, LONGEST_TAG = 10, 200  # of a workflow, by the contract


@dataclass(frozen=True)
class WorkflowFilter:
    """Which workflows, how many a page (1 to 200), and from which cursor (of a page of the same filter) on.

    `tags` must all match; `text` is looked for in the metadata; `statuses` are compared here. `texts` are the two ends
    of the window as they were typed, for a command that asks the same."""

    tags: tuple[str, ...] = ()
    text: str = ""
    exclude_failed: bool = False
    oldest_first: bool = False
    take: int = USUAL
    cursor: str = ""
    window: Window = ALWAYS
    statuses: tuple[str, ...] = ()
    texts: tuple[str, str] = ("", "")

    def checked(self, most: int = MOST, name: str = "--take") -> WorkflowFilter:
        """This filter. Raises BadInput, before anything is asked, for what no answer could be right for."""
        if not 1 <= self.take <= most:
            more = " `workflows --all` lists everything." if self.take > most == MOST else ""
            raise BadInput(f"{name} is {self.take}, but it must be between 1 and {most}.{more}")
        for tag in self.tags:
            if not tag.strip() or len(tag) > LONGEST_TAG:
                raise BadInput(f"A tag has 1 to {LONGEST_TAG} characters; {tag[:40]!r} cannot be one.")
        if len(set(self.tags)) > MOST_TAGS:
            raise BadInput(f"A workflow has at most {MOST_TAGS} tags, and all that are asked for must match.")
        return self

    def at(self, cursor: str) -> WorkflowFilter:
        """The same from another cursor on."""
        return replace(self, cursor=cursor)

    def parameters(self) -> tuple[tuple[str, str], ...]:
        """The query of the list route. Mature pictures are not hidden: the service's default would blank them."""
        begin, end = self.window.begin, self.window.end
        pairs: list[tuple[str, str]] = [("tags", tag) for tag in self.tags]
        pairs += [("query", self.text)] if self.text else []
        pairs += [("fromDate", written(begin))] if begin else []
        pairs += [("toDate", written(end))] if end else []
        pairs += [("excludeFailed", "true")] if self.exclude_failed else []
        pairs += [("ascending", "true")] if self.oldest_first else []
        pairs += [("take", str(self.take))] + ([("cursor", self.cursor)] if self.cursor else [])
        return (*pairs, ("hideMatureContent", "false"))

    def sift(self, workflows: Iterable[WorkflowDetails]) -> tuple[tuple[WorkflowDetails, ...], frozenset[str]]:
        """What belongs to this filter, and which of the service's own filters it did not keep: `tags`, `dates`,
        `excludeFailed`."""
        kept, ignored = [], set()
        for workflow in workflows:
            wrong = {name for name, fits in _KEPT_BY_SERVICE.items() if not fits(self, workflow)}
            ignored |= wrong
            if not wrong and (not self.statuses or workflow.status.lower() in self.statuses):
                kept.append(workflow)
        return tuple(kept), frozenset(ignored)


def _has_tags(query: WorkflowFilter, workflow: WorkflowDetails) -> bool:
    """Letters may be large or small: how the service compares them it does not say."""
    return not query.tags or {tag.casefold() for tag in query.tags} <= {tag.casefold() for tag in workflow.summary.tags}


def _is_within(query: WorkflowFilter, workflow: WorkflowDetails) -> bool:
    return query.window.holds(moment_of(workflow.created_at))


def _is_no_failure(query: WorkflowFilter, workflow: WorkflowDetails) -> bool:
    return not (query.exclude_failed and workflow.status in FAILED)


_KEPT_BY_SERVICE: dict[str, Callable[[WorkflowFilter, WorkflowDetails], bool]] = {
    "tags": _has_tags, "dates": _is_within, "excludeFailed": _is_no_failure,
}  # fmt: skip


@dataclass(frozen=True)
class Page:
    """A page of the list: what belongs to the filter, the cursor of the next page (`""` = the last), how many came in
    all, which filters the service ignored (`tags`, `dates`, `excludeFailed`, `ascending`)."""

    workflows: tuple[WorkflowDetails, ...]
    next: str
    came: int
    ignored: frozenset[str] = frozenset()
