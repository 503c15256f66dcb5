"""From what a person asked to the order that is sent, by the variant table alone: no network, no guessing.

What a variant does not take and stands at its default is silent; what was set is named in the notes; what would
change the picture without being able to (LoRAs, image, mask, VAE) is refused before it is paid. A field outside its
range is refused by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import BadInput, FieldRefused, UnknownVariant
from ..metadata.prompt import network_tags
from ..metadata.samplers import AUTO
from ..resources.version import ModelVersion
from . import fields
from .echo import request_hash
from .engine_choice import choose_engine
from .fields import Part
from .fitting import Family, check_model, loras_field, model_field, vae_field
from .request import UNKNOWN_SEED, GenerationRequest, ResolvedLora
from .sizes import size
from .source_pictures import pictures
from .tags import TAG, checked_tags
from .variants import CREATE, EDIT, VARIANT, Variant, find


@dataclass(frozen=True)
class OrderRules:
    """What the settings say about every order: at which address, from which wallets it is paid (empty = the account's
    own order), how mature it may be (`blocked`, `auto`, `allowed`), and whether a LoRA of another family is refused or
    only named (`refuse`, `warn`)."""

    base: str = ""
    currencies: tuple[str, ...] = ()
    mature_content: str = AUTO
    family_mismatch: str = "refuse"


NO_RULES = OrderRules()


@dataclass(frozen=True)
class Order:
    """A request with everything looked up and checked, made once.

    `input` is the step's input, discriminators first; `body` the whole workflow without a key, which is the question
    for the price; `hash` names the request; `seed` is the one that is sent; `notes` are sentences for the report."""

    request: GenerationRequest
    model: ModelVersion | None
    loras: tuple[ResolvedLora, ...]
    variant: Variant
    input: Mapping[str, Any]
    seed: int
    quantity: int
    notes: tuple[str, ...]
    body: Mapping[str, Any] = field(repr=False)
    hash: str

    @property
    def air(self) -> str:
        """The model's AIR; `""` where the variant alone chooses the model."""
        return self.model.air if self.model else ""

    def submission(self, key: str) -> str:
        """The exact text to send for this order under a purchase's key, which is also a tag, so that the workflow can
        be found by it."""
        body = {**self.body, "tags": [*self.body["tags"], key], "externalId": key}
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def build(
    request: GenerationRequest,
    model: ModelVersion | None,
    loras: Sequence[ResolvedLora] = (),
    vae: ModelVersion | None = None,
    *,
    rules: OrderRules = NO_RULES,
) -> Order:
    """Build and check an order. Raises BadInput with the field and its range, WrongFamily, NotGeneratable,
    UnknownVariant."""
    request, unknown_seed = _seed_known(replace(request, tags=checked_tags(request.tags)))
    _check_finite(request, loras)
    check_model(model)
    path, preset = choose_engine(request.engine, model)
    variant = _variant(request, path)
    chosen = model.base_model if model else str({**variant.selectors, **preset}.get("modelVersion", "")).upper()
    family = Family(variant, model, chosen, rules.family_mismatch)
    parts = [
        unknown_seed,
        *_asked(request, variant, model, preset),
        loras_field(loras, family),
        vae_field(vae, family),
        pictures(request, variant),
        fields.own_fields(request, variant),
    ]
    filled = _merged(variant.selectors, parts)
    sent = _merged(filled, [fields.still_required(variant, filled), fields.output_format(request)])
    body = _body(sent, request.tags, rules, _mature_content(request, rules))
    return Order(
        request=request,
        model=model,
        loras=tuple(loras),
        variant=variant,
        input=sent,
        seed=sent.get("seed", request.seed),
        quantity=request.quantity,
        notes=_notes(request, variant, parts),
        body=body,
        hash=request_hash("", rules.base, body, request.seed),
    )


