"""The end of the road: what the caller gets for its order, and what it was really made with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..metadata.generation import GenerationData, UsedResource
from ..metadata.samplers import sampling_of_order
from ..settings import BADGE, Settings
from . import report
from .accounts import waiting
from .body import Order
from .journal import Journal, rollback_note
from .outcome import BoughtPicture, Outcome
from .purchase import COLLECTED, FINISHED, Purchase
from .request import ResolvedLora
from .results import Results
from .run import Runs

Missing = Sequence[tuple[int, str]]  # place in the batch, reason


async def hand_over(
    runs: Runs, purchase: Purchase, order: Order, bought_before: bool, joined: bool, settings: Settings
) -> Outcome:
    """The pictures of a purchase and all that is known of them; raises why when there is none. The face calls
    `collected` when a person has them. `bought_before` = nothing was paid for this caller, `joined` = it came while an
    equal order was under way."""
    services = runs.services
    pictures = await asyncio.to_thread(pictures_of, purchase, services.results)
    if not pictures:
        await services.in_thread(note_collected, services.journal, purchase.key)  # the person is told why
        raise report.about(report.why_nothing(purchase, bought_before), purchase)
    if purchase.state == COLLECTED:  # young again, so that its files are not removed
        await services.in_thread(services.journal.record, purchase.key)
    missing = tuple((image.index, image.reason) for image in purchase.slots if not image.fetched)
    joined = joined and bought_before
    paid = report.paid(purchase, bought_before, joined)
    lines = _report(purchase, order, pictures, paid, settings)
    idle = await _left_waiting(runs, purchase, settings)
    return Outcome(
        key=purchase.key,
        pictures=pictures,
        missing=missing,
        workflow_id=purchase.workflow_id,
        air=order.air,
        cost=float(purchase.cost),
        paid_now=not bought_before,
        seed=order.request.seed,
        status=str(purchase.about.get("status", "succeeded")),
        report=report.joined([*lines, report.waiting(idle), rollback_note(services.journal)]),
        notes=tuple(
            note for note in [report.charged_more(purchase), paid if joined else "", *_notes(purchase, order)] if note
        ),
        blob_urls=services.addresses.of(purchase.key),
        generation=_generation(purchase, order, pictures, missing, settings),
        sandbox=settings.sandbox,
        version_name=order.model.version_name if order.model else "",
    )


async def _left_waiting(runs: Runs, purchase: Purchase, settings: Settings) -> int:
    """How many other purchases are finished, while nobody here waits for them."""
    earlier = await runs.services.in_thread(waiting, runs.services.journal, settings)
    return sum(
        each.state == FINISHED and each.key != purchase.key and not runs.is_expected(each.key) for each in earlier
    )


def note_collected(journal: Journal, key: str) -> None:
    """Write down that the pictures of a purchase have reached a person, or that none could be had (waits for the disk;
    not for the loop)."""
    purchase = journal.get(key)
    if purchase is None or purchase.state != FINISHED:
        return
    if any(image.pending for image in purchase.slots):
        journal.record(key, about={**purchase.about, "handed_over": True})
    else:
        journal.record(key, state=COLLECTED)


def pictures_of(purchase: Purchase, results: Results) -> tuple[BoughtPicture, ...]:
    """The pictures of a purchase that are on disk."""
    return tuple(
        BoughtPicture(
            image.index,
            image.seed,
            results.path(image.file),
            image.sha256,
            image.width,
            image.height,
            Path(image.file).suffix.lstrip("."),
        )
        for image in purchase.slots
        if image.fetched and results.intact(image.file, image.sha256)
    )


def _report(
    purchase: Purchase,
    order: Order,
    pictures: Sequence[BoughtPicture],
    paid: str,
    settings: Settings,
) -> list[str]:
    model, path = report.model_name(order.model) or order.variant.path, order.variant.path
    return [
        report.charged_more(purchase),
        BADGE if settings.sandbox else "",
        f"{report.count_pictures(len(pictures))} with {model} on {path}, workflow {purchase.workflow_id}.",
        paid,
        *report.what_came(purchase, pictures, seeds="seed" in order.input),
        *_notes(purchase, order),
    ]


def _notes(purchase: Purchase, order: Order) -> list[str]:
    """What the order changed or left out, and what else is worth knowing of the purchase."""
    tags = report.not_tagged(purchase, order)
    return [*(str(note) for note in purchase.about.get("notes", ())), *order.notes, *([tags] if tags else [])]


def _generation(
    purchase: Purchase, order: Order, pictures: Sequence[BoughtPicture], missing: Missing, settings: Settings
) -> GenerationData:
    """What was really asked and came back, from the body that was sent."""
    sent, model = order.input, order.model
    guided = order.variant.guidance_field if order.request.guidance else None
    sampling = sampling_of_order(sent)
    return GenerationData(
        prompt=order.request.prompt,
        negative_prompt=str(sent.get("negativePrompt") or ""),
        model_air=order.air,
        model_name=report.model_name(model),
        model_version_id=model.version_id if model else None,
        base_model=model.base_model if model else "",
        networks=tuple(_used(lora) for lora in order.loras),
        seed=sent.get("seed"),
        steps=_first(sent, "steps", "numInferenceSteps"),
        cfg=_first(sent, *(name for name in ("cfgScale", "guidanceScale") if name != guided))
        or order.request.cfg
        or None,
        guidance=sent.get(guided) if guided else None,
        sampler=sampling.sampler,
        scheduler=sampling.scheduler,
        width=pictures[0].width,
        height=pictures[0].height,
        clip_skip=sent.get("clipSkip"),
        denoise=_first(sent, "denoiseStrength", "strength"),
        engine=order.variant.path,
        workflow_id=purchase.workflow_id,
        cost=float(purchase.cost),
        arrived=tuple(picture.index for picture in pictures),
        missing=dict(missing),
        source="sandbox" if settings.sandbox else "CivitAI orchestration",
    )


def _used(lora: ResolvedLora) -> UsedResource:
    version = lora.resource
    return UsedResource(version.air, lora.strength, version.title, version_id=version.version_id)


def _first(sent: Mapping[str, Any], *names: str) -> Any:
    """The field that carries a setting: variants name it differently."""
    return next((sent[name] for name in names if sent.get(name) is not None), None)
