"""The site's REST API, one method per route (facts/site-api.md §3). Reads only; `send` repeats what may be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from ..errors import BadRequest, NotFound
from ..exchange import Request, Send, expect
from ..resources import Resource, resource_from_mini, resource_from_version

_VERSIONS = "/api/v1/model-versions"


class SiteClient:
    def __init__(self, send: Send) -> None:
        self._send = send

    async def version(self, version_id: int) -> Resource:
        """Everything public about a version. Raises NotFound: unknown, not published, or not visible to this
        account."""
        return resource_from_version(await self._get(f"{_VERSIONS}/{version_id}", f"version {version_id}"))

    async def mini(self, version_id: int, file_id: int | None = None) -> Resource:
        """AIR, base model and whether the fleet generates with it, in one request."""
        query = (("modelFileId", str(file_id)),) if file_id else ()
        data = await self._get(f"{_VERSIONS}/mini/{version_id}", f"version {version_id}", query)
        return resource_from_mini(data, version_id)

    async def by_hash(self, hash_: str) -> Resource:
        """The oldest published version with a file of this hash, of any of the six kinds.

        A 12-digit hash that matches nothing may be the head of a whole-file SHA-256 (Forge writes it): its first ten
        digits are an AutoV2 then (facts §4)."""
        try:
            return resource_from_version(
                await self._get(f"{_VERSIONS}/by-hash/{quote(hash_, safe='')}", f"hash {hash_}")
            )
        except NotFound:
            if len(hash_) != 12:
                raise
            data = await self._get(f"{_VERSIONS}/by-hash/{quote(hash_[:10], safe='')}", f"hash {hash_}")
            return resource_from_version(data)

    async def newest_version(self, model_id: int) -> int:
        """The id of a model's newest published version; the site lists them newest first."""
        data = await self._get(f"/api/v1/models/{model_id}", f"model {model_id}")
        versions = data.get("modelVersions") if isinstance(data, Mapping) else None
        for version in versions if isinstance(versions, list) else ():
            if isinstance(version, Mapping) and isinstance(version.get("id"), int):
                if version.get("status", "Published") == "Published":
                    return version["id"]
        raise NotFound(f"CivitAI's model {model_id} has no published version.", status=404)

    async def _get(self, path: str, what: str, query: tuple[tuple[str, str], ...] = ()) -> object:
        response = await self._send(Request("GET", path, query=query))
        try:
            return expect(response)
        except NotFound as error:
            reason = (
                "has no file yet"
                if "missing model file" in error.detail.lower()
                else ("is unknown, not published or not visible")
            )
            raise NotFound(f"CivitAI's {what} {reason} to this account.", status=404, detail=error.detail) from error
        except BadRequest as error:
            raise BadRequest(
                f"CivitAI does not take {what}: {error.detail or 'no reason given'}.",
                status=error.status,
                detail=error.detail,
            ) from error
