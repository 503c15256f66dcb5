"""How much Buzz the key's user has, by wallet: from the call that the site's own pages make (its REST API tells none).

`buzz.getBuzzAccount` wants a key with the scope BuzzRead and answers a number for each wallet
(github.com/civitai/civitai, src/server/routers/buzz.router.ts)."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import CivitaiError, Forbidden, Unreadable
from ..network.exchange import Request, Send, error_from
from ..resources.json_values import decimal
from . import wire

PROCEDURE = "buzz.getBuzzAccount"


async def wallets(send: Send) -> dict[str, int]:
    """Whole Buzz by wallet, parts of one left off. `send` carries the key. Raises Unauthorized, Forbidden for a key
    without that scope, Unreadable, and what `send` raises."""
    response = await send(Request("GET", f"/api/trpc/{PROCEDURE}"))
    try:
        envelope = response.json()
    except Unreadable:
        if response.status >= 300:
            raise error_from(response) from None
        raise
    if response.status >= 300 and not (isinstance(envelope, Mapping) and "error" in envelope):
        raise error_from(response)
    balances = wire.decode(envelope, response.status, response.headers)
    amounts = {str(name): decimal(amount) for name, amount in balances.items()} if isinstance(balances, Mapping) else {}
    whole = {name: int(amount) for name, amount in amounts.items() if amount is not None}
    if not whole:
        raise Unreadable("CivitAI's answer about the wallets has an unknown form.", status=response.status)
    return whole


async def wallets_or_reason(send: Send) -> tuple[dict[str, int] | None, str]:
    """The same; None and a sentence where nobody tells. Raises nothing that a person can do something about."""
    try:
        return await wallets(send), ""
    except Forbidden:
        return None, "The key may not read it: make one with the right to read Buzz at civitai.com/user/account."
    except CivitaiError as error:
        return None, str(error)
