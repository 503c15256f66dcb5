"""The site's models and versions: by id, by hash, and as lists."""

from __future__ import annotations

import json
import re
from typing import Any

from aiohttp import web

from . import model_answers, models
from .query import LARGEST_ID, PUBLIC, Answer, cursor, next_page, number, zod
from .users import key_of
from .website import Website

_MODEL_TYPES = frozenset({
    "Checkpoint", "TextualInversion", "Hypernetwork", "AestheticGradient", "LORA", "LoCon", "DoRA", "Controlnet",
    "Upscaler", "MotionModule", "VAE", "TextEncoder", "UNet", "CLIPVision", "Poses", "Wildcards", "Workflows",
    "ComfyWorkflows", "Detection", "VisionLanguage", "CLIP", "LLM", "Other",
})  # fmt: skip
_NOT_FOUND = "Model not found"


def _visible(text: str) -> models.Version:
    if not re.fullmatch(r"-?\d+", text):
        raise Answer(400, {"error": "✖ Invalid input: expected number, received NaN\n  → at id"})
    if int(text) == 0:
        raise Answer(400, {"error": "Missing modelVersionId"})
    if int(text) > LARGEST_ID:
        raise Answer(500, {"error": "Failed to fetch model version details"})
    version = models.VERSIONS.get(int(text))
    if version is None or not models.visible(version):
        raise Answer(404, {"error": _NOT_FOUND})
    if not model_answers.usable(version):
        raise Answer(404, {"error": "Missing model file"})
    return version


async def version(site: Website, request: web.Request) -> web.StreamResponse:
    """A version by its id."""
    version = _visible(request.match_info["id"])
    return web.json_response(model_answers.full(version, site.base, media=site.storage.base))


async def mini(site: Website, request: web.Request) -> web.StreamResponse:
    """A version in short, with whether the fleet has it."""
    version, wanted = _visible(request.match_info["id"]), request.query.get("modelFileId", "")
    if "epoch" in request.query:
        raise Answer(400, {"error": "✖ Invalid input: expected number, received string\n  → at epoch"})
    if wanted and wanted not in {str(models.file_id(version, file)) for file in version.files if file.public}:
        raise Answer(404, {"error": f"Model file {wanted} not found in version {version.id}"})
    return web.json_response(model_answers.mini(version, site.base, wanted))


async def by_hash(site: Website, request: web.Request) -> web.StreamResponse:
    """The version of a file's hash."""
    version = models.by_hash(request.match_info["hash"])
    if version is None:
        raise Answer(404, {"error": _NOT_FOUND}, Cache_Control="public, s-maxage=3600")
    if not model_answers.usable(version):
        raise Answer(404, {"error": "Missing model file"})
    body = model_answers.full(version, site.base, route="hash", media=site.storage.base)
    return web.json_response(body, headers={"Cache-Control": "public, s-maxage=3600, stale-while-revalidate=1800"})


async def _hashes(request: web.Request, most: int) -> set[str]:
    """The array of a batch: only SHA256, only as application/json."""
    sentence = "Request must include an array of SHA256 Hashes. "
    try:
        hashes = json.loads(await request.read()) if request.content_type == "application/json" else None
    except ValueError:
        raise Answer(400, "Invalid JSON") from None
    if not isinstance(hashes, list):
        raise Answer(400, {"error": sentence + "Invalid input: expected array"})
    if len(hashes) > most:
        raise Answer(400, {"error": sentence + "Too many hashes"})
    if any(not isinstance(one, str) or len(one) != 64 for one in hashes):
        raise Answer(400, {"error": sentence + "Invalid hash"})
    return {one.upper() for one in hashes}


async def by_hashes(site: Website, request: web.Request) -> web.StreamResponse:
    """Versions of up to 100 SHA-256."""
    base = f"https://{request.headers.get('posthost', site.posthost)}"
    pairs = models.by_sha256(await _hashes(request, 100))
    return web.json_response(
        [
            model_answers.full(v, base, route="hash", media=site.storage.base) if model_answers.usable(v) else None
            for v, _ in pairs
        ]
    )


async def ids_by_hashes(site: Website, request: web.Request) -> web.StreamResponse:
    """Ids of up to 10,000 SHA-256."""
    pairs = models.by_sha256(await _hashes(request, 10_000))
    return web.json_response(
        [{"modelVersionId": v.id, "modelId": v.model_id, "hash": models.sha256(file)} for v, file in pairs]
    )


async def model(site: Website, request: web.Request) -> web.StreamResponse:
    """A model with its versions."""
    text = request.match_info["id"]
    if not re.fullmatch(r"\d{1,10}", text) or not 0 < int(text) <= LARGEST_ID:
        raise Answer(400, {"error": "✖ Invalid input: expected number, received NaN\n  → at id"})
    body = model_answers.model(int(text), site.base)
    if body is None:
        raise Answer(404, {"error": f"No model with id {text}"})
    return web.json_response(body, headers=PUBLIC)


async def model_list(site: Website, request: web.Request) -> web.StreamResponse:
    """The list of models."""
    query = request.query
    limit, page = number(query, "limit", 100, 0, 100), number(query, "page", 0, 1, 10**6)
    if ("favorites" in query or "hidden" in query) and not key_of(request):
        raise Answer(401, {"error": "Unauthorized"})
    if page and "query" in query:
        raise Answer(400, {"error": "Cannot use page param with query search. Use cursor-based pagination."})
    if page * limit > 1000:
        raise Answer(429, {"error": "You've requested too many pages, please use cursors instead"})
    types = query.getall("types", [])
    if not set(types) <= _MODEL_TYPES:
        raise zod("types", "Invalid option")
    ids, versions = (set(filter(None, query.get(name, "").split(","))) for name in ("ids", "modelVersionIds"))
    bases, words = query.getall("baseModels", []), query.get("query", "").lower()
    most = 31 if query.get("nsfw") == "true" else 1
    found: list[int] = []
    for v in sorted(models.VERSIONS.values(), key=lambda v: v.model_id):
        if (
            v.model_id not in found
            and models.visible(v)
            and v.level & most
            and (not ids or str(v.model_id) in ids)
            and (not versions or str(v.id) in versions)
            and (not types or v.type in types)
            and (not bases or v.base in bases)
            and words in v.model.lower()
        ):
            found.append(v.model_id)
    start = cursor(query) if "cursor" in query else max(0, page - 1) * limit
    metadata: dict[str, Any] = {}
    if limit and start + limit < len(found):
        metadata = {"nextCursor": str(start + limit), "nextPage": next_page(request, site.base, start + limit)}
    items = [model_answers.model(model_id, site.base) for model_id in found[start : start + limit]]
    return web.json_response({"items": items, "metadata": metadata})
