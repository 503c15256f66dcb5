"""Where the pack is put together: settings, network, sandbox, clients, journal, catalogs, each opened once.

Nodes, command line, routes and demo open the pack here and call no constructor of the folders below. An `App` belongs
to one event loop: the background loop of a ComfyUI server, or that of one command.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .catalog.service import CatalogService
from .link.timings import USUAL, LinkTimings
from .model_files.download import Downloads
from .model_files.folders import known_folders
from .network.client import HttpClient
from .network.exchange import Send
from .network.hosts import is_loopback, next_port
from .network.retries import retrying
from .orchestration.client import OrchestrationClient
from .orchestration.fleet import Fleet
from .orchestration.journal import Journal
from .orchestration.timings import DEFAULTS, Timings
from .resources.addresses import hosts_with, other_domain
from .settings import Settings, load_settings
from .website import AnswerMemory, ImageClient, Lookups, Reader, SiteClient, remembering, with_other_domain

if TYPE_CHECKING:
    from .link.agent import LinkAgent
    from .sandbox import Embedded, Sandbox
    from .workflows.reader import WorkflowReader


@dataclass(frozen=True)
class Tuning:
    """What only tests and benchmarks change; the defaults are what a person gets.

    timings       the clock, the pauses between two tries and two looks, and how long a purchase waits for what
    idle          seconds after which a Fleet is closed that nobody asked for
    look_every    seconds between two looks at which model files ComfyUI lists; each asks the disk about every folder
    scan_every    seconds after which model files are looked at though no name is new: one may have other bytes
    sandbox_pace  how long the sandbox's jobs take; 1 = as long as they say
    link          the pauses of CivitAI Link's agent
    """

    timings: Timings = DEFAULTS
    idle: float = 600.0
    look_every: float = 5.0
    scan_every: float = 900.0
    sandbox_pace: float = 1.0
    link: LinkTimings = USUAL


PLAIN = Tuning()


@dataclass(frozen=True)
class ModelFolders:
    """Where model files are. `paths` gives ComfyUI's folder keys with their paths, as they are at that moment; `root`
    is where a catalog's `dest` begins that is no folder key, None where nobody named one."""

    paths: Callable[[], Mapping[str, Sequence[str | Path]]]
    root: Path | None


def noted_folders(settings: Settings) -> ModelFolders:
    """The model folders of a process that is not ComfyUI: as the environment or the server's note names them."""

    folders, root = known_folders(settings)
    return ModelFolders(lambda: folders, root)


