"""CivitAI Link inside the server: what its agent is given of ComfyUI, and what the page hears of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import comfyui
from .prompt_queue import PictureQueue

if TYPE_CHECKING:
    from ...civitai_bridge.app import App
    from ...civitai_bridge.catalog.service import CatalogService
    from ...civitai_bridge.link.agent import LinkAgent

EVENT = "civitai_bridge.link"


async def open_agent(app: App, catalog: Callable[[], Awaitable[CatalogService]]) -> LinkAgent:
    """The agent of this server, not running yet. Raises BadSetting, StateTrouble."""
    return await app.link(catalog=catalog, generate=PictureQueue(_may_generate).run, notify=_tell_pages)


def _may_generate() -> bool:
    """Whether the person allows a room's pictures now. Raises BadSetting."""
    from .services import load_server_settings

    return load_server_settings().link_generate


def _tell_pages(news: Mapping[str, Any]) -> None:
    """Every page hears that something changed and how far it is; names it asks for with its own session."""
    about, what = next(iter(news.items()))
    known = ("id", "status", "progress", "number", "state")
    comfyui.broadcast(EVENT, {"about": about, **{name: what[name] for name in known if name in what}})
