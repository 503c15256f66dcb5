"""What is set up once when ComfyUI lists the nodes: routes, odd folder names, and a look at what was left open."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from ...civitai_bridge.errors import CivitaiError
from ...civitai_bridge.network.background import background_loop
from . import comfyui, folders
from .services import load_server_settings, server_home, services

log = logging.getLogger(__name__)
LINK_FILE = "link.json"  # named here too, so that nothing of Link is loaded to see that there is none


def set_up() -> None:
    """All of it; neither network nor disk is touched before the server has started."""
    serve_scripts()
    wake_for_what_is_open()
    run_link()
    serve_routes()


def wake_for_what_is_open() -> None:
    """When the server has started and a journal is there, look after it: a cancel that was not heard is asked again,
    pictures that came late are fetched, without waiting for the next graph."""
    comfyui.when_started(_wake)


async def _wake() -> None:
    try:
        settings = await asyncio.to_thread(load_server_settings)
        if settings.key and not settings.sandbox and (settings.home / "journal.sqlite3").is_file():
            await services().fleet()
    except CivitaiError as error:
        log.warning("What is open in the journal could not be looked after: %s", error)


def run_link(every: float = 3.0) -> None:
    """When this machine is paired, at the server's start or later by a command, CivitAI Link runs until the server
    ends. Before that nothing of it is loaded; a look at one file `every` few seconds is all that it costs."""
    comfyui.when_started(lambda: _link(every))
    comfyui.when_stopped(lambda: services().link.stop() if services().is_linked else None)


async def _link(every: float) -> None:
    file, seen, told = None, 0, ""
    while True:
        try:
            file = file or (await asyncio.to_thread(load_server_settings)).home / LINK_FILE
            if (written := _written(file)) != seen:
                seen = written
                await services().link.start()
        except CivitaiError as error:
            if str(error) != told:  # it may be so for days
                told = str(error)
                log.warning("CivitAI Link could not be started: %s", error)
        await asyncio.sleep(every)


def _written(file: Path) -> int:
    """When a file was written, in nanoseconds; 0 where there is none."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def serve_routes() -> None:
    """The pack's routes on ComfyUI's own server; the admin token is made when it has started."""
    from ...civitai_bridge.routes.access import Gate
    from ...civitai_bridge.routes.context import Context, Host
    from ...civitai_bridge.routes.table import add_routes

    if (server := comfyui.server()) is None:
        return
    context = Context(
        start=background_loop().start,
        catalog=services().catalog,
        reader=lambda: services().app.reader(),
        gate=Gate(_admin_token, load_server_settings),
        app=lambda: services().app,
        fleet=services().fleet,
        runner=lambda: services().link,
        host=Host(comfyui.send, folders.output_folder, comfyui.makes_lists, folders.listed),
    )
    add_routes(server.routes, context)
    comfyui.when_started(lambda: asyncio.to_thread(make_token))


def _admin_token() -> str:
    """Hangs on no setting and no key, so that what is wrong with one does not look like a wrong token."""
    from ...civitai_bridge.settings import admin_token, own_folder

    return admin_token(own_folder(home=server_home()))


def make_token() -> None:
    """Have the admin token on disk before somebody asks for it."""
    try:
        _admin_token()
    except (CivitaiError, OSError) as error:
        log.warning("The admin routes cannot be used: %s", error)


def serve_scripts() -> None:
    """Serve `.mjs` ourselves: ComfyUI says of no other script than `.js` that it may change, so a browser would keep
    some of them over an update of the pack and load them beside new ones.

    Serve all scripts, help and templates where aiohttp's static routes answer 404: in folders whose name has a space
    or non-ASCII letters. Help is also asked for at the part of the name before a dot."""
    server, folder = comfyui.server(), comfyui.PACK.name
    if server is None:
        return
    if re.fullmatch(r"[\w@+-]+", folder, re.ASCII):
        # The name as it is: aiohttp looks at the routes below the longest written path first.
        server.routes.get(f"/extensions/{folder}/{{tail:.+[.]mjs}}")(_files_of(comfyui.PACK / "web"))
        return
    for name in {folder, folder.split(".")[0].split("@")[0]}:
        pattern = f"/extensions/{{folder:{re.escape(name)}}}/{{tail:.+}}"
        server.routes.get(pattern)(_files_of(comfyui.PACK / "web"))
    templates = f"/workflow_templates/{{folder:{re.escape(folder)}}}/{{tail:.+}}"
    server.routes.get(templates)(_files_of(comfyui.PACK / "example_workflows"))


def _files_of(root: Path) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    async def serve(request: Any) -> Any:
        from aiohttp import web

        path = (root / request.match_info["tail"]).resolve()
        if root.resolve() not in path.parents or not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={"Cache-Control": "no-cache"})

    return serve
