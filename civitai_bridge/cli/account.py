"""login, logout, settings, test: who pays, and what may be spent."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..errors import BadSetting, NoKey
from ..settings import SETTINGS, delete_key, save_key, save_setting
from .context import Context


def add_to(commands: Any) -> None:
    login = commands.add_parser("login", help="store the API key (asked for, or read from stdin)")
    login.set_defaults(run=_login)
    logout = commands.add_parser("logout", help="forget the stored API key")
    logout.set_defaults(run=_logout)
    settings = commands.add_parser("settings", help="show or change settings")
    settings.add_argument("name", nargs="?", help="a setting; without one all are shown")
    settings.add_argument("value", nargs="?", help="its new value")
    settings.set_defaults(run=_settings)
    test = commands.add_parser("test", help="see whether CivitAI answers and takes the key")
    test.set_defaults(run=_test)


def _login(frame: Context, arguments: argparse.Namespace) -> int:
    settings = frame.settings()
    if settings.sandbox:
        raise BadSetting("The sandbox needs no key. Unset CIVITAI_BRIDGE_SANDBOX to store one.")
    if sys.stdin.isatty():
        import getpass

        key = getpass.getpass("API key (from civitai.com/user/account; it is not shown): ", stream=sys.stderr)
    else:
        key = sys.stdin.readline()
    save_key(settings.home, key)
    frame.data(
        {"stored": True, "folder": str(settings.home)},
        ("The key is stored for you alone (credentials.json, mode 0600)."),
    )
    return 0


def _logout(frame: Context, arguments: argparse.Namespace) -> int:
    gone = delete_key(frame.settings().home)
    frame.data({"removed": gone}, "The stored key is gone." if gone else "There was no stored key.")
    return 0


def _settings(frame: Context, arguments: argparse.Namespace) -> int:
    settings = frame.settings()
    if arguments.name and arguments.name not in SETTINGS:
        raise BadSetting(f"There is no setting {arguments.name!r}. There are: {', '.join(SETTINGS)}.")
    if arguments.value is not None:
        value = save_setting(settings.home, arguments.name, arguments.value)
        frame.data({arguments.name: value}, f"{arguments.name} = {_text(value)}")
        return 0
    names = [arguments.name] if arguments.name else list(SETTINGS)
    values = {name: getattr(settings, name) for name in names}
    lines = [f"{name:24} {_text(value):12} {SETTINGS[name].help}" for name, value in values.items()]
    frame.data(values, "\n".join([*lines, f"(settings.json in {settings.home})"]))
    return 0


def _test(frame: Context, arguments: argparse.Namespace) -> int:
    return frame.run(_ask(frame))


async def _ask(frame: Context) -> int:
    settings = frame.settings()
    if not settings.key:
        raise NoKey
    async with frame.bridge(settings) as bridge:
        await bridge.client.tagged("civitai-bridge")
        known = len(bridge.waiting())
    document = {
        "ok": True,
        "orchestration": bridge.settings.orchestration_url,
        "waiting": known,
        "sandbox": settings.sandbox,
    }
    where = "the sandbox" if settings.sandbox else settings.orchestration_url
    frame.data(document, f"{where} answers and takes the key. {known} purchases wait to be collected.")
    return 0


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(value) or "(account)"
    return (
        {True: "true", False: "false", "": "-"}.get(value, str(value))
        if not isinstance(value, int) or isinstance(value, bool)
        else str(value)
    )
