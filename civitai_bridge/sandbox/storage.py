"""The sandbox's storage: signed addresses on an origin of their own, in the manner of R2.

It refuses an Authorization header, HEAD, a wrong or expired signature; it knows ranges; and it breaks its word where a
file's `sends` or the queue of troubles says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import time
from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, urlencode

from aiohttp import web

from . import drawing, files, images, models

TROUBLES = ("cut", "short", "wrong", "expired", "no range", "slow", "hang")
_SECRET = b"sandbox storage"


@dataclass
class Storage:
    """`seconds` is how long a signed address lives; `troubles` are what the next answers do wrong; a `slow` one takes
    `slowness` seconds."""

    base: str = ""
    seconds: float = 86400.0
    slowness: float = 2.0
    troubles: deque[str] = field(default_factory=deque)

    def address(self, version: models.Version, file: files.File) -> str:
        """A signed address for one file; `expired` files get one that is over already."""
        path = f"/models/{models.file_id(version, file)}/{quote(file.name.rsplit('/', 1)[-1])}"
        end = int(time.time() + (-60 if file.sends == "expired" else self.seconds))
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Expires": end,
            "X-Amz-Signature": _sign(path, end),
            "response-content-disposition": disposition(models.download_name(version, file)),
        }
        return f"{self.base}{path}?{urlencode(query)}"

    async def model(self, request: web.Request) -> web.StreamResponse:
        trouble = self.troubles.popleft() if self.troubles else ""
        if "Authorization" in request.headers:  # the log keeps it, so that a test can see the leak
            return _xml(400, "InvalidRequest", "Missing x-amz-content-sha256")
        if request.method != "GET":
            return web.Response(status=403)
        end, signature = request.query.get("X-Amz-Expires", ""), request.query.get("X-Amz-Signature", "")
        if not end.isdigit() or not hmac.compare_digest(signature, _sign(request.rel_url.raw_path, int(end))):
            return _xml(403, "SignatureDoesNotMatch", "The request signature we calculated does not match.")
        if int(end) < time.time() or trouble == "expired":
            return _xml(403, "AccessDenied", "Request has expired")
        found = models.file_of(int(request.match_info["id"]))
        if found is None:
            return _xml(404, "NoSuchKey", "The specified key does not exist.")
        content, trouble = files.content(found[1]), trouble or found[1].sends
        if trouble == "wrong":
            content = bytes(byte ^ 0x55 for byte in content[:4096]) + content[4096:]
        if trouble == "short":
            content = content[: len(content) // 2]
        headers = {
            "Content-Disposition": request.query.get("response-content-disposition", "attachment"),
            "ETag": f'"{_etag(content)}"',
            "Content-Type": "application/octet-stream",
        }
        if trouble != "no range":
            headers["Accept-Ranges"] = "bytes"
        return await self._send(request, content, headers, trouble)

    async def _send(
        self, request: web.Request, content: bytes, headers: dict[str, str], trouble: str
    ) -> web.StreamResponse:
        status, part = 200, content
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        if asked and trouble != "no range" and request.headers.get("If-Range", headers["ETag"]) == headers["ETag"]:
            first, last = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
            if first > last:
                return web.Response(status=416, headers={"Content-Range": f"bytes */{len(content)}"})
            status, part = 206, content[first : last + 1]
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        if trouble not in ("cut", "hang", "slow"):
            return web.Response(status=status, body=part, headers=headers)
        answer = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(part))})
        await answer.prepare(request)
        if trouble == "slow":
            step = max(1, len(part) // 50)
            for start in range(0, len(part), step):
                await answer.write(part[start : start + step])
                await asyncio.sleep(self.slowness / 50)
            return answer
        await answer.write(part[: len(part) // 2])
        if trouble == "hang":
            await asyncio.sleep(3600)
        if request.transport is not None:
            request.transport.close()  # what was written still goes out; the rest never comes
        return answer

    async def media(self, request: web.Request) -> web.StreamResponse:
        """A picture of the site, as the CDN gives it; the landscape of its prompt."""
        wanted = request.match_info["uuid"]
        image = next((image for image in images.IMAGES.values() if image.uuid == wanted), None)
        if image is None:
            return web.Response(status=404, text="Not Found")
        if image.type != "image":
            return web.Response(body=b"\0\0\0\x18ftypmp42" + bytes(16), content_type=f"{image.type}/mp4")
        prompt = str((image.open_meta or {}).get("prompt", ""))[:500]
        return web.Response(
            body=drawing.draw(prompt, image.id, image.width // 2, image.height // 2, "jpeg"), content_type="image/jpeg"
        )


def disposition(name: str) -> str:
    """`attachment` with the file's name, in RFC 5987's form where it needs it."""
    plain = "".join(c for c in name if c.isascii() and c.isprintable() and c not in '"\\')
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{extended}'


@lru_cache(maxsize=256)
def _etag(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _sign(path: str, end: int) -> str:
    return hmac.new(_SECRET, f"{path} {end}".encode(), hashlib.sha256).hexdigest()


def _xml(status: int, code: str, message: str) -> web.Response:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")
