"""The one door to ComfyUI's core: interrupt, progress, folders, the server, the system user directory.

Stories run on the background loop (network/background.py); a node hands its story over and waits for it.

"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib
import logging
import math
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..civitai_bridge.errors import CivitaiError, Interrupted
from ..civitai_bridge.network.background import background_loop, wait_for

if TYPE_CHECKING:
    from ..civitai_bridge.app import App
    from ..civitai_bridge.catalog.service import CatalogService
    from ..civitai_bridge.model_files.progress import DownloadProgress, HashingProgress
    from ..civitai_bridge.orchestration.fleet import Fleet, State
    from ..civitai_bridge.settings import Settings
    from ..civitai_bridge.website import Reader

T = TypeVar("T")
log = logging.getLogger(__name__)
# Not resolved: the folder may be a link, and its own name is what ComfyUI and the page know.
PACK = Path(os.path.abspath(__file__)).parent.parent


class NodeRun:
    """What one running node shares with its story: who it is, whether its person cancelled, whether it still waits.

    Made in the prompt's thread while the node starts; read by the story on the background loop."""

    def __init__(self, node_id: str | None) -> None:
        server = _server()
        self.node_id = node_id
        self.prompt_id = _prompt_id()
        self.client_id = getattr(server, "client_id", None)
        self._server = server
        self.decided = False  # after a teardown: whether it is known who wanted it
        self._left = False
        self._cancelled = False
        self._last = ""
        self._progress = _progress_for(node_id)

    def cancelled(self) -> bool:
        """Peek at ComfyUI's button; never clear it, for the other nodes must see it too. A node that has left the
        prompt does not look any more: the button may be a later prompt's."""
        if not self._left and not self._cancelled:
            from comfy.model_management import processing_interrupted

            self._cancelled = bool(processing_interrupted())
        return self._cancelled

    def left(self) -> bool:
        """Whether the prompt is over without us: nobody waits, so nothing more is to be bought."""
        return self._left

    def leave(self) -> None:
        """The prompt is being torn down. Whether a person did it, its history tells."""
        self._left = True

    def person_stopped(self) -> None:
        self._cancelled = True

    def show(self, state: State) -> None:
        """Progress bar and one line of text on the node, for the client that queued it alone."""
        self._tell(state.text, state.fraction)

    def show_download(self, progress: DownloadProgress) -> None:
        """The same for a file on its way."""
        fraction = progress.bytes / progress.of_bytes if progress.of_bytes else None
        self._tell(progress.text or f"Loading {progress.name}", fraction)

    def _tell(self, text: str, fraction: float | None) -> None:
        if self._left:
            return
        if fraction is not None:
            self._progress(fraction)
        if text != self._last and self._server is not None and self.client_id is not None and self.node_id:
            self._last = text
            self._server.send_progress_text(text, self.node_id, self.client_id)


async def interruptible(story: Callable[[NodeRun], Coroutine[Any, Any, T]], node_id: str | None) -> T:
    """Run a story on the background loop and wait for it in the prompt's loop.

    ComfyUI's button raises core's own exception; a teardown leaves the story alone and lets the prompt's history
    decide."""
    from comfy.model_management import InterruptProcessingException

    ticket = NodeRun(node_id)
    work = background_loop().start(story(ticket))
    work.add_done_callback(lambda _: _leaving.pop(ticket, None))
    try:
        return await wait_for(work)
    except asyncio.CancelledError:
        # A sibling failed, or core itself saw the button between two of our looks. No waiting here: it would hold up
        # the next prompt. What the person did is read on the background loop.
        if ticket.cancelled():
            ticket.person_stopped()
        ticket.leave()
        _leaving[ticket] = work
        background_loop().start(_verdict(ticket))
        raise
    except Interrupted as error:
        if not ticket.cancelled():
            raise error.with_traceback(None) from None  # core's exception would cancel the siblings' jobs as well
        log.info("%s", error)
        raise InterruptProcessingException from error
    except CivitaiError as error:
        # Core publishes the traceback; a fresh, short one holds no inputs of ours.
        raise error.with_traceback(None) from None


_leaving: dict[NodeRun, Any] = {}  # stories whose node was torn down, until they have ended


