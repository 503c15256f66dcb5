"""Makes the two tables that stand on CivitAI's OpenAPI contract:

    python3 tools/make_variants.py CONTRACT.json

- `civitai_bridge/orchestration/variants.json`: every imageGen variant as data (what the clients build and check
bodies with);
- `civitai_bridge/sandbox/contract.json`: the schemas that the sandbox and the tests hold requests and answers against.

The two share no code at run time: the sandbox must not agree with the clients by using their table. A newer contract
is this one command; a test says when fields of a variant are no longer only appended.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VARIANTS = ROOT / "civitai_bridge" / "orchestration" / "variants.json"
CONTRACT = ROOT / "civitai_bridge" / "sandbox" / "contract.json"
ORIGIN = (
    "Parts of the OpenAPI contract of CivitAI's orchestration consumer API (v2), as CivitAI publishes it for "
    "its callers "
    "(civitai/civitai-comfy-nodes: spec/v2-consumers.json, 2026-06-29, Apache-2.0 repository; also served live "
    "by the API). "
    "Trimmed to imageGen, WorkflowTemplate and Workflow, and flattened for JSON Schema, by tools/make_variants.py."
)
# Paths that a later snapshot of the contract no longer has; saved graphs may still name them.
RETIRED = ("comfy/krea2/base",)
KEPT = ("WorkflowTemplate", "UpdateWorkflowRequest", "Workflow", "ImageBlob", "ProblemDetails", "ResourceInfo")
AIR_MARK = "?<ecosystem>"


def main(path: str) -> None:
    contract = json.loads(Path(path).read_text(encoding="utf-8"))
    schemas = contract["components"]["schemas"]
    leaves = list(walk(schemas, "ImageGenInput", {}, []))
    write(VARIANTS, {"origin": ORIGIN, "variants": [variant(schemas, *leaf) for leaf in leaves]})
    write(CONTRACT, sandbox_contract(schemas, leaves))
    print(f"{len(leaves)} variants, {len(json.loads(CONTRACT.read_text())['$defs'])} schemas")


def walk(schemas: dict[str, Any], name: str, selectors: dict[str, str], chain: list[str]) -> Any:
    """Every leaf of the discriminator tree: its selectors in order, and the schemas from the root down to it."""
    schema = schemas[name]
    own = [part for part in schema.get("allOf", [schema]) if "$ref" not in part]
    discriminator = next((part["discriminator"] for part in own if "discriminator" in part), None)
    chain = [*chain, name]
    if discriminator is None:
        yield selectors, chain
        return
    field = discriminator["propertyName"]
    for value, ref in discriminator["mapping"].items():
        target = ref.rsplit("/", 1)[1]
        if target == name:  # a selector with one value that leads nowhere further
            yield {**selectors, field: value}, chain
        else:
            yield from walk(schemas, target, {**selectors, field: value}, chain)


def flat(schemas: dict[str, Any], chain: list[str]) -> tuple[dict[str, Any], list[str]]:
    """All properties and required names along a chain of `allOf`; what stands deeper wins."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name in chain:
        for part in parents(schemas, name):
            properties |= part.get("properties", {})
            required += [field for field in part.get("required", []) if field not in required]
    return properties, required


