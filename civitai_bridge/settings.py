"""Keys, addresses, limits: argument > environment > file. Secrets are never printed.

`settings.json` holds what may be shown; `credentials.json` (0600) holds the key. Both lie in the state folder, which
is ComfyUI's system user directory for this pack when the server runs; the server leaves a note of that place, and the
CLI follows it.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from .errors import BadSetting
from .model_files.atomic import reason, replace_file
from .network.hosts import is_loopback
from .resources.addresses import ORCHESTRATION, ORCHESTRATION_ADDRESSES, SITE

LINK = "https://link.civitai.com"
WALLETS = ("yellow", "blue", "green")


@dataclass(frozen=True)
class Setting:
    """One line of the settings table: its default says its type, `choices` and `least` what it takes."""

    default: Any
    help: str
    choices: tuple[str, ...] = ()
    least: int = 0


def _setting(default: Any, help: str, choices: tuple[str, ...] = (), *, least: int = 0) -> Any:
    """A field of `Settings` that a person may change in settings.json."""
    return field(default=default, metadata={"setting": Setting(default, help, choices, least)})


@dataclass(frozen=True)
class Settings:
    """Everything a story must know about the person's choices; `key` is `""` when there is none, `models_root` None
    where nobody named it. The fields with a help text are what settings.json may hold. `damage` says in a sentence
    what of settings.json could not be read, where the defaults stand in for it, and `key_damage` what of the key."""

    key: str = field(default="", repr=False)
    orchestration_url: str = ORCHESTRATION
    site_url: str = SITE
    link_url: str = LINK
    home: Path = Path(".")
    models_root: Path | None = None
    sandbox: bool = False
    limit_buzz_per_prompt: int = _setting(1000, "most Buzz that one queued graph may spend")
    limit_buzz_per_day: int = _setting(5000, "most Buzz in 24 hours, over all graphs, servers and the shell")
    parallel_jobs: int = _setting(0, "most jobs of one process at once; the rest wait for their turn; 0 = no limit")
    currencies: tuple[str, ...] = _setting(
        (), "wallets that may pay, in this order; empty = the account's own order", WALLETS
    )
    mature_content: str = _setting("auto", "the most a graph may ask for", ("blocked", "auto", "allowed"))
    graph_downloads: str = _setting("off", "whether nodes may download at all", ("off", "on"))
    allow_pickle: bool = _setting(False, "whether formats that can run code may be downloaded")
    max_download_gb: int = _setting(20, "largest file that is downloaded, in GB", least=1)
    lora_family_mismatch: str = _setting("refuse", "what happens to a LoRA of another family", ("refuse", "warn"))
    catalog_folder: str = _setting("", "where models.json and loras.json lie; empty = the state folder")
    link_downloads: str = _setting(
        "on", "whether CivitAI Link may load model files; ask waits for you", ("on", "ask", "off")
    )
    link_removals: str = _setting(
        "trash",
        "whether CivitAI Link may remove model files, into a trash folder; ask waits for you",
        ("trash", "ask", "off"),
    )
    link_allow_pickle: bool = _setting(False, "whether CivitAI Link may load formats that can run code too")
    link_max_gb: int = _setting(20, "largest file that CivitAI Link loads, in GB", least=1)
    link_keep_free_gb: int = _setting(5, "how much of a disk CivitAI Link leaves free, in GB")
    link_generate: bool = _setting(False, "whether CivitAI Link may make pictures on this ComfyUI")
    link_max_images: int = _setting(8, "most pictures of one Link command, its quantity times its batch size", least=1)
    link_max_side: int = _setting(2048, "largest width and height of a picture that Link asks for, in pixels", least=64)
    proxy: str = _setting(
        "", "proxy for CivitAI alone, as http://host:port or socks5://host:port; empty = the environment's"
    )
    page_session: str = _setting(
        "auto", "whether the page on this machine works without the admin token", ("auto", "off")
    )
    sidecars: str = _setting("on", "whether a download writes NAME.civitai.info and NAME.preview.png", ("on", "off"))
    newer_versions: str = _setting(
        "on", "whether CivitAI is asked once a day for newer versions of models here", ("on", "off")
    )
    damage: str = ""
    key_damage: str = ""

    @property
    def account(self) -> str:
        """Names the key without telling it: 16 hex digits of a hash, or `sandbox`."""
        if self.sandbox:
            return "sandbox"
        return hashlib.sha256(b"civitai-bridge account\0" + self.key.encode()).hexdigest()[:16]

    @property
    def base(self) -> str:
        """The orchestration address in one spelling, for comparing."""
        parts = urlsplit(self.orchestration_url)
        port = f":{parts.port}" if parts.port and parts.port != {"https": 443, "http": 80}.get(parts.scheme) else ""
        return f"{parts.scheme}://{(parts.hostname or '').lower()}{port}{parts.path.rstrip('/')}"

    @property
    def service(self) -> str:
        """The orchestration service, by its address; one that has several addresses is one service, and so is the
        sandbox of a state folder, whose ports are others each time."""
        if self.sandbox:
            return "sandbox"
        return ORCHESTRATION if self.base in ORCHESTRATION_ADDRESSES else self.base

    @property
    def catalog_place(self) -> Path:
        """Where models.json and loras.json lie; a relative path is below the state folder, wherever a program was
        started."""
        return self.home / Path(self.catalog_folder).expanduser()

    def require_whole(self, *, key: bool = True) -> Settings:
        """These settings, for what must not go by defaults: money, and without the `key` the catalogs. Raises
        BadSetting."""
        if reason := self.damage or (self.key_damage if key else ""):
            raise BadSetting(reason)
        return self

    def at(self, *, orchestration_url: str, site_url: str, link_url: str | None = None) -> Settings:
        """The same settings at other addresses (a sandbox that has just started)."""
        link_url = link_url or self.link_url
        return replace(self, orchestration_url=orchestration_url, site_url=site_url, link_url=link_url)


SETTINGS: dict[str, Setting] = {
    entry.name: entry.metadata["setting"] for entry in fields(Settings) if "setting" in entry.metadata
}

BADGE = "SANDBOX: nothing of this is real, no Buzz was spent."


def is_sandbox(environ: Mapping[str, str] | None = None) -> bool:
    """Whether CIVITAI_BRIDGE_SANDBOX is set: everything then happens on a pretend CivitAI, and says so (`BADGE`)."""
    environ = os.environ if environ is None else environ
    return environ.get("CIVITAI_BRIDGE_SANDBOX", "").strip().lower() not in ("", "0", "false", "no", "off")


def own_folder(environ: Mapping[str, str] | None = None, home: Path | None = None) -> Path:
    """The state folder, and below it the sandbox's own where that stands in for CivitAI. Raises BadSetting."""
    environ = os.environ if environ is None else environ
    folder = home or state_folder(environ)
    return folder / "sandbox" if is_sandbox(environ) else folder


