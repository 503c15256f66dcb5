"""A pack with a route that hands a room's command to its handler, as the agent does, and one that cancels it: what
`image:txt2img` does inside of ComfyUI is seen without a relay in between."""

import asyncio
import importlib
import sys

from aiohttp import web
from server import PromptServer

NODE_CLASS_MAPPINGS = {}
_running = {}


def pack(module):
    """A module of the pack, under the name that ComfyUI gave it: its path."""
    name = next(name for name in sys.modules if name.endswith("civitai bridge_x_v1"))
    return importlib.import_module(name + module)


async def _run(body, statuses):
    command_module = pack(".civitai_bridge.link.command")
    services = pack(".nodes.host.services").services()
    command = pack(".civitai_bridge.link.message").read_command(body)
    settings, network = await services.app.connected()
    context = command_module.LinkContext(
        settings,
        await services.catalog(),
        network.fetch,
        statuses.append,
        None,
        pack(".nodes.host.prompt_queue").PictureQueue().run,
    )
    handler = pack(".civitai_bridge.link.commands").HANDLERS[command.type]
    return dict(await handler(command, context, lambda progress, **_: statuses.append(progress)))


@PromptServer.instance.routes.post("/link_direct")
async def run(request):
    body, statuses = await request.json(), []
    loop = pack(".civitai_bridge.network.background").background_loop()

    async def job():
        _running[body["id"]] = asyncio.current_task()
        return await _run(body, statuses)

    try:
        fields = await asyncio.wrap_future(loop.start(job()))
        answer = {"status": "success", **fields}
    except asyncio.CancelledError:
        answer = {"status": "canceled"}
    except pack(".civitai_bridge.errors").CivitaiError as error:
        answer = {"status": "error", "error": str(error), "code": error.code}
    return web.json_response({**answer, "statuses": statuses})


@PromptServer.instance.routes.post("/link_direct/cancel")
async def cancel(request):
    task = _running[(await request.json())["id"]]
    task.get_loop().call_soon_threadsafe(task.cancel)
    return web.json_response({})