def parents(schemas: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A schema's own part, after those it stands on."""
    schema = schemas[name]
    if "allOf" not in schema:
        return [schema]
    found: list[dict[str, Any]] = []
    for part in schema["allOf"]:
        found += parents(schemas, part["$ref"].rsplit("/", 1)[1]) if "$ref" in part else [part]
    return found


# --- the clients' table ---------------------------------------------------------------------------------------------


def variant(schemas: dict[str, Any], selectors: dict[str, str], chain: list[str]) -> dict[str, Any]:
    properties, required = flat(schemas, chain)
    operation = selectors.get("operation", "")
    parts = [value for name, value in selectors.items() if name != "operation"]
    # The two halves of fal's qwen2 differ by the operation's name only; its better model gets a path of its own.
    if operation.startswith("pro") and operation[3:4].isupper():
        parts.append("pro")
    fields = {}
    for name, schema in properties.items():
        if name not in selectors and name not in ("outputFormat", "imageMetadata"):
            fields[name] = field(schemas, schema, name in required)
    path = "/".join(parts)
    return {"path": path, "operation": operation, "selectors": selectors, "retired": path in RETIRED, "fields": fields}


def field(schemas: dict[str, Any], schema: dict[str, Any], required: bool) -> dict[str, Any]:
    schema = resolved(schemas, schema)
    types = schema.get("type")
    types = types if isinstance(types, list) else [types]
    kind = next((t for t in types if t not in ("null", None)), "object")
    data: dict[str, Any] = {"type": kind}
    if required:
        data["required"] = True
    if "null" in types:
        data["nullable"] = True
    for ours, theirs in (
        ("default", "default"),
        ("minimum", "minimum"),
        ("maximum", "maximum"),
        ("max_length", "maxLength"),
        ("min_items", "minItems"),
        ("max_items", "maxItems"),
        ("choices", "enum"),
        ("format", "format"),
    ):
        if schema.get(theirs) is not None:
            data[ours] = schema[theirs]
    if AIR_MARK in schema.get("pattern", ""):
        data["type"] = "air"
    if kind == "array":
        items = resolved(schemas, schema.get("items", {}))
        inner = items.get("properties", {})
        if AIR_MARK in items.get("pattern", ""):
            data["type"] = "airs"
        elif "air" in inner and "strength" in inner:
            strength = resolved(schemas, inner["strength"])
            data |= {"type": "lora-list", "minimum": strength.get("minimum"), "maximum": strength.get("maximum")}
        elif "preprocessor" in inner:
            data["type"] = "controlnets"
        elif "imageUrl" in inner:
            data["type"] = "style-references"
        else:
            data["type"] = "strings"
    if kind == "object" and resolved(schemas, schema.get("additionalProperties") or {}).get("type") == "number":
        data["type"] = "lora-map"
    return data


def resolved(schemas: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(schema, dict):
        return {}
    for word in ("oneOf", "anyOf", "allOf"):
        parts = [part for part in schema.get(word, []) if part.get("type") != "null"]
        if len(parts) == 1:
            schema = {**{k: v for k, v in schema.items() if k != word}, **parts[0]}
    if "$ref" in schema:
        target = schemas[schema["$ref"].rsplit("/", 1)[1]]
        return resolved(schemas, {**target, **{k: v for k, v in schema.items() if k != "$ref"}})
    return schema


# --- the sandbox's contract
# --------------------------------------------------------------------------------------------


def sandbox_contract(schemas: dict[str, Any], leaves: list[Any]) -> dict[str, Any]:
    """JSON Schema 2020-12. `allOf` with `additionalProperties: false` on each part accepts nothing, so leaves are
    flattened; WorkflowStep(Template) is cut to imageGen, whose input is the schema of its selectors."""
    inputs, defs, wanted = [], {}, set()
    for selectors, chain in leaves:
        properties, required = flat(schemas, chain)
        fixed = {name: {"const": value} for name, value in selectors.items()}
        schema = {
            "type": "object",
            "properties": {**fixed, **{n: p for n, p in properties.items() if n not in selectors}},
            "required": list(dict.fromkeys([*selectors, *required])),
            "additionalProperties": False,
        }
        inputs.append({"selectors": selectors, "schema": cleaned(schema, wanted)})
    for name in KEPT:
        wanted.add(name)
    while missing := sorted(wanted - defs.keys()):
        for name in missing:
            defs[name] = cleaned(definition(schemas, name), wanted)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": ORIGIN,
        "imageGen": inputs,
        "$defs": dict(sorted(defs.items())),
    }


def definition(schemas: dict[str, Any], name: str) -> dict[str, Any]:
    if name in ("WorkflowStep", "WorkflowStepTemplate"):
        own = schemas["ImageGenStep" if name == "WorkflowStep" else "ImageGenStepTemplate"]
        properties: dict[str, Any] = {}
        required: list[str] = []
        for part in parents({**schemas, "own": own}, "own"):
            properties |= part.get("properties", {})
            required += part.get("required", [])
        properties["input"] = {"type": "object"}  # held against the variant of its selectors
        properties["$type"] = {"const": "imageGen"}
        return {
            "type": "object",
            "properties": properties,
            "required": sorted(set(required)),
            "additionalProperties": False,
        }
    schema = schemas[name]
    if "allOf" in schema:
        properties, required = flat(schemas, [name])
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return schema


def cleaned(schema: Any, wanted: set[str]) -> Any:
    """References to `$defs`, Python's group names, no prose: what a schema library needs and nothing else."""
    if isinstance(schema, list):
        return [cleaned(part, wanted) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        wanted.add(name)
        return {"$ref": f"#/$defs/{name}"}
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("description", "discriminator", "example", "examples", "title", "readOnly"):
            if key not in ("title", "description") or isinstance(value, str):
                continue
        if key == "properties":
            out[key] = {name: cleaned(part, wanted) for name, part in value.items()}
        elif key == "pattern":
            out[key] = re.sub(r"\(\?<(?=[a-zA-Z])", "(?P<", value)
        elif key == "enum" or key == "required" or key == "default":
            out[key] = value
        else:
            out[key] = cleaned(value, wanted)
    return out


def write(path: Path, data: Any) -> None:
    text = json.dumps(data, indent=1, ensure_ascii=False)
    # Short lists and objects on one line: a table that a person can read in a diff.
    text = re.sub(r"[\[{]\n\s+(?:[^\[\]{}]{1,200}?)\n\s+[\]}]", lambda m: re.sub(r"\n\s+", " ", m[0]), text)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
