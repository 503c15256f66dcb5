"""The person's API key, entered on the page: kept, forgotten, and never sent back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import BadInput, BadSetting
from ..settings import Settings, check_key, delete_key, key_variable, load_credential, save_key


def key_state(settings: Callable[[], Settings], environ: Mapping[str, str] | None = None) -> dict[str, object]:
    """Whether a key is set and where it comes from: `environment`, `file`, `sandbox` or `none`. Raises BadSetting."""
    now = settings()
    if now.sandbox:
        source = "sandbox"
    elif key_variable(environ):
        source = "environment"
    else:
        source = "file" if load_credential(now.home, "key") else "none"
    return {"set": source != "none", "source": source}


def keep_key(
    settings: Callable[[], Settings], key: object, environ: Mapping[str, str] | None = None
) -> dict[str, object]:
    """Keep a key in the state folder, or forget it (`""`). The answer never holds it. Raises BadInput for what is no
    key, BadSetting where the file cannot be written."""
    if not isinstance(key, str):
        raise BadInput('Send the key as {"key": "…"}; an empty one forgets it.')
    now = settings()
    if now.sandbox:
        raise BadInput("The sandbox needs no key; start without CIVITAI_BRIDGE_SANDBOX to enter one.")
    if not key.strip():
        delete_key(now.home)
        return {"status": "deleted", **key_state(settings, environ)}
    try:
        check_key(key)
    except BadSetting as error:
        raise BadInput(str(error)) from None
    save_key(now.home, key)
    state = key_state(settings, environ)
    answer: dict[str, object] = {"status": "saved", **state}
    if state["source"] == "environment":
        answer["note"] = (
            "The server's environment has a key too (CIVITAI_API_TOKEN or CIVITAI_API_KEY), and that is used."
        )
    return answer