def _asked(
    request: GenerationRequest, variant: Variant, model: ModelVersion | None, preset: Mapping[str, Any]
) -> list[Part]:
    """What a person types, in the order in which it is checked and sent."""
    return [
        model_field(model, variant),
        fields.prompts(request, variant),
        _preset(preset, request, variant),
        size(request, variant),
        fields.quantity(request, variant),
        fields.number(variant, "steps", request.steps, ("steps", "numInferenceSteps")),
        fields.guidance(request, variant),
        fields.sampling(request, variant),
        fields.seed(request, variant),
        fields.number(variant, "clip_skip", request.clip_skip, ("clipSkip",)),
    ]


def _body(sent: Mapping[str, Any], tags: Sequence[str], rules: OrderRules, mature_content: str) -> dict[str, Any]:
    """The contract's WorkflowTemplate, without a key."""
    body: dict[str, Any] = {
        "steps": [{"$type": "imageGen", "name": "gen", "input": sent}],
        "currencies": list(rules.currencies),
        "tags": [TAG, *tags],
        "upgradeMode": "manual",
    }
    if mature_content != AUTO:
        body["allowMatureContent"] = mature_content == "allowed"
    return body


def _mature_content(request: GenerationRequest, rules: OrderRules) -> str:
    if request.mature_content == "allowed" and rules.mature_content != "allowed":
        raise BadInput(
            "mature_content is 'allowed', but the setting of that name does not permit it. A person can "
            "change that: "
            "`civitai-bridge settings mature_content allowed` (it is paid with bought Buzz only)."
        )
    return "blocked" if rules.mature_content == "blocked" else request.mature_content


def _merged(start: Mapping[str, Any], parts: Sequence[Part]) -> dict[str, Any]:
    merged = dict(start)
    for part in parts:
        merged.update(part.fields)
    return merged


def _notes(request: GenerationRequest, variant: Variant, parts: Sequence[Part]) -> tuple[str, ...]:
    notes = [note for part in parts for note in part.notes]
    if unused := [name for part in parts for name in part.unused]:
        notes.append(f"Not used by {variant.path}: {', '.join(unused)}.")
    if variant.retired:
        notes.append(f"{variant.path} is no longer in the newest contract; CivitAI may refuse it.")
    for name, text in (("prompt", request.prompt), ("negative prompt", request.negative_prompt)):
        if tags := network_tags(text):
            notes.append(
                f"The {name} holds {', '.join(tags)} as plain text: the fleet does not "
                "read tags; connect LoRAs to `loras`."
            )
    return tuple(notes)


def _check_finite(request: GenerationRequest, loras: Sequence[ResolvedLora]) -> None:
    numbers = [("cfg", request.cfg), ("guidance", request.guidance), ("denoise", request.denoise)]
    for name, number in [*numbers, *(("a LoRA's strength", lora.strength) for lora in loras)]:
        if not math.isfinite(number):
            raise FieldRefused(name, number, "a number")


def _seed_known(request: GenerationRequest) -> tuple[GenerationRequest, Part]:
    """A seed of -1 says that nobody knows it; an order has one all the same, so that it can be told from others."""
    if request.seed != UNKNOWN_SEED:
        return request, Part()
    return replace(request, seed=0), Part(notes=("The seed -1 says that it is not known; 0 stands in.",))


def _preset(preset: Mapping[str, Any], request: GenerationRequest, variant: Variant) -> Part:
    values = {name: value for name, value in preset.items() if name not in request.extra}
    return Part({name: fields.checked(variant, name, value) for name, value in values.items()})


def _variant(request: GenerationRequest, path: str) -> Variant:
    """The variant for what is asked: with `auto`, an image makes a variant of it or edits it."""
    if request.operation not in (AUTO, CREATE, VARIANT, EDIT):
        raise FieldRefused("operation", request.operation, "auto, create, variant or edit")
    if request.operation != AUTO:
        return find(path, request.operation)
    if request.image is None:
        return _first(path, (CREATE, EDIT))
    return _first(path, (VARIANT, EDIT, CREATE) if request.denoise < 1 else (EDIT, VARIANT, CREATE))


def _first(path: str, kinds: Sequence[str]) -> Variant:
    """The first kind that a path offers; where it offers none of them, the error of the first is raised."""
    for kind in kinds:
        try:
            return find(path, kind)
        except UnknownVariant:
            continue
    return find(path, kinds[0])
