"""What can go wrong, as one tree. Each message is a sentence for the person at the canvas; the fields are for code.

* CivitaiError
  + BadInput             what was asked cannot be done as it stands; nothing was sent, nothing was paid
    - InvalidAir         the text is not an AIR
    - UnknownReference   the text names nothing that can be looked up
    - UnknownLabel       a sampler or scheduler that no table knows
    - UnknownVariant     no imageGen variant of this name, or none for this base model
    - FieldRefused       a value outside what the variant takes (field, value, allowed)
    - WrongFamily        a LoRA, VAE or model of another family
    - NotGeneratable     CivitAI does not generate with this model
    - NotAPicture        the bytes are no picture, or one that is too large
    - FileMissing        a model file that a node needs is not on this disk
    - BadSetting         a setting, address or file that cannot be used
    - NoKey              no API key is set
    - AdminNeeded        our page changes what needs the admin token
  + MoneyRefused         the price or a limit says no; nothing was paid
    - TooExpensive       above max_buzz, or not confirmed
    - LimitReached       above the limit for a prompt or a day (limit, left, frees_at)
    - EchoLost           the service understood less than was meant
  + ApiError             CivitAI answered, and the answer was no   (status, detail, retry_after)
    - BadRequest         400, 422     - Unauthorized  401     - OutOfBuzz  402, and 400 or 403 that speak of money
    - Forbidden          403          - NotFound      404     - Conflict   409     - Gone  410
    - RateLimited        429          - RegionBlocked 451     - ServerTrouble  5xx
    - CloudflareChallenge  a page of Cloudflare's in place of CivitAI's answer
    - Unreadable         an answer that is not what was asked for (HTML, cut off, no JSON)
  + Unreachable          no answer: refused, timed out, no such host   (sent)
  + WorkflowEnded        the workflow ended without pictures   (workflow_id)
    - WorkflowFailed     - WorkflowExpired     - WorkflowCanceled
  + NotDone              the job goes on, or nobody knows; it can be collected later   (key, workflow_id)
    - StillRunning       waited as long as was asked
    - Unconfirmed        it is not known whether the submit arrived
    - Interrupted        a person stopped the wait or cancelled the job
  + BlobTrouble          a picture that cannot be had   (blob_id)
    - BlobBlocked        withheld by moderation
    - BlobUnavailable    gone, expired, not produced
    - BlobDamaged        truncated, or bytes of another kind
  + StateTrouble         the state folder cannot be used, or a row belongs to somebody else
    - AnotherAccount     paid with another key or at another address
  + OutputTrouble        what a command prints cannot be written
  + FileTrouble          a model file on this machine cannot be read or written
    - FileChanged        it changed while it was read
    - NotSafetensors     its header is none
  + CatalogTrouble       models.json or loras.json cannot be used   (path)
    - CatalogDamaged     no valid JSON, or JSON of another shape   (line, column)
    - CatalogBusy        another program holds it
    - NotInCatalog       it has no such entry
    - NotALora           the entry's dest is not `loras`
    - StillOnDisk        an entry whose file is there is not removed
  + DownloadTrouble      a file that cannot be had   (status, detail)
    - DownloadRefused    CivitAI says no: the creator, early access, a quota, archived
      - LogInNeeded      only for people who are logged in, and no key is set or it is not accepted
    - DownloadForbidden  our own settings say no: size, downloads off
      - FileRefused      the file itself is why: a virus, a pickle, no folder for it
    - DownloadDamaged    wrong size, wrong SHA256, a page instead of a file
    - NoRoom             the disk is too full
    - DownloadStopped    a person stopped it; what is there is kept for the next time
  + GenerationTrouble    this ComfyUI did not make the pictures
    - GenerationStopped  the person at it stopped them, or took them out of its queue
"""

from __future__ import annotations

import re

# ComfyUI shows an error's name behind its module's, which for a pack is the path of its folder on the user's disk.
SHOWN_UNDER = "civitai_bridge"