def load_settings(environ: Mapping[str, str] | None = None, *, home: Path | None = None, **arguments: Any) -> Settings:
    """Read everything once. Raises BadSetting for an address or a key that cannot be one; what is wrong with the files
    is said in `damage`, for most of what a person does goes on without them."""
    environ = os.environ if environ is None else environ
    folder, sandbox = own_folder(environ, home), is_sandbox(environ)
    (values, damage), key_damage = _stored_settings(folder), ""
    if sandbox:
        key = "sandbox"
    else:
        key = environ.get(key_variable(environ), "").strip()
        if not key:
            key, key_damage = _stored_key(folder)
        orchestration = environ.get("CIVITAI_ORCHESTRATION_URL") or environ.get("CIVITAI_API_URL") or ORCHESTRATION
        values["orchestration_url"] = check_address(orchestration, "CIVITAI_ORCHESTRATION_URL")
        values["site_url"] = check_address(environ.get("CIVITAI_SITE_URL") or SITE, "CIVITAI_SITE_URL")
        values["link_url"] = check_address(environ.get("CIVITAI_LINK_URL") or LINK, "CIVITAI_LINK_URL")
    for name, value in arguments.items():
        if value is not None:
            values[name] = check_setting(name, value) if name in SETTINGS else value
    key = str(values.pop("key", key))
    if environ.get("CIVITAI_BRIDGE_MODELS") and "models_root" not in values:
        values["models_root"] = Path(environ["CIVITAI_BRIDGE_MODELS"]).expanduser().absolute()
    key = check_key(key) if key else ""
    return Settings(key=key, home=folder, sandbox=sandbox, damage=damage, key_damage=key_damage, **values)


def _stored_settings(folder: Path) -> tuple[dict[str, Any], str]:
    """What settings.json holds, and in a sentence what is wrong with it."""
    values: dict[str, Any] = {}
    try:
        stored = read_json(folder / "settings.json")
    except BadSetting as error:
        return values, str(error)
    damage = ""
    for name in filter(stored.__contains__, SETTINGS):
        try:
            values[name] = check_setting(name, stored[name], where=" in settings.json")
        except BadSetting as error:  # the others hold all the same: a proxy is not to be left out
            damage = damage or str(error)
    return values, damage


def _stored_key(folder: Path) -> tuple[str, str]:
    """The stored key, and what is wrong with it or the file that holds it."""
    try:
        key = load_credential(folder, "key")
        return check_key(key) if key else "", ""
    except BadSetting as error:
        return "", str(error)


