"""What a model's creator allows, as the site's list of models says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .json_values import items

# The site's words for `allowCommercialUse` -> what may be done, from the most to the least.
_COMMERCIAL = {
    "Sell": "sell the model or merges of it",
    "Rent": "run it as a service for money",
    "RentCivit": "run it on CivitAI for money",
    "Image": "sell what it makes",
}


@dataclass(frozen=True)
class License:
    """What may be done with a model. `commercial` are the site's words (`Image`, `RentCivit`, `Rent`, `Sell`); a switch
    is None where the site does not say it."""

    commercial: tuple[str, ...] = ()
    without_credit: bool | None = None
    derivatives: bool | None = None
    other_license: bool | None = None

    @property
    def sentences(self) -> tuple[str, ...]:
        """Each rule in words."""
        may = [words for name, words in _COMMERCIAL.items() if name in self.commercial]
        sentences = [f"You may {', '.join(may)}." if may else "No commercial use."]
        if self.without_credit is False:
            sentences.append("Credit the creator.")
        if self.derivatives is False:
            sentences.append("Do not share merges.")
        elif self.other_license is False:
            sentences.append("Merges must have the same rules.")
        return tuple(sentences)

    def as_json(self) -> dict[str, Any]:
        return {
            "commercial": list(self.commercial),
            "without_credit": self.without_credit,
            "derivatives": self.derivatives,
            "other_license": self.other_license,
            "sentences": list(self.sentences),
        }


def license_from_json(data: Mapping[str, Any]) -> License | None:
    """The rules of a model of `/api/v1/models`; None where the answer holds none. Commercial use comes as a list, and
    as the database writes it: `{Image,RentCivit}`.

    assert license_from_json({"allowCommercialUse": "{Image}"}).commercial == ("Image",)
    """
    if not any(str(name).startswith("allow") for name in data):
        return None
    value = data.get("allowCommercialUse")
    words = value.strip("{}").split(",") if isinstance(value, str) else [str(word) for word in items(value)]
    switches = (data.get(f"allow{name}") for name in ("NoCredit", "Derivatives", "DifferentLicense"))
    return License(
        tuple(word for word in map(str.strip, words) if word in _COMMERCIAL),
        *(switch if isinstance(switch, bool) else None for switch in switches),
    )
