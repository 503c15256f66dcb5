"""What stands between this machine and CivitAI, and what to do about it: versions, files, then the services."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from ..errors import CivitaiError
from ..settings import Settings, misspelt_settings
from .client import HttpClient
from .diagnosis import OK, TROUBLE, WARNING, Finding, examine
from .exchange import Request, expect

_PACKAGES = ("httpx", "httpcore", "h2", "truststore", "aiohttp", "filelock", "python-socketio", "Pillow", "numpy")
_PATIENCE = 15.0  # seconds for one question


def local_findings(settings: Settings, *, names_folder: bool = True) -> list[Finding]:
    """What this machine alone tells: packages, and what of the state folder cannot be read or is no setting's name.
    Without `names_folder` no path of this machine is in it."""
    return [*_versions(), *_files(settings, names_folder)]


def _versions() -> list[Finding]:
    present, missing = [], []
    for package in _PACKAGES:
        try:
            present.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            missing.append(package)
    python = f"Python {platform.python_version()} runs on {platform.system()}, with {', '.join(present)}."
    findings = [Finding("versions", OK, python)]
    if missing:
        command = f"{sys.executable} -m pip install -r requirements.txt"
        remedy = f"Run `{command}` in the pack's folder."
        findings.append(Finding("versions", TROUBLE, f"These packages are missing: {', '.join(missing)}.", remedy))
    return findings


def _files(settings: Settings, names_folder: bool) -> list[Finding]:
    """The state folder: what cannot be read, what no setting is called."""
    if settings.damage:
        return [Finding("settings", TROUBLE, settings.damage, "Until then nothing is bought or catalogued.")]
    if settings.key_damage:
        return [Finding("key", TROUBLE, settings.key_damage, "Until then nothing is bought.")]
    misspelt = [Finding("settings", WARNING, sentence) for sentence in misspelt_settings(settings.home)]
    place = f"The state folder is {settings.home}." if names_folder else "The state folder can be read."
    return [Finding("settings", OK, place), *misspelt]


async def service_findings(settings: Settings, network: HttpClient) -> list[Finding]:
    """The site as anybody, the site and the orchestrator with the key."""
    public = Request("GET", "/api/v1/models", query=(("limit", "1"),), timeout=_PATIENCE)
    findings = await examine(settings.site_url, public, network, proxy=settings.proxy)
    if not settings.key:
        findings.append(Finding("key", WARNING, "No key is set.", "Run `civitai-bridge login` to buy or to download."))
    elif findings[-1].state != TROUBLE:
        findings += await _key(settings.site_url, settings.key, network)
    own = Request("GET", "/v2/consumer/workflows", query=(("take", "1"),), timeout=_PATIENCE)
    findings += await examine(settings.orchestration_url, own, network, key=settings.key, proxy=settings.proxy)
    for refusal in network.hosts.refusals:
        findings.append(
            Finding("refused", WARNING, f"An address at {refusal.host} was not followed: {refusal.reason}.")
        )
    return findings


async def _key(site_url: str, key: str, network: HttpClient) -> list[Finding]:
    """Whose the key is, as the site says it."""
    try:
        owner = expect(await network.send_to(site_url, key)(Request("GET", "/api/v1/me")))
    except CivitaiError as error:
        return [Finding("key", TROUBLE, str(error), "Make a new key at civitai.com/user/account, then log in.")]
    name = owner.get("username") if isinstance(owner, dict) else None
    return [Finding("key", OK, f"The key is {name}'s." if name else "The site takes the key.")]
