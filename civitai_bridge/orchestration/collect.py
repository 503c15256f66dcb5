"""The pictures of a finished purchase: fetched at once, each verified and kept before anything else happens to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from ..errors import CivitaiError, Gone, NotFound
from ..pictures import check, kind_of
from .answers import learn_money
from .blob_ways import Refused, by_any_way
from .owned import OwnedPurchase
from .purchase import Purchase, PurchasedImage
from .results import Results
from .services import Services
from .workflow import ImageBlob, reason_in_words

log = logging.getLogger(__name__)


async def collect(owned: OwnedPurchase) -> None:
    """Fetch every picture of the purchase that is not on disk, and write down what came of it."""
    services = owned.services
    images = await asyncio.to_thread(with_damaged_pending, owned.purchase, services.results)
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
    if owned.workflow is None and owned.age() > services.timings.retention:
        collected = {index: _no_longer_kept(image) for index, image in collected.items()}
    images = [collected.get(image.index, image) for image in images]
    await owned.write(slots=images)
    urls = {image.index: url for image, url in results}
    services.addresses.remember(
        owned.purchase.key, tuple(urls.get(image.index, "") for image in images if image.fetched)
    )


def with_damaged_pending(purchase: Purchase, results: Results) -> list[PurchasedImage]:
    """The pictures of a purchase; one whose file is gone or has other bytes is pending again (reads the files; not for
    the loop)."""
    return [
        replace(image, sha256="", file="", pending=True)
        if image.fetched and not results.intact(image.file, image.sha256)
        else image
        for image in purchase.slots
    ]


def _no_longer_kept(image: PurchasedImage) -> PurchasedImage:
    return image if image.fetched else replace(image, pending=False, reason="CivitAI no longer keeps it")


async def _blobs(owned: OwnedPurchase) -> Mapping[int, ImageBlob]:
    """The blobs of the finished workflow by their place in the batch; asked once where they are not known."""
    if owned.workflow is None or not owned.workflow.done:
        try:
            owned.workflow = await owned.services.client.workflow(owned.purchase.workflow_id)
            await learn_money(owned, owned.workflow)  # a refund may have come meanwhile
        except (NotFound, Gone):
            owned.workflow = None  # the pictures may be there all the same, by their own ids
    return {blob.index: blob for blob in owned.workflow.images} if owned.workflow else {}


async def _collect_image(
    owned: OwnedPurchase, image: PurchasedImage, blob: ImageBlob | None
) -> tuple[PurchasedImage, str]:
    """One picture as it stands after a few tries, and the signed address it came from."""
    timings = owned.services.timings
    if blob is None and not image.blob_id:  # not attached when the workflow ended, and not now
        return replace(image, pending=owned.age() < timings.gone_after), ""
    if blob is not None and blob.id and not image.blob_id:
        image = replace(image, blob_id=blob.id)
    if blob is not None and blob.withheld:  # only the workflow's own word makes it so
        return replace(image, reason=reason_in_words(blob.blocked_reason), pending=False, blocked=True), ""
    try:
        return await _fetch(owned, image, blob.url if blob is not None and blob.available else "")
    except (CivitaiError, asyncio.CancelledError):
        raise
    except Exception as error:  # of one picture; it must not take the rest with it
        log.exception("Picture %d of %s could not be fetched", image.index, owned.purchase.key)
        return replace(image, reason=f"it could not be read ({type(error).__name__})"), ""


async def _fetch(owned: OwnedPurchase, image: PurchasedImage, signed: str) -> tuple[PurchasedImage, str]:
    """Fetch a picture by whichever way it can be had; one that cannot is lost at the last look."""
    services = owned.services
    fetched = await by_any_way(
        services.client, image.blob_id, signed, partial(_keep, services, image), services.timings
    )
    if not isinstance(fetched, Refused):
        return fetched
    if fetched.final and _since_end(owned) > services.timings.last_look:
        return replace(image, reason=f"it is lost: {fetched.reason}", pending=False), ""
    return replace(image, reason=fetched.reason), ""


def _since_end(owned: OwnedPurchase) -> float:
    """Seconds since the workflow was seen to have ended; of a clock that jumped, the distance."""
    ended = owned.purchase.about.get("ended")
    return abs(owned.services.timings.clock() - (ended if isinstance(ended, (int, float)) else owned.purchase.created))


async def _keep(services: Services, image: PurchasedImage, url: str) -> PurchasedImage:
    """Fetch, verify and keep one picture."""
    answer = await services.fetch(url)
    size = await asyncio.to_thread(check, answer.content, blob_id=image.blob_id)
    ending = kind_of(answer.content) or "png"
    file = await asyncio.to_thread(services.results.keep, answer.content, answer.sha256, ending)
    return replace(
        image, sha256=answer.sha256, file=file, width=size.width, height=size.height, reason="", pending=False
    )
