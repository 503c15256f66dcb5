"""The sandbox's four addresses on loopback: orchestrator, site, storage and Link's relay, with a log of every request
and a control address."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from ..errors import BadSetting
from . import schema
from .control import control_routes
from .faults import RequestLog, Seen
from .keeping import keep, restore
from .link.control import link_control_routes
from .link.service import LinkService
from .money import Bank, Entry
from .orchestrator_routes import Service, content_route, orchestrator_routes
from .script import Script
from .site_routes import site_routes, storage_routes
from .website import Website
from .workflows import Orchestrator


class Sandbox:
    """A pretend CivitAI: `async with Sandbox() as sandbox: …`. `port` takes N (orchestrator), N+1 (site), N+2
    (storage), N+3 (Link's relay); 0 = free ports. `pace` scales the 2.5 seconds of a job; connections that are
    silent for `idle` seconds are closed. With a `folder`, bank and workflows are kept there for the next sandbox."""

    def __init__(
        self,
        *,
        port: int = 0,
        pace: float = 1.0,
        script: Script | None = None,
        idle: float = 75.0,
        folder: Path | None = None,
    ) -> None:
        self.script = script or Script()
        self.bank = Bank()
        self.site = Website(bank=self.bank)
        self._port = port
        self._idle = idle
        self._folder = folder
        self._runners: list[web.AppRunner] = []
        self.orchestrator = Orchestrator(self.script, self.bank, pace=pace)
        self._log = RequestLog(self.script, self.orchestrator)
        self.link = LinkService(self.site, port=port + 3 if port else 0, folder=folder)
        self.orchestration_url = self.site_url = self.storage_url = self.link_url = ""

    @property
    def requests(self) -> list[Seen]:
        """Every request so far."""
        return self._log.requests

    @property
    def ledger(self) -> list[Entry]:
        """Every movement of Buzz so far."""
        return self.bank.ledger

    @property
    def workflows(self) -> dict[str, dict[str, Any]]:
        """Every workflow by its id, as the orchestrator keeps it."""
        return {name: run.data for name, run in self.orchestrator.runs.items()}

    async def __aenter__(self) -> Sandbox:
        schema.problems("WorkflowTemplate", {})  # says at once which package is missing, if one is
        service = Service(self.orchestrator, self.script)
        routes = [
            *orchestrator_routes(service, self._log.around),
            *control_routes(self.script, self.site, self.orchestrator, self._log),
            *link_control_routes(self.link),
        ]
        self.orchestration_url = await self._serve("orchestrator", 0, routes)
        self.site_url = service.site_url = await self._serve("site", 1, site_routes(self.site, self._log.around))
        storage = [content_route(service, self._log.around), *storage_routes(self.site, self._log.around)]
        self.storage_url = await self._serve("storage", 2, storage)
        self.link_url = await self.link.start()
        self.site.base, self.site.storage.base = self.site_url, self.storage_url
        self.orchestrator.base, self.orchestrator.storage = self.orchestration_url, self.storage_url
        if self._folder is not None:
            restore(self.orchestrator, self._folder)
            self.orchestrator.changed = partial(keep, self.orchestrator, self._folder)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.link.stop()
        self.orchestrator.close()
        self._log.close()
        for runner in self._runners:
            await runner.cleanup()

    async def _serve(self, host: str, offset: int, routes: list[web.RouteDef]) -> str:
        app = web.Application(client_max_size=96 * 1024 * 1024)
        app.add_routes(routes)
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True, keepalive_timeout=self._idle
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", self._port + offset if self._port else 0)
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise BadSetting(
                f"The sandbox cannot take port {self._port + offset}: {error.strerror}. Choose another with --port."
            ) from error
        self._runners.append(runner)
        port = runner.addresses[0][1]
        self._log.hosts[port] = host
        return f"http://127.0.0.1:{port}"
