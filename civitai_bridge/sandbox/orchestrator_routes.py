"""The orchestrator's routes: from a request to what the orchestrator does, and back to JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from . import model_answers, models
from .faults import Handler
from .life import cancel, rating
from .lists import listed, refuse_zip, staff_list
from .orchestrator import order
from .reading import job_of, step_of
from .script import Script
from .users import is_staff, user_of
from .views import describe, open_blob, view
from .workflows import Orchestrator, problem

_WORKFLOWS = "/v2/consumer/workflows"
_BLOBS = "/v2/consumer/blobs"


@dataclass
class Service:
    """What the routes speak for; `site_url` is where its models are described."""

    orchestrator: Orchestrator
    script: Script
    site_url: str = ""


def orchestrator_routes(service: Service, around: Callable[[str, Handler], Handler]) -> list[web.RouteDef]:
    """Method, path and handler of each; `around` puts the sandbox's log and faults around them."""
    table = (
        ("POST", _WORKFLOWS, "submit", _submit),
        ("GET", _WORKFLOWS, "list", _list),
        ("GET", _WORKFLOWS + "/{id}", "poll", _poll),
        ("PUT", _WORKFLOWS + "/{id}", "cancel", _cancel),
        ("DELETE", _WORKFLOWS + "/{id}", "delete", _delete),
        ("GET", _WORKFLOWS + "/{id}/steps/{name}", "step", _step),
        ("GET", "/v1/consumer/jobs/{id}", "job", _job),
        ("GET", "/v1/manager/workflows", "staff", _staff_list),
        ("GET", _BLOBS + "/content/{token}", "content", _content),
        ("GET", _BLOBS + "/blocked/{token}", "content", _blocked),
        ("POST", _BLOBS + "/{id}/refresh", "refresh", _refresh),
        ("GET", _BLOBS + "/{id}", "blob", _blob),
        ("GET", "/v2/resources/{air}", "resource", _resource),
    )
    return [_route(method, path, around(name, partial(handler, service))) for method, path, name, handler in table]


def content_route(service: Service, around: Callable[[str, Handler], Handler]) -> web.RouteDef:
    """Pictures on a storage of its own, as some deployments have them."""
    return web.get("/content/{token}", around("content", partial(_content, service)))


def _route(method: str, path: str, handler: Handler) -> web.RouteDef:
    # A GET answers HEAD as well.
    return web.get(path, handler) if method == "GET" else web.route(method, path, handler)


async def _submit(service: Service, request: web.Request) -> web.StreamResponse:
    user = user_of(request)
    if service.script.submit_wait_refused and "wait" in request.query:
        raise problem(400, "Bad Request", "The value of wait is not valid.")
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise problem(400, "Bad Request", "The body is no JSON.") from error
    whatif = request.query.get("whatif") == "true"
    status, workflow = order(service.orchestrator, user, body, whatif=whatif)
    return web.json_response(workflow, status=status)


async def _poll(service: Service, request: web.Request) -> web.StreamResponse:
    run = service.orchestrator.run_of(user_of(request), request.match_info["id"])
    wait = request.query.get("wait", "0")
    if not wait.isdigit() or (service.script.wait_refused and wait != "0"):
        raise problem(400, "Bad Request", f"The value '{wait}' is not valid for wait.")
    if int(wait):
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(run.done.wait(), min(int(wait), 100))
    hide = request.query.get("hideMatureContent") == "true"
    return web.json_response(
        view(service.orchestrator, run, hide_mature=hide),
        status=202 if not run.done.is_set() and (int(wait) or service.script.get_without_wait_202) else 200,
    )


async def _delete(service: Service, request: web.Request) -> web.StreamResponse:
    run = service.orchestrator.run_of(user_of(request), request.match_info["id"])
    if not run.done.is_set():
        cancel(service.orchestrator, run)
    run.deleted = True
    return web.Response(status=204)


async def _step(service: Service, request: web.Request) -> web.StreamResponse:
    run = service.orchestrator.run_of(user_of(request), request.match_info["id"])
    return web.json_response(step_of(service.orchestrator, run, request.match_info["name"]))


