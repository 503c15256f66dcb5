"""Holds requests and answers against CivitAI's own contract (contract.json, made by tools/make_variants.py)."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import BadSetting


@functools.cache
def contract() -> Mapping[str, Any]:
    """CivitAI's contract as far as the sandbox checks by it."""
    return json.loads((Path(__file__).parent / "contract.json").read_text(encoding="utf-8"))


def problems(name: str, data: Any) -> dict[str, list[str]]:
    """What is wrong with `data` as one of the contract's schemas: path -> sentences, as problem+json lists them."""
    return _problems(_validator(name), data, "")


def input_problems(data: Any, where: str) -> tuple[dict[str, list[str]], dict[str, Any] | None]:
    """What is wrong with an imageGen input, and the schema of the variant that its selectors name."""
    schema = variant_schema(data)
    if schema is None:
        text = "The JSON value could not be converted to Civitai.Orchestration.ImageGenInput."
        return {f"$.{where}": [f"{text} Path: $.{where}"]}, None
    return _problems(_input_validator(json.dumps(_selectors(data, schema))), data, where), schema


def variant_schema(data: Any) -> dict[str, Any] | None:
    """The schema of the imageGen variant whose selectors all stand in `data`."""
    if not isinstance(data, Mapping):
        return None
    for leaf in contract()["imageGen"]:
        if all(data.get(name) == value for name, value in leaf["selectors"].items()):
            return leaf
    return None


def without_unknown(data: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """What the live server keeps of an input: fields that it does not know are dropped without a word."""
    known = schema["schema"]["properties"]
    return {name: value for name, value in data.items() if name in known}


def with_defaults(data: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved input that answers echo."""
    full = dict(data)
    for name, field in schema["schema"]["properties"].items():
        if name not in full and isinstance(field, Mapping) and "default" in field:
            full[name] = copy.deepcopy(field["default"])
    return full


def _selectors(data: Mapping[str, Any], leaf: Mapping[str, Any]) -> dict[str, str]:
    return dict(leaf["selectors"])


@functools.cache
def _validator(name: str) -> Any:
    return _library()({"$ref": f"#/$defs/{name}", "$defs": contract()["$defs"]})


@functools.cache
def _input_validator(selectors: str) -> Any:
    wanted = json.loads(selectors)
    leaf = next(leaf for leaf in contract()["imageGen"] if leaf["selectors"] == wanted)
    return _library()({**leaf["schema"], "$defs": contract()["$defs"]})


def _library() -> Any:
    try:
        from jsonschema import Draft202012Validator
    except ImportError as error:
        raise BadSetting(
            "The sandbox checks requests with the package jsonschema, which is not installed. "
            "`python -m pip install jsonschema`, run with the Python that runs this, installs it."
        ) from error
    return Draft202012Validator


def _problems(validator: Any, data: Any, where: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for error in validator.iter_errors(data):
        path = where
        for part in error.absolute_path:
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        found.setdefault(path or "$", []).append(_sentence(error))
    return found


def _sentence(error: Any) -> str:
    name = str(error.absolute_path[-1]) if error.absolute_path else "value"
    match error.validator:
        case "minimum" | "maximum":
            low, high = error.schema.get("minimum"), error.schema.get("maximum")
            return f"The field {name[:1].upper() + name[1:]} must be between {low} and {high}."
        case "required":
            return f"JSON deserialization was missing required properties including: {error.message.split(' ')[0]}"
        case "additionalProperties":
            return f"Unknown property: {error.message}"
    return error.message if len(error.message) < 300 else error.message[:300] + "…"