class App:
    """The pack as it is set up now. Settings are read again at each call, so that a change holds at once; what hangs on
    them (clients, what was looked up) is made again when they changed. `network` gives the HttpClient of the loop on
    which the App is used, and whoever hands it in closes it; without one the App opens its own when it needs one."""

    def __init__(
        self,
        network: Callable[[], Awaitable[HttpClient]] | None = None,
        *,
        load: Callable[[], Settings] = load_settings,
        folders: Callable[[Settings], ModelFolders] = noted_folders,
        tuning: Tuning = PLAIN,
    ) -> None:
        self.load = load
        self.tuning = tuning
        self._network = network
        self._folders = folders
        self._client: HttpClient | None = None
        self._embedded: Embedded | None = None
        self._opening = asyncio.Lock()
        self._fleets: dict[Settings, Fleet] = {}
        self._asked: dict[Settings, float] = {}  # when each Fleet was last asked for, in seconds of this process
        self._site: tuple[str, str, SiteAccess] | None = None  # of which address and key
        self._readers: dict[Settings, Reader] = {}
        self._catalogs: dict[Settings, CatalogService] = {}
        self._journals: dict[Path, Journal] = {}  # by state folder

    async def connected(self) -> tuple[Settings, HttpClient]:
        """The settings as they are now, with the sandbox's addresses where it stands in for CivitAI, and the network.
        Raises BadSetting."""

        settings = await asyncio.to_thread(self.load)
        async with self._opening:
            if self._client is None:
                self._client = await (self._network() if self._network else HttpClient().__aenter__())
            network = self._client
        network.use_proxy(settings.proxy)
        if settings.sandbox:
            sandbox = await self.sandbox()
            network.allow_loopback(sandbox.storage_url)
            settings = settings.at(
                orchestration_url=sandbox.orchestration_url, site_url=sandbox.site_url, link_url=sandbox.link_url
            )
        elif is_loopback(settings.site_url):  # `civitai-bridge sandbox` serves its storage on the next port
            network.allow_loopback(next_port(settings.site_url))
        return settings, network

    async def sandbox(self) -> Sandbox:
        """The sandbox of this App, started when it is first asked for; it goes on with what an earlier one of the state
        folder was ordered."""
        async with self._opening:
            if self._embedded is None:
                from .sandbox import Embedded

                folder = (await asyncio.to_thread(self.load)).home / "service"
                self._embedded = await asyncio.to_thread(Embedded, pace=self.tuning.sandbox_pace, folder=folder)
        return self._embedded.sandbox

    async def journal(self) -> Journal:
        """The journal of the state folder, opened once. Raises StateTrouble."""

        home = (await asyncio.to_thread(self.load)).home
        if home not in self._journals:
            journal = await asyncio.to_thread(Journal, home / "journal.sqlite3", clock=self.tuning.timings.clock)
            if home in self._journals:  # two callers came at once
                journal.close()
            else:
                self._journals[home] = journal
        return self._journals[home]

    async def fleet(self) -> Fleet:
        """The Fleet for the settings as they are now, shared by everybody who asks. Those of other settings that have
        nothing to do are closed after a while; the journal stays. Raises BadSetting, StateTrouble."""
        settings, network = await self.connected()
        settings.require_whole()
        self._asked[settings] = time.monotonic()
        if settings not in self._fleets:
            await self._close_idle()
            journal = await self.journal()
            if settings not in self._fleets:
                self._fleets[settings] = open_fleet(
                    settings, network, self.site(settings, network), journal=journal, tuning=self.tuning
                )
                self._fleets[settings].look_for_twins()
        return self._fleets[settings]

    async def _close_idle(self) -> None:
        now = time.monotonic()
        for settings, fleet in list(self._fleets.items()):
            if fleet.idle and now - self._asked[settings] > self.tuning.idle:
                del self._fleets[settings]
                await fleet.close()

    def site(self, settings: Settings, network: HttpClient) -> SiteAccess:
        """The site for one account: shared by all that ask it, so that nothing is asked twice."""
        if self._site is None or self._site[:2] != (settings.site_url, settings.key):
            self._site = (settings.site_url, settings.key, open_site(settings, network, tuning=self.tuning))
        return self._site[2]

    async def reader(self) -> Reader:
        """What tells how a picture was made. Only the one of the settings as they are now is kept, with what it was
        told. Raises BadSetting."""
        settings, network = await self.connected()
        if settings not in self._readers:
            self._readers = {settings: open_reader(settings, self.site(settings, network))}
        return self._readers[settings]

    async def workflows(self) -> WorkflowReader:
        """The account's workflows, to be read: whoever ordered them. Raises BadSetting."""
        settings, network = await self.connected()
        settings.require_whole()
        return open_workflows(settings, network, self.site(settings, network), tuning=self.tuning)

    async def catalog(self) -> CatalogService:
        """The catalogs and the model files; what the reader looked up is not asked again. Raises BadSetting,
        StateTrouble."""
        settings, network = await self.connected()
        settings.require_whole(key=False)
        if settings not in self._catalogs:
            lookups = (await self.reader()).lookups
            self._catalogs[settings] = open_catalog(
                settings,
                network,
                self._folders(settings),
                self.site(settings, network),
                lookups=lookups,
                tuning=self.tuning,
            )
        return self._catalogs[settings]

    async def link(
        self,
        *,
        catalog: Callable[[], Awaitable[CatalogService]] | None = None,
        generate: Callable[..., Awaitable[Any]] | None = None,
        notify: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> LinkAgent:
        """The agent of CivitAI Link for the state folder, not running yet; whoever runs it closes its dispatcher.
        `catalog` stands in for this App's own, `generate` makes pictures on this ComfyUI, `notify` tells the page.
        Raises BadSetting, StateTrouble."""
        from .link.agent import LinkAgent
        from .link.book import LINK_BOOK, LinkBook
        from .link.command import LinkServices
        from .link.dispatch import Dispatcher

        settings = await asyncio.to_thread(self.load)
        key = [settings.key]

        async def open_services() -> LinkServices:
            settings, network = await self.connected()
            key[0] = settings.key
            return LinkServices(settings, await (catalog or self.catalog)(), network.fetch, generate)

        async def settings_now() -> Settings:
            return (await self.connected())[0]

        timings = self.tuning.link
        book = await asyncio.to_thread(LinkBook, settings.home / LINK_BOOK, timings.clock)
        dispatcher = Dispatcher(book, open_services, timings=timings, secrets=lambda: tuple(key), notify=notify)
        return LinkAgent(
            settings.home,
            settings_now,
            dispatcher,
            timings=timings,
            on_state=lambda state: notify({"state": state.as_json()}),
        )

    async def close(self) -> None:
        """Close everything that was opened; who asks afterwards gets it opened again. Purchases keep their state and
        are released for the next process."""
        fleets, self._fleets = self._fleets, {}
        for fleet in fleets.values():
            await fleet.close()
        journals, self._journals = self._journals, {}
        catalogs, self._catalogs, self._readers, self._site = self._catalogs, {}, {}, None
        for opened in (*journals.values(), *catalogs.values()):
            await asyncio.to_thread(opened.close)
        if self._embedded is not None:
            await asyncio.to_thread(self._embedded.stop)
        client, self._client, self._embedded = self._client, None, None
        if client is not None and self._network is None:
            await client.__aexit__()


@asynccontextmanager
async def open_app(load: Callable[[], Settings] = load_settings, tuning: Tuning = PLAIN) -> AsyncIterator[App]:
    """An App for one command."""
    app = App(load=load, tuning=tuning)
    try:
        yield app
    finally:
        await app.close()


@dataclass(frozen=True)
class SiteAccess:
    """How the site is asked: without the key, and with it where one is set. Both repeat what may be repeated, ask the
    other domain for what this one does not know, and remember the answers."""

    public: Send
    keyed: Send | None = None

    @property
    def best(self) -> Send:
        """With the key where one is set: some answers are for its owner alone."""
        return self.keyed or self.public


def open_site(settings: Settings, network: HttpClient, *, tuning: Tuning = PLAIN) -> SiteAccess:
    """The site of the settings on the network of this loop, with a memory of its own."""

    def access(key: str | None) -> Send:
        send = retrying(network.send_to(settings.site_url, key), sleep=tuning.timings.sleep)
        return remembering(_on_both_domains(send, settings, network, key), AnswerMemory())

    return SiteAccess(access(None), access(settings.key) if settings.key else None)


def _on_both_domains(send: Send, settings: Settings, network: HttpClient, key: str | None) -> Send:
    """The key goes to the other domain only where the configured site is one of CivitAI's own: to its exact host."""
    other = other_domain(settings.site_url)
    return with_other_domain(send, network.send_to(other, key)) if other else send


def open_fleet(
    settings: Settings,
    network: HttpClient,
    site: SiteAccess | None = None,
    *,
    journal: Journal | None = None,
    tuning: Tuning = PLAIN,
) -> Fleet:
    """A Fleet on the network of this loop: reads are repeated, submits are not, pictures are fetched without a
    credential. Without a journal it opens and closes that of the settings' state folder."""
    send = network.send_to(settings.orchestration_url, settings.key or None)
    return Fleet(
        settings,
        SiteClient((site or open_site(settings, network, tuning=tuning)).best),
        OrchestrationClient(retrying(send, sleep=tuning.timings.sleep), send, settings.orchestration_url),
        network.fetch,
        journal=journal,
        timings=tuning.timings,
    )


def open_workflows(
    settings: Settings, network: HttpClient, site: SiteAccess | None = None, *, tuning: Tuning = PLAIN
) -> WorkflowReader:
    """The account's workflows on the network of this loop; what they made is fetched without a credential."""
    from .workflows.client import WorkflowClient
    from .workflows.reader import WorkflowReader

    send = network.send_to(settings.orchestration_url, settings.key or None)
    again = retrying(send, sleep=tuning.timings.sleep)
    return WorkflowReader(
        settings,
        WorkflowClient(again),
        OrchestrationClient(again, send, settings.orchestration_url),
        SiteClient((site or open_site(settings, network, tuning=tuning)).best),
        network.fetch,
        network.open_file,
        tuning.timings,
    )


def open_reader(settings: Settings, site: SiteAccess) -> Reader:
    """What tells how a picture was made. The public list is asked without the key, so that a wrong one cannot hide
    what everybody may see."""
    return Reader(SiteClient(site.best), ImageClient(site.public, site.keyed), hosts=hosts_with(settings.site_url))


def open_catalog(
    settings: Settings,
    network: HttpClient,
    folders: ModelFolders,
    site: SiteAccess | None = None,
    *,
    lookups: Lookups | None = None,
    tuning: Tuning = PLAIN,
) -> CatalogService:
    """The catalogs on the network of this loop; with the `lookups` of a Reader on the same account nothing is asked
    twice."""
    site = site or open_site(settings, network, tuning=tuning)
    send = _on_both_domains(
        network.send_to(settings.site_url, settings.key or None), settings, network, settings.key or None
    )
    downloads = Downloads(settings, send, network.open_file, sleep=tuning.timings.sleep)
    client = SiteClient(site.best)
    return CatalogService(
        settings, client, downloads, folders.paths, folders.root, lookups=lookups, fetch=network.fetch
    )
