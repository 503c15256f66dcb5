"""Any workflow that fits the contract, or the older description, in either dialect and with fields that nobody knows, is
shown without a crash, and nothing that it says is lost."""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pack_root import ROOT

from pack.civitai_bridge.workflows.details import StepDetails, details_from_json
from pack.civitai_bridge.workflows.documents import job_document, snaked, step_document, workflow_document
from pack.civitai_bridge.workflows.job_details import JobDetails
from pack.civitai_bridge.workflows.texts import job_text, list_line, shown, step_text, workflow_text

CONTRACT = json.loads((ROOT / "civitai_bridge" / "sandbox" / "contract.json").read_text(encoding="utf-8"))
STATUSES = (
    "unassigned",
    "preparing",
    "scheduled",
    "processing",
    "succeeded",
    "failed",
    "expired",
    "canceled",
    "deleted",
)
WORDS = st.text(string.printable + "äß中\x1b\u202e", max_size=12)
NUMBERS = st.one_of(st.integers(-(2**63), 2**63), st.floats(allow_nan=False, allow_infinity=False, width=32))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS)
ANY = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
                   max_leaves=8)  # fmt: skip

# The older description of a workflow, as a schema: only id and status are required there.
STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


OLD_BLOB = _object(blobId=STRING, url=STRING, mimeType=STRING, width=INTEGER, height=INTEGER, durationMs=INTEGER,
                   nsfwLevel=INTEGER)  # fmt: skip
OLD_STEP = _object(
    **{"$type": {"enum": ["imageGen", "videoGen", "audioGen", "textGen", "transcribe", "tts", "music", "comfy"]}},
    name=STRING, status=STRING,
    input=_object(
        engine=STRING, model=STRING, prompt=STRING, negativePrompt=STRING, width=INTEGER, height=INTEGER,
        aspectRatio=STRING, steps=INTEGER, cfgScale={"type": "number"}, sampler=STRING, seed=INTEGER, quantity=INTEGER,
        additionalNetworks=_array(_object(air=STRING, strength={"type": "number"})),
    ),
    jobs=_array(_object(id=STRING, status=STRING, result=_object(blobs=_array(OLD_BLOB)))),
)  # fmt: skip
OLD = _object(
    id=STRING, status={"enum": list(STATUSES)}, tags=_array(STRING), callbackUrl=STRING, callbackEvents=_array(STRING),
    createdAt=STRING, startedAt=STRING, completedAt=STRING,
    cost=_object(base=INTEGER, total=INTEGER, currency={"enum": ["BUZZ"]}), steps=_array(OLD_STEP),
)  # fmt: skip
# What came to the contract later.
PLACE = _object(support=STRING, precedingJobs=INTEGER, estimatedStartAt=STRING)
NEWER_STEP = _object(
    queuePosition=PLACE, preparation=_array(_object(resource=STRING, sizeBytes=INTEGER, progress={"type": "number"})),
    warnings=_array(_object(code=STRING, message=STRING, replacement=STRING)),
)  # fmt: skip
NEWER = _object(deletedAt={"type": ["null", "string"]})
COST = _object(fees={"type": "object", "additionalProperties": {"type": "number"}})


