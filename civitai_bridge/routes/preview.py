"""Pictures of strangers for our page: fetched from CivitAI's media hosts alone, drawn again, small.

What comes out is a PNG that Pillow wrote here, whatever came in: nothing active of a stranger's reaches the page."""

from __future__ import annotations

import asyncio
import io
import re
from urllib.parse import urlsplit

from ..errors import BadInput, BlobTrouble, NotAPicture
from ..metadata.container.reader import read_texts
from ..network.client import HttpClient
from ..network.hosts import is_loopback
from ..pictures import kind_of, small_png
from ..resources.addresses import MEDIA_HOSTS
from ..settings import Settings
from .context import Asked, Bytes, Context

_MOST_BYTES = 16 * 2**20  # of the picture that a preview is made from
_MOST_PIXELS = 40_000_000  # a larger one is refused before it is decoded
_SECONDS = 15.0
_WIDTHS = (96, 320, 450, 800)  # renditions of the CDN; a preview is one of them at most
_SIZE = re.compile(r"/(?:original=true|width=\d+)(?:,[^/]*)?(?=/[^/]+$)")
_LONGEST_URL = 2000
HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Disposition": "inline; filename=preview.png",
    "Cache-Control": "private, max-age=3600",
}


async def preview_answer(context: Context, asked: Asked) -> Bytes:
    """`GET /civitai_bridge/preview?url=…&width=320`. Raises BadInput for an address that is none of a media host's,
    NotAPicture for what is no picture or too large, BlobTrouble and its kin, Unreachable."""
    url, width = asked.query.get("url", ""), _width(asked.query.get("width", ""))
    settings, network = await context.opened().connected()
    if len(url) > _LONGEST_URL or not is_of_media_host(url, settings):
        raise BadInput("Only pictures of CivitAI's media hosts are shown.")
    async with context.drawing:
        return Bytes(await _drawn(url, width, settings, network), "image/png", HEADERS)


async def _drawn(url: str, width: int, settings: Settings, network: HttpClient) -> bytes:
    """The thumbnail of a picture: of a small rendition where there is one, else of the picture itself."""
    trouble: BlobTrouble | None = None
    for address in dict.fromkeys((smaller(url, width), url)):
        try:
            fetched = await network.fetch(
                address, cap=_MOST_BYTES, timeout=_SECONDS, is_allowed=lambda way: is_of_media_host(way, settings)
            )
            return await asyncio.to_thread(thumbnail, fetched.content, width)
        except BlobTrouble as error:
            trouble = error
    assert trouble is not None
    raise trouble


def is_of_media_host(url: str, settings: Settings) -> bool:
    """Whether an address is one of CivitAI's media hosts over https, or of a sandbox that stands in for the site."""
    try:
        parts = urlsplit(url)
        if is_loopback(settings.site_url) and is_loopback(url) and parts.scheme == "http":
            return True
        plain = parts.username is None and parts.password is None and parts.port in (None, 443)
        return parts.scheme == "https" and parts.hostname in MEDIA_HOSTS and plain
    except ValueError:
        return False


def smaller(url: str, width: int) -> str:
    """The address of a rendition of this width; the same address where it does not say how large it is."""
    parts = urlsplit(url)
    return parts._replace(path=_SIZE.sub(f"/width={width}", parts.path)).geturl()


def thumbnail(content: bytes, width: int) -> bytes:
    """A PNG of at most `width` pixels a side, from a PNG, JPEG or WebP of at most 40 megapixels. Raises NotAPicture."""
    if kind_of(content) is None:
        raise NotAPicture("What CivitAI sent is no PNG, JPEG or WebP picture, so it is not shown.")
    texts = read_texts(io.BytesIO(content))
    if not texts.width or not texts.height:
        raise NotAPicture("The picture does not say how large it is, so it is not shown.")
    if texts.width * texts.height > _MOST_PIXELS:
        raise NotAPicture(f"The picture has {texts.width} x {texts.height} pixels, too many for a preview.")
    return small_png(content, width)


def _width(text: str) -> int:
    number = int(text) if text.isdigit() and text.isascii() and len(text) < 6 else 320
    return next((width for width in _WIDTHS if width >= number), _WIDTHS[-1])
