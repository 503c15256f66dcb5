"""What a graph will do: the most Buzz, who pays, what is written and loaded; and that a hostile graph makes it no less."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pack.civitai_bridge.graphs.analysis import Analysis, Rules, analyse
from pack.civitai_bridge.graphs.opened import open_graph
from pack.civitai_bridge.orchestration.limits import Limits

HOSTS = {
    "site": ("civitai.com",),
    "fleet": ("orchestration.civitai.com",),
    "media": ("image.civitai.com",),
    "storage": ("storage",),
}
PER_PROMPT, PER_DAY = 100, 500
RULES = Rules(Limits(PER_PROMPT, PER_DAY), HOSTS)
MAY_LOAD = Rules(Limits(PER_PROMPT, PER_DAY), HOSTS, may_download=True)
Prompt = dict[str, Any]


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def generate(**inputs: Any) -> dict[str, Any]:
    return node("CivitaiBridgeGenerate", **{"model": "128078", "prompt": "x", **inputs})


def look(prompt: Prompt, rules: Rules = RULES) -> Analysis:
    return analyse(open_graph(json.loads(json.dumps(prompt))), rules)


@pytest.mark.parametrize(
    ("max_buzz", "most"),
    [(30, 30), ("30", 30), (0, 100), (None, 100), (1000, 100), (["9", 0], 100), ([1, 2, 3], 100), ({"a": 1}, 100),
     (-5, 100), (30.5, 100), (True, 100), ("thirty", 100), (" 30 ", 30), ("٣", 100), (10**30, 100), ("1" * 5000, 100)],
)  # fmt: skip
def test_a_node_costs_at_most_its_own_plain_limit_else_the_settings(max_buzz: object, most: int):
    analysis = look({"1": generate(max_buzz=max_buzz), "9": node("PrimitiveInt", value=1)})
    assert (analysis.most_buzz, analysis.paying[0].most_buzz, analysis.asks) == (most, most, True)


def test_the_whole_costs_at_most_the_limit_of_a_prompt_and_runs_at_most_that_of_a_day():
    analysis = look({str(i): generate(max_buzz=30) for i in range(5)})
    assert (analysis.most_buzz, len(analysis.paying)) == (100, 5)
    assert [analysis.most_of(runs, RULES.limits) for runs in (0, 1, 3, 9)] == [100, 100, 300, 500]
    assert look({"1": generate()}, Rules(Limits(0, 0), HOSTS)).most_buzz == 0


@pytest.mark.parametrize("kind", ["GenerateEngine", "GenerateVideo", "Upscale", "EnhancePrompt", "CaptionImage"])
def test_every_node_of_ours_that_pays_is_known_before_it_is_there(kind: str):
    assert look({"1": node(f"CivitaiBridge{kind}", max_buzz=7)}).most_buzz == 7
    assert look({"1": node("CivitaiBridgeSomethingNewer", max_buzz=7)}).most_buzz == 7


def test_an_estimate_and_what_only_reads_ask_nothing():
    prompt = {
        "1": node("CivitaiBridgeEstimate", max_buzz=5), "2": node("CivitaiBridgeImageData", reference="900001"),
        "3": node("CivitaiBridgeResolve", reference="1"), "4": node("KSampler", seed=1), "5": node("PreviewImage"),
    }  # fmt: skip
    analysis = look(prompt)
    assert (analysis.asks, analysis.most_buzz, analysis.paying, analysis.writes) == (False, 0, (), ())
    assert analysis.hosts == ("civitai.com", "orchestration.civitai.com")


def test_pictures_in_the_output_folder_are_named_and_do_not_ask_by_themselves():
    analysis = look(
        {"1": node("CivitaiBridgeSaveImage", filename_prefix="<b>x"), "2": node("SaveImage", filename_prefix="y")}
    )
    assert [deed.name for deed in analysis.writes] == ["<b>x", "y"] and not analysis.asks


@pytest.mark.parametrize(
    ("kind", "inputs", "loads", "asks"),
    [
        ("Download", {"reference": "1", "allow_download": True}, True, True),
        ("Download", {"reference": "1", "allow_download": False}, False, False),
        ("Download", {"reference": "1"}, False, False),
        ("Download", {"reference": "1", "allow_download": ["2", 0]}, True, True),
        ("Download", {"reference": "1", "allow_download": "false"}, True, True),
        ("ApplyLoras", {"missing": "download"}, True, True),
        ("ApplyLoras", {"missing": "skip"}, False, False),
        ("ApplyLoras", {"missing": ["2", 0]}, True, True),
        ("CatalogAdd", {"reference": "1"}, False, True),
        ("CatalogPromote", {"reference": "1"}, False, True),
        ("CatalogCheck", {"resources": "1"}, False, False),
    ],
)
def test_what_loads_files_or_writes_catalogs_asks(kind: str, inputs: Prompt, loads: bool, asks: bool):
    analysis = look({"1": node(f"CivitaiBridge{kind}", **inputs)}, MAY_LOAD)
    assert (bool(analysis.downloads), analysis.asks) == (loads, asks)
    assert ("image.civitai.com" in analysis.hosts) is ("storage" in analysis.hosts) is loads
    assert "civitai.com" in analysis.hosts
    if loads:  # where no graph may load, nothing is loaded and nothing is to be agreed to
        refused = look({"1": node(f"CivitaiBridge{kind}", **inputs)})
        assert (refused.downloads, refused.asks) == ((), False) and "graph_downloads" in refused.notes[-1]


@pytest.mark.parametrize("kind", ["CivitaiPolyGenNewer", "CivitaiOffloadStart", "CivitaiOffloadEnd"])
def test_civitais_own_pack_pays_past_our_limits_and_is_said_to(kind: str):
    analysis = look({"1": node(kind), "2": node("CivitaiModelSelector"), "3": generate(max_buzz=5)})
    assert [each.most_buzz for each in analysis.paying] == [None, 5] and analysis.is_unlimited
    assert analysis.most_buzz == 5 and "not held by the limits" in analysis.notes[0]


@pytest.mark.parametrize("between", [[], ["Reroute"], ["easy positive", "Reroute"]])
def test_a_node_behind_a_list_may_cost_the_whole_limit(between: list[str]):
    prompt = {"0": node("CivitaiBridgePromptSheet", sheet="a")}
    for place, kind in enumerate(between, 1):
        prompt[str(place)] = node(kind, value=[str(place - 1), 0])
    prompt["9"] = generate(max_buzz=3, prompt=[str(len(between)), 0])
    assert look(prompt).paying[0].repeats and look(prompt).most_buzz == 100
    prompt["8"] = generate(max_buzz=4)
    assert [each.most_buzz for each in look(prompt).paying] == [100, 4]


@pytest.mark.parametrize("wire", [["0", True], ["0", 0.0], {"__value__": ["0", 0]}, {"__value__": ["0", False]}])
def test_a_node_behind_a_list_is_seen_by_every_wire_that_core_follows(wire: object):
    prompt = {"0": node("CivitaiBridgePromptSheet", sheet="a"), "1": generate(max_buzz=3, model=wire)}
    assert look(prompt).paying[0].repeats and look(prompt).most_buzz == 100
    no_node = {"0": node("KSampler"), "1": generate(max_buzz=3, model={"__value__": ["a text", 0]})}
    assert look(no_node).most_buzz == 3


def test_a_node_that_pays_and_makes_a_list_may_itself_be_behind_one():
    prompt = {"0": node("CivitaiBridgePromptSheet", sheet="a"), "1": generate(max_buzz=3, prompt=["0", 0])}
    rules = Rules(RULES.limits, HOSTS, makes_lists=lambda kind: kind.startswith("CivitaiBridge"))
    assert look(prompt, rules).paying[0].repeats and look(prompt, rules).most_buzz == 100


def test_a_server_says_what_makes_lists_and_a_class_that_nobody_knows_may():
    prompt = {"1": node("SomebodysNode"), "2": generate(max_buzz=3, prompt=["1", 0])}
    assert look(prompt).most_buzz == 100
    assert look(prompt, Rules(RULES.limits, HOSTS, makes_lists=lambda _: False)).most_buzz == 3
    assert look(prompt, Rules(RULES.limits, HOSTS, makes_lists=lambda kind: kind == "SomebodysNode")).most_buzz == 100
    loop = {"1": node("easy forLoopStart"), "2": generate(max_buzz=3)}
    assert look(loop, Rules(RULES.limits, HOSTS, makes_lists=lambda _: False)).most_buzz == 100


@pytest.mark.parametrize("kind", ["VHS_BatchManager", "ImpactQueueTrigger", "ImpactQueueTriggerCountdown", "AutoQueue"])
def test_a_graph_that_queues_itself_again_may_cost_the_limit_of_a_day(kind: str):
    analysis = look({"1": generate(max_buzz=3), "2": node(kind)})
    assert (analysis.most_buzz, analysis.paying[0].most_buzz) == (PER_DAY, 3) and "queue" in analysis.notes[-1]
    assert analysis.most_of(7, RULES.limits) == PER_DAY
    free = look({"1": node("KSampler"), "2": node(kind)})
    assert (free.most_buzz, free.notes, free.asks) == (0, (), False)


def test_a_node_cannot_hide_behind_its_id_or_a_ring():
    hidden = {
        "prompt": generate(max_buzz=3, model=["prompt", 0]),
        "extra_data": generate(max_buzz=4),
        "": generate(max_buzz=5),
    }
    assert look(hidden).most_buzz == 12
    ring = {"1": generate(max_buzz=3, model=["2", 0]), "2": node("Reroute", x=["1", 0])}
    assert look(ring).most_buzz == 3 and look(ring).hash == look(ring).hash


def test_ten_thousand_nodes_are_all_counted():
    prompt = {str(i): node("KSampler", model=[str(i - 1), 0]) for i in range(10_000)} | {"x": generate(max_buzz=9)}
    prompt |= {f"p{i}": generate(max_buzz=1) for i in range(500)}
    analysis = analyse(open_graph(prompt), RULES)
    assert analysis.most_buzz == 100 and len(analysis.as_json()["paying"]) <= 200
    assert any("501 nodes may pay" in note for note in analysis.notes)


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from(
    [
        "CivitaiBridgeGenerate",
        "CivitaiBridgeDownload",
        "CivitaiBridgePromptSheet",
        "CivitaiImageGenX",
        "KSampler",
        "",
        "SaveImage",
    ]
) | st.text(max_size=9)
NAMES = st.sampled_from(
    ["max_buzz", "quantity", "model", "reference", "missing", "allow_download", "prompt"]
) | st.text(max_size=5)
GRAPHS = st.dictionaries(
    st.text(max_size=4),
    st.fixed_dictionaries({"class_type": KINDS | ODD, "inputs": st.dictionaries(NAMES, ODD, max_size=4) | ODD}) | ODD,
    max_size=6,
)


@settings(max_examples=120, deadline=None)
@given(GRAPHS, ODD)
def test_whatever_stands_in_a_graph_the_most_lies_within_the_limits(prompt: Prompt, workflow: object):
    analysis = analyse(open_graph(prompt, workflow), RULES)
    kinds = [each.get("class_type") for each in prompt.values() if isinstance(each, dict)]
    bought = kinds.count("CivitaiBridgeGenerate")
    assert 0 <= analysis.most_buzz <= PER_PROMPT and len(analysis.paying) >= bought
    assert (analysis.most_buzz > 0) >= (bought > 0)
    json.dumps(analysis.as_json())


GRAPH = {
    "1": node("CheckpointLoaderSimple", ckpt_name="a.safetensors"), "2": node("CLIPTextEncode", text="a cat", clip=["1", 1]),
    "3": node("KSampler", model=["1", 0], positive=["2", 0], seed=1, steps=20, sampler_name="euler"),
    "4": generate(image=["5", 0], seed=7, negative_prompt="fog", max_buzz=5, quantity=2, engine="auto"),
    "5": node("VAEDecode", samples=["3", 0], vae=["1", 2]), "6": node("CivitaiBridgeSaveImage", images=["4", 0], filename_prefix="x"),
}  # fmt: skip


def changed(key: str, **inputs: Any) -> Prompt:
    return {**GRAPH, key: {**GRAPH[key], "inputs": {**GRAPH[key]["inputs"], **inputs}}}


@pytest.mark.parametrize(
    "prompt",
    [
        changed("3", seed=99, steps=30, sampler_name="dpmpp_2m"), changed("2", text="a dog"), changed("4", seed=8),
        changed("4", prompt="y", negative_prompt=""), {key: {**each, "_meta": {"title": key}} for key, each in GRAPH.items()},
        dict(reversed(GRAPH.items())),
    ],
)  # fmt: skip
def test_seeds_texts_titles_and_order_do_not_name_a_graph(prompt: Prompt):
    assert look(prompt).hash == look(GRAPH).hash


@pytest.mark.parametrize(
    "prompt",
    [
        changed("1", ckpt_name="b.safetensors"), changed("4", max_buzz=6), changed("4", quantity=3), changed("4", model="2"),
        changed("4", engine="flux2/klein"), changed("4", reuse_paid=False), changed("6", filename_prefix="../y"),
        changed("4", image=["5", 1]), changed("6", images=["5", 0]), changed("4", quantity=["7", 0]),
        {**GRAPH, "7": generate()}, {**GRAPH, "2": node("CLIPTextEncodeFlux", text="a cat", clip=["1", 1])},
        {key: GRAPH[key] for key in "12345"}, changed("4", vae="5"), changed("4", mature_content="allowed"),
    ],
)  # fmt: skip
def test_models_engines_quantities_paths_limits_classes_and_wires_name_it(prompt: Prompt):
    assert look(prompt).hash != look(GRAPH).hash


@pytest.mark.parametrize(
    ("kind", "name", "covered"),
    [("ReadText", "text", True), ("ReadImage", "image", True), ("ImageData", "reference", True), ("PromptSheet", "sheet", False)],
)  # fmt: skip
def test_what_tells_the_model_is_covered_and_a_sheet_of_prompts_is_not(kind: str, name: str, covered: bool):
    first, second = (look({"1": node(f"CivitaiBridge{kind}", **{name: value})}).hash for value in ("a", "b"))
    assert (first != second) is covered


def test_what_a_setting_lets_happen_beside_it_was_not_agreed_to_before():
    prompt = {"1": generate(max_buzz=3), "2": node("CivitaiBridgeDownload", reference="1", allow_download=True)}
    assert look(prompt).hash != look(prompt, MAY_LOAD).hash, "graph_downloads was switched on since"
    elsewhere = Rules(RULES.limits, {**HOSTS, "fleet": ("another.example",)})
    assert look(GRAPH).hash != look(GRAPH, elsewhere).hash and look(GRAPH).hash == look(GRAPH, MAY_LOAD).hash
    assert look(GRAPH).hash == look(GRAPH, Rules(Limits(9999, 9999), HOSTS)).hash, "more Buzz is compared by itself"


def test_loras_that_stand_in_the_graph_name_it():
    def applies(air: str) -> Prompt:
        return {"1": node("CivitaiBridgeApplyLoras", missing="download", loras={"__value__": [{"air": air}]})}

    assert look(applies("urn:air:sdxl:lora:civitai:1@1")).hash != look(applies("urn:air:sdxl:lora:civitai:2@2")).hash


def test_what_is_nested_too_deep_for_a_name_equals_nothing():
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    first, second = (
        analyse(open_graph({"1": node("CivitaiBridgeDownload", reference=reference, model=deep)}), RULES).hash
        for reference in ("1", "2")
    )
    assert first != second


def test_what_feeds_a_choice_by_wire_names_it_too():
    def with_value(value: int) -> Prompt:
        return {
            **changed("4", quantity=["7", 0]),
            "7": node("MathNode", a=["8", 0], b=1),
            "8": node("PrimitiveInt", value=value),
        }

    assert look(with_value(1)).hash != look(with_value(12)).hash


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_ids_given_anew_do_not_name_a_graph(number: int):
    chance = random.Random(number)
    names = {key: f"{chance.randrange(10**6)}:{key}" for key in GRAPH}

    def renamed(value: Any) -> Any:
        return [names[value[0]], value[1]] if isinstance(value, list) else value

    prompt = {names[key]: node(each["class_type"], **{name: renamed(value) for name, value in each["inputs"].items()}) for key, each in GRAPH.items()}  # fmt: skip
    assert look(prompt).hash == look(GRAPH).hash
