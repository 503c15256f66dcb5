"""GenerationData: the doors for a stranger's numbers, JSON there and back, and values that cannot be changed."""

from __future__ import annotations

import copy
import inspect
import json
import math
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_a1111 import DATA

from pack.civitai_bridge.metadata.generation import GenerationData, Upscale, UsedResource
from pack.civitai_bridge.metadata.generation_json import generation_from_json
from pack.civitai_bridge.metadata.quantities import guidance_scale, layers, pixels, step_count
from pack.civitai_bridge.resources.json_values import number, whole

NUMBERS: list[tuple[object, int | None, float | None]] = [
    (20, 20, 20.0), ("20", 20, 20.0), (20.0, 20, 20.0), ("20.0", 20, 20.0), (" 7 ", 7, 7.0), ("-3", -3, -3.0), (20.5, None, 20.5), ("20.5", None, 20.5),
    (True, None, None), (None, None, None), ("", None, None), ("nan", None, None), (math.nan, None, None), (math.inf, None, None), ("inf", None, None),
    ("1e999", None, None), ("1_0", None, None), ("0x5", None, None), ("9" * 5000, None, None), ("²", None, None), ("٣", 3, 3.0), (10**400, None, None),
    (2**63, 2**63, 2.0**63), (2**64, None, 2.0**64), ([], None, None), ({}, None, None), (b"5", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "as_whole", "as_number"), NUMBERS)
def test_the_doors_for_numbers(value: object, as_whole: int | None, as_number: float | None):
    assert (whole(value), number(value)) == (as_whole, as_number)
    assert pixels(value) == (as_whole if as_whole is not None and 0 < as_whole < 2**16 else None)


DOORS: list[tuple[Callable[[object], object], list[object], list[object]]] = [
    (step_count, [0, "20", 10_000], [-4, 99_999_999_999, 10_001, "many"]),
    (pixels, [1, "65535"], [0, -1, 999_999_999, 65_536]),
    (guidance_scale, [-1.5, "7", 1000.0], [1e300, "-1e300", 1001, "nan"]),
    (layers, [0, 1, "12"], [-1, 101, 2**40]),
]


@pytest.mark.parametrize(("door", "good", "bad"), DOORS, ids=[one[0].__name__ for one in DOORS])
def test_what_no_tool_takes_does_not_enter(door: Callable[[object], object], good: list[object], bad: list[object]):
    assert [door(one) for one in good] == [float(str(one)) for one in good]
    assert [door(one) for one in bad] == [None] * len(bad)


def test_an_object_that_claims_too_much_is_left_out_by_name():
    said = {"steps": -4, "width": -1, "height": 70_000, "cfg": 1e300, "guidance": -1e9, "clip_skip": 500, "seed": 5}
    data = generation_from_json({**said, "upscale": {"steps": 10**9, "width": -5, "scale": 2.0}})
    assert data.to_json() | {"notes": []} == GenerationData(seed=5, upscale=Upscale(scale=2.0)).to_json()
    for name in said.keys() - {"seed"}:
        assert any(note.startswith(f"{name} is left out") for note in data.notes), name
    assert sum(note.startswith(("steps", "width")) for note in data.notes) == 4


def test_a_value_that_says_nothing():
    assert (
        GenerationData() == GenerationData(extra={}, texts={}, missing={})
        and GenerationData().extra is not GenerationData().extra
    )
    assert UsedResource("").strength_clip == 1.0 and UsedResource("", 0.5, clip_weight=0.2).strength_clip == 0.2
    assert Upscale().to_json() == {} and UsedResource("a").to_json() == {
        "air": "a",
        "weight": 1.0,
        "name": "",
        "kind": "lora",
    }


def test_values_cannot_be_changed_and_can_be_copied():
    data = GenerationData(prompt="a", networks=(UsedResource("x", 0.5),), upscale=Upscale("u", 2.0))
    with pytest.raises(FrozenInstanceError):
        data.prompt = "b"  # type: ignore[misc]
    with pytest.raises(TypeError):
        UsedResource()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        UsedResource("", colour="red")  # type: ignore[call-arg]
    assert copy.deepcopy(data) == pickle.loads(pickle.dumps(data)) == replace(data) == data
    assert asdict(data)["networks"][0]["weight"] == 0.5 and "prompt='a'" in repr(data)
    assert hash(UsedResource("x")) == hash(UsedResource("x")) and {Upscale(): 1}[Upscale()] == 1


def test_a_value_made_of_its_fields_is_the_same_as_one_made_by_name():
    members = {"prompt": "a", "seed": 4, "upscale": Upscale("u", 2.0)}
    data = GenerationData.of(members)
    assert data == GenerationData(**members) == replace(data) and repr(data) == repr(GenerationData(**members))
    assert copy.deepcopy(data) == pickle.loads(pickle.dumps(data)) == data and data.to_json()["texts"] == {}
    with pytest.raises(TypeError, match="colour"):
        GenerationData.of({"colour": "red"})
    for kind in (UsedResource, Upscale):
        accepted = list(inspect.signature(kind.__init__).parameters)[1:]
        assert accepted == [member.name for member in fields(kind)]
        filled = kind(**{name: name for name in accepted})
        assert all(getattr(filled, name) == name for name in accepted)


@given(DATA)
@settings(max_examples=200, deadline=None)
def test_json_there_and_back(data: GenerationData):
    assert generation_from_json(json.loads(json.dumps(data.to_json()))) == data


def test_a_bad_member_is_named_and_loses_nothing_else():
    said = GenerationData(prompt="a", seed=5, networks=(UsedResource("x"),)).to_json()
    said.update(
        steps="many",
        width=True,
        cfg="nan",
        networks=[{"air": "x", "weight": "nan"}, 5],
        upscale="big",
        extra=[],
        texts={"a": 5, "b": "c"},
        unknown=1,
    )
    data = generation_from_json(said)
    assert (data.prompt, data.seed, data.steps, data.width, data.cfg, data.upscale) == ("a", 5, None, None, None, None)
    assert [(one.air, one.weight) for one in data.networks] == [("x", 1.0)] and data.texts == {"b": "c"}
    for name in ("steps", "width", "cfg", "weight", "upscale", "extra", "1 of 2 entries"):
        assert any(note.startswith(name) for note in data.notes), (name, data.notes)


@given(
    st.dictionaries(
        st.sampled_from([*GenerationData().to_json()]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=6,
        ),
    )
)
@settings(max_examples=200, deadline=None)
def test_any_object_is_read(said: dict[str, object]):
    data = generation_from_json(said)
    assert generation_from_json(json.loads(json.dumps(data.to_json()))).seed == data.seed
