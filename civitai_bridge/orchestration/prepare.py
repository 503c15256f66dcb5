"""Before money: what a request names is looked up, its order is built, and CivitAI is asked for the price."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ..errors import BadInput, EchoLost, RateLimited, ServerTrouble, Unreachable, Unreadable
from ..network.hosts import SHORT_PAUSE
from ..resources.version import ModelVersion
from ..settings import Settings
from . import report
from .body import Order, OrderRules, build
from .client import OrchestrationClient
from .echo import lost_in_echo
from .outcome import Terms
from .purchase import Buyer, PlannedPurchase, new_key
from .request import GenerationRequest, ResolvedLora
from .timings import Timings, pause_before
from .workflow import Workflow

# A reference as a person writes it -> the version it names, with what an order needs of it.
LookUp = Callable[[str], Awaitable[ModelVersion]]


async def prepare(request: GenerationRequest, settings: Settings, look_up: LookUp) -> Order:
    """Look up the model, the LoRAs and the VAE (at once), then build and check the order. Nothing is sent to the
    fleet. Raises BadInput and what the look-up raises."""

    async def version(reference: str) -> ModelVersion | None:
        return await look_up(reference) if reference.strip() else None

    references = [request.model, *(lora.reference for lora in request.loras), request.vae]
    model, *lora_versions, vae = await asyncio.gather(*(version(reference) for reference in references))
    loras = []
    for lora, lora_version in zip(request.loras, lora_versions, strict=True):
        if lora_version is None:
            name = f" ({lora.name})" if lora.name else ""
            raise BadInput(f"A LoRA{name} has no reference, so it cannot be sent to CivitAI.")
        loras.append(ResolvedLora(lora_version, lora.strength))
    rules = OrderRules(
        base=settings.service,
        currencies=settings.currencies,
        mature_content=settings.mature_content,
        family_mismatch=settings.lora_family_mismatch,
    )
    return build(request, model, tuple(loras), vae, rules=rules)


async def ask_price(client: OrchestrationClient, order: Order, timings: Timings) -> Workflow:
    """CivitAI's answer to the order without a key. Nothing is stored or bought, so it may be asked again. Raises
    EchoLost when the service understood less than was meant."""
    attempt = 1
    while True:
        try:
            priced = await client.price(order.body)
            break
        except (Unreachable, ServerTrouble, RateLimited, Unreadable) as error:
            if attempt == timings.questions or (getattr(error, "retry_after", None) or 0) > SHORT_PAUSE:
                raise  # nothing is bought yet, and nobody is to wait that long without having asked for it
            await timings.sleep(pause_before(attempt, error))
            attempt += 1
    if lost := lost_in_echo(order.input, dict(priced.input)):
        raise EchoLost(f"CivitAI understood less than was meant, so nothing was bought: {' '.join(lost)}")
    return priced


def price_of(priced: Workflow, consequence: str = "") -> int:
    """The price in whole Buzz. Raises Unreadable where CivitAI named none."""
    if priced.cost is None or priced.cost < 0:
        raise Unreadable(f"CivitAI did not say what this would cost{consequence}.", status=200)
    return priced.cost


async def acceptable_price(
    client: OrchestrationClient, order: Order, terms: Terms, settings: Settings, timings: Timings
) -> int:
    """Ask the price, and give it in whole Buzz if the person's terms, the wallets and (where they are to be asked) the
    person agree. Raises TooExpensive or OutOfBuzz."""
    priced = await ask_price(client, order, timings)
    price = price_of(priced, ", so nothing was bought")
    if terms.max_buzz is not None and price > terms.max_buzz:
        raise report.above_max_buzz(price, terms.max_buzz)
    if priced.insufficient_buzz:
        raise report.wallet_too_small(price, settings.currencies)
    if terms.confirm is not None and not await terms.confirm(price):
        raise report.not_confirmed(price)
    return price


def planned(order: Order, price: int, terms: Terms, buyer: Buyer) -> PlannedPurchase:
    """The order under a new key, as it is written into the journal and sent."""
    key = new_key()
    about = {
        "air": order.air,
        "model": report.model_name(order.model),
        "variant": order.variant.path,
        "prompt": order.request.prompt[:200],
        "quantity": order.quantity,
        "seed": order.seed if "seed" in order.input else None,
        "quoted": price,
        "tags": list(order.request.tags),
        "asked_by": terms.asked_by,
    }
    return PlannedPurchase(
        key=key,
        request_hash=order.hash,
        buyer=buyer,
        body=order.submission(key),
        price=price,
        prompt_id=terms.prompt_id,
        about=about,
        reuse_paid=terms.reuse_paid,
    )