def strategy(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """JSON that fits a schema, with now and then a member that it does not know."""
    return _strategy(json.dumps(schema, sort_keys=True))


@cache
def _strategy(text: str) -> st.SearchStrategy[Any]:
    schema = json.loads(text)
    if "$ref" in schema:
        return st.deferred(lambda: strategy(CONTRACT["$defs"][schema["$ref"].rsplit("/", 1)[1]]))
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for name in ("oneOf", "anyOf"):
        if name in schema:
            return st.one_of(*map(strategy, schema[name]))
    if "allOf" in schema:
        return st.tuples(*map(strategy, schema["allOf"])).map(
            lambda parts: {k: v for part in parts for k, v in part.items()}
        )
    kinds = schema.get("type", "any")
    return st.one_of(*(_of_type(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)))


def _of_type(kind: str, schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if kind == "object":
        required = set(schema.get("required", ()))
        known = {name: strategy(inner) for name, inner in schema.get("properties", {}).items()}
        fixed = st.fixed_dictionaries(
            {name: inner for name, inner in known.items() if name in required},
            optional={name: inner for name, inner in known.items() if name not in required},
        )
        more = schema.get("additionalProperties")
        names = st.text(string.ascii_letters, min_size=1, max_size=6).map(lambda name: f"x{name}")
        free = st.dictionaries(names, strategy(more) if isinstance(more, Mapping) and more else ANY, max_size=1)
        return st.tuples(free, fixed).map(lambda parts: {**parts[0], **parts[1]})
    if kind == "array":
        return st.lists(strategy(schema.get("items", {})), max_size=2)
    if kind == "string" and schema.get("format") == "date-time":
        return st.sampled_from(
            ("2026-10-01T10:00:00.0Z", "2026-10-01T10:00:04.1234567Z", "2026-10-01T12:00:00+02:00", "soon")
        )
    return {
        "string": WORDS, "integer": st.integers(-(2**53), 2**53), "boolean": st.booleans(), "null": st.none(),
        "number": NUMBERS, "any": ANY,
    }[kind]  # fmt: skip


@st.composite
def of_the_contract(draw: st.DrawFn) -> dict[str, Any]:
    """A workflow of the contract of June, with what August added, with jobs or without."""
    workflow = draw(strategy({"$ref": "#/$defs/Workflow"})) | draw(strategy(NEWER))
    workflow["cost"] |= draw(strategy(COST))
    for step in workflow["steps"]:
        step |= draw(strategy(NEWER_STEP))
        if draw(st.booleans()):
            step.pop("jobs", None)
    return workflow


def leaves(value: Any) -> Iterator[str]:
    """Every word, number and truth in some JSON."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif value is not None and value != "":
        yield json.dumps(value)


def lost(raw: Any, document: Any) -> Counter[str]:
    json.dumps(document)
    return Counter(leaves(raw)) - Counter(leaves(document))


def is_said(value: Any, text: str) -> bool:
    words = shown(value)
    return all(line.strip() in text for line in words.split("\n"))


def check(workflow: dict[str, Any]) -> None:
    details = details_from_json(workflow)
    assert lost(workflow, workflow_document(details)) == Counter()
    text = workflow_text(details)
    assert "\x1b" not in text and "\u202e" not in text
    list_line(details)
    parts = [workflow, *details.raw.get("steps", ()), *(job for step in details.steps for job in step.jobs)]
    for part in parts:
        for value in part.values():
            if isinstance(value, (str, int, float)) and value != "":
                assert is_said(value, text), value
    for output in (each for step in details.steps for each in step.outputs):
        assert not output.id or shown(output.id).split() <= text.split() or is_said(output.id.strip(), text)


QUIET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@QUIET
@given(of_the_contract())
def test_a_workflow_of_the_contract_is_shown_whole(workflow: dict[str, Any]):
    check(workflow)


@QUIET
@given(strategy({**OLD, "required": ["id", "status"]}))
def test_a_workflow_of_the_older_description_is_shown_whole(workflow: dict[str, Any]):
    check(workflow)


@QUIET
@given(
    st.dictionaries(st.sampled_from(("id", "status", "steps", "cost", "transactions", "tags", "deletedAt", "odd")), ANY)
)
def test_nothing_of_any_object_is_lost(workflow: dict[str, Any]):
    details = details_from_json(workflow)
    assert lost(workflow, workflow_document(details)) == Counter()
    workflow_text(details)
    list_line(details)


@QUIET
@given(
    st.dictionaries(st.sampled_from(("$type", "name", "status", "jobs", "input", "output", "odd")), ANY),
    st.integers(0, 3),
)
def test_nothing_of_any_step_is_lost(step: dict[str, Any], index: int):
    details = StepDetails(index, step)
    assert lost(step, step_document(details)) == Counter()
    step_text(details)


V1 = st.dictionaries(st.sampled_from(("jobId", "cost", "job", "result", "lastEvent", "serviceProviders", "odd")), ANY)
EVENTS = st.fixed_dictionaries(
    {"lastEvent": st.dictionaries(st.sampled_from(("type", "provider", "context", "x")), ANY)}
)


@QUIET
@given(st.tuples(V1, st.one_of(st.just({}), EVENTS)).map(lambda parts: {**parts[0], **parts[1]}))
def test_nothing_of_any_job_is_lost(job: dict[str, Any]):
    details = JobDetails(job)
    assert lost(job, job_document(details)) == Counter()
    job_text(details)


def test_a_job_reads_as_people_know_it():
    job = JobDetails(
        {
            "jobId": "58de87d7-d594-4d71-ae43-dd8fc1bcbd23",
            "job": {
                "type": "TextToImageV2",
                "promptClassificationResult": {"sexual": True, "cr": False, "young": True, "scan": True},
                "properties": {"workflowId": "8484131-20260121222126332"},
            },
            "result": [{"blobKey": "JNFDW54JNTATNW42HACYCWSQP0.jpeg", "available": True}] * 2,
            "lastEvent": {
                "type": "Succeeded",
                "provider": "ValdiAI",
                "context": {"hive_csam_score": "0.00 %, 0.00 %", "hive_vlm_summary": "X, No_Child"},
            },
        }
    )
    assert job_text(job) == "\n".join(
        (
            "Job Summary:", "  ID: 58de87d7-d594-4d71-ae43-dd8fc1bcbd23", "  Type: TextToImageV2",
            "  Workflow ID: 8484131-20260121222126332", "", "Prompt Classification: sexual, young, scan", "",
            "Results (2 blob(s)):", *["  - JNFDW54JNTATNW42HACYCWSQP0.jpeg (available: true)"] * 2, "", "Last Event:",
            "  Type: Succeeded", "  Provider: ValdiAI", "", "Event Context (scan results, metrics):",
            "  ** hive_csam_score: 0.00 %, 0.00 %", "  ** hive_vlm_summary: X, No_Child",
        )
    )  # fmt: skip
    assert [output.id for output in job.outputs] == ["JNFDW54JNTATNW42HACYCWSQP0.jpeg"]


def test_names_that_would_become_one_are_kept_apart():
    for names in ({"$": 1, "": 2}, {"aB": 1, "a_b": 2}, {"AB": 1, "Ab": 2, "ab": 3}, {"$type": 1, "type": 2}):
        assert sorted(snaked(names).values()) == sorted(names.values())


def test_a_blob_says_also_what_its_line_has_no_place_for():
    odd = {"blobId": "A.png", "url": "https://x/a", "width": 640, "nsfwLevel": 7, "mimeType": 3, "blockedReason": "odd"}
    step = {"name": "gen", "output": {"images": [odd]}}
    text = step_text(StepDetails(0, step))
    assert all(f"    {line}" in text for line in ("width: 640", "nsfwLevel: 7", "mimeType: 3", "blockedReason: odd"))
    plain = {"id": "A.png", "available": True, "url": "https://x/a", "width": 6, "height": 4, "nsfwLevel": "pg"}
    text = step_text(StepDetails(0, {"name": "gen", "output": {"images": [plain]}}))
    assert text.endswith("  Result 0: image A.png 6 x 4 pg")


def test_signed_addresses_and_long_values_are_cut_for_people():
    url = "https://orchestration.civitai.com/v2/consumer/blobs/A.png?sig=SECRET&exp=2027"
    assert "SECRET" not in shown({"url": url}) and "A.png?…" in shown(url)
    assert shown("x" * 3000).endswith("(1,000 characters more; --json has them)")
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert "nested too deep" in shown({"deep": deep})
