"""The pictures of a work for a graph: those that can be had, at once, and why the others cannot."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import BlobBlocked, BlobUnavailable, CivitaiError
from ..metadata.generation import GenerationData, UsedResource
from ..orchestration.prepare import LookUp
from .generation import generation_of, paid
from .outputs import IMAGE, TEXT, Output
from .reader import WorkflowReader
from .works import Work

_NAMES_WITHIN = 10.0  # seconds for the names of models and LoRAs, without which the pictures are handed on

# A picture's blob id -> its file on this disk, None where it is not here.
OnDisk = Callable[[str], Path | None]


@dataclass(frozen=True)
class PictureBatch:
    """What came of a work. `contents` are verified bytes, or files that were bought and checked before, in the order
    of `pictures`. `missing` are pictures that cannot be had, with a reason each; `may_come` says that some of them may
    be had later; `besides` are outputs that are no pictures."""

    work: Work
    pictures: tuple[Output, ...]
    contents: tuple[bytes | Path, ...] = field(repr=False)
    missing: tuple[tuple[Output, str], ...]
    may_come: bool
    besides: tuple[Output, ...]

    @property
    def status(self) -> str:
        """The workflow's word; of a blob alone whether it is there."""
        if self.work.workflow is not None:
            return self.work.workflow.status
        return "succeeded" if self.pictures or self.besides else "unknown"

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more: the workflow is over, and each picture is here or withheld."""
        is_over = self.work.workflow is None or self.work.workflow.is_over
        return is_over and not self.may_come and bool(self.pictures or self.work.workflow)

    @property
    def cost(self) -> float:
        """Net Buzz of the workflow; 0 where none is known."""
        return paid(self.work.workflow) if self.work.workflow is not None else 0.0

    def generation(self, source: str) -> GenerationData:
        """What made the pictures, as far as the workflow's own input tells."""
        if self.work.workflow is None:
            return GenerationData(source=source)
        return generation_of(
            self.work.workflow, self.pictures, {picture.index: reason for picture, reason in self.missing}, source
        )


async def pictures_of(reader: WorkflowReader, work: Work, on_disk: OnDisk = lambda _: None) -> PictureBatch:
    """Every picture of a work that can be had, some at once; what cannot be had has its reason."""
    images = [output for output in work.outputs if output.kind == IMAGE]
    room = asyncio.Semaphore(reader.timings.fetches)

    async def content(output: Output) -> bytes | Path | CivitaiError:
        if (path := await asyncio.to_thread(on_disk, output.id)) is not None:
            return path
        if not output.available and not output.is_withheld:
            return BlobUnavailable(output.absence, blob_id=output.id)
        async with room:
            try:
                return (await reader.picture(output)).content
            except CivitaiError as error:
                return error

    answers = await asyncio.gather(*(content(output) for output in images))
    pairs = list(zip(images, answers, strict=True))
    came = [(output, answer) for output, answer in pairs if not isinstance(answer, CivitaiError)]
    lost = tuple((output, str(answer)) for output, answer in pairs if isinstance(answer, CivitaiError))
    return PictureBatch(
        work,
        tuple(output for output, _ in came),
        tuple(answer for _, answer in came),
        lost,
        any(isinstance(answer, CivitaiError) and not isinstance(answer, BlobBlocked) for answer in answers),
        tuple(output for output in work.outputs if output.kind not in (IMAGE, TEXT)),
    )


async def with_names(generation: GenerationData, look_up: LookUp) -> GenerationData:
    """The generation with the names of its model and networks as CivitAI's pages show them, where it tells them in
    time."""
    airs = list(dict.fromkeys(filter(None, (generation.model_air, *(used.air for used in generation.networks)))))

    async def version(air: str) -> tuple[str, str] | None:
        try:
            resolved = await asyncio.wait_for(look_up(air), _NAMES_WITHIN)
        except (CivitaiError, asyncio.TimeoutError):
            return None
        return resolved.title, resolved.base_model

    names = dict(zip(airs, await asyncio.gather(*map(version, airs)), strict=True))
    model = names.get(generation.model_air)
    networks = tuple(_named(used, names.get(used.air)) for used in generation.networks)
    if model is None:
        return replace(generation, networks=networks)
    return replace(generation, model_name=model[0], base_model=model[1], networks=networks)


def _named(used: UsedResource, names: tuple[str, str] | None) -> UsedResource:
    if names is None:
        return used
    return UsedResource(used.air, used.weight, names[0], used.kind, used.version_id)


def report_lines(batch: PictureBatch, name: str) -> list[str]:
    """What came, what did not and why, and what else the work made; for a person."""
    workflow, count = batch.work.workflow, len(batch.pictures)
    head = f"{count} picture{'' if count == 1 else 's'} of {name}"
    lines = [f"{head}: {batch.status}, {batch.cost:g} Buzz." if workflow is not None else f"{head}."]
    if workflow is not None:
        lines += [f"Reason: {reason}." for reason in workflow.summary.reasons]
    lines += [f"Picture {picture.index + 1} of step {picture.step}: {reason}" for picture, reason in batch.missing]
    if batch.besides:
        kinds = ", ".join(dict.fromkeys(output.kind for output in batch.besides))
        command = (
            f"results {shlex.quote(workflow.id)}"
            if workflow is not None
            else f"blob {shlex.quote(batch.besides[0].id)}"
        )
        lines.append(f"It made what is no IMAGE as well ({kinds}): `civitai-bridge {command} --download` fetches it.")
    return lines


def why_empty(batch: PictureBatch, name: str, waited: bool) -> str:
    """Why a work has no picture, in one sentence with what to do."""
    workflow = batch.work.workflow
    if batch.missing:
        return f"No picture of {name} can be had: {'; '.join(dict.fromkeys(reason for _, reason in batch.missing))}"
    if workflow is not None and not workflow.is_over:
        hint = "queue again later" if waited else "switch `wait` on, or queue again later"
        return f"{name} has no picture yet: it is {batch.status}; {hint}."
    why = f": {'; '.join(workflow.summary.reasons)}" if workflow is not None and workflow.summary.reasons else ""
    return f"{name} has no picture; it is {batch.status}{why}."
