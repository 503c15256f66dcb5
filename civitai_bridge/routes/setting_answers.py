"""The settings, read and changed by our page. Tightening is free; what loosens a safety setting needs the admin token,
once in a server process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import AdminNeeded, BadInput, BadSetting
from ..network.proxies import without_login
from ..settings import SETTINGS, WALLETS, Setting, Settings, check_setting, save_setting
from .access import TOKEN_COMMAND
from .context import Asked, Context

_UP, _DOWN, _LATER, _ANY, _NEVER, _WALLETS = "up", "down", "later", "any", "none", "wallets"
# Which way a setting loosens: a number upwards or downwards, a choice towards the later of its choices in this order,
# any change of it, or none. What stands in no line loosens by any change.
_LOOSENS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "limit_buzz_per_prompt": (_UP, ()),
    "limit_buzz_per_day": (_UP, ()),
    "max_download_gb": (_UP, ()),
    "link_keep_free_gb": (_DOWN, ()),
    "link_max_images": (_UP, ()),
    "link_max_side": (_UP, ()),
    "currencies": (_WALLETS, ()),
    "mature_content": (_LATER, ("blocked", "auto", "allowed")),
    "graph_downloads": (_LATER, ("off", "on")),
    "allow_pickle": (_UP, ()),
    "lora_family_mismatch": (_LATER, ("refuse", "warn")),
    "page_session": (_LATER, ("off", "auto")),
    "link_generate": (_UP, ()),
    "link_downloads": (_LATER, ("off", "ask", "on")),
    "link_allow_pickle": (_UP, ()),
    "link_max_gb": (_UP, ()),
    "link_removals": (_LATER, ("off", "ask", "trash")),
    "sidecars": (_NEVER, ()),
    "newer_versions": (_NEVER, ()),
    "parallel_jobs": (_NEVER, ()),
}  # fmt: skip
_ONE_AT_A_TIME = threading.Lock()
_TYPES: tuple[tuple[type, str], ...] = ((bool, "switch"), (int, "number"), (tuple, "list"), (str, "text"))


async def settings_answer(context: Context, asked: Asked) -> Mapping[str, Any]:
    """`GET /civitai_bridge/settings`: every setting with its value, what it takes and which way it loosens."""
    settings = await asyncio.to_thread(context.gate.settings)
    return {
        "settings": [_described(name, setting, getattr(settings, name)) for name, setting in SETTINGS.items()],
        "damage": settings.damage or None,
        "is_admin": asked.is_admin,
    }


async def setting_answer(context: Context, asked: Asked) -> Mapping[str, Any]:
    """`POST /civitai_bridge/settings` with `{name, value}`; `value` null sets the default. Raises AdminNeeded,
    BadInput."""
    name = asked.body.get("name")
    if not isinstance(name, str) or name not in SETTINGS:
        raise BadInput(f"There is no setting {str(name)[:60]!r}.")
    if "value" not in asked.body:
        raise BadInput("Send the setting as {name, value}.")
    value = SETTINGS[name].default if asked.body["value"] is None else asked.body["value"]
    saved = await asyncio.to_thread(_change, context.gate.settings, name, value, is_admin=asked.is_admin)
    return {"name": name, "value": _shown(name, saved)}


def _change(load: Callable[[], Settings], name: str, value: object, *, is_admin: bool) -> Any:
    """One at a time: between the look at a setting and its writing no other request changes it or one beside it."""
    with _ONE_AT_A_TIME:
        return _changed(load, name, value, is_admin=is_admin)


def _changed(load: Callable[[], Settings], name: str, value: object, *, is_admin: bool) -> Any:
    now = load()
    if now.damage:
        raise BadInput(now.damage)  # what stands there is not known, so neither is which way it goes
    try:
        checked = check_setting(name, value)
    except BadSetting as error:
        raise BadInput(str(error)) from None
    before = getattr(now, name)
    if checked in (before, _shown(name, before)):  # a proxy that comes back as it was shown keeps its password
        return before
    if not is_admin and loosens(name, before, checked):
        raise AdminNeeded(
            f"This loosens the setting {name}, which needs the admin token once; `{TOKEN_COMMAND}` shows it."
        )
    return save_setting(now.home, name, checked)


def loosens(name: str, before: Any, after: Any) -> bool:
    """Whether a change lets more happen than before.

    assert loosens("limit_buzz_per_day", 10, 20) and not loosens("limit_buzz_per_day", 20, 10)
    """
    way, order = _LOOSENS.get(name, (_ANY, ()))
    if way == _UP:
        return after > before
    if way == _DOWN:
        return after < before
    if way == _LATER:
        return after not in order or before not in order or order.index(after) > order.index(before)
    if way == _WALLETS:  # none named = all of them
        return not set(after or WALLETS) <= set(before or WALLETS)
    return way == _ANY


def _described(name: str, setting: Setting, value: Any) -> dict[str, Any]:
    kind = next(word for type_, word in _TYPES if isinstance(setting.default, type_))
    return {
        "name": name,
        "value": _shown(name, value),
        "default": list(setting.default) if isinstance(setting.default, tuple) else setting.default,
        "type": "choice" if kind == "text" and setting.choices else kind,
        "choices": list(setting.choices),
        "least": setting.least,
        "help": setting.help,
        "loosens": _LOOSENS.get(name, (_ANY, ()))[0],
    }


def _shown(name: str, value: Any) -> Any:
    """A setting's value as it may be shown: a proxy's address holds a password, maybe."""
    if name == "proxy":
        return without_login(value)
    return list(value) if isinstance(value, tuple) else value
