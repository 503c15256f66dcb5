"""Which engine an order runs on: the one that is named by its path, by a bare name, or that of the model's base model.

A bare name is one word of paths (`sdxl`, `flux2`, `sdcpp`, `turbo`) or a family (`sd1`, `flux2`): of the paths that it
names, the one that fits the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import BadInput, UnknownVariant, WrongFamily
from ..metadata.samplers import AUTO
from ..resources.ecosystems import same_family
from ..resources.version import ModelVersion
from .variants import Variant, engine_for, engines_of, fits, variants

Preset = Mapping[str, Any]  # fields that a model's base model sets


def choose_engine(engine: str, model: ModelVersion | None) -> tuple[str, Preset]:
    """The variant path for an `engine` as a person writes it (`auto`, a path, a bare name) and a model, and the fields
    that the model's base model sets there. A word that names no path is handed on as it is. Raises BadInput,
    UnknownVariant, WrongFamily."""
    if engine in (AUTO, ""):
        if model is None:
            raise BadInput(
                "No model is named. Give a version id, address, AIR or hash in `model`, or choose an `engine`."
            )
        return engine_for(model.base_model)
    path = engine
    if engine not in variants() and (named := _named(engine)):
        path = _only(engine, named) if model is None else _fitting(engine, named, model)
    return path, _preset(path, model)


def _preset(path: str, model: ModelVersion | None) -> Preset:
    """Klein's engines run four models, told apart by a field; its base models say which."""
    is_klein = model is not None and "klein" in path.lower() and "Klein" in model.base_model
    return engine_for(model.base_model)[1] if model is not None and is_klein else {}


def _named(name: str) -> list[str]:
    """The paths that a bare name stands for, in the contract's order: those with this word, then those of this
    family."""
    current = [path for path, operations in variants().items() if not _a_variant(operations).retired]
    by_word = [path for path in current if name.lower() in path.lower().split("/")]
    by_family = [path for path in current if _is_of(path, name)]
    return list(dict.fromkeys([*by_word, *by_family]))


def _a_variant(operations: Mapping[str, Variant]) -> Variant:
    return next(iter(operations.values()))


def _is_of(path: str, family: str) -> bool:
    own = _a_variant(variants()[path]).family
    return bool(own) and same_family(own, family)


def _only(name: str, named: list[str]) -> str:
    if len(named) > 1:
        raise BadInput(
            f"The engine name {name!r} stands for several: {', '.join(named)}. Name one of them, or a model, so that "
            "the one which fits it is taken."
        )
    return named[0]


def _fitting(name: str, named: list[str], model: ModelVersion) -> str:
    """Of the named paths the model's own engine, else the first that runs its family."""
    own = engines_of(model.base_model)
    fitting = [path for path in named if path in own or _runs(path, model)]
    with_the_word = [path for path in fitting if name.lower() in path.lower().split("/")] or fitting
    if not with_the_word:
        instead = f"Without `engine` it runs on {own[0]}." if own else ""
        called = model.title or model.air
        raise WrongFamily(
            f"{name!r} names no engine that runs {called}, which is of the family {model.family}: there "
            f"{'is' if len(named) == 1 else 'are'} {', '.join(named)}. {instead}".rstrip()
        )
    chosen = [path for path in with_the_word if path in own]
    if len(chosen) > 1:
        raise UnknownVariant(
            f"{model.base_model} runs on several engines of {name!r}; name one of {', '.join(chosen)}."
        )
    return (chosen or with_the_word)[0]


def _runs(path: str, model: ModelVersion) -> bool:
    variant = _a_variant(variants()[path])
    return bool(variant.family) and fits(variant, model.ecosystem, model.base_model)
