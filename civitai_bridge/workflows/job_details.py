"""A job as the old `v1` route shows it to those who may see it: its type, what moderation's scans said, its pictures.

Answers differ in letters (`Type`, `type`) and in `result`, which is a list or one object. `raw` is the service's JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..resources.json_values import mapping, objects, text
from .outputs import Output, outputs_of_step


@dataclass(frozen=True)
class JobDetails:
    """
    job = JobDetails({"jobId": "7", "job": {"type": "TextToImageV2", "promptClassificationResult": {"scan": True}}})
    assert (job.id, job.type, job.classification) == ("7", "TextToImageV2", ("scan",))
    """

    raw: Mapping[str, Any] = field(repr=False)

    @property
    def job(self) -> Mapping[str, Any]:
        """What was asked of it."""
        return mapping(self.raw.get("job"))

    @property
    def id(self) -> str:
        return text(self.raw.get("jobId")) or text(self.job.get("id")) or text(self.raw.get("id"))

    @property
    def type(self) -> str:
        return text(self.job.get("type")) or text(self.job.get("Type")) or text(self.job.get("$type"))

    @property
    def workflow_id(self) -> str:
        """The workflow that it belongs to, `""` where it does not say."""
        return text(mapping(self.job.get("properties")).get("workflowId")) or text(self.raw.get("workflowId"))

    @property
    def classification(self) -> tuple[str, ...]:
        """What the prompt was classified as: the flags that are true, in the service's order."""
        flags = mapping(self.job.get("promptClassificationResult"))
        return tuple(name for name, is_set in flags.items() if is_set is True)

    @property
    def results(self) -> list[Mapping[str, Any]]:
        """Its blobs as the service writes them (`blobKey`, `available`, `seed`, …)."""
        result = self.raw.get("result")
        return [result] if isinstance(result, Mapping) else objects(result)

    @property
    def last_event(self) -> Mapping[str, Any]:
        return mapping(self.raw.get("lastEvent"))

    @property
    def context(self) -> Mapping[str, Any]:
        """What the last event tells: scores of scans, a worker's figures. Names are not contractual."""
        return mapping(self.last_event.get("context"))

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """Its results as outputs of a step called `job`; the address is a storage's, which gets no key."""
        blobs = [
            {"id": blob.get("blobKey"), "url": blob.get("blobUrl"), "available": blob.get("available"), **blob}
            for blob in self.results
        ]
        return outputs_of_step({"name": "job", "output": {"images": blobs}}, 0)
