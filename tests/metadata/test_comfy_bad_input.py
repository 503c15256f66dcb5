"""Graphs that were made to hurt: rings, endless chains, broken JSON, values of the wrong kind."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_comfy_packs import PROMPT
from test_comfy_reader import core, node, read, workflow
from test_comfy_workflow import SAMPLER, grouped, whole, with_subgraph

from pack.civitai_bridge.metadata.comfy.reader import read_comfy, read_graph


def test_cycles_end():
    graph = core()
    graph["4"] = node("ModelMerge", model=["10", 0], ckpt_name=["10", 0], clip=["4", 0])
    graph["6"] = node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["7", 0])
    graph["7"] = node("ConditioningConcat", conditioning_to=["6", 0], conditioning_from=["7", 0])
    graph["3"]["inputs"].update(seed=["50", 0], latent_image=["3", 0])
    graph["50"] = node("PrimitiveInt", value=["50", 0])
    data = read(graph)
    assert data.steps == 20 and data.seed is None
    assert any("circle" in note for note in data.notes)


def test_a_long_chain_is_no_trouble():
    graph = core()
    for i in range(100, 5100):
        graph[str(i)] = node(
            "Concat", conditioning=[str(i + 1), 0], text_a=[str(i + 1), 0], value=[str(i + 1), 0], model=[str(i + 1), 0]
        )
    graph["3"]["inputs"].update(positive=["100", 0], model=["100", 0], seed=["100", 0])
    graph["6"]["inputs"]["text"] = ["100", 0]
    assert read(graph).steps == 20


@pytest.mark.parametrize(
    "text",
    ['{"3": {"class_type": "KSampler", "inp', '{"a": ' * 5000, "[1, 2]", "{}", "null", "", "nonsense", '{"a": 5}'],
)
def test_what_is_no_graph(text: str):
    data = read_comfy(text)
    assert data is None or (data.prompt == "" and data.notes)


def test_nan_and_undefined_in_a_graph():
    text = json.dumps(core()).replace("7.5", "NaN").replace('"batch_size": 1', '"batch_size": undefined')
    data = read_comfy(text)
    assert data is not None and (data.cfg, data.steps) == (None, 20)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["model", "value", "text", "lora_1", "loras", "lora", "strength", "seed"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
INPUT = st.sampled_from(["3", "4", "5", "6", "7", "10"]).map(lambda one: [one, 0]) | JSON


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_any_change_of_a_graph_is_survived(data: st.DataObject):
    graph = core()
    for _ in range(data.draw(st.integers(1, 5))):
        inputs = graph[data.draw(st.sampled_from(sorted(graph)))]["inputs"]
        inputs[
            data.draw(
                st.sampled_from([*sorted(inputs), "positive", "lora_name_1", "loras", "lora_count", "guider", "sigmas"])
            )
        ] = data.draw(INPUT)
    found = read_graph(graph)
    assert found is not None
    json.dumps(found.to_json(), allow_nan=False)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4))
@settings(max_examples=200, deadline=None)
def test_any_object_is_survived(value: dict[str, Any]):
    read_graph(value)
    read_comfy(
        workflow=json.dumps(
            {
                "nodes": [value, {"id": 1, "type": "KSampler", **value}],
                "links": [[1], value, [1, 2, 3, 4]],
                "extra": value,
            }
        )
    )


def test_mutated_texts_are_survived():
    for text in (json.dumps(core()), json.dumps(workflow())):
        for seed in range(300):
            dice = random.Random(seed)
            at, length = dice.randrange(len(text)), dice.randrange(30)
            broken = (
                text[:at] + dice.choice(["", '"', "}", "{", "null", "[1,0]", "NaN", "\ud800"]) + text[at + length :]
            )
            read_comfy(broken, broken)


def test_a_switch_wired_in_a_ring_is_said():
    graph = core(
        a=node("ImpactSwitch", select=1, input1=["b", 0], input2=["4", 0]),
        b=node("ImpactSwitch", select=1, input1=["a", 0], input2=["4", 0]),
    )
    graph["3"]["inputs"]["model"] = ["a", 0]
    data = read(graph)
    assert data.model_name == "" and any("circle" in note for note in data.notes)
    graph["b"]["inputs"]["select"] = 2
    data = read(graph)
    assert data.model_name == "sdxl/base.safetensors" and data.notes == ()


def test_more_nodes_than_are_read():
    graph = {**core(), **{f"x{i}": node("Reroute", a=["4", 0]) for i in range(20_000)}}
    data = read(graph)
    assert data.seed == 42 and any("more than 20,000 nodes" in note for note in data.notes)


def test_a_wire_through_too_many_nodes_is_said():
    graph = core(**{f"x{i}": node("Reroute", a=[f"x{i + 1}" if i < 499 else "4", 0]) for i in range(500)})
    graph["3"]["inputs"]["model"] = ["x0", 0]
    data = read(graph)
    assert data.model_name == "" and any("too many nodes" in note for note in data.notes)


JUNK: list[Any] = [None, True, -1, 2.5, 10**30, "", "none", "1:2", [], {}, [1], ["3", -5], [[]], {"lora": 5}, {"content": "c"}, [{"name": "n"}], "on", -10, -20, {"name": "seed"}, ["1", "text"]]  # fmt: skip


@pytest.mark.parametrize(
    "make", [whole, with_subgraph, lambda: grouped([PROMPT, *SAMPLER])], ids=["a page", "a subgraph", "a group"]
)
def test_any_change_of_a_page_is_survived(make: Any):
    """Values anywhere in a page, of any kind, in the place of others."""
    for seed in range(300):
        dice, page = random.Random(seed), copy.deepcopy(make())
        for _ in range(dice.randint(1, 4)):
            part: Any = page
            while isinstance(part, (dict, list)) and part:
                key = dice.choice(list(part)) if isinstance(part, dict) else dice.randrange(len(part))
                if not isinstance(part[key], (dict, list)) or dice.random() < 0.25:
                    part[key] = copy.deepcopy(dice.choice(JUNK))
                    break
                part = part[key]
        found = read_comfy(workflow=json.dumps(page))
        assert found is None or json.dumps(found.to_json(), allow_nan=False)
