"""What the sandbox's orchestrator accepts: orders that CivitAI's contract allows, with models that it may use."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

from PIL import Image

from . import models, schema
from .workflows import Refusal, invalid, problem


def checked(body: Any, *, strict: bool) -> list[dict[str, Any]]:
    """The resolved inputs of a body, or the Refusal that the contract asks for."""
    if not isinstance(body, dict):
        raise invalid({"$": ["The JSON value could not be converted to WorkflowTemplate."]})
    whole = {"currencies": [], **body}
    found = schema.problems("WorkflowTemplate", whole)
    steps = whole.get("steps")
    for place, step in enumerate(steps if isinstance(steps, list) else []):
        where = f"steps[{place}]"
        kind = step.get("$type") if isinstance(step, dict) else None
        if kind != "imageGen":
            raise invalid({f"$.{where}": [f"The step type {kind!r} is unknown to this sandbox; it runs imageGen."]})
    if found:
        raise invalid(found)
    if any(len(tag) > 200 for tag in body.get("tags") or ()):
        raise invalid({"tags": ["A tag can be at most 200 characters long."]})
    if body.get("ephemeral") and not body.get("callbacks"):
        raise invalid({"ephemeral": ["Ephemeral workflows need a callback or a wait."]})
    inputs = []
    for place, step in enumerate(whole["steps"]):
        where, data = f"steps[{place}].input", step["input"]
        leaf = schema.variant_schema(data)
        if leaf is not None and not strict:
            data = schema.without_unknown(data, leaf)
        data = {name: value for name, value in data.items() if value is not None}
        errors, leaf = schema.input_problems(data, where)
        # The live server takes sdcpp/flux1 without the three other components.
        if data.get("engine") == "sdcpp" and data.get("ecosystem") == "flux1":
            errors = {p: [s for s in said if "missing required" not in s] for p, said in errors.items()}
        if errors := {path: said for path, said in errors.items() if said}:
            raise invalid(errors)
        assert leaf is not None
        _may_generate(data)
        inputs.append(schema.with_defaults(data, leaf))
    return inputs


def _may_generate(data: Mapping[str, Any]) -> None:
    airs = [str(v) for v in data.values() if isinstance(v, str) and v.lower().startswith("urn:air:")]
    loras = data.get("loras") or {}
    airs += list(loras) if isinstance(loras, dict) else [str(lora.get("air")) for lora in loras]
    for air in airs:
        version = models.by_air(air)
        if version is not None and not version.can_generate:
            text = f"{version.model} is not enabled for generation. Please contact the creator."
            raise Refusal(400, {"title": "Bad Request", "status": 400, "errors": {"messages": [text]}})


def first_picture(data: Mapping[str, Any]) -> bytes | None:
    """The first source picture inside an input; None where there is none. Raises Refusal."""
    given = data.get("image") or next(iter(data.get("images") or ()), None)
    if not isinstance(given, str):
        return None
    try:
        content = base64.b64decode(given.split(",", 1)[1] if given.startswith("data:") else given, validate=True)
        with Image.open(io.BytesIO(content)) as image:
            image.load()
        return content
    except (ValueError, IndexError, OSError, SyntaxError) as error:
        raise problem(400, "Bad Request", "Input image failed to download from URL.") from error
