"""doctor: what stands between this machine and CivitAI, and what to do about it."""

from __future__ import annotations

import argparse
import platform
import sys
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ..errors import BadSetting, Unreachable
from ..settings import misspelt_settings
from .context import Context, runs

if TYPE_CHECKING:
    from ..app import App
    from ..network.diagnosis import Finding

_PACKAGES = ("httpx", "httpcore", "h2", "truststore", "aiohttp", "filelock", "python-socketio", "Pillow", "numpy")
_PATIENCE = 15.0  # seconds for one question
_MARKS = {"ok": "ok     ", "warning": "warning", "trouble": "TROUBLE"}


def add_to(commands: Any) -> None:
    """The command `doctor`."""
    doctor = commands.add_parser("doctor", help="find out what stands between this machine and CivitAI")
    doctor.set_defaults(run=runs(_doctor))


async def _doctor(context: Context, arguments: argparse.Namespace) -> int:
    async with context.app() as app:
        findings = [*_versions(), *_files(app), *await _services(app)]
    trouble = [finding for finding in findings if finding.state == "trouble"]
    document = {"ok": not trouble, "findings": [asdict(finding) for finding in findings]}
    context.data(document, "\n".join(_line(finding) for finding in findings))
    unreachable = {"name", "connection", "proxy", "certificate", "Cloudflare"}
    if any(finding.topic in unreachable for finding in trouble):
        return Unreachable.exit_code
    return 1 if trouble else 0


def _line(finding: Finding) -> str:
    line = f"{_MARKS[finding.state]}  {finding.topic:11} {finding.sentence}"
    return f"{line}\n{'':22}{finding.remedy}" if finding.remedy and finding.state != "ok" else line


def _versions() -> list[Finding]:
    from ..network.diagnosis import OK, TROUBLE, Finding

    there, missing = [], []
    for package in _PACKAGES:
        try:
            there.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            missing.append(package)
    python = f"Python {platform.python_version()} on {platform.system()}, {', '.join(there)}."
    findings = [Finding("versions", OK, python)]
    if missing:
        command = f"{sys.executable} -m pip install -r requirements.txt"
        remedy = f"Run `{command}` in the pack's folder."
        findings.append(Finding("versions", TROUBLE, f"These packages are missing: {', '.join(missing)}.", remedy))
    return findings


def _files(app: App) -> list[Finding]:
    """The state folder: what cannot be read, what no setting is called."""
    from ..network.diagnosis import OK, TROUBLE, WARNING, Finding

    settings = app.load()
    if settings.damage:
        return [Finding("settings", TROUBLE, settings.damage, "Until then nothing is bought or catalogued.")]
    if settings.key_damage:
        return [Finding("key", TROUBLE, settings.key_damage, "Until then nothing is bought.")]
    misspelt = [Finding("settings", WARNING, sentence) for sentence in misspelt_settings(settings.home)]
    return [Finding("settings", OK, f"The state folder is {settings.home}."), *misspelt]


async def _services(app: App) -> list[Finding]:
    """The site as anybody, the site and the orchestrator with the key."""
    from ..network.diagnosis import TROUBLE, WARNING, Finding, examine
    from ..network.exchange import Request

    try:
        settings, network = await app.connected()
    except BadSetting as error:
        return [Finding("settings", TROUBLE, str(error))]
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


async def _key(site_url: str, key: str, network: Any) -> list[Finding]:
    """Whose the key is, as the site says it."""
    from ..errors import CivitaiError
    from ..network.diagnosis import OK, TROUBLE, Finding
    from ..network.exchange import Request, expect

    try:
        owner = expect(await network.send_to(site_url, key)(Request("GET", "/api/v1/me")))
    except CivitaiError as error:
        return [Finding("key", TROUBLE, str(error), "Make a new key at civitai.com/user/account, then log in.")]
    name = owner.get("username") if isinstance(owner, dict) else None
    return [Finding("key", OK, f"The key is {name}'s." if name else "The site takes the key.")]
