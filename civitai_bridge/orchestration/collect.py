"""The pictures of a finished purchase: fetched at once, each verified and kept before anything else happens to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace

from ..errors import (
    ApiError,
    BlobBlocked,
    BlobDamaged,
    BlobTrouble,
    BlobUnavailable,
    CivitaiError,
    Gone,
    NotFound,
)
from ..pictures import check, kind_of
from .owned import OwnedPurchase
from .purchase import PurchasedImage
from .services import Services
from .timings import pause_before
from .watch import NO_ANSWER
from .workflow import ImageBlob

LOOKS = 3  # addresses tried for one picture in one go

log = logging.getLogger(__name__)


async def collect(owned: OwnedPurchase) -> None:
    """Fetch every picture of the purchase that is not on disk, and write down what came of it."""
    services = owned.services
    images = [_missing_again(image, services) for image in owned.purchase.slots]
    pending = [image for image in images if image.pending]
    if not pending:
        return
    blobs = await _blobs(owned)
    room = asyncio.Semaphore(services.timings.fetches)

    async def fetched(image: PurchasedImage) -> tuple[PurchasedImage, str]:
        async with room:
            return await _collect_image(owned, image, blobs.get(image.index))

    results = await asyncio.gather(*(fetched(image) for image in pending))
    collected = {image.index: image for image, _ in results}
    images = [collected.get(image.index, image) for image in images]
    if owned.workflow is None and owned.age() > services.timings.retention:
        images = [_no_longer_kept(image) for image in images]
    await owned.write(slots=images)
    urls = {image.index: url for image, url in results}
    services.addresses.remember(owned.purchase.key, tuple(urls.get(image.index, "") for image in images if image.here))


def _missing_again(image: PurchasedImage, services: Services) -> PurchasedImage:
    """A picture whose file is gone is fetched again."""
    if image.here and not services.results.has(image.file):
        return replace(image, sha256="", file="", pending=True)
    return image


def _no_longer_kept(image: PurchasedImage) -> PurchasedImage:
    return replace(image, pending=False, reason="CivitAI no longer keeps it") if image.pending else image


async def _blobs(owned: OwnedPurchase) -> Mapping[int, ImageBlob]:
    """The blobs of the finished workflow by their place in the batch; asked once where they are not known."""
    if owned.workflow is None or not owned.workflow.done:
        try:
            owned.workflow = await owned.services.client.workflow(owned.purchase.workflow_id)
        except (NotFound, Gone):
            owned.workflow = None  # the pictures may be there all the same, by their own ids
    return {blob.index: blob for blob in owned.workflow.images} if owned.workflow else {}


async def _collect_image(
    owned: OwnedPurchase, image: PurchasedImage, blob: ImageBlob | None
) -> tuple[PurchasedImage, str]:
    """One picture as it stands after a few tries, and the signed address it came from."""
    if blob is None and not image.blob_id:  # not attached when the workflow ended, and not now
        return replace(image, pending=owned.age() < owned.services.timings.gone_after), ""
    if blob is not None and blob.id and not image.blob_id:
        image = replace(image, blob_id=blob.id)
    url = blob.url if blob is not None and blob.available else ""
    try:
        return await _fetch(owned.services, image, url)
    except (CivitaiError, asyncio.CancelledError):
        raise
    except Exception as error:  # of one picture; it must not take the rest with it
        log.exception("Picture %d of %s could not be fetched", image.index, owned.purchase.key)
        return replace(image, reason=f"it could not be read ({type(error).__name__})"), url


async def _fetch(services: Services, image: PurchasedImage, url: str) -> tuple[PurchasedImage, str]:
    """Fetch by a signed address; it is refreshed when it is refused, moved, withheld or gives damaged bytes."""
    trouble = "CivitAI gives no address for it"
    for attempt in range(1, LOOKS + 1):
        try:
            if (attempt > 1 or not url) and image.blob_id:
                url = await services.client.refreshed_url(image.blob_id)
            if url:
                return await _keep(services, image, url), url
        except BlobBlocked as error:
            if attempt > 1:
                return replace(image, reason=str(error).rstrip("."), pending=False, blocked=True), url
            trouble = str(error).rstrip(".")
        except (BlobUnavailable, BlobDamaged, NotFound, Gone, *NO_ANSWER) as error:
            trouble = str(error).rstrip(".")
        except (BlobTrouble, ApiError) as error:
            return replace(image, reason=str(error).rstrip(".")), url
        if attempt < LOOKS:
            await services.timings.sleep(pause_before(attempt, None))
    return replace(image, reason=trouble), url


async def _keep(services: Services, image: PurchasedImage, url: str) -> PurchasedImage:
    """Fetch, verify and keep one picture."""
    answer = await services.fetch(url)
    size = await asyncio.to_thread(check, answer.content, blob_id=image.blob_id)
    ending = kind_of(answer.content) or "png"
    file = await asyncio.to_thread(services.results.keep, answer.content, answer.sha256, ending)
    return replace(
        image, sha256=answer.sha256, file=file, width=size.width, height=size.height, reason="", pending=False
    )
