"""What an id of any kind names: a workflow, a job, a blob, as a person pastes it into one field."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import CivitaiError, NotFound
from .details import WorkflowDetails
from .identifiers import BLOB, JOB, kind_of_id
from .job_details import JobDetails
from .outputs import Output, outputs_of_step
from .reader import REFUSALS, WorkflowReader


@dataclass(frozen=True)
class Work:
    """The outputs that an id means: all of a workflow, those of a job, one blob. Its workflow where that is known."""

    outputs: tuple[Output, ...]
    workflow: WorkflowDetails | None = None


async def work_of(reader: WorkflowReader, name: str) -> Work:
    """What this id of the account names, as it is now. Raises BadInput, NotFound and what the reader raises."""
    kind, no_job = kind_of_id(name), None
    if kind == BLOB:
        return Work(await blob_outputs(reader, name))
    if kind == JOB:
        try:
            job, _ = await reader.job(name)
        except NotFound as error:
            no_job = error  # some workflows have ids of the same form
        else:
            return await _of_job(reader, job)
    try:
        workflow = await reader.workflow(name)
    except NotFound as unknown:
        try:
            return Work(await blob_outputs(reader, name))
        except CivitaiError:
            raise no_job or unknown from None
    return Work(workflow.outputs, workflow)


async def _of_job(reader: WorkflowReader, job: JobDetails) -> Work:
    try:
        workflow = await reader.workflow(job.workflow_id) if job.workflow_id else None
    except REFUSALS:
        workflow = None
    if workflow is None:
        return Work(job.outputs)
    ids = {output.id for output in job.outputs}
    of_job = (each for each in workflow.outputs if each.id in ids or each.raw.get("jobId") == job.id)
    return Work(tuple(of_job) or job.outputs, workflow)


async def blob_outputs(reader: WorkflowReader, blob_id: str) -> tuple[Output, ...]:
    """A blob as an output of a step called `blob`. Raises NotFound."""
    raw, _ = await reader.blob(blob_id)
    return outputs_of_step({"name": "blob", "output": {"blob": {"id": blob_id, **raw}}}, 0)