class CivitaiError(Exception):
    """Root of everything this pack raises on purpose. `code` names the error for programs, `exit_code` for shells.

    A class's code is its name in snake case; a class that is renamed states its old code, for scripts read it. Where it
    is about a purchase, `key` is the journal's name for that, `workflow_id` CivitAI's, and `cost` its whole Buzz."""

    __module__ = SHOWN_UNDER
    code = "error"
    exit_code = 1
    key = ""
    workflow_id = ""
    cost: int | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" not in cls.__dict__:
            cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        cls.__module__ = SHOWN_UNDER


class BadInput(CivitaiError):
    """What was asked cannot be done as it stands; nothing was sent, nothing was paid."""

    exit_code = 2


class InvalidAir(BadInput, ValueError):
    """The text is not an AIR; `text` and `reason` are kept apart."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"{text!r} is not an AIR: {reason}.")
        self.text = text
        self.reason = reason


class UnknownReference(BadInput):
    """The text names nothing that can be looked up."""


class UnknownLabel(BadInput):
    """A sampler or scheduler that no table knows."""


class UnknownVariant(BadInput):
    """No imageGen variant of this name, or none for this base model."""


class FieldRefused(BadInput):
    """A value that the variant does not take. `allowed` is the range or list in words."""

    def __init__(self, field: str, value: object, allowed: str, variant: str = "") -> None:
        where = f" for {variant}" if variant else ""
        super().__init__(f"{field} is {_short(value)}, but{where} it must be {allowed}.")
        self.field = field
        self.value = value
        self.allowed = allowed


class WrongFamily(BadInput):
    """A LoRA, VAE or model of another family."""


class NotGeneratable(BadInput):
    """CivitAI does not generate with this model."""


class NotAPicture(BadInput):
    """The bytes are no picture, or one that is too large."""


class FileMissing(BadInput):
    """A model file that a node needs is not on this disk; our page offers to load it."""


class BadSetting(BadInput):
    """A setting, address or file that cannot be used."""


class AdminNeeded(BadInput):
    """Our page changes what needs the admin token."""


class NoKey(BadInput):
    """No API key is set."""

    exit_code = 3

    def __init__(self) -> None:
        super().__init__(
            "No CivitAI API key is set. Run `civitai-bridge login`, or set CIVITAI_API_TOKEN for the ComfyUI server; "
            "CIVITAI_BRIDGE_SANDBOX=1 tries everything without a key."
        )


class MoneyRefused(CivitaiError):
    """The price or a limit says no; nothing was paid."""

    exit_code = 5


class TooExpensive(MoneyRefused):
    """The price is above max_buzz, or was not confirmed."""


class LimitReached(MoneyRefused):
    """A limit of the settings. `left` is in Buzz; `frees_at` is seconds since the epoch, or None."""

    def __init__(self, message: str, *, limit: str, left: int, frees_at: float | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        self.left = left
        self.frees_at = frees_at


class EchoLost(MoneyRefused):
    """The service understood less than was meant."""


class ApiError(CivitaiError):
    """CivitAI answered, and the answer was no. `detail` is its own text; `retry_after` is in seconds."""

    def __init__(self, message: str, *, status: int, detail: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


class BadRequest(ApiError):
    """HTTP 400 and 422, and other refusals without a class of their own."""


class Unauthorized(ApiError):
    """HTTP 401: the key is wrong or expired."""

    exit_code = 3


class OutOfBuzz(ApiError):
    """HTTP 402, and 400 or 403 whose words speak of money."""


class Forbidden(ApiError):
    """HTTP 403."""


class NotFound(ApiError):
    """HTTP 404."""


class Conflict(ApiError):
    """HTTP 409."""


class Gone(ApiError):
    """HTTP 410."""


class RateLimited(ApiError):
    """HTTP 429."""


class RegionBlocked(ApiError):
    """HTTP 451."""


class CloudflareChallenge(ApiError):
    """Cloudflare's own page (HTTP 403, 429, 503) in place of CivitAI's answer."""


class ServerTrouble(ApiError):
    """HTTP 5xx."""


class Unreadable(ApiError):
    """An answer that is not what was asked for: HTML, cut off, no JSON."""


class Unreachable(CivitaiError):
    """No answer. `sent` False = the request cannot have arrived: there was no connection to send it on. `timed_out` =
    we stopped waiting; the service may be at work on it still. `again` False = the host
    counts as down, so that asking again at once is of no use."""

    exit_code = 4

    def __init__(self, message: str, *, sent: bool = True, timed_out: bool = False, again: bool = True) -> None:
        super().__init__(message)
        self.sent = sent
        self.timed_out = timed_out
        self.again = again


class WorkflowEnded(CivitaiError):
    """The workflow ended without pictures."""

    def __init__(self, message: str, *, workflow_id: str) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id


class WorkflowFailed(WorkflowEnded):
    """The workflow failed."""


class WorkflowExpired(WorkflowEnded):
    """No worker took the workflow in time."""


class WorkflowCanceled(WorkflowEnded):
    """The workflow was cancelled."""


class NotDone(CivitaiError):
    """The job goes on, or nobody knows; `key` is the journal's name for it."""

    exit_code = 130

    def __init__(self, message: str, *, key: str = "", workflow_id: str = "") -> None:
        super().__init__(message)
        self.key = key
        self.workflow_id = workflow_id


