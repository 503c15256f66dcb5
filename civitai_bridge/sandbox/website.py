"""The sandbox's site: image data over tRPC, REST v1, hashes and downloads, as CivitAI's own source has them (site-api
§1, §3, §6)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import quote

from aiohttp import web

from . import images, wire
from . import models as catalogue
from .storage import TROUBLES, Storage
from .wire import UNDEFINED, Failure

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_NO_SESSION = frozenset({"wrong", "expired", "banned"})
_NO_MEDIA = "no-media"  # a key without the MediaRead bit
_BUYER = "bought"  # a key whose owner has paid for every early access and was let into what is private
_BROWSERS = ("mozilla", "chrome", "safari", "firefox", "opera", "edge")
_OWN_HOSTS = frozenset({"civitai.com", "www.civitai.com", "civitai.red"})
_LARGEST_ID = 2**31 - 1
_MODEL_TYPES = frozenset({
    "Checkpoint", "TextualInversion", "Hypernetwork", "AestheticGradient", "LORA", "LoCon", "DoRA", "Controlnet",
    "Upscaler", "MotionModule", "VAE", "TextEncoder", "UNet", "CLIPVision", "Poses", "Wildcards", "Workflows",
    "ComfyWorkflows", "Detection", "VisionLanguage", "CLIP", "LLM", "Other",
})  # fmt: skip
_FILE_TYPES = frozenset({
    "Model", "Text Encoder", "Vision Encoder", "Pruned Model", "Negative", "Training Data", "VAE", "Config", "Archive",
    "UNet", "Diffusion Model", "CLIPVision", "ControlNet", "Workflow", "Upscaler", "Enhancement LoRA", "Other",
})  # fmt: skip
_NSFW = {"None": 1, "Soft": 3, "Mature": 7, "X": 31, "Blocked": 32}
_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})
_IMAGE_FILTERS = ("imageId", "postId", "modelVersionId", "modelId")
_NOT_FOUND = "Model not found"
_DISABLED = "The creator of this asset has disabled downloads on this file"
_LOG_IN = "The creator of this asset requires you to be logged in to download it"
_EARLY = "This asset is in Early Access. You can use Buzz access it now!"
_TOO_MANY = (
    "We've noticed an unusual amount of downloading from your account. Contact support@civitai.com or come back later."
)


class Answer(Exception):
    """An answer other than the plain 200."""

    def __init__(self, status: int, body: Any, **headers: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass
class Website:
    """The site and how it behaves: `wire` is superjson or devalue; `delay` is a round trip in seconds; `login` whether
    downloads need a session; `blocked` refuses every download; `quota` downloads are free (0 = no limit)."""

    storage: Storage = field(default_factory=Storage)
    base: str = ""
    wire: str = "superjson"
    delay: float = 0.0
    login: bool = True
    blocked: bool = False
    quota: int = 0
    posthost: str = "undefined"
    downloads: int = 0

    def switch(self, name: str, value: Any) -> None:
        """Set one of the habits above, `signature_seconds`, or add to `storage_troubles`."""
        if name == "storage_troubles":
            if not set(value) <= set(TROUBLES):
                raise ValueError(f"storage knows {', '.join(TROUBLES)}")
            self.storage.troubles.extend(value)
        elif name == "signature_seconds":
            self.storage.seconds = float(value)
        elif name in {f.name for f in fields(self)} - {"storage", "base"}:
            setattr(self, name, value)
        else:
            raise ValueError(f"no such habit of the site: {name}")

    def routes(self, answer: Callable[[str, Handler], Handler]) -> list[web.RouteDef]:
        """The site's routes; `answer` puts the sandbox's log and faults around each."""

        def get(path: str, handler: Handler, name: str = "site") -> web.RouteDef:
            return web.get(path, answer(name, self._framed(handler)))

        def post(path: str, handler: Handler, name: str = "site") -> web.RouteDef:
            return web.post(path, answer(name, self._framed(handler)))

        versions = "/api/v1/model-versions"
        return [
            get("/api/trpc/{names}", self._trpc, "trpc"),
            post("/api/trpc/{names}", self._trpc, "trpc"),
            get("/api/v1/images", self._images),
            get(versions + "/mini/{id}", self._mini),
            get(versions + "/by-hash/{hash}", self._by_hash),
            post(versions + "/by-hash", self._by_hashes),
            post(versions + "/by-hash/ids", self._ids_by_hashes),
            get(versions + "/{id}", self._version),
            get("/api/v1/models", self._models),
            get("/api/v1/models/{id}", self._model),
            get("/api/v1/me", self._me),
            get("/api/download/models/{id}", self._download, "download"),
        ]

    def storage_routes(self, answer: Callable[[str, Handler], Handler]) -> list[web.RouteDef]:
        return [
            web.route("*", "/models/{id:\\d+}/{name}", answer("storage", self._slowly(self.storage.model))),
            web.get("/{token}/{uuid}/{params}/{name}", answer("media", self.storage.media)),
        ]

    def _slowly(self, handler: Handler) -> Handler:
        async def slowly(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(self.delay)
            return await handler(request)

        return slowly

    def _framed(self, handler: Handler) -> Handler:
        """Turn an Answer into a response, with the site's headers (site-api §0.3)."""

        async def framed(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(self.delay)
            try:
                return await handler(request)
            except Answer as other:
                if isinstance(other.body, str):
                    return web.Response(status=other.status, text=other.body, headers=other.headers)
                return web.json_response(other.body, status=other.status, headers=other.headers)

        return framed

    # --- who asks ----------------------------------------------------------------------------------------------------

    def _key(self, request: web.Request) -> str:
        """The key of a session, `""` for none: the second word of the header whatever the first, else `?token=`
        (site-api §0.2)."""
        words = request.headers.get("Authorization", "").split()
        key = words[1] if len(words) > 1 else "" if words else request.query.get("token", "")
        return "" if key in _NO_SESSION else key

    async def _me(self, request: web.Request) -> web.StreamResponse:
        key = self._key(request)
        if not key:
            raise Answer(401, {"error": "Unauthorized"})
        user = int(hashlib.sha256(key.encode()).hexdigest()[:6], 16)
        scope = 1 if key == _NO_MEDIA else 33554431
        return web.json_response(
            {
                "id": user, "username": f"sandbox-{user}", "status": "active", "isMember": False, "subscriptions": [],
                "tokenScope": scope, "buzzLimit": None, "subject": {"type": "apiKey", "id": user},
            }
        )  # fmt: skip

    # --- tRPC --------------------------------------------------------------------------------------------------------

    async def _trpc(self, request: web.Request) -> web.StreamResponse:
        names, batch = request.match_info["names"], request.query.get("batch") == "1"
        calls = names.split(",") if batch else [names]
        given: Any = None
        trouble: Failure | None = None
        text = (await request.read()).decode("utf-8", "replace") if request.method == "POST" else None
        text = request.query.get("input") if text is None else text
        try:
            given = json.loads(text) if text else None
        except ValueError as error:
            trouble = Failure("BAD_REQUEST", str(error))
        statuses, bodies = [], []
        for place, name in enumerate(calls):
            one = given.get(str(place)) if batch and isinstance(given, dict) else given
            try:
                if trouble is not None:
                    raise trouble
                payload = self._procedure(request, name, one)
                status, body = 200, wire.success(payload, self.wire)
            except Failure as refused:
                status, body = wire.CODES[refused.name][0], wire.failure(refused, name, self.wire)
            statuses.append(status)
            bodies.append(body)
        common = statuses[0] if len(set(statuses)) == 1 else 207
        return web.json_response(bodies if batch else bodies[0], status=common)

    def _procedure(self, request: web.Request, name: str, given: Any) -> dict[str, Any]:
        if name != "image.getGenerationData":
            raise Failure("NOT_FOUND", f'No procedure found on path "{name}"')
        origin = request.headers.get("Origin") or request.headers.get("Referer") or ""
        ours = re.sub(r"^https?://([^/:]+).*$", r"\1", origin) in _OWN_HOSTS
        key = self._key(request)
        if not key and not ours:
            raise Failure("UNAUTHORIZED", "Please use the public API instead: https://developer.civitai.com/")
        if key == _NO_MEDIA:
            raise Failure("FORBIDDEN", "Your API key does not have the required scope for this action")
        read = wire.read_input(given)
        if not isinstance(read, dict):
            raise _issue("object", read, [])
        id = read.get("id", UNDEFINED)
        if isinstance(id, bool) or not isinstance(id, (int, float)):
            raise _issue("number", id, ["id"])
        image = images.IMAGES.get(int(id))
        if image is None:
            raise Failure("NOT_FOUND", "Could not find entity")
        return images.generation_data(image)

    # --- images ------------------------------------------------------------------------------------------------------

    async def _images(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        limit = _number(query, "limit", 50, 0, 200)
        page = _number(query, "page", 0, 1, 10**6)
        if page * limit > 1000:
            raise Answer(429, {"error": "You've requested too many pages, please use cursors instead"})
        wanted = {name: _number(query, name, 0, 0, _LARGEST_ID) for name in _IMAGE_FILTERS}
        levels = _levels(query)
        with_meta = _flag(query, "withMeta") or False
        flat = _flag(query, "flatMeta")
        if flat is None:
            flat = not (wanted["imageId"] or (wanted["modelId"] and not wanted["modelVersionId"]))
        if query.get("sort") == "Random":
            raise Answer(400, {"error": "Random sort requires a collection", "code": "BAD_REQUEST"})
        found = [image for image in images.IMAGES.values() if image.shown and image.level & levels]
        found = [image for image in found if _fits(image, wanted, query)]
        found.sort(key=lambda image: image.id if query.get("sort") == "Oldest" else (-image.likes, -image.id))
        start = _cursor(query) if "cursor" in query else max(0, page - 1) * limit
        tags = bool(_flag(query, "withTags"))
        items = [
            images.listed(image, self.storage.base, with_meta=with_meta, wrapped=not flat, with_tags=tags)
            for image in found[start : start + limit]
        ]
        metadata: dict[str, Any] = {}
        if start + limit < len(found) and limit:
            metadata = {"nextCursor": str(start + limit), "nextPage": _next(request, self.base, start + limit)}
        if page:
            metadata |= {"currentPage": page, "pageSize": limit}
        return web.json_response({"items": items, "metadata": metadata}, headers=_PUBLIC)

    # --- models ------------------------------------------------------------------------------------------------------

    def _visible(self, text: str) -> catalogue.Version:
        if not re.fullmatch(r"-?\d+", text):
            raise Answer(400, {"error": "✖ Invalid input: expected number, received NaN\n  → at id"})
        if int(text) == 0:
            raise Answer(400, {"error": "Missing modelVersionId"})
        if int(text) > _LARGEST_ID:
            raise Answer(500, {"error": "Failed to fetch model version details"})
        version = catalogue.VERSIONS.get(int(text))
        if version is None or not catalogue.visible(version):
            raise Answer(404, {"error": _NOT_FOUND})
        if not catalogue.usable(version):
            raise Answer(404, {"error": "Missing model file"})
        return version

    async def _version(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(catalogue.full(self._visible(request.match_info["id"]), self.base))

    async def _mini(self, request: web.Request) -> web.StreamResponse:
        version, wanted = self._visible(request.match_info["id"]), request.query.get("modelFileId", "")
        if "epoch" in request.query:
            raise Answer(400, {"error": "✖ Invalid input: expected number, received string\n  → at epoch"})
        if wanted and wanted not in {str(catalogue.file_id(version, file)) for file in version.files if file.public}:
            raise Answer(404, {"error": f"Model file {wanted} not found in version {version.id}"})
        return web.json_response(catalogue.mini(version, self.base, wanted))

    async def _by_hash(self, request: web.Request) -> web.StreamResponse:
        version = catalogue.by_hash(request.match_info["hash"])
        if version is None:
            raise Answer(404, {"error": _NOT_FOUND}, Cache_Control="public, s-maxage=3600")
        if not catalogue.usable(version):
            raise Answer(404, {"error": "Missing model file"})
        body = catalogue.full(version, self.base, route="hash")
        return web.json_response(body, headers={"Cache-Control": "public, s-maxage=3600, stale-while-revalidate=1800"})

    async def _hashes(self, request: web.Request, most: int) -> set[str]:
        """The array of a batch (site-api §3.3): only SHA256, only as application/json."""
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

    async def _by_hashes(self, request: web.Request) -> web.StreamResponse:
        base = f"https://{request.headers.get('posthost', self.posthost)}"
        pairs = catalogue.by_sha256(await self._hashes(request, 100))
        return web.json_response(
            [catalogue.full(v, base, route="hash") if catalogue.usable(v) else None for v, _ in pairs]
        )

    async def _ids_by_hashes(self, request: web.Request) -> web.StreamResponse:
        pairs = catalogue.by_sha256(await self._hashes(request, 10_000))
        return web.json_response(
            [{"modelVersionId": v.id, "modelId": v.model_id, "hash": catalogue.sha256(file)} for v, file in pairs]
        )

    async def _model(self, request: web.Request) -> web.StreamResponse:
        text = request.match_info["id"]
        if not re.fullmatch(r"\d{1,10}", text) or not 0 < int(text) <= _LARGEST_ID:
            raise Answer(400, {"error": "✖ Invalid input: expected number, received NaN\n  → at id"})
        body = catalogue.model(int(text), self.base)
        if body is None:
            raise Answer(404, {"error": f"No model with id {text}"})
        return web.json_response(body, headers=_PUBLIC)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        limit, page = _number(query, "limit", 100, 0, 100), _number(query, "page", 0, 1, 10**6)
        if ("favorites" in query or "hidden" in query) and not self._key(request):
            raise Answer(401, {"error": "Unauthorized"})
        if page and "query" in query:
            raise Answer(400, {"error": "Cannot use page param with query search. Use cursor-based pagination."})
        if page * limit > 1000:
            raise Answer(429, {"error": "You've requested too many pages, please use cursors instead"})
        types = query.getall("types", [])
        if not set(types) <= _MODEL_TYPES:
            raise _zod("types", "Invalid option")
        ids, versions = (set(filter(None, query.get(name, "").split(","))) for name in ("ids", "modelVersionIds"))
        bases, words = query.getall("baseModels", []), query.get("query", "").lower()
        most = 31 if query.get("nsfw") == "true" else 1
        found: list[int] = []
        for v in sorted(catalogue.VERSIONS.values(), key=lambda v: v.model_id):
            if (
                v.model_id not in found
                and catalogue.visible(v)
                and v.level & most
                and (not ids or str(v.model_id) in ids)
                and (not versions or str(v.id) in versions)
                and (not types or v.type in types)
                and (not bases or v.base in bases)
                and words in v.model.lower()
            ):
                found.append(v.model_id)
        start = _cursor(query) if "cursor" in query else max(0, page - 1) * limit
        metadata: dict[str, Any] = {}
        if limit and start + limit < len(found):
            metadata = {"nextCursor": str(start + limit), "nextPage": _next(request, self.base, start + limit)}
        items = [catalogue.model(model_id, self.base) for model_id in found[start : start + limit]]
        return web.json_response({"items": items, "metadata": metadata})

    # --- downloads ---------------------------------------------------------------------------------------------------

    async def _download(self, request: web.Request) -> web.StreamResponse:
        """Where a file lies, or one of the refusals in the site's order (site-api §6.2)."""
        agent = request.headers.get("User-Agent", "").lower()
        browser = any(name in agent for name in _BROWSERS)
        try:
            target = self._resolved(request)
        except Answer as refused:
            if not browser:
                raise
            if isinstance(refused.body, Mapping) and refused.body.get("message") in (_LOG_IN, _EARLY):
                page = "/login" if refused.body["message"] == _LOG_IN else "/model-versions/"
                return web.Response(
                    status=307, headers={"Location": f"{self.base}{page}?returnUrl={quote(request.path)}"}
                )
            return web.Response(status=refused.status, text=str(refused.body["error"]))
        self.downloads += 1
        return web.Response(status=307, headers={"Location": target, "Cache-Control": "no-store, max-age=0"})

    def _resolved(self, request: web.Request) -> str:
        query, key = request.query, self._key(request)
        if self.blocked:
            raise Answer(403, {"error": "Forbidden"})
        if self.quota and self.downloads >= self.quota:
            raise Answer(429, {"error": _TOO_MANY})
        version_id = request.match_info["id"]
        if not version_id.isdigit() or int(version_id) == 0:
            raise Answer(400, {"error": "✖ Invalid input: expected number, received NaN\n  → at modelVersionId"})
        for name, allowed in (("type", _FILE_TYPES), ("size", {"full", "pruned"})):
            if name in query and query[name] not in allowed:
                raise Answer(400, {"error": f"✖ Invalid option\n  → at {name}"})
        if not query.get("fileId", "0").isdigit():
            raise Answer(400, {"error": "✖ Invalid input: expected number, received NaN\n  → at fileId"})
        version = catalogue.VERSIONS.get(int(version_id))
        if version is None or version.poi:
            raise Answer(404, {"error": "File not found"})
        if version.mode == "Archived":
            raise Answer(410, {"error": "Model archived, not available for download"})
        if version.deleted or version.status != "Published":
            raise Answer(404, {"error": "File not found"})
        if version.usage != "Download":
            raise Answer(401, {"error": "Unauthorized", "message": _DISABLED})
        if not key and (self.login or version.needs_login):
            raise Answer(401, {"error": "Unauthorized", "message": _LOG_IN})
        if version.paid and key != _BUYER:
            until = {} if version.paid == catalogue.FOREVER else {"deadline": version.paid}
            raise Answer(403, {"error": "Early Access", **until, "message": _EARLY})
        if version.private and key != _BUYER:
            raise Answer(403, {"error": "You do not have access to download this file"})
        holder, file = _chosen(version, query)
        if file is None or file.sends == "gone":
            raise Answer(404, {"error": "File not found"}, Cache_Control="private, no-store")
        return self.storage.address(holder, file)


_PUBLIC = {
    "Cache-Control": "public, s-maxage=300, stale-while-revalidate=150",
    "Access-Control-Allow-Origin": "*",
}


def _chosen(version: catalogue.Version, query: Mapping[str, str]) -> tuple[catalogue.Version, catalogue.File | None]:
    """Which file a download gives (site-api §6.3): the one with this id; else the best by the site's weights, if what
    it states does not contradict the query; a VAE that is linked stands in for one of its own."""
    public = [file for file in version.files if file.public]
    if "fileId" in query:
        return version, next((f for f in public if str(catalogue.file_id(version, f)) == query["fileId"]), None)
    asked = {key: query[key] for key in ("format", "size", "fp", "quantType") if key in query}
    kind = query.get("type")
    if kind == "VAE" and version.linked and not any(file.type == "VAE" for file in public):
        other = catalogue.VERSIONS[version.linked[0]]
        return other, other.files[0]
    fitting = [file for file in public if kind is None or file.type == kind]
    if not fitting:
        return version, None
    best = max(fitting, key=lambda file: catalogue.score(file, {**catalogue.PREFERENCES, **asked}))
    stated = catalogue.metadata(best, whole=True)
    return version, best if all(stated.get(key) == value for key, value in asked.items()) else None


def _fits(image: images.Image, wanted: Mapping[str, int], query: Mapping[str, str]) -> bool:
    versions = [version_id for version_id, _ in image.resources]
    return (
        wanted["imageId"] in (0, image.id)
        and wanted["postId"] in (0, image.post_id)
        and (not wanted["modelVersionId"] or wanted["modelVersionId"] in versions)
        and (not wanted["modelId"] or wanted["modelId"] in {catalogue.VERSIONS[v].model_id for v in versions})
        and query.get("type", image.type) == image.type
        and (query.get("requiringMeta") != "true" or image.open_meta is not None)
    )


def _levels(query: Mapping[str, str]) -> int:
    """The levels that a query lets through: PG only unless it says more; `browsingLevel` wins (site-api §3.5)."""
    if "browsingLevel" in query:
        return _number(query, "browsingLevel", 1, 0, 63)
    word = query.get("nsfw")
    if word is None:
        return 1
    if word in _NSFW:
        return _NSFW[word]
    if word.lower() in _TRUE:
        return 4 | 8 | 16
    if word.lower() in _FALSE:
        return 1
    raise _zod("nsfw", "Invalid option")


def _number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"-?\d{1,12}", text):
        raise _zod(name, "Invalid input: expected number, received NaN")
    if not least <= int(text) <= most:
        raise _zod(name, f"Too {'small' if int(text) < least else 'big'}: expected number")
    return int(text)


def _flag(query: Mapping[str, str], name: str) -> bool | None:
    word = query.get(name)
    if word is None:
        return None
    if word.lower() not in _TRUE | _FALSE:
        raise _zod(name, "Invalid option")
    return word.lower() in _TRUE


def _cursor(query: Mapping[str, str]) -> int:
    if not query["cursor"].isdigit():
        raise Answer(400, {"error": "Invalid cursor", "code": "BAD_REQUEST"})
    return int(query["cursor"])


def _next(request: web.Request, base: str, cursor: int) -> str:
    return base + str(request.rel_url.update_query({"cursor": str(cursor)}))


def _zod(name: str, message: str) -> Answer:
    issues = [{"code": "invalid_value", "path": [name], "message": message}]
    return Answer(400, {"error": {"name": "ZodError", "message": json.dumps(issues, indent=2)}})


def _issue(expected: str, given: Any, path: list[str]) -> Failure:
    names = {str: "string", dict: "object", list: "array", bool: "boolean", type(None): "null"}
    received = "undefined" if given is UNDEFINED else names.get(type(given), "number")
    message = f"Invalid input: expected {expected}, received {received}"
    issue = {"expected": expected, "code": "invalid_type", "path": path, "message": message}
    return Failure("BAD_REQUEST", json.dumps([issue], indent=2))
