"""What ComfyUI's page asks of its server, without ComfyUI: the real frontend, the definitions of our nodes and of a few of
core's, our own routes on the sandbox, and a queue that remembers what was queued and runs nothing.

    with PageServer(frontend("1.49.6"), folder) as server:
        server.answers["POST", "/civitai_bridge/graph"] = lambda body: {"asks": False}   # instead of our own route
        page.goto(server.url)
        assert server.queued == []
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from pack.civitai_bridge.app import App, ModelFolders, Tuning
from pack.civitai_bridge.link.runner import LinkRunner
from pack.civitai_bridge.model_files.folders import folders_below
from pack.civitai_bridge.network.background import BackgroundLoop
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.orchestration.timings import Timings
from pack.civitai_bridge.routes.access import Gate
from pack.civitai_bridge.routes.context import Context, Host
from pack.civitai_bridge.routes.table import add_routes
from pack.civitai_bridge.sandbox.embedded import Embedded
from pack.civitai_bridge.settings import Settings, delete_key, load_settings, save_key

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ADMIN_TOKEN = "the-admin-token"
KEY = "0123456789abcdef0123456789abcdef"
FOLDER = "civitai-bridge"  # the pack's folder in custom_nodes
QUIET = {  # what keeps ComfyUI's own tours and panels away
    "Comfy.TutorialCompleted": True,
    "Comfy.InstalledVersion": "1.35.9",
    "Comfy.RightSidePanel.IsOpen": False,
    "Comfy.Workflow.Persist": False,
    "Comfy.VueNodes.AutoScaleLayout": False,
}
Answer = Callable[[dict[str, Any]], Any]


def node_definitions() -> dict[str, Any]:
    """`/object_info`: ours as the committed snapshot has them, and those of core's that the templates use."""
    ours = json.loads((ROOT / "tests/nodes/object_info.json").read_text(encoding="utf-8"))
    core = json.loads((HERE / "core_nodes.json").read_text(encoding="utf-8"))
    return core | {name: {"python_module": f"custom_nodes.{FOLDER}", **node} for name, node in ours.items()}


def words() -> dict[str, Any]:
    """`/i18n`, as core puts it together."""
    languages: dict[str, Any] = {}
    for folder in sorted((ROOT / "locales").glob("*/")):
        read = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*.json")}
        languages[folder.name] = {**read.pop("main", {}), **read}
    return languages


