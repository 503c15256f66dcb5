"""doctor: what stands between this machine and CivitAI, and what to do about it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import BadSetting, Unreachable
from .context import Context, runs

if TYPE_CHECKING:
    from ..app import App
    from ..network.diagnosis import Finding

_MARKS = {"ok": "ok     ", "warning": "warning", "trouble": "TROUBLE"}


def add_to(commands: Any) -> None:
    """The command `doctor`."""
    doctor = commands.add_parser("doctor", help="find out what stands between this machine and CivitAI")
    doctor.set_defaults(run=runs(_doctor))


async def _doctor(context: Context, arguments: argparse.Namespace) -> int:
    async with context.app() as app:
        findings = await _findings(app)
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


async def _findings(app: App) -> list[Finding]:
    from ..network.diagnosis import TROUBLE, Finding
    from ..network.doctor import local_findings, service_findings

    findings = local_findings(app.load())
    try:
        settings, network = await app.connected()
    except BadSetting as error:
        return [*findings, Finding("settings", TROUBLE, str(error))]
    return [*findings, *await service_findings(settings, network)]