async def settled(seconds: float = 1.5) -> None:
    """Wait until the cancels of the prompt before are written down. Otherwise the same graph, queued again at once,
    would join what is about to be cancelled."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(not t.decided or t.cancelled() for t in list(_leaving)):
        await asyncio.sleep(0.02)


async def at_rest(story: Coroutine[Any, Any, T]) -> T | None:
    """Run a short story on the background loop before any node runs; None where it fails, for then a node will say
    why."""
    try:
        return await wait_for(background_loop().start(story))
    except (CivitaiError, OSError):
        return None


async def _verdict(ticket: NodeRun) -> None:
    try:
        await _ask_history(ticket)
    finally:
        ticket.decided = True


async def _ask_history(ticket: NodeRun) -> None:
    """After a teardown: `execution_interrupted` in the prompt's history means a person's cancel, anything else keeps
    the job."""
    queue = getattr(_server(), "prompt_queue", None)
    for look in range(700):  # the entry comes at once, unless another node's own clean-up holds the prompt's end up
        if queue is None or not ticket.prompt_id or ticket.cancelled():
            return
        entry = queue.get_history(prompt_id=ticket.prompt_id).get(ticket.prompt_id)
        if entry:
            messages = (entry.get("status") or {}).get("messages") or ()
            if any(message[0] == "execution_interrupted" for message in messages):
                ticket.person_stopped()
            return
        await asyncio.sleep(0.05 if look < 100 else 1.0)


# --- the story's tools
# ----------------------------------------------------------------------------------------------------

_watches: dict[Path, _Watch] = {}  # one for each state folder, as the index of files is
_noted: set[Path] = set()  # state folders in which the model folders were written down


@functools.cache
def app() -> App:
    """The pack, opened once in this process; to be used on the background loop only."""
    from ..civitai_bridge.app import App, ModelFolders

    return App(
        background_loop().network,
        load=_settings,
        folders=lambda _: ModelFolders(model_folders, model_folders_root()),
    )


async def reader() -> Reader:
    """What tells how a picture was made. On the background loop only."""
    return await app().reader()


async def desk() -> CatalogService:
    """The catalogs; the model files are hashed in the background as they come. The first one of a process leaves word
    for the command line where they are. On the background loop only."""
    from ..civitai_bridge.model_files.folders import note_folders

    made = await app().catalog()
    home = made.settings.home
    if home not in _noted and not made.settings.sandbox:
        _noted.add(home)
        await asyncio.to_thread(_quietly, note_folders, home, model_folders(), model_folders_root())
    await _watches.setdefault(home, _Watch()).look(made)
    return made


_LOOK_EVERY = 5.0  # seconds between looks at what ComfyUI lists, which asks the disk about each folder
_SCAN_EVERY = 900.0  # seconds after which files are looked at though no name is new: one may have other bytes


class _Watch:
    """Has the model files looked at while somebody asks about them: at first, when ComfyUI lists others than before,
    when a look-up wanted another kind of hash, and after a while."""

    def __init__(self) -> None:
        self._seen: object = None
        self._looked = self._began = -math.inf
        self._running = False

    async def look(self, made: CatalogService) -> None:
        """Start a scan where one is due."""
        now = time.monotonic()
        if self._running or now - self._looked < _LOOK_EVERY:
            return
        self._looked, self._running = now, True
        try:
            seen = await asyncio.to_thread(_seen, made)
        except Exception as error:  # other packs replace core's lists, and whoever asks for a desk is to have it
            log.warning("Whether model files have come or gone cannot be seen: %r", error)
            seen = self._seen
        finally:
            self._running = False
        if seen != self._seen or now - self._began >= _SCAN_EVERY:
            self._seen, self._began, self._running = seen, now, True
            background_loop().start(self._scan(made))

    async def _scan(self, made: CatalogService) -> None:
        try:
            await _scan(made)
        finally:
            self._running = False


def _seen(made: CatalogService) -> object:
    """What makes a scan due when it changes."""
    return {folder: listing_of(folder) for folder in model_folders()}, made.index.required()


async def _scan(made: CatalogService) -> None:
    """Know the model files by their hashes; while a prompt runs, half the cores are left to it."""
    try:
        scanned = await made.scan(pause=is_generating, progress=_tenths())
    except CivitaiError as error:
        log.warning("The model files could not all be looked at: %s", error)
    except Exception:
        log.exception("The model files could not be looked at.")
    else:
        disk = scanned.disk
        is_news = disk.hashed or disk.moved or disk.gone or disk.troubles or scanned.described or scanned.trouble
        log.log(logging.INFO if is_news else logging.DEBUG, "%s", scanned.report)


def _tenths() -> Callable[[HashingProgress], None]:
    """Logs how far the hashing is, by bytes; it is told so from several threads."""
    lock, said = threading.Lock(), 0

    def tell(told: HashingProgress) -> None:
        nonlocal said
        with lock:
            tenth = told.bytes * 10 // max(1, told.of_bytes)
            if tenth <= said:
                return
            said = tenth
        log.info("%d %% of the bytes; %s", tenth * 10, told.sentence)

    return tell


def is_generating() -> bool:
    """Whether a prompt runs now."""
    queue = getattr(_server(), "prompt_queue", None)
    return bool(getattr(queue, "currently_running", None))


def model_folders() -> dict[str, list[str]]:
    """Every model folder that ComfyUI knows, `extra_model_paths` included."""
    import folder_paths

    known = folder_paths.folder_names_and_paths.items()
    return {key: [str(path) for path in paths] for key, (paths, *_) in known if key not in ("custom_nodes", "datasets")}


def model_folders_root() -> Path:
    import folder_paths

    return Path(folder_paths.models_dir)


def _quietly(work: Callable[..., Any], *arguments: Any) -> None:
    try:
        work(*arguments)
    except (CivitaiError, OSError) as error:
        log.warning("The command line will not know where the models lie: %s", error)


async def bridge() -> Fleet:
    """The Fleet for the settings as they are now; the first look at what was left open starts with it. On the
    background loop only."""
    made = await app().fleet()
    if made not in _looked_after:
        _looked_after.add(made)
        made.background(_look_again(made))
    return made


_looked_after: weakref.WeakSet[Fleet] = weakref.WeakSet()


def collected(made: Fleet, key: str) -> None:
    """The prompt has the pictures that this Fleet bought. A node that was torn down never comes here, so that its
    pictures wait in the journal."""
    background_loop().start(made.collected(key))


async def _look_again(made: Fleet) -> None:
    """Once after the start: see what was left open, fetch what is there. It never orders anything."""
    if made.settings.key:
        await made.resume()


def wake_for_what_is_open() -> None:
    """When the server has started and a journal is there, look after it: a cancel that was not heard is asked again,
    pictures that came late are fetched, without waiting for the next graph."""
    _when_started(_wake)


async def _wake() -> None:
    try:
        settings = await asyncio.to_thread(_settings)
        if settings.key and not settings.sandbox and (settings.home / "journal.sqlite3").is_file():
            await bridge()
    except CivitaiError as error:
        log.warning("What is open in the journal could not be looked after: %s", error)


def serve_routes() -> None:
    """The routes of contract.md on ComfyUI's own server; the admin token is made when it has started."""
    from ..civitai_bridge.routes import Context, add_routes

    server = _server()
    if server is None:
        return
    context = Context(start=background_loop().start, desk=desk, reader=reader, admin_token=_admin_token)
    add_routes(server.routes, context)
    _when_started(lambda: asyncio.to_thread(_make_token))


