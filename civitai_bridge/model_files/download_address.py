"""Ask the site where a file's bytes are: version id and file id -> a signed, short-lived address of the storage.

The site answers with a redirect, or with a refusal that has a sentence of its own here (as civitai/civitai's
src/pages/api/download/models/[modelVersionId].ts writes them). The person's key goes to the site alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from ..errors import DownloadRefused, DownloadTrouble, LogInNeeded, Unreachable
from ..network.exchange import Request, Response, Send, message_of
from ..resources.addresses import SITE_HOSTS, download_path
from ..resources.version import ModelFile
from ..settings import Settings

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LONGEST_PAUSE = 30.0  # seconds

# What the site refuses, by status and a word of its message; the first that fits.
_REFUSALS: tuple[tuple[int, str, str], ...] = (
    (403, "early access", "{access}"),
    (403, "do not have access", "{name} is private, and its creator has not let your account in."),
    (403, "forbidden", "CivitAI has blocked downloads for your account or your address. Contact support@civitai.com."),
    (403, "", "CivitAI does not let {name} be downloaded (HTTP 403). {detail}"),
    (
        429,
        "",
        "CivitAI stops downloads of this account for now: it has seen an unusual amount of them. Come back later.",
    ),
    (400, "", "CivitAI does not take the question for {name}. {detail}"),
    (404, "", "CivitAI has no file {name} of version {id} to give: it was deleted, unpublished or replaced."),
    (410, "", "The model of {name} is archived; it can no longer be downloaded."),
    (401, "", "The creator of {name} does not allow downloads; it can only be used on CivitAI."),
    (451, "", "CivitAI is not available in your region."),
)


class TryAgain(Exception):
    """It may work when it is tried again: after `pause` seconds (None = as after any trouble), from a `fresh` address,
    or from the file's `start`."""

    def __init__(self, why: str, *, pause: float | None = None, fresh: bool = False, start: bool = False) -> None:
        super().__init__(why)
        self.pause, self.fresh, self.start = pause, fresh, start


async def ask_address(send: Send, settings: Settings, version_id: int, file: ModelFile) -> str:
    """The signed address of a file, which is neither kept nor shown. Raises DownloadRefused, TryAgain."""
    response = await _ask(send, version_id, {"fileId": str(file.id)} if file.id else {})
    if response.status == 404 and file.type == "VAE":  # linked from another version: no file of this one
        response = await _ask(send, version_id, {"type": "VAE"})
    if response.status not in _REDIRECTS:
        raise _refusal(response, version_id, file, settings)
    try:
        location = urljoin(settings.site_url, response.headers.get("location", ""))
        is_page = not response.headers.get("location") or _is_of_site(location, settings.site_url)
    except ValueError:  # its words may hold the address, which is a secret
        raise DownloadRefused(
            f"CivitAI names a storage for {file.name} that is no address. Try again later.", status=response.status
        ) from None
    if is_page:
        raise DownloadRefused(
            f"CivitAI answers with a page instead of {file.name}: it wants you to log in or to buy access "
            f"(https://civitai.com/models/…?modelVersionId={version_id}).",
            status=response.status,
        )
    return location


async def _ask(send: Send, version_id: int, query: Mapping[str, str]) -> Response:
    request = Request("GET", download_path(version_id), tuple(query.items()), timeout=60.0)
    try:
        response = await send(request)
    except Unreachable as error:
        raise TryAgain(str(error)) from error
    is_quota = "unusual amount" in message_of(response).lower()
    if response.status >= 500 or (response.status == 429 and not is_quota):
        pause = response.headers.get("retry-after", "")
        raise TryAgain(
            f"CivitAI has trouble at the moment (HTTP {response.status}).",
            pause=min(_LONGEST_PAUSE, float(pause)) if re.fullmatch(r"\d{1,6}(\.\d+)?", pause) else None,
        )
    return response


def _refusal(response: Response, version_id: int, file: ModelFile, settings: Settings) -> DownloadTrouble:
    detail = message_of(response)
    if response.status == 401 and "disabled downloads" not in detail.lower():
        return _log_in(file, settings, detail)
    fitting = (
        sentence for status, words, sentence in _REFUSALS if response.status == status and words in detail.lower()
    )
    sentence = next(fitting, "CivitAI does not give {name} (HTTP {status}). {detail}")
    if response.status == 404 and "no-store" in response.headers.get("cache-control", ""):
        sentence = "CivitAI lists {name}, but its storage cannot find it. Try again later, or take another file."
    text = sentence.format(
        name=file.name,
        status=response.status,
        access=_access(response, file.name, version_id),
        id=version_id,
        detail=detail,
    )
    return DownloadRefused(text.rstrip(), status=response.status, detail=detail)


def _log_in(file: ModelFile, settings: Settings, detail: str) -> LogInNeeded:
    why = "does not accept your API key (it is wrong or expired)" if settings.key else "asks for a log-in"
    return LogInNeeded(
        f"CivitAI {why} for {file.name}: its creator gives it only to people who are logged in. Run "
        "`civitai-bridge login`.",
        status=401,
        detail=detail,
    )


def _access(response: Response, name: str, version_id: int) -> str:
    """A sentence about a file that must be bought: until when, as the site's answer says it, or for good."""
    try:
        until = json.loads(response.content).get("deadline", "")
    except (ValueError, AttributeError):
        until = ""
    buy = f"Buy access on its page (version {version_id})"
    if isinstance(until, str) and until:
        return f"{name} is in early access until {until}. {buy}, or wait."
    return f"{name} is sold by its creator. {buy}."


def _is_of_site(location: str, site_url: str) -> bool:
    """Whether an address is a page of the site; its storage is elsewhere (on other ports of one machine, maybe).
    Raises ValueError for what is no address."""
    site, parts = urlsplit(site_url), urlsplit(location)
    host, port = (parts.hostname or "").lower(), parts.port
    return host in SITE_HOSTS or (host == (site.hostname or "").lower() and port == site.port)
