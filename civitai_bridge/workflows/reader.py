"""The account's workflows for those who ask: list, read, wait, fetch what came of them. Nothing here buys or stops.

reader = await app.workflows()
async for page in reader.pages(WorkflowFilter(tags=("portrait",), take=100)): …
workflow = await reader.wait(workflow_id, seconds=1800)
for output in workflow.outputs: picture = await reader.picture(output)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import Forbidden, Gone, NoKey, NotFound, Unauthorized, Unreadable
from ..model_files.download_lock import held
from ..model_files.download_rules import GB
from ..network.fetch import Fetch, Fetched, OpenFile
from ..orchestration.client import OrchestrationClient
from ..orchestration.timings import DEFAULTS, Timings
from ..resources.json_values import text
from ..settings import Settings
from ..website import SiteClient
from .client import Answer, BlobHead, WorkflowClient
from .details import StepDetails, WorkflowDetails
from .fetching import fetch_picture
from .identifiers import BLOB, JOB, checked_id, checked_step
from .job_details import JobDetails
from .keeping import KeptOutput, Source, keep_outputs, make_folder
from .outputs import Output
from .query import Page, WorkflowFilter
from .waiting import wait_for_end

MOST_OF_USER = 10  # workflows that the staff's route gives at most
_LET_GO = 0.2  # seconds
REFUSALS = (Unauthorized, Forbidden, NotFound, Gone)  # what a route for the staff, or one that is gone, may answer


class WorkflowReader:
    """Made by `App.workflows`. Every method raises NoKey without a key, BadInput for what cannot be asked, ApiError for
    a no of the service, Unreachable without an answer."""

    def __init__(
        self,
        settings: Settings,
        client: WorkflowClient,
        orchestrator: OrchestrationClient,
        site: SiteClient,
        fetch: Fetch,
        open_file: OpenFile,
        timings: Timings = DEFAULTS,
    ) -> None:
        self.settings = settings
        self.orchestrator = orchestrator
        self.fetch = fetch
        self.open_file = open_file
        self.timings = timings
        self._client = client
        self._site = site

    async def page(self, query: WorkflowFilter) -> Page:
        """One page of the account's workflows."""
        self._need_key()
        return await self._client.page(query.checked())

    async def pages(self, query: WorkflowFilter) -> AsyncIterator[Page]:
        """Every page from the query's cursor on; the next one is asked for while somebody works with this one, and no
        earlier one is kept. A page that is too large to be read is asked for in smaller ones. Raises Unreadable
        behind the page that names a cursor which was there before: what follows is not to be had."""
        self._need_key()
        query = query.checked()
        seen = {query.cursor}
        asking: asyncio.Task[Page] | None = asyncio.ensure_future(self._readable_page(query))
        try:
            while asking is not None:
                page = await asking
                goes_round = bool(page.next) and page.next in seen
                is_last = not page.next or goes_round
                seen.add(page.next)
                asking = None if is_last else asyncio.ensure_future(self._readable_page(query.at(page.next)))
                await asyncio.sleep(0)  # so that the question leaves before the work begins
                yield page
                if goes_round:
                    raise Unreadable(
                        "CivitAI named a page again that was there before, so the list ends here and may lack some. "
                        "Ask for a part of it, by --from and --to.",
                        status=200,
                    )
        finally:
            if asking is not None:  # nobody wants it any more; one that is about to connect is let go on to a safe end
                await asyncio.wait({asking}, timeout=_LET_GO)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)

    async def _readable_page(self, query: WorkflowFilter) -> Page:
        while True:
            try:
                return await self._client.page(query)
            except Unreadable:
                if query.take == 1:
                    raise
                query = replace(query, take=max(1, query.take // 4))

    async def of_user(self, user_id: str, query: WorkflowFilter) -> tuple[Page, bool]:
        """A user's workflows by the staff's route; where that refuses and the key is the user's own, the own list
        (then the second value is true). Raises Forbidden for another user's, Unauthorized for a key that nobody
        takes."""
        self._need_key()
        query = query.checked(MOST_OF_USER)
        try:
            return await self._client.staff_page(user_id, query), False
        except REFUSALS as error:
            if await self._site.user_id() != user_id:
                raise Forbidden(
                    f"CivitAI shows the workflows of user {user_id} to its staff alone; `civitai-bridge workflows` "
                    "lists your own.",
                    status=error.status,
                    detail=error.detail,
                ) from error
        return await self._client.page(query), True

    async def workflow(self, workflow_id: str) -> WorkflowDetails:
        """A workflow as it is now."""
        return (await self.answer(workflow_id))[0]

    async def answer(self, workflow_id: str) -> tuple[WorkflowDetails, Answer]:
        """A workflow as it is now, with the service's own JSON."""
        self._need_key()
        return await self._client.workflow(checked_id(workflow_id))

    async def wait(
        self, workflow_id: str, seconds: float, on_look: Callable[[WorkflowDetails], None] = lambda _: None
    ) -> tuple[WorkflowDetails, Answer]:
        """A workflow at its end, or as it stands after `seconds`; tearing the wait down leaves the job alone."""
        self._need_key()
        return await wait_for_end(self._client, checked_id(workflow_id), seconds, self.timings, on_look)

    async def step(self, workflow_id: str, name: str) -> tuple[StepDetails, Answer]:
        """A step by its name or its place (`$0`), with the service's own JSON. Raises NotFound, which lists the steps
        that there are."""
        self._need_key()
        workflow_id, name = checked_id(workflow_id), checked_step(name)
        try:
            raw, answer = await self._client.step(workflow_id, name)
            # Its own route does not say which of the workflow's steps it is.
            place = (await self.workflow(workflow_id)).step(text(raw.get("name")) or name)
            return StepDetails(place.index if place is not None else 0, raw), answer
        except NotFound as unknown:
            workflow = await self.workflow(workflow_id)
            step = workflow.step(name)
            if step is None:
                steps = ", ".join(f"{each.name} (${each.index})" for each in workflow.steps) or "none"
                raise NotFound(
                    f"Step not found: workflow {workflow_id} has no step {name!r}. It has: {steps}.", status=404
                ) from unknown
        if sum(each.name == step.name for each in workflow.steps) > 1:  # its name would get another one's answer
            return step, Answer(step.raw, b"")
        try:
            raw, answer = await self._client.step(workflow_id, step.name)
        except NotFound:  # its name is not the service's: what the workflow says of it is all there is
            return step, Answer(step.raw, b"")
        return StepDetails(step.index, raw), answer

    async def job(self, job_id: str) -> tuple[JobDetails, Answer]:
        """A job as the old route shows it, with the scans of its pictures. Raises NotFound where that route is for the
        staff alone, or gone, or knows no such job; its sentence names what shows the same."""
        self._need_key()
        job_id = checked_id(job_id, JOB)
        try:
            raw, answer = await self._client.job(job_id)
        except REFUSALS as error:
            if isinstance(error, Unauthorized):
                await self._site.user_id()  # a key that the site does not take either is what is wrong
            raise NotFound(
                f"Job not found: CivitAI shows no job {job_id} to this key. Its route for jobs is an old one, for the "
                "staff's keys or no longer there. `civitai-bridge workflow WORKFLOW` and `civitai-bridge step WORKFLOW "
                "NAME` show what the jobs of a workflow did.",
                status=404,
                detail=error.detail,
            ) from error
        return JobDetails(raw), answer

    async def blob_head(self, blob_id: str) -> BlobHead:
        """That a blob is there, and its rating."""
        self._need_key()
        return await self._client.blob_head(checked_id(blob_id, BLOB))

    async def blob(self, blob_id: str) -> tuple[Mapping[str, Any], Answer]:
        """What the service says of a blob, with a fresh address; asking renews the 30 days for which it is kept."""
        self._need_key()
        return await self._client.blob(checked_id(blob_id, BLOB))

    async def picture(self, output: Output) -> Fetched:
        """The bytes of an image output, verified. Raises BlobBlocked, BlobUnavailable, with the reason."""
        self._need_key()
        return await fetch_picture(self.orchestrator, self.fetch, output, self.timings)

    async def keep(
        self,
        outputs: Sequence[tuple[str, Output]],
        folder: Path,
        on_file: Callable[[KeptOutput], None] = lambda _: None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> list[KeptOutput]:
        """Put outputs into a person's folder under these names without endings (`keeping.stems`); what came of each.
        `on_wait` is called where another process is at work in the folder. Raises DownloadTrouble."""
        self._need_key()
        await asyncio.to_thread(make_folder, folder)
        most = self.settings.max_download_gb * GB
        source = Source(self.orchestrator, self.open_file, self.timings, most)
        async with held(folder / "civitai-bridge.part", self.settings.home, on_wait):
            return await keep_outputs(source, outputs, folder, on_file)

    def _need_key(self) -> None:
        if not self.settings.key:
            raise NoKey
