"""The site's downloads: where a file is, or one of the refusals in the site's order."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from aiohttp import web

from . import models
from .query import Answer
from .users import key_of
from .website import Website

_BUYER = "bought"  # a key whose owner has paid for every early access and was let into what is private
_BROWSERS = ("mozilla", "chrome", "safari", "firefox", "opera", "edge")
_FILE_TYPES = frozenset({
    "Model", "Text Encoder", "Vision Encoder", "Pruned Model", "Negative", "Training Data", "VAE", "Config", "Archive",
    "UNet", "Diffusion Model", "CLIPVision", "ControlNet", "Workflow", "Upscaler", "Enhancement LoRA", "Other",
})  # fmt: skip
_DISABLED = "The creator of this asset has disabled downloads on this file"
_LOG_IN = "The creator of this asset requires you to be logged in to download it"
_EARLY = "This asset is in Early Access. You can use Buzz access it now!"
_TOO_MANY = (
    "We've noticed an unusual amount of downloading from your account. Contact support@civitai.com or come back later."
)


async def download(site: Website, request: web.Request) -> web.StreamResponse:
    """Where a file lies, or one of the refusals in the site's order."""
    agent = request.headers.get("User-Agent", "").lower()
    browser = any(name in agent for name in _BROWSERS)
    try:
        target = _resolved(site, request)
    except Answer as refused:
        if not browser:
            raise
        if isinstance(refused.body, Mapping) and refused.body.get("message") in (_LOG_IN, _EARLY):
            page = "/login" if refused.body["message"] == _LOG_IN else "/model-versions/"
            return web.Response(status=307, headers={"Location": f"{site.base}{page}?returnUrl={quote(request.path)}"})
        return web.Response(status=refused.status, text=str(refused.body["error"]))
    site.downloads += 1
    return web.Response(status=307, headers={"Location": target, "Cache-Control": "no-store, max-age=0"})


def _resolved(site: Website, request: web.Request) -> str:
    query, key = request.query, key_of(request)
    if site.blocked:
        raise Answer(403, {"error": "Forbidden"})
    if site.quota and site.downloads >= site.quota:
        raise Answer(429, {"error": _TOO_MANY})
    version_id = request.match_info["id"]
    if not version_id.isdigit() or int(version_id) == 0:
        raise Answer(400, {"error": "✖ Invalid input: expected number, received NaN\n  → at modelVersionId"})
    for name, allowed in (("type", _FILE_TYPES), ("size", {"full", "pruned"})):
        if name in query and query[name] not in allowed:
            raise Answer(400, {"error": f"✖ Invalid option\n  → at {name}"})
    if not query.get("fileId", "0").isdigit():
        raise Answer(400, {"error": "✖ Invalid input: expected number, received NaN\n  → at fileId"})
    version = models.VERSIONS.get(int(version_id))
    if version is None or version.poi:
        raise Answer(404, {"error": "File not found"})
    if version.mode == "Archived":
        raise Answer(410, {"error": "Model archived, not available for download"})
    if version.deleted or version.status != "Published":
        raise Answer(404, {"error": "File not found"})
    if version.usage != "Download":
        raise Answer(401, {"error": "Unauthorized", "message": _DISABLED})
    if not key and (site.login or version.needs_login):
        raise Answer(401, {"error": "Unauthorized", "message": _LOG_IN})
    if version.paid and key != _BUYER:
        until = {} if version.paid == models.FOREVER else {"deadline": version.paid}
        raise Answer(403, {"error": "Early Access", **until, "message": _EARLY})
    if version.private and key != _BUYER:
        raise Answer(403, {"error": "You do not have access to download this file"})
    holder, file = _chosen(version, query)
    if file is None or file.sends == "gone":
        raise Answer(404, {"error": "File not found"}, Cache_Control="private, no-store")
    return site.storage.address(holder, file)


def _chosen(version: models.Version, query: Mapping[str, str]) -> tuple[models.Version, models.File | None]:
    """Which file a download gives: the one with this id; else the best by the site's weights, if what
    it states does not contradict the query; a VAE that is linked stands in for one of its own."""
    public = [file for file in version.files if file.public]
    if "fileId" in query:
        return version, next((f for f in public if str(models.file_id(version, f)) == query["fileId"]), None)
    asked = {key: query[key] for key in ("format", "size", "fp", "quantType") if key in query}
    kind = query.get("type")
    if kind == "VAE" and version.linked and not any(file.type == "VAE" for file in public):
        other = models.VERSIONS[version.linked[0]]
        return other, other.files[0]
    fitting = [file for file in public if kind is None or file.type == kind]
    if not fitting:
        return version, None
    best = max(fitting, key=lambda file: models.score(file, {**models.PREFERENCES, **asked}))
    stated = models.metadata(best, whole=True)
    return version, best if all(stated.get(key) == value for key, value in asked.items()) else None
