"""What the settings mean for a graph that is looked at."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from ..orchestration.limits import Limits
from ..resources.addresses import MEDIA_HOSTS, other_domain
from ..settings import Settings
from .analysis import Rules
from .deeds import FLEET, MEDIA, SITE, STORAGE


def rules_of(settings: Settings, makes_lists: Callable[[str], bool | None] = lambda _: None) -> Rules:
    """The rules of these settings; `makes_lists` says of a node class whether it makes lists (None: nobody knows)."""
    site = [settings.site_url, *filter(None, [other_domain(settings.site_url)])]
    hosts = {
        SITE: tuple(map(_host, site)),
        FLEET: (_host(settings.orchestration_url),),
        MEDIA: tuple(sorted(MEDIA_HOSTS)),
        STORAGE: ("the storage that CivitAI names for each file",),
    }
    if settings.sandbox:
        hosts = dict.fromkeys(hosts, ("the sandbox on this machine",))
    return Rules(
        Limits(settings.limit_buzz_per_prompt, settings.limit_buzz_per_day),
        hosts,
        settings.graph_downloads == "on",
        makes_lists,
    )


def _host(url: str) -> str:
    return urlsplit(url).hostname or url
