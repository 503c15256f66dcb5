"""A workflow, its steps and their jobs as the service writes them, in every dialect; nothing that it says is lost.

The words of money, reasons and progress are those of `orchestration.workflow`, read once for purchases and for this.
`raw` is always the service's own JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..orchestration.workflow import TERMINAL, Workflow, workflow_from_json
from ..resources.json_values import mapping, objects, text
from .outputs import IMAGE, TEXT, VIDEO, Output, outputs_of_step

FAILED = frozenset({"failed", "expired", "canceled"})  # what the service's `excludeFailed` leaves out


@dataclass(frozen=True)
class StepDetails:
    """One step. `summary` is it read as a workflow of this step alone: its reasons, warnings, progress, queue."""

    index: int
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """Its name; `$0`, `$1`, … where it has none."""
        return text(self.raw.get("name")) or f"${self.index}"

    @property
    def type(self) -> str:
        """Its `$type` as the service writes it; the set is open."""
        return text(self.raw.get("$type"))

    @property
    def status(self) -> str:
        return text(self.raw.get("status"))

    @property
    def input(self) -> Mapping[str, Any]:
        """What it was asked, defaults filled in, as the service resolved it."""
        return mapping(self.raw.get("input"))

    @property
    def prompt(self) -> str:
        """The prompt of its input, `""` where it has none."""
        return text(self.input.get("prompt")) or text(mapping(self.input.get("params")).get("prompt"))

    @property
    def jobs(self) -> list[Mapping[str, Any]]:
        """Its jobs; the newer dialect has none."""
        return objects(self.raw.get("jobs"))

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """What it made, or was to make."""
        return outputs_of_step(self.raw, self.index)

    @cached_property
    def summary(self) -> Workflow:
        return workflow_from_json({"status": self.status, "steps": [dict(self.raw)]})


@dataclass(frozen=True)
class WorkflowDetails:
    """
    details = details_from_json({"id": "1-2", "status": "deleted", "steps": [], "new": 1})
    assert details.is_over and details.raw["new"] == 1
    """

    raw: Mapping[str, Any] = field(repr=False)

    @cached_property
    def summary(self) -> Workflow:
        """Status, price, wallets, refunds, reasons and progress, read as for a purchase."""
        return workflow_from_json(self.raw)

    @property
    def id(self) -> str:
        return text(self.raw.get("id"))

    @property
    def status(self) -> str:
        """The service's word, known or not; one that is deleted says so whatever it was before."""
        return "deleted" if text(self.raw.get("deletedAt")) else self.summary.status

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more; unknown words are not terminal."""
        return self.status in TERMINAL

    @property
    def created_at(self) -> str:
        return text(self.raw.get("createdAt"))

    @cached_property
    def steps(self) -> tuple[StepDetails, ...]:
        return tuple(StepDetails(index, step) for index, step in enumerate(objects(self.raw.get("steps"))))

    @property
    def types(self) -> tuple[str, ...]:
        """The types of its steps, each once."""
        return tuple(dict.fromkeys(step.type for step in self.steps if step.type))

    @property
    def prompt(self) -> str:
        """The first prompt of its steps."""
        return next((step.prompt for step in self.steps if step.prompt), "")

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What all its steps made, in their order."""
        return tuple(output for step in self.steps for output in step.outputs)

    @property
    def pictures(self) -> tuple[Output, ...]:
        """The images and videos that can be had."""
        return tuple(each for each in self.outputs if each.kind in (IMAGE, VIDEO) and each.available)

    @property
    def files(self) -> tuple[Output, ...]:
        """Every output but words."""
        return tuple(each for each in self.outputs if each.kind != TEXT)

    def step(self, name: str) -> StepDetails | None:
        """A step by its name, else by its place (`$0`, `$1`, …, or the number alone); None where there is none."""
        by_name = next((step for step in self.steps if step.name == name), None)
        digits = name.removeprefix("$")
        if by_name is None and digits.isascii() and digits.isdecimal() and len(digits) < 6:
            return next((step for step in self.steps if step.index == int(digits)), None)
        return by_name


def details_from_json(data: Any) -> WorkflowDetails:
    """Read a workflow. Raises ValueError for what is no JSON object; never for odd content."""
    if not isinstance(data, Mapping):
        raise ValueError("a workflow is a JSON object")
    return WorkflowDetails(data)