def _admin_token() -> str:
    from ..civitai_bridge.settings import admin_token

    return admin_token(_settings().home)


def _make_token() -> None:
    try:
        _admin_token()
    except (CivitaiError, OSError) as error:
        log.warning("The admin routes cannot be used: %s", error)


_accounts: list[str] = []
_unanswered = 0


def unanswered() -> int:
    """How often something could not be looked up so far. In a fingerprint it keeps ComfyUI from remembering that."""
    return _unanswered


def note_unanswered() -> None:
    global _unanswered
    _unanswered += 1


def account() -> int:
    """A number for the key and address that the settings name now, for what hangs on who asks. It tells nothing about
    the key: ComfyUI writes what `fingerprint_inputs` says into the graph that pictures carry."""
    try:
        settings = _settings()
    except CivitaiError:
        return -1
    name = f"{settings.account} {settings.site_url} {settings.sandbox}"
    if name not in _accounts:
        _accounts.append(name)
    return _accounts.index(name)


def _settings() -> Settings:
    from ..civitai_bridge.settings import load_settings, note_state_folder

    if os.environ.get("CIVITAI_BRIDGE_HOME"):
        return load_settings()
    home = state_folder()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        note_state_folder(home)
    except CivitaiError as error:
        log.warning("The command line will not find this server's state folder: %s", error)
    return load_settings(home=home)


def state_folder() -> Path:
    """ComfyUI's system user directory for this pack, which its web side cannot read."""
    import folder_paths

    if hasattr(folder_paths, "get_system_user_directory"):
        return Path(folder_paths.get_system_user_directory("civitai_bridge"))
    return Path(folder_paths.get_user_directory()) / "__civitai_bridge"