def misspelt_settings(home: Path) -> list[str]:
    """A sentence for each name in settings.json that no setting has. They stay: a newer version may know them.
    Raises BadSetting."""
    sentences = []
    for name in read_json(home / "settings.json"):
        if name not in SETTINGS:
            close = difflib.get_close_matches(name, SETTINGS, 1)
            hint = f"; did you mean {close[0]}?" if close else "."
            sentences.append(f"settings.json has {name!r}, which is no setting and changes nothing{hint}")
    return sentences


def check_address(url: str, name: str) -> str:
    """An address without its last slash. Raises BadSetting: not https, or the site's API where the orchestrator's
    belongs."""
    url = url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise BadSetting(f"{name} is not an address.") from error
    if not host or parts.scheme not in ("https", "http") or (parts.scheme == "http" and not is_loopback(url)):
        raise BadSetting(f"{name} must be an https address (http only for this machine).")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadSetting(f"{name} must be a plain address without user, query or fragment.")
    if name == "CIVITAI_ORCHESTRATION_URL" and parts.path.rstrip("/").endswith("/api/v1"):
        raise BadSetting(
            "The orchestration address (CIVITAI_ORCHESTRATION_URL or CIVITAI_API_URL) ends in /api/v1, which "
            "is the site's API. "
            f"Use {ORCHESTRATION}, and CIVITAI_SITE_URL for the site."
        )
    return url


def key_variable(environ: Mapping[str, str] | None = None) -> str:
    """The environment variable that holds the key and stands before a stored one; `""` where none does."""
    environ = os.environ if environ is None else environ
    names = ("CIVITAI_API_TOKEN", "CIVITAI_API_KEY")
    return next((name for name in names if _bare_key(environ.get(name, ""))), "")


def check_key(key: str) -> str:
    """A key without the white space and quotes around it, which files of variables leave there. Raises BadSetting
    (without showing it) when it cannot be one."""
    key = _bare_key(key)
    if not key or not key.isascii() or any(c.isspace() or not c.isprintable() for c in key) or len(key) > 4096:
        raise BadSetting("The API key has characters that no key has; copy it again from civitai.com/user/account.")
    return key


def _bare_key(key: str) -> str:
    key = key.strip()
    return key[1:-1].strip() if len(key) > 1 and key[0] == key[-1] and key[0] in "\"'" else key


_SWITCH = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}


def check_setting(name: str, value: Any, where: str = "") -> Any:
    """A value of the right type for this setting, from text or JSON. Raises BadSetting with what it takes."""
    if name not in SETTINGS:
        raise BadSetting(f"There is no setting {name!r}. There are: {', '.join(SETTINGS)}.")
    setting = SETTINGS[name]
    read = next(reader for kind, reader in _READERS if isinstance(setting.default, kind))
    return read(setting, value, f"{name}{where}")


def _read_switch(_: Setting, value: Any, name: str) -> bool:
    switch = value if isinstance(value, bool) else _SWITCH.get(str(value).strip().lower())
    if switch is None:
        raise BadSetting(f"{name} must be true or false.")
    return switch


def _read_number(setting: Setting, value: Any, name: str) -> int:
    try:
        number = int(str(value))
    except ValueError as error:
        raise BadSetting(f"{name} must be a whole number.") from error
    if number < setting.least:
        raise BadSetting(f"{name} must be {setting.least} or more.")
    return number


def _read_list(setting: Setting, value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, (str, list, tuple)):
        raise BadSetting(f"{name} must be a list of: {', '.join(setting.choices)}.")
    parts = value.replace(",", " ").split() if isinstance(value, str) else list(value)
    if wrong := [part for part in parts if part not in setting.choices]:
        raise BadSetting(f"{name} has {wrong[0]!r}; there are: {', '.join(setting.choices)}.")
    return tuple(dict.fromkeys(parts))


def _read_text(setting: Setting, value: Any, name: str) -> str:
    if setting.choices and value not in setting.choices:
        raise BadSetting(f"{name} must be one of: {', '.join(setting.choices)}.")
    if not isinstance(value, str):
        raise BadSetting(f"{name} must be a text.")
    return value


# By the type of the default; a switch is an int too, so it comes first.
_READERS: tuple[tuple[type, Callable[[Setting, Any, str], Any]], ...] = (
    (bool, _read_switch), (int, _read_number), (tuple, _read_list), (str, _read_text),
)  # fmt: skip


def save_setting(home: Path, name: str, value: Any) -> Any:
    """Change one setting and return its value; the others, and what other versions wrote, stay."""
    checked = check_setting(name, value)
    if name == "catalog_folder" and checked:  # as the person sees it now
        checked = str(Path(checked).expanduser().absolute())
    data = read_json(home / "settings.json")
    data[name] = list(checked) if isinstance(checked, tuple) else checked
    write_json(home / "settings.json", data)
    return checked


