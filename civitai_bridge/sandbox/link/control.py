"""The control address of the sandbox's Link: pairing codes, a browser's clicks, and what the relay does wrong.

POST /sandbox/link {"do": …}, with `instance` where it is not the newest browser's:
    pair                        a new instance with a browser in its room   -> {"instance": 1, "code": "1f2e3d"}
    open instance               a browser on an instance that is there; close: it goes away; forget: deleted
    add versions [array]        the site's button of each version           -> {"ids": ["…"]}
    send command                any command, without id and date            -> {"id": "…"}
    wait id [seconds]           the final status of a command
    state                       what the browser shows, all statuses, what it complains of
    restart [away]              the relay goes away for seconds
    sever [role] [drop]         connections of `sd` or `client` end, with the relay's word or without one
    trouble …                   calm, faults, switches, random, code_seconds: see script.py
GET /sandbox/link, GET /sandbox/link/log
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from aiohttp import web

from .browser import Browser
from .service import LinkService

Act = Callable[[LinkService, dict[str, Any]], Awaitable[dict[str, Any]]]


def link_control_routes(link: LinkService) -> list[web.RouteDef]:
    """What drives the Link of a sandbox from outside; none of it passes through the relay."""
    return [
        web.post("/sandbox/link", partial(_do, link)),
        web.get("/sandbox/link", partial(_show, link)),
        web.get("/sandbox/link/log", partial(_show_log, link)),
    ]


async def _do(link: LinkService, request: web.Request) -> web.StreamResponse:
    try:
        wish = await request.json()
        return web.json_response(await _ACTS[wish["do"]](link, wish))
    except TimeoutError as error:
        return web.json_response({"error": str(error)}, status=504)
    except (TypeError, ValueError, KeyError, StopIteration) as error:
        return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)


async def _show(link: LinkService, request: web.Request) -> web.StreamResponse:
    rows = {row.id: {"name": row.name, "activated": row.activated} for row in link.relay.instances.rows.values()}
    return web.json_response({"link_url": link.relay.url, "instances": rows, "faults": dict(link.script.drawn)})


async def _show_log(link: LinkService, request: web.Request) -> web.StreamResponse:
    return web.json_response([asdict(line) for line in link.relay.log])


def _browser(link: LinkService, wish: dict[str, Any]) -> Browser:
    return link.browsers[int(wish["instance"])] if "instance" in wish else next(reversed(link.browsers.values()))


async def _pair(link: LinkService, wish: dict[str, Any]) -> dict[str, Any]:
    """A new instance with a browser in its room."""
    browser = await link.browse()
    return {"instance": browser.instance, "code": browser.code}


async def _open(link: LinkService, wish: dict[str, Any]) -> dict[str, Any]:
    """A browser on the instance `instance`, in the place of the one before."""
    before = link.browsers.pop(int(wish["instance"]), None)
    if before is not None:
        await before.close()
    return {"instance": (await link.browse(int(wish["instance"]))).instance}


async def _send(link: LinkService, wish: dict[str, Any]) -> dict[str, Any]:
    """The command `command`: its type and fields; id and date are added."""
    command = dict(wish["command"])
    return {"id": await _browser(link, wish).send(command.pop("type"), **command)}


async def _add(link: LinkService, wish: dict[str, Any]) -> dict[str, Any]:
    """The button of every version in `versions`; `array`: as one command in the document's form."""
    browser, resources = _browser(link, wish), [link.resource(int(version)) for version in wish["versions"]]
    if wish.get("array"):
        return {"ids": [await browser.send("resources:add", resources=resources)]}
    return {"ids": [await browser.send("resources:add", resource=resource) for resource in resources]}


async def _wait(link: LinkService, wish: dict[str, Any]) -> dict[str, Any]:
    """The final status of `id`, within `seconds`."""
    return await _browser(link, wish).finish(wish["id"], float(wish.get("seconds", 20)))


async def _state(link: LinkService, wish: dict[str, Any]) -> dict[str, Any]:
    """What the browser shows."""
    browser = _browser(link, wish)
    about = {"linked": browser.linked, "kicked": browser.kicked, "presence": browser.presence, "code": browser.code}
    return {**about, **asdict(browser.page)}


async def _close(link: LinkService, wish: dict[str, Any]) -> dict[str, Any]:
    """The browser goes away; its instance stays."""
    browser = _browser(link, wish)
    await browser.close()
    del link.browsers[browser.instance]
    return {}


async def _forget(link: LinkService, wish: dict[str, Any]) -> dict[str, Any]:
    """The instance is deleted, and its room kicked."""
    await _browser(link, wish).forget()
    return {}


async def _restart(link: LinkService, wish: dict[str, Any]) -> dict[str, Any]:
    """The relay goes away for `away` seconds."""
    await link.relay.restart(float(wish.get("away", 0)))
    return {}


async def _sever(link: LinkService, wish: dict[str, Any]) -> dict[str, Any]:
    """Break the connections of a role (`sd`, `client`): `drop` says so, else without a word."""
    await link.relay.sever(str(wish.get("role", "sd")), "drop" if wish.get("drop") else "cut")
    return {}


async def _trouble(link: LinkService, wish: dict[str, Any]) -> dict[str, Any]:
    """Any of: calm true, faults [{moment, kind, …}], switches {…}, random {seed, chance, spared}, code_seconds."""
    if wish.get("calm"):
        link.script.calm()
    for fault in wish.get("faults", ()):
        link.script.fault(**fault)
    for name, value in wish.get("switches", {}).items():
        link.script.switch(name, value)
    if "random" in wish:
        link.script.at_random(**wish["random"])
    if "code_seconds" in wish:
        link.relay.instances.code_seconds = wish["code_seconds"]
    return {}


_ACTS: dict[str, Act] = {
    "pair": _pair, "open": _open, "send": _send, "add": _add, "wait": _wait, "state": _state, "close": _close,
    "forget": _forget, "restart": _restart, "sever": _sever, "trouble": _trouble,
}  # fmt: skip
