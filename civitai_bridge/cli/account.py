"""login, logout, settings, test: who pays, and what may be spent."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..errors import BadSetting, NoKey
from ..network.proxies import without_login
from ..settings import SETTINGS, delete_key, key_variable, save_key, save_setting
from .console import table
from .context import Context, runs


def add_to(commands: Any) -> None:
    """The commands `login`, `logout`, `settings` and `test`."""
    login = commands.add_parser("login", help="store the API key (asked for, or read from stdin)")
    login.set_defaults(run=_login)
    logout = commands.add_parser("logout", help="forget the stored API key")
    logout.set_defaults(run=_logout)
    settings = commands.add_parser("settings", help="show or change settings")
    settings.add_argument("name", nargs="?", help="a setting; without one all are shown")
    settings.add_argument("value", nargs="?", help="its new value")
    settings.set_defaults(run=_settings)
    test = commands.add_parser("test", help="see whether CivitAI answers and takes the key")
    test.set_defaults(run=runs(_test))


def _login(context: Context, arguments: argparse.Namespace) -> int:
    settings = context.settings()
    if settings.sandbox:
        raise BadSetting("The sandbox needs no key. Unset CIVITAI_BRIDGE_SANDBOX to store one.")
    key = _asked_key()
    if not key.strip():
        raise BadSetting("No key was given; nothing was stored.")
    save_key(settings.home, key)
    sentence = "The key is stored for you alone (credentials.json, mode 0600)."
    if variable := key_variable():
        sentence += f" It is not used while the environment variable {variable} holds another."
    context.data({"stored": True, "folder": str(settings.home), "overridden_by": variable}, sentence)
    return 0


def _asked_key() -> str:
    """The key as typed at a terminal, where it is not shown, or the first line of stdin; `""` at its end."""
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    import getpass

    try:
        return getpass.getpass("API key (from civitai.com/user/account; it is not shown): ", stream=sys.stderr)
    except (EOFError, KeyboardInterrupt):
        return ""


def _logout(context: Context, arguments: argparse.Namespace) -> int:
    removed = delete_key(context.settings().home)
    context.data({"removed": removed}, "The stored key is gone." if removed else "There was no stored key.")
    return 0


def _settings(context: Context, arguments: argparse.Namespace) -> int:
    settings = context.settings()
    if arguments.name and arguments.name not in SETTINGS:
        raise BadSetting(f"There is no setting {arguments.name!r}. There are: {', '.join(SETTINGS)}.")
    if arguments.value is not None:
        value = _shown(arguments.name, save_setting(settings.home, arguments.name, arguments.value))
        context.data({arguments.name: value}, f"{arguments.name} = {_text(value)}")
        return 0
    names = [arguments.name] if arguments.name else list(SETTINGS)
    values = {name: _shown(name, getattr(settings, name)) for name in names}
    rows = [(name, _text(value), SETTINGS[name].help) for name, value in values.items()]
    context.data(values, f"{table(rows)}\n(settings.json in {settings.home})")
    return 0


async def _test(context: Context, arguments: argparse.Namespace) -> int:
    """Ask the site whose the key is, and the fleet for our purchases. Raises what either answers, with its host."""
    from ..website import SiteClient
    from .buzz import balance_of

    if not context.settings().key:
        raise NoKey
    async with context.app() as app:
        fleet = await app.fleet()
        settings, network = await app.connected()
        owner = await SiteClient(network.send_to(settings.site_url, settings.key)).user()
        await fleet.client.tagged("civitai-bridge")
        waiting = len(fleet.waiting())
        wallets, why_none = await balance_of(app)
    source = "sandbox" if settings.sandbox else key_variable() or "credentials.json"
    document = {
        "ok": True,
        "site": settings.site_url,
        "orchestration": settings.orchestration_url,
        "user": owner.id,
        "username": owner.name,
        "key_from": source,
        "scopes": scopes_of(owner.scope),
        "buzz_limit": owner.buzz_limit,
        "wallets": wallets,
        "waiting": waiting,
        "sandbox": settings.sandbox,
    }
    context.data(document, "\n".join(_lines(document, why_none)))
    return 0


def _lines(test: dict[str, Any], why_none: str) -> list[str]:
    """What `test` says to a person; `why_none` is why no wallet is known."""
    services = "The sandbox answers and takes"
    if not test["sandbox"]:
        services = f"{test['site']} and {test['orchestration']} answer and take"
    wait = "1 purchase waits" if test["waiting"] == 1 else f"{test['waiting']} purchases wait"
    limit = "" if test["buzz_limit"] is None else f" It may spend: {test['buzz_limit']}."
    wallets = ", ".join(f"{amount} {name}" for name, amount in (test["wallets"] or {}).items())
    return [
        f"{services} the key. {wait} to be collected.",
        f"The key is from {test['key_from']}; it is {test['username'] or 'a user'}'s (user {test['user']}).",
        _rights(test["scopes"]) + limit,
        f"Wallets: {wallets or why_none}",
    ]


def _rights(scopes: list[str] | None) -> str:
    """What a key may do, as a sentence."""
    return "What it may do CivitAI does not say." if scopes is None else f"It may: {', '.join(scopes) or 'nothing'}."


# CivitAI's bits, as far as this program has to do with them.
_SCOPES = {
    1: "UserRead", 4: "ModelsRead", 32: "MediaRead", 16384: "AIServicesRead", 32768: "AIServicesWrite",
    65536: "BuzzRead",
}  # fmt: skip
_EVERYTHING = 33554431


def scopes_of(scope: int | None) -> list[str] | None:
    """What a key may do, in CivitAI's words; bits without a word here as their sum. None where it does not say.

    assert scopes_of(49153) == ["UserRead", "AIServicesRead", "AIServicesWrite"]
    """
    if scope is None or scope < 0:
        return None
    if scope & _EVERYTHING == _EVERYTHING:
        return ["everything"]
    rest = scope & ~sum(_SCOPES)
    return [name for bit, name in _SCOPES.items() if scope & bit] + ([f"other ({rest})"] if rest else [])


def _shown(name: str, value: Any) -> Any:
    """A setting's value as it may be shown: a proxy's address holds a password, maybe."""
    return without_login(value) if name == "proxy" else value


def _text(value: object) -> str:
    """A setting's value as a person would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return " ".join(value) or "(account)"
    return str(value) or "-"