async def _job(service: Service, request: web.Request) -> web.StreamResponse:
    detailed = request.query.get("detailed") == "true"
    user, staff = user_of(request), is_staff(request)
    return web.json_response(
        job_of(service.orchestrator, user, request.match_info["id"], is_staff=staff, detailed=detailed)
    )


async def _staff_list(service: Service, request: web.Request) -> web.StreamResponse:
    user_of(request)
    if not is_staff(request):
        raise problem(401, "Unauthorized", "This endpoint needs a manager token.")
    query = {name: request.query.getall(name) for name in request.query}
    return web.json_response(staff_list(service.orchestrator, query))


async def _list(service: Service, request: web.Request) -> web.StreamResponse:
    refuse_zip(request.headers.get("Accept", ""))
    query = {name: request.query.getall(name) for name in request.query}
    return web.json_response(listed(service.orchestrator, user_of(request), query))


async def _cancel(service: Service, request: web.Request) -> web.StreamResponse:
    run = service.orchestrator.run_of(user_of(request), request.match_info["id"])
    try:
        body = await request.json()
        wanted = body["status"]
    except (ValueError, LookupError, TypeError) as error:
        raise problem(400, "Bad Request", "The body names no status.") from error
    if wanted == "canceled":
        if run.done.is_set() and service.script.cancel_of_ended == 204:
            return web.Response(status=204)
        cancel(service.orchestrator, run)
    if service.script.dialect == "S+":
        return web.json_response(view(service.orchestrator, run))
    return web.Response(status=204)


async def _refresh(service: Service, request: web.Request) -> web.StreamResponse:
    user, blob = user_of(request), service.orchestrator.blobs.get(request.match_info["id"])
    if blob is None or blob.user != user:
        raise problem(404, "Not Found")
    if blob.is_expired:
        raise problem(404, "Not Found")
    blob.renewed = time.time()
    return web.json_response(describe(service.orchestrator, blob))


async def _blob(service: Service, request: web.Request) -> web.StreamResponse:
    user = user_of(request) if "Authorization" in request.headers else None
    name, signature, ceiling = (
        request.match_info["id"],
        request.query.get("sig", ""),
        request.query.get("nsfwLevel", ""),
    )
    target = open_blob(service.orchestrator, name, user=user, signature=signature, ceiling=ceiling)
    headers = {"x-nsfw-level": rating(service.orchestrator.blobs[name])}
    if request.method == "HEAD":
        return web.Response(status=204, headers=headers)
    return web.Response(status=301, headers={"Location": target, **headers})


async def _content(service: Service, request: web.Request) -> web.StreamResponse:
    if "Authorization" in request.headers:  # the log keeps it, so that a test can see the leak
        return web.Response(
            status=400, text="<Error><Code>InvalidRequest</Code></Error>", content_type="application/xml"
        )
    blob = service.orchestrator.blobs.get(service.orchestrator.content.get(request.match_info["token"], ""))
    if blob is None or blob.content is None:
        raise problem(404, "Not Found")
    return _content_answer(request, blob.content, blob.kind)


def _content_answer(request: web.Request, content: bytes, kind: str) -> web.Response:
    """The bytes, or from where a range asks for them."""
    asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    if asked is None:
        return web.Response(body=content, content_type=kind, headers={"Accept-Ranges": "bytes"})
    first = int(asked[1])
    if first >= len(content):
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(content)}"})
    headers = {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"}
    return web.Response(status=206, body=content[first:], content_type=kind, headers=headers)


async def _blocked(service: Service, request: web.Request) -> web.StreamResponse:
    return web.Response(status=403, text="blocked")


async def _resource(service: Service, request: web.Request) -> web.StreamResponse:
    version = models.by_air(request.match_info["air"])
    if version is None:
        raise problem(404, "Not Found")
    small = model_answers.mini(version, service.site_url)
    return web.json_response(
        {
            "air": version.air,
            "size": int(small["size"] * 1024),
            "hashes": small["hashes"],
            "downloadUrls": small["downloadUrls"],
            "resourceName": version.model,
            "versionName": version.name,
            "checkPermission": False,
            "canGenerate": version.can_generate,
            "fileFormat": "safeTensor",
            "hasMatureContentRestriction": False,
            "hasNSFWContentRestriction": False,
        }
    )