class PageServer:
    """One server in a thread of its own. `answers` stand in for routes, by method and path; a value may be a JSON
    answer or `(status, answer)`. `queued` are the bodies of POST /prompt; `requests` all paths that were asked."""

    def __init__(self, static: Path, folder: Path) -> None:
        self.static, self.folder = static, folder
        self.models, self.home = folder / "models", folder / "state"
        for place in (self.models / "loras", self.models / "checkpoints", self.home):
            place.mkdir(parents=True, exist_ok=True)
        self.frontend_settings: dict[str, Any] = dict(QUIET)
        self.answers: dict[tuple[str, str], Answer] = {}
        self.nodes = node_definitions()
        self.queued: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.sockets: set[web.WebSocketResponse] = set()
        self.userdata: dict[str, bytes] = {}
        self.has_pack = True  # whether the page loads our scripts
        self.sandbox = Embedded()
        inside = self.sandbox.sandbox
        self.environ = {
            "CIVITAI_SITE_URL": inside.site_url,
            "CIVITAI_ORCHESTRATION_URL": inside.orchestration_url,
            "CIVITAI_LINK_URL": inside.link_url,
        }
        save_key(self.home, KEY)
        self._behind = BackgroundLoop()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="page-server", daemon=True)
        self._ready = threading.Event()

    # --- life

    def __enter__(self) -> PageServer:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._behind.start(self.app.close()).result(10)
        self._behind.stop()
        self.sandbox.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._open())
        self._ready.set()
        self._loop.run_forever()

    async def _open(self) -> None:
        self.runner = web.AppRunner(self._application(), shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]

    async def _close(self) -> None:
        for socket in list(self.sockets):
            await socket.close()
        await self.runner.cleanup()

    # --- what a test does to it

    def send(self, event: str, data: Any) -> None:
        """An event to every open page, as `send_sync` does."""

        async def send() -> None:
            for socket in list(self.sockets):
                await socket.send_json({"type": event, "data": data})

        asyncio.run_coroutine_threadsafe(send(), self._loop)

    def forget(self) -> None:
        """What the last test did: its answers, what was queued, the settings of the page."""
        self.answers.clear()
        self.queued.clear()
        self.requests.clear()
        self.frontend_settings = dict(QUIET)
        for name in ("settings.json", "consents.json"):
            (self.home / name).unlink(missing_ok=True)
        save_key(self.home, KEY)

    def forget_key(self) -> None:
        """As for a person who has just installed the pack."""
        delete_key(self.home)

    def cut(self) -> None:
        """Close every page's socket, as a server that is started again does."""

        async def cut() -> None:
            for socket in list(self.sockets):
                await socket.close()

        asyncio.run_coroutine_threadsafe(cut(), self._loop).result(10)

    # --- routes

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._instead], client_max_size=64 * 2**20)
        context = self._context()
        for prefix in ("", "/api"):
            ours = web.RouteTableDef()
            add_routes(ours, context)
            app.router.add_routes([*self._core(prefix), *self._prefixed(prefix, ours)])
        app.router.add_static(f"/extensions/{FOLDER}", ROOT / "web")
        app.router.add_get("/", self._index)
        app.router.add_static("/", self.static)
        return app

    @staticmethod
    def _prefixed(prefix: str, table: web.RouteTableDef) -> list[web.RouteDef]:
        routes = [route for route in table if isinstance(route, web.RouteDef)]
        return [web.RouteDef(route.method, prefix + route.path, route.handler, route.kwargs) for route in routes]

    def _context(self) -> Context:
        self.app = App(
            self._network,
            load=self.settings,
            folders=lambda _: ModelFolders(lambda: folders_below(self.models), self.models),
            tuning=Tuning(Timings(sleep=lambda _: asyncio.sleep(0))),
        )
        link = LinkRunner(self.settings, self.app.link)
        return Context(
            start=self._behind.start,
            catalog=self.app.catalog,
            reader=self.app.reader,
            gate=Gate(lambda: ADMIN_TOKEN, self.settings, in_container=lambda: False),
            app=lambda: self.app,
            fleet=self.app.fleet,
            runner=lambda: link,
            host=Host(
                send=lambda event, data, _: self.send(event, dict(data)),
                output=lambda: self.folder / "output",
                listed=self._listed,
            ),
        )

    def settings(self) -> Settings:
        """As a server reads them: from its state folder."""
        return load_settings(self.environ, home=self.home)

    def _listed(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.models / folder).glob("*.safetensors"))

    async def _network(self) -> HttpClient:
        network = await self._behind.network()
        network.allow_loopback(self.sandbox.sandbox.storage_url)
        return network

    @web.middleware
    async def _instead(self, request: web.Request, handler: Any) -> web.StreamResponse:
        path = request.path.removeprefix("/api")
        self.requests.append(f"{request.method} {path}")
        answer = self.answers.get((request.method, path))
        if answer is None:
            return await handler(request)
        body = await request.json() if request.can_read_body else dict(request.query)
        given = await asyncio.to_thread(answer, body)
        if isinstance(given, web.StreamResponse):
            return given
        status, content = given if isinstance(given, tuple) else (200, given)
        return web.json_response(content, status=status)

    def _core(self, prefix: str) -> list[web.RouteDef]:
        tables: dict[str, Any] = {
            "users": {"storage": "server", "migrated": True},
            "features": {"supports_preview_metadata": True, "max_upload_size": 100 * 2**20},
            "system_stats": {
                "system": {"os": "linux", "comfyui_version": "0.33.0", "python_version": "3", "argv": []},
                "devices": [],
            },
            "queue": {"queue_running": [], "queue_pending": []},
            "embeddings": [],
            "workflow_templates": {FOLDER: sorted(file.stem for file in (ROOT / "example_workflows").glob("*.json"))},
            "global_subgraphs": {},
            "experiment/models": [],
            "history": {},
            "jobs": {"jobs": [], "pagination": {"offset": 0, "limit": 200, "total": 0, "has_more": False}},
            "node_replacements": {},
            "i18n": None,
            "object_info": None,
            "settings": None,
            "extensions": None,
        }
        live = {
            "i18n": words,
            "object_info": lambda: self.nodes,
            "settings": lambda: self.frontend_settings,
            "extensions": self._extensions,
        }

        def table(name: str) -> Any:
            async def handle(_: web.Request) -> web.Response:
                return web.json_response(live[name]() if name in live else tables[name])

            return handle

        return [
            *(web.get(f"{prefix}/{name}", table(name)) for name in tables),
            web.get(f"{prefix}/ws", self._socket),
            web.post(f"{prefix}/prompt", self._prompt),
            web.post(f"{prefix}/settings", self._set_all),
            web.post(f"{prefix}/settings/{{id}}", self._set_one),
            web.get(f"{prefix}/userdata", self._list),
            web.get(f"{prefix}/userdata/{{file:.+}}", self._userdata),
            web.post(f"{prefix}/userdata/{{file:.+}}", self._userdata),
            web.get(f"{prefix}/workflow_templates/{FOLDER}/{{file}}", self._template),
            web.post(f"{prefix}/upload/image", self._upload),
            web.get(f"{prefix}/view", self._view),
        ]

    async def _index(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(self.static / "index.html", headers={"Cache-Control": "no-cache"})

    def _extensions(self) -> list[str]:
        core = (file.relative_to(self.static) for file in (self.static / "extensions").rglob("*.js"))
        ours = (Path("extensions", FOLDER) / file.relative_to(ROOT / "web") for file in (ROOT / "web").rglob("*.js"))
        return [f"/{path.as_posix()}" for path in (*core, *(ours if self.has_pack else ()))]

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.add(socket)
        status = {"exec_info": {"queue_remaining": 0}}
        sid = request.query.get("clientId") or "page-1"
        await socket.send_json({"type": "status", "data": {"status": status, "sid": sid}})
        async for message in socket:
            if message.type == WSMsgType.ERROR:
                break
        self.sockets.discard(socket)
        return socket

    async def _prompt(self, request: web.Request) -> web.Response:
        self.queued.append(await request.json())
        return web.json_response({"prompt_id": f"prompt-{len(self.queued)}", "number": 0, "node_errors": {}})

    async def _set_all(self, request: web.Request) -> web.Response:
        self.frontend_settings |= await request.json()
        return web.Response()

    async def _set_one(self, request: web.Request) -> web.Response:
        self.frontend_settings[request.match_info["id"]] = await request.json()
        return web.Response()

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response([])

    async def _userdata(self, request: web.Request) -> web.Response:
        name = request.match_info["file"]
        if request.method == "POST":
            self.userdata[name] = await request.read()
            return web.json_response({"path": name, "size": len(self.userdata[name]), "modified": 0, "created": 0})
        return web.Response(body=self.userdata[name]) if name in self.userdata else web.Response(status=404)

    async def _template(self, request: web.Request) -> web.StreamResponse:
        path = ROOT / "example_workflows" / request.match_info["file"]
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    async def _upload(self, request: web.Request) -> web.Response:
        part = (await request.post())["image"]
        assert isinstance(part, web.FileField)
        place = self.folder / "input"
        place.mkdir(exist_ok=True)
        (place / Path(part.filename).name).write_bytes(part.file.read())
        return web.json_response({"name": Path(part.filename).name, "subfolder": "", "type": "input"})

    async def _view(self, request: web.Request) -> web.StreamResponse:
        path = self.folder / "input" / Path(request.query.get("filename", "")).name
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)