class StillRunning(NotDone):
    """Waited as long as was asked; the job goes on."""


class Unconfirmed(NotDone):
    """It is not known whether the submit arrived."""

    exit_code = 1


class Interrupted(NotDone):
    """A person stopped the wait or cancelled the job."""


class BlobTrouble(CivitaiError):
    """A picture that cannot be had."""

    def __init__(self, message: str, *, blob_id: str = "") -> None:
        super().__init__(message)
        self.blob_id = blob_id


class BlobBlocked(BlobTrouble):
    """A picture that moderation withholds."""


class BlobUnavailable(BlobTrouble):
    """A picture that is gone, expired or was not produced."""


class BlobDamaged(BlobTrouble):
    """A picture that is cut off, or bytes of another kind."""


class StateTrouble(CivitaiError):
    """The state folder cannot be used, or a purchase belongs to somebody else."""


class AnotherAccount(StateTrouble):
    """Paid by another account or at another address."""


class OutputTrouble(CivitaiError):
    """What a command prints cannot be written: the disk of the file that it goes to is full."""


class FileTrouble(CivitaiError):
    """A model file on this machine cannot be read or written."""


class FileChanged(FileTrouble):
    """The file changed while it was read."""


class NotSafetensors(FileTrouble):
    """The file has no safetensors header."""


class CatalogTrouble(CivitaiError):
    """`path` is the catalog's file."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class CatalogDamaged(CatalogTrouble):
    """`line` and `column` count from 1; 0 where the JSON is valid and its shape is not."""

    def __init__(self, message: str, *, path: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(message, path=path)
        self.line = line
        self.column = column


class CatalogBusy(CatalogTrouble):
    """Another program holds the catalog."""


class NotInCatalog(CatalogTrouble):
    """The catalog has no such entry."""


class NotALora(CatalogTrouble):
    """The entry's dest is not `loras`."""


class StillOnDisk(CatalogTrouble):
    """An entry whose file is there is not removed."""


class DownloadTrouble(CivitaiError):
    """`status` is CivitAI's or the storage's HTTP status, 0 where none was the reason; `detail` is their own text."""

    def __init__(self, message: str, *, status: int = 0, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class DownloadRefused(DownloadTrouble):
    """CivitAI refuses the download: the creator, early access, a quota, archived."""


class LogInNeeded(DownloadRefused):
    """Only for people who are logged in, and no key is set or it is not accepted."""

    exit_code = 3


class DownloadForbidden(DownloadTrouble):
    """Our own settings refuse the download: size, downloads off."""

    exit_code = 2


class FileRefused(DownloadForbidden):
    """The file itself is why it is neither added nor loaded: a virus, a format that can run code, no folder for it."""

    exit_code = 1


class DownloadDamaged(DownloadTrouble):
    """Wrong size, wrong SHA256, or a page instead of a file."""


class NoRoom(DownloadTrouble):
    """The disk is too full."""


class DownloadStopped(DownloadTrouble):
    """A person stopped the download; what has arrived is kept for the next time."""

    exit_code = 130


class GenerationTrouble(CivitaiError):
    """This ComfyUI did not make the pictures that it was asked for."""


class GenerationStopped(GenerationTrouble):
    """The person at this ComfyUI stopped the pictures, or took them out of its queue."""

    exit_code = 130


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}… ({len(text)} characters)"
