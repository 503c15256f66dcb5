"""CivitAI's own hosts, and the addresses that are made of ids."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

# One service under three names: the documented one, the one its pictures are at, a regional proxy.
ORCHESTRATION = "https://orchestration.civitai.com"
ORCHESTRATION_ADDRESSES = (
    ORCHESTRATION,
    "https://orchestration-new.civitai.com",
    "https://orchestration-proxy.civitai.com",
)
SITE = "https://civitai.com"
# One site under several names, with the same pages, routes and keys: host -> the one that shows what it leaves out.
OTHER_DOMAINS = {
    "civitai.com": "civitai.red", "www.civitai.com": "civitai.red", "civitai.green": "civitai.red",
    "www.civitai.green": "civitai.red", "civitai.red": "civitai.com", "www.civitai.red": "civitai.com",
}  # fmt: skip
SITE_HOSTS = frozenset(OTHER_DOMAINS)
MEDIA_HOSTS = frozenset({"image.civitai.com"})  # pictures and videos; asked for files alone


def hosts_with(site_url: str) -> frozenset[str]:
    """The hosts whose addresses are references: CivitAI's, and the configured site's, which is the person's choice."""
    return SITE_HOSTS | {(urlsplit(site_url).hostname or "").lower()}


def other_domain(site_url: str) -> str | None:
    """The address of the same site's other domain; None for a site that is none of CivitAI's own.

    assert other_domain("https://civitai.com") == "https://civitai.red"
    """
    parts = urlsplit(site_url)
    if parts.scheme != "https" or parts.port not in (None, 443):
        return None
    host = OTHER_DOMAINS.get((parts.hostname or "").lower())
    return f"https://{host}" if host else None


def download_path(version_id: int) -> str:
    """The route of a download; `fileId` or `type` in its query names one file."""
    return f"/api/download/models/{version_id}"


def download_url(site_url: str, version_id: int, file_id: int | None = None, *, file_type: str = "") -> str:
    """The address of a download, made from ids alone: the ones that the API gives can name a twin, or no host at all
    (its batch route writes `https://undefined/…`). A file that is not the primary one is named by its id; a VAE that
    is linked from another version only by `file_type="VAE"`.

    assert download_url("https://civitai.com", 2, 7) == "https://civitai.com/api/download/models/2?fileId=7"
    """
    query = {"fileId": file_id} if file_id else {"type": file_type} if file_type else {}
    return site_url.rstrip("/") + download_path(version_id) + (f"?{urlencode(query)}" if query else "")