def save_key(home: Path, key: str) -> None:
    """Keep the key (mode 0600). Raises BadSetting for what cannot be one."""
    save_credential(home, "key", check_key(key))


def delete_key(home: Path) -> bool:
    """Forget the stored key; True when there was one."""
    if "key" not in read_json(home / "credentials.json"):
        return False
    with _credentials(home) as data:
        return data.pop("key", None) is not None


def load_credential(home: Path, name: str) -> str:
    """A secret of the state folder, `""` where there is none."""
    value = read_json(home / "credentials.json").get(name)
    return value if isinstance(value, str) else ""


def save_credential(home: Path, name: str, value: str) -> None:
    """Keep a secret (mode 0600); the others stay."""
    with _credentials(home) as data:
        data[name] = value


def _kept_credential(home: Path, name: str, make: Callable[[], str]) -> str:
    """A secret of the state folder, made where there is none; every process gets the same."""
    if credential := load_credential(home, name):
        return credential
    with _credentials(home) as data:
        if not isinstance(data.get(name), str) or not data[name]:  # else another process was first
            data[name] = make()
        return data[name]


@contextlib.contextmanager
def _credentials(home: Path) -> Iterator[dict[str, Any]]:
    """The secrets, held against every other process; what was changed in them is written. Raises BadSetting."""
    path = home / "credentials.json"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(home / ".credentials.lock", timeout=10)
        lock.acquire()
    except (Timeout, OSError, NotImplementedError) as error:  # the last: a file system without locks
        why = "another process holds it" if isinstance(error, Timeout) else "the folder cannot be written"
        raise BadSetting(f"{path.name} cannot be changed in {home}: {why}.") from error
    try:
        data = read_json(path)
        before = dict(data)
        yield data
        if data != before:
            write_json(path, data)
    finally:
        lock.release()


def admin_token(home: Path, environ: Mapping[str, str] | None = None) -> str:
    """The token of the admin routes: fixed by CIVITAI_BRIDGE_ADMIN_TOKEN, else made when first asked for and kept in
    credentials.json, one for every process of this state folder."""
    environ = os.environ if environ is None else environ
    if fixed := environ.get("CIVITAI_BRIDGE_ADMIN_TOKEN", "").strip():
        return fixed
    return _kept_credential(home, "admin_token", lambda: secrets.token_urlsafe(32))


def is_admin(token: str, given: str) -> bool:
    """Whether a token is the right one, in a time that tells nothing."""
    return bool(token) and secrets.compare_digest(token.encode(), given.encode("utf-8", "replace"))


def state_folder(environ: Mapping[str, str]) -> Path:
    """CIVITAI_BRIDGE_HOME, else the place that the ComfyUI server noted, else the platform's user-data folder."""
    if environ.get("CIVITAI_BRIDGE_HOME"):
        return Path(environ["CIVITAI_BRIDGE_HOME"]).expanduser().absolute()
    data = _user_data(environ)
    try:
        noted = read_json(data / "server.json").get("home")
    except BadSetting as error:
        raise BadSetting(f"{error} It lies in {data}; ComfyUI writes it anew when it starts.") from error
    if isinstance(noted, str) and Path(noted).is_dir():
        return Path(noted)
    return data


def note_state_folder(home: Path, environ: Mapping[str, str] | None = None) -> None:
    """Leave word for the CLI where the server keeps its state."""
    data = _user_data(os.environ if environ is None else environ)
    note_json(data / "server.json", {"home": str(home)})


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of the state folder, `{}` where there is none. Raises BadSetting with the place that is wrong."""
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))  # Windows' editors put a mark before it
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise BadSetting(
            f"{path.name} in the state folder cannot be read: {_place(error)}. Mend or move it away."
        ) from error
    if not isinstance(data, dict):
        raise BadSetting(f"{path.name} in the state folder is not a JSON object. Mend or move it away.")
    return data


def write_json(path: Path, data: Any) -> None:
    """Write beside, fsync, replace; folder 0700, file 0600. Raises BadSetting when the folder cannot be written."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode(), mode=0o600)
    except OSError as error:
        raise BadSetting(f"{path.name} cannot be written in the state folder: {reason(error)}.") from error


def note_json(path: Path, data: Mapping[str, Any]) -> None:
    """Make a note of the server's hold these members; one that is damaged is written anew. Raises BadSetting."""
    try:
        if read_json(path) == data:
            return
    except BadSetting:
        pass  # it holds nothing but what is written now
    write_json(path, data)


def _place(error: Exception) -> str:
    """Where it is wrong, never what stands there: the file may hold the key."""
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    return getattr(error, "strerror", None) or type(error).__name__


def _user_data(environ: Mapping[str, str]) -> Path:
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "civitai-bridge"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "civitai-bridge"
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "civitai-bridge"