# --- folders
# --------------------------------------------------------------------------------------------------------------


def core_nodes() -> Any:
    """ComfyUI's own module `nodes`, which has our folder's name."""
    return importlib.import_module("nodes")


def listed(folder: str) -> list[str]:
    """The file names that ComfyUI's loaders of a folder offer."""
    import folder_paths

    known = folder in folder_paths.folder_names_and_paths
    return list(folder_paths.get_filename_list(folder)) if known else []


def listing_of(folder: str) -> str:
    """A fingerprint of what lies in a folder, for nodes whose answer hangs on it."""
    return hashlib.sha256("\n".join(listed(folder)).encode("utf-8", "surrogatepass")).hexdigest()


def input_pictures() -> list[str]:
    """The picture files of ComfyUI's input folder, by name."""
    import folder_paths

    try:
        names = sorted(os.listdir(folder_paths.get_input_directory()))
    except OSError:
        return []
    return [name for name in names if name.lower().endswith((".png", ".jpg", ".jpeg", ".webp", ".avif"))]


def input_file(name: str) -> Path:
    """Where a picture of an upload combo lies; core keeps names with `[output]` and folders apart. Never outside
    ComfyUI's own folders."""
    import folder_paths

    from ..civitai_bridge.errors import BadInput

    path = Path(folder_paths.get_annotated_filepath(name)).resolve()
    roots = (folder_paths.get_input_directory, folder_paths.get_output_directory, folder_paths.get_temp_directory)
    if not any(Path(root()).resolve() in path.parents for root in roots):
        raise BadInput(f"{name!r} is not in ComfyUI's input folder.")
    return path


def metadata_is_off() -> bool:
    """Whether ComfyUI was started with --disable-metadata."""
    from comfy.cli_args import args

    return bool(getattr(args, "disable_metadata", False))


def marked(report: str) -> str:
    """A node's report; on the sandbox its first line says so."""
    from ..civitai_bridge.settings import BADGE, is_sandbox

    return f"{BADGE}\n{report}" if is_sandbox() and not report.startswith(BADGE) else report


def blocker(reason: str) -> Any:
    """An output that stops whoever needs it, with the reason."""
    from comfy_execution.graph import ExecutionBlocker

    return ExecutionBlocker(reason)


# --- small things
# ---------------------------------------------------------------------------------------------------------


def _server() -> Any:
    """ComfyUI's server; None where core runs without one."""
    from server import PromptServer

    return getattr(PromptServer, "instance", None)


def _when_started(story: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Run a story on the background loop once the server has started; never where it does not."""

    async def started(_: Any) -> None:
        background_loop().start(story())

    if (app := getattr(_server(), "app", None)) is not None:
        app.on_startup.append(started)


def _prompt_id() -> str:
    try:
        from comfy_execution.utils import get_executing_context
    except ImportError:
        return ""
    context = get_executing_context()
    return context.prompt_id if context else ""


def _progress_for(node_id: str | None) -> Callable[[float], None]:
    """ComfyUI's progress bar for a node, from any thread. Its hook may consume the interrupt flag, so the registry is
    used."""
    try:
        from comfy_execution.progress import get_progress_state
    except ImportError:
        return lambda _: None
    if node_id is None:
        return lambda _: None
    registry = get_progress_state()
    return lambda fraction: registry.update_progress(node_id, fraction * 100, 100, None)


def serve_odd_folder_names() -> None:
    """Serve scripts, help and templates ourselves where aiohttp's static routes cannot: in folders with a space or
    non-ASCII letters (probes §13); help is also asked for at the part before a dot."""
    server, folder = _server(), PACK.name
    if server is None or re.fullmatch(r"[\w@+-]+", folder, re.ASCII):
        return
    for name in {folder, folder.split(".")[0].split("@")[0]}:
        pattern = f"/extensions/{{folder:{re.escape(name)}}}/{{tail:.+}}"
        server.routes.get(pattern)(_files_of(PACK / "web"))
    templates = f"/workflow_templates/{{folder:{re.escape(folder)}}}/{{tail:.+}}"
    server.routes.get(templates)(_files_of(PACK / "example_workflows"))


def _files_of(root: Path) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    async def serve(request: Any) -> Any:
        from aiohttp import web

        path = (root / request.match_info["tail"]).resolve()
        if root.resolve() not in path.parents or not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path)

    return serve
