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
    - BadSetting         a setting, address or file that cannot be used
    - NoKey              no API key is set
  + MoneyRefused         the price or a limit says no; nothing was paid
    - TooExpensive       above max_buzz, or not confirmed
    - LimitReached       above the limit for a prompt or a day (limit, left, frees_at)
    - EchoLost           the service understood less than was meant
  + ApiError             CivitAI answered, and the answer was no   (status, detail, retry_after)
    - BadRequest         400, 422     - Unauthorized  401     - OutOfBuzz  402, and 400 or 403 that speak of money
    - Forbidden          403          - NotFound      404     - Conflict   409     - Gone  410
    - RateLimited        429          - RegionBlocked 451     - ServerTrouble  5xx
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
    - DownloadForbidden  our own settings say no: pickle, size, downloads off
    - DownloadDamaged    wrong size, wrong SHA256, a page instead of a file
    - NoRoom             the disk is too full
    - DownloadStopped    a person stopped it; what is there is kept for the next time
"""

from __future__ import annotations


class CivitaiError(Exception):
    """Root of everything this pack raises on purpose. `code` names the error for programs, `exit_code` for shells."""

    code = "error"
    exit_code = 1


class BadInput(CivitaiError):
    code = "bad_input"
    exit_code = 2


class InvalidAir(BadInput, ValueError):
    """The text is not an AIR; `text` and `reason` are kept apart."""

    code = "invalid_air"

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"{text!r} is not an AIR: {reason}.")
        self.text = text
        self.reason = reason


class UnknownReference(BadInput):
    code = "unknown_reference"


class UnknownLabel(BadInput):
    code = "unknown_label"


class UnknownVariant(BadInput):
    code = "unknown_variant"


class FieldRefused(BadInput):
    """A value that the variant does not take. `allowed` is the range or list in words."""

    code = "field_refused"

    def __init__(self, field: str, value: object, allowed: str, variant: str = "") -> None:
        where = f" for {variant}" if variant else ""
        super().__init__(f"{field} is {_short(value)}, but{where} it must be {allowed}.")
        self.field = field
        self.value = value
        self.allowed = allowed


class WrongFamily(BadInput):
    code = "wrong_family"


class NotGeneratable(BadInput):
    code = "not_generatable"


class NotAPicture(BadInput):
    code = "not_a_picture"


class BadSetting(BadInput):
    code = "bad_setting"


class NoKey(BadInput):
    code = "no_key"
    exit_code = 3

    def __init__(self) -> None:
        super().__init__(
            "No CivitAI API key is set. Run `civitai-bridge login`, or set CIVITAI_API_TOKEN for the ComfyUI server; "
            "CIVITAI_BRIDGE_SANDBOX=1 tries everything without a key."
        )


class MoneyRefused(CivitaiError):
    code = "money_refused"
    exit_code = 5


class TooExpensive(MoneyRefused):
    code = "too_expensive"


class LimitReached(MoneyRefused):
    """A limit of the settings. `left` is in Buzz; `frees_at` is seconds since the epoch, or None."""

    code = "limit_reached"

    def __init__(self, message: str, *, limit: str, left: int, frees_at: float | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        self.left = left
        self.frees_at = frees_at


class EchoLost(MoneyRefused):
    code = "echo_lost"


class ApiError(CivitaiError):
    """CivitAI answered, and the answer was no. `detail` is its own text; `retry_after` is in seconds."""

    code = "api_error"

    def __init__(self, message: str, *, status: int, detail: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


class BadRequest(ApiError):
    code = "bad_request"


class Unauthorized(ApiError):
    code = "unauthorized"
    exit_code = 3


class OutOfBuzz(ApiError):
    code = "out_of_buzz"


class Forbidden(ApiError):
    code = "forbidden"


class NotFound(ApiError):
    code = "not_found"


class Conflict(ApiError):
    code = "conflict"


class Gone(ApiError):
    code = "gone"


class RateLimited(ApiError):
    code = "rate_limited"


class RegionBlocked(ApiError):
    code = "region_blocked"


class ServerTrouble(ApiError):
    code = "server_trouble"


class Unreadable(ApiError):
    code = "unreadable"


class Unreachable(CivitaiError):
    """No answer. `sent` False = the request cannot have arrived: there was no connection to send it on."""

    code = "unreachable"
    exit_code = 4

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class WorkflowEnded(CivitaiError):
    code = "workflow_ended"

    def __init__(self, message: str, *, workflow_id: str) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id


class WorkflowFailed(WorkflowEnded):
    code = "workflow_failed"


class WorkflowExpired(WorkflowEnded):
    code = "workflow_expired"


class WorkflowCanceled(WorkflowEnded):
    code = "workflow_canceled"


class NotDone(CivitaiError):
    """The job goes on, or nobody knows; `key` is the journal's name for it."""

    code = "not_done"
    exit_code = 130

    def __init__(self, message: str, *, key: str = "", workflow_id: str = "") -> None:
        super().__init__(message)
        self.key = key
        self.workflow_id = workflow_id


class StillRunning(NotDone):
    code = "still_running"


class Unconfirmed(NotDone):
    code = "unconfirmed"
    exit_code = 1


class Interrupted(NotDone):
    code = "interrupted"


class BlobTrouble(CivitaiError):
    code = "blob_trouble"

    def __init__(self, message: str, *, blob_id: str = "") -> None:
        super().__init__(message)
        self.blob_id = blob_id


class BlobBlocked(BlobTrouble):
    code = "blob_blocked"


class BlobUnavailable(BlobTrouble):
    code = "blob_unavailable"


class BlobDamaged(BlobTrouble):
    code = "blob_damaged"


class StateTrouble(CivitaiError):
    code = "state_trouble"


class AnotherAccount(StateTrouble):
    code = "another_account"


class FileTrouble(CivitaiError):
    code = "file_trouble"


class FileChanged(FileTrouble):
    code = "file_changed"


class NotSafetensors(FileTrouble):
    code = "not_safetensors"


class CatalogTrouble(CivitaiError):
    """`path` is the catalog's file."""

    code = "catalog_trouble"

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class CatalogDamaged(CatalogTrouble):
    """`line` and `column` count from 1; 0 where the JSON is valid and its shape is not."""

    code = "catalog_damaged"

    def __init__(self, message: str, *, path: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(message, path=path)
        self.line = line
        self.column = column


class CatalogBusy(CatalogTrouble):
    code = "catalog_busy"


class NotInCatalog(CatalogTrouble):
    code = "not_in_catalog"


class NotALora(CatalogTrouble):
    code = "not_a_lora"


class StillOnDisk(CatalogTrouble):
    code = "still_on_disk"


class DownloadTrouble(CivitaiError):
    """`status` is CivitAI's or the storage's HTTP status, 0 where none was the reason; `detail` is their own text."""

    code = "download_trouble"

    def __init__(self, message: str, *, status: int = 0, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class DownloadRefused(DownloadTrouble):
    code = "download_refused"


class LogInNeeded(DownloadRefused):
    code = "log_in_needed"
    exit_code = 3


class DownloadForbidden(DownloadTrouble):
    code = "download_forbidden"
    exit_code = 2


class DownloadDamaged(DownloadTrouble):
    code = "download_damaged"


class NoRoom(DownloadTrouble):
    code = "no_room"


class DownloadStopped(DownloadTrouble):
    code = "download_stopped"
    exit_code = 130


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}… ({len(text)} characters)"
