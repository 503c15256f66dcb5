"""Pages without a prompt: nodes, wires and widgets as the frontend draws them, opened to what they would have queued."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_comfy_packs import NEGATIVE, PROMPT, is_base

from pack.civitai_bridge.metadata.comfy.reader import read_comfy
from pack.civitai_bridge.metadata.generation import GenerationData

SAMPLER = [4242, "fixed", 21, 6.0, "euler_ancestral", "karras", 1.0]


class Drawing:
    """A page that is drawn node by node; `add` wires its inputs as (input's name, type, source node, output)."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.links: list[Any] = []

    def add(
        self, kind: str, values: Any, outputs: str = "", wires: tuple[tuple[Any, ...], ...] = (), **more: Any
    ) -> int:
        key = len(self.nodes) + 1
        inputs = []
        for place, (name, of_type, *source) in enumerate(wires):
            link = None
            if source:
                link = len(self.links) + 1
                self.links.append(
                    {
                        "id": link,
                        "origin_id": source[0],
                        "origin_slot": source[1],
                        "target_id": key,
                        "target_slot": place,
                        "type": of_type,
                    }
                )
            inputs.append(
                {
                    "name": name,
                    "type": of_type,
                    "link": link,
                    **({"widget": {"name": name}} if of_type in ("INT", "STRING", "FLOAT", "COMBO") else {}),
                }
            )
        self.nodes.append({"id": key, "type": kind, "mode": 0, "inputs": inputs, "outputs": [{"name": one, "type": one} for one in outputs.split()], "widgets_values": values, **more})  # fmt: skip
        return key

    def out(self, source: tuple[int, int], place: int) -> None:
        """A wire to the output side of a subgraph."""
        self.links.append(
            {
                "id": len(self.links) + 1,
                "origin_id": source[0],
                "origin_slot": source[1],
                "target_id": -20,
                "target_slot": place,
                "type": "*",
            }
        )

    def core(self, **changes: Any) -> dict[str, int]:
        """Core's nodes up to the sampler's own wires."""
        loader = self.add("CheckpointLoaderSimple", ["duneMix_v4.safetensors"], "MODEL CLIP VAE")
        positive = self.add("CLIPTextEncode", [PROMPT], "CONDITIONING", (("clip", "CLIP", loader, 1),))
        negative = self.add("CLIPTextEncode", [NEGATIVE], "CONDITIONING", (("clip", "CLIP", loader, 1),))
        latent = self.add("EmptyLatentImage", [640, 448, 1], "LATENT")
        return {"loader": loader, "positive": positive, "negative": negative, "latent": latent, **changes}

    def sample(
        self,
        model: tuple[int, int],
        positive: tuple[int, int],
        negative: tuple[int, int],
        latent: tuple[int, int],
        values: Any = SAMPLER,
    ) -> int:
        return self.add("KSampler", values, "LATENT", (("model", "MODEL", *model), ("positive", "CONDITIONING", *positive), ("negative", "CONDITIONING", *negative), ("latent_image", "LATENT", *latent)))  # fmt: skip

    def page(self, **more: Any) -> dict[str, Any]:
        return {"nodes": self.nodes, "links": self.links, "version": 0.4, **more}


def read(page: dict[str, Any]) -> GenerationData:
    data = read_comfy(workflow=json.dumps(page))
    assert data is not None
    return data


def whole(values: Any = SAMPLER) -> dict[str, Any]:
    drawing = Drawing()
    core = drawing.core()
    drawing.sample((core["loader"], 0), (core["positive"], 0), (core["negative"], 0), (core["latent"], 0), values)
    return drawing.page()


def test_a_page_of_core_nodes():
    data = read(whole())
    is_base(data)
    assert data.notes == ()


@pytest.mark.parametrize("control", ["fixed", "randomize", "increment", True, False])
def test_what_a_page_does_with_the_seed_is_no_number_of_steps(control: object):
    data = read(whole([4242, control, 21, 6.0, "euler_ancestral", "karras", 1.0]))
    is_base(data)
    assert data.notes == ()


MISFITS: list[tuple[str, list[Any]]] = [
    ("one value is missing", [4242, "fixed", 6.0, "euler_ancestral", "karras", 1.0]),
    ("the order is another", ["euler_ancestral", "karras", 4242, "fixed", 21, 6.0, 1.0]),
    ("a name is missing", [4242, "fixed", 21, 6.0, "karras", 1.0]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values"), MISFITS, ids=[one[0] for one in MISFITS])
def test_a_list_of_values_that_does_not_fit_is_not_taken_by_its_order(name: str, values: list[Any]):
    data = read(whole(values))
    assert (data.seed, data.steps, data.cfg, data.sampler) == (None, None, None, "")
    assert (data.prompt, data.width, data.model_name) == (PROMPT, 640, "duneMix_v4.safetensors")
    assert "The values of KSampler do not fit its widgets; they are not read." in data.notes
    assert "The seed is not written in the graph." in data.notes


@pytest.mark.parametrize(("values", "said"), [(SAMPLER[:-1], "fewer"), ([*SAMPLER, "more", 3], "more")])
def test_a_list_of_another_length_whose_values_fit_is_read_and_said(values: list[Any], said: str):
    data = read(whole(values))
    is_base(data)
    assert data.notes == (f"KSampler has {said} values than widgets that are known here.",)


def with_subgraph(**instance: Any) -> dict[str, Any]:
    """Encoders and sampler in a subgraph; its text and seed are shown by the instance."""
    inner = Drawing()
    positive = inner.add(
        "CLIPTextEncode", [PROMPT], "CONDITIONING", (("clip", "CLIP", -10, 1), ("text", "STRING", -10, 3))
    )
    negative = inner.add("CLIPTextEncode", [NEGATIVE], "CONDITIONING", (("clip", "CLIP", -10, 1),))
    sampler = inner.sample((-10, 0), (positive, 0), (negative, 0), (-10, 2))
    inner.out((sampler, 0), 0)
    names = ("model", "clip", "latent", "text")
    definition = {
        "id": "0b1c",
        "name": "Make",
        "inputs": [{"name": name, "linkIds": []} for name in names],
        "outputs": [{"name": "LATENT"}],
        **inner.page(),
    }
    outer = Drawing()
    loader = outer.add("CheckpointLoaderSimple", ["duneMix_v4.safetensors"], "MODEL CLIP VAE")
    latent = outer.add("EmptyLatentImage", [640, 448, 1], "LATENT")
    key = outer.add(
        "0b1c",
        [],
        "LATENT",
        (
            ("model", "MODEL", loader, 0),
            ("clip", "CLIP", loader, 1),
            ("latent", "LATENT", latent, 0),
            ("text", "STRING"),
        ),
        **instance,
    )
    outer.add("VAEDecode", [], "IMAGE", (("samples", "LATENT", key, 0), ("vae", "VAE", loader, 2)))
    return outer.page(definitions={"subgraphs": [definition]})


INSTANCES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("nothing is shown", {}, {}),
    ("shown, with the values inside", {"properties": {"proxyWidgets": [["1", "text"], ["3", "seed"]]}}, {}),
    ("shown with values of its own", {"properties": {"proxyWidgets": [["1", "text"], ["3", "seed"], ["3", "control_after_generate"]]}, "widgets_values": ["a blue boat", 7, None]}, {"prompt": "a blue boat", "seed": 7}),
    ("an input of the subgraph itself", {"properties": {"proxyWidgets": [["-1", "text"], ["3", "steps"]]}, "widgets_values": ["a blue boat", None]}, {"prompt": "a blue boat"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "instance", "but"), INSTANCES, ids=[one[0] for one in INSTANCES])
def test_a_subgraph_is_opened_with_the_values_that_its_instance_shows(
    name: str, instance: dict[str, Any], but: dict[str, Any]
):
    data = read(with_subgraph(**instance))
    is_base(data, **but)
    assert data.notes == ()


def test_a_text_that_is_wired_into_a_subgraph():
    page = with_subgraph()
    page["nodes"].append(
        {
            "id": 90,
            "type": "PrimitiveStringMultiline",
            "mode": 0,
            "inputs": [],
            "outputs": [{"type": "STRING"}],
            "widgets_values": ["a blue boat"],
        }
    )
    page["nodes"][2]["inputs"][3]["link"] = 90
    page["links"].append([90, 90, 0, 3, 3, "STRING"])
    is_base(read(page), prompt="a blue boat")


@pytest.mark.parametrize("mode", [2, 4])
def test_a_subgraph_that_is_muted_or_bypassed_takes_no_part(mode: int):
    data = read(with_subgraph(mode=mode))
    assert (data.seed, data.prompt) == (None, "") and any("no sampler" in note for note in data.notes)


def test_subgraphs_inside_subgraphs():
    page = with_subgraph()
    inner = page["definitions"]["subgraphs"][0]
    loras = Drawing()
    key = loras.add("LoraLoaderModelOnly", ["ink.safetensors", 0.6], "MODEL", (("model", "MODEL", -10, 0),))
    loras.out((key, 0), 0)
    page["definitions"]["subgraphs"].append(
        {"id": "77aa", "inputs": [{"name": "model"}], "outputs": [{"name": "model"}], **loras.page()}
    )
    inner["nodes"].append(
        {
            "id": 50,
            "type": "77aa",
            "mode": 0,
            "inputs": [{"name": "model", "type": "MODEL", "link": 50}],
            "outputs": [{"type": "MODEL"}],
            "widgets_values": [],
        }
    )
    inner["links"] += [
        {"id": 50, "origin_id": -10, "origin_slot": 0, "target_id": 50, "target_slot": 0},
        {"id": 51, "origin_id": 50, "origin_slot": 0, "target_id": 3, "target_slot": 0},
    ]
    inner["nodes"][2]["inputs"][0]["link"] = 51
    is_base(read(page), loras=[("ink.safetensors", 0.6)])


def test_what_an_outer_instance_shows_reaches_the_nodes_of_an_inner_one():
    page = with_subgraph(properties={"proxyWidgets": [["1", "text"], ["3", "seed"]]})
    instance = page["nodes"][2]
    middle = Drawing()
    key = middle.add(
        "0b1c",
        [],
        "LATENT",
        tuple((slot["name"], slot["type"], -10, place) for place, slot in enumerate(instance["inputs"][:3])),
        properties=instance["properties"],
    )
    middle.out((key, 0), 0)
    page["definitions"]["subgraphs"].append(
        {
            "id": "99ff",
            "inputs": [{"name": name} for name in ("model", "clip", "latent")],
            "outputs": [{"name": "LATENT"}],
            **middle.page(),
        }
    )
    instance.update(
        type="99ff",
        properties={"proxyWidgets": [[str(key), "text"], [str(key), "seed"]]},
        widgets_values=["a blue boat", 7],
    )
    del instance["inputs"][3]
    data = read(page)
    is_base(data, prompt="a blue boat", seed=7)
    assert data.notes == ()


def test_values_that_a_subgraph_cannot_show_are_said():
    data = read(with_subgraph(properties={"proxyWidgets": [["1", "text"]]}, widgets_values=["a blue boat", 7]))
    is_base(data)
    assert data.notes == ("The values that a subgraph shows do not fit its widgets; those inside it are read.",)


def test_a_subgraph_that_contains_itself_is_opened_once():
    page = with_subgraph()
    page["definitions"]["subgraphs"][0]["nodes"].append(
        {"id": 50, "type": "0b1c", "mode": 0, "inputs": [], "outputs": [], "widgets_values": []}
    )
    data = read(page)
    is_base(data)
    assert "A subgraph contains itself; the inner one is not read." in data.notes


def test_subgraphs_that_double_end():
    doubles = [
        {"id": f"d{i}", "nodes": [{"id": n, "type": f"d{i + 1}"} for n in (1, 2)], "links": []} for i in range(18)
    ]
    page = {
        "nodes": [{"id": 1, "type": "d0"}],
        "links": [],
        "definitions": {
            "subgraphs": [
                *doubles,
                {"id": "d18", "nodes": [{"id": 1, "type": "KSampler", "widgets_values": SAMPLER}], "links": []},
            ]
        },
    }
    assert any("more than 20,000 nodes" in note for note in read(page).notes)


def grouped(values: list[Any] | None) -> dict[str, Any]:
    """Encoder and sampler as a group node, which lists its nodes' inputs, outputs and values one behind the other."""
    outer = Drawing()
    core = outer.core()
    outer.add("workflow>make", values, "LATENT", (("clip", "CLIP", core["loader"], 1), ("model", "MODEL", core["loader"], 0), ("negative", "CONDITIONING", core["negative"], 0), ("latent_image", "LATENT", core["latent"], 0)))  # fmt: skip
    inner = Drawing()
    inner.add("CLIPTextEncode", ["a blue boat"], "CONDITIONING", (("clip", "CLIP"),))
    inner.add("KSampler", [1, "fixed", 5, 1.0, "lcm", "simple", 1.0], "LATENT", (("model", "MODEL"), ("positive", "CONDITIONING"), ("negative", "CONDITIONING"), ("latent_image", "LATENT")))  # fmt: skip
    return outer.page(
        extra={
            "groupNodes": {"make": {"nodes": inner.nodes, "links": [[0, 0, 1, 1, 10, "CONDITIONING"]], "external": []}}
        }
    )


def test_a_group_node_is_opened_with_its_own_values():
    data = read(grouped([PROMPT, *SAMPLER]))
    is_base(data)
    assert data.notes == ()


def test_a_group_node_without_values_keeps_those_of_its_nodes():
    data = read(grouped(None))
    assert (data.prompt, data.seed, data.steps, data.model_name) == ("a blue boat", 1, 5, "duneMix_v4.safetensors")


def test_values_that_do_not_fit_a_group_node_are_said():
    data = read(grouped([PROMPT, *SAMPLER[:-1]]))
    assert data.prompt == "a blue boat"
    assert data.notes == ("The values of workflow>make do not fit its nodes; those it was made with are read.",)


@pytest.mark.parametrize(("setter", "getter"), [("SetNode", "GetNode"), ("easy setNode", "easy getNode")])
def test_set_and_get(setter: str, getter: str):
    drawing = Drawing()
    core = drawing.core()
    drawing.add(setter, ["base"], "*", (("MODEL", "MODEL", core["loader"], 0),))
    got = drawing.add(getter, ["base"], "MODEL")
    drawing.sample((got, 0), (core["positive"], 0), (core["negative"], 0), (core["latent"], 0))
    data = read(drawing.page())
    is_base(data)
    assert data.notes == ()


def test_what_nobody_set_is_said():
    drawing = Drawing()
    core = drawing.core()
    got = drawing.add("GetNode", ["nothing"], "MODEL")
    drawing.sample((got, 0), (core["positive"], 0), (core["negative"], 0), (core["latent"], 0))
    data = read(drawing.page())
    is_base(data, model_name="")
    assert "The model is not known: another node makes it." in data.notes


def everywhere() -> tuple[Drawing, dict[str, int]]:
    drawing = Drawing()
    core = drawing.core()
    drawing.add("KSampler", SAMPLER, "LATENT", (("model", "MODEL"), ("positive", "CONDITIONING"), ("negative", "CONDITIONING"), ("latent_image", "LATENT", core["latent"], 0)))  # fmt: skip
    return drawing, core


def test_anything_everywhere_by_type():
    drawing, core = everywhere()
    drawing.add("Anything Everywhere", [], "", (("anything", "*", core["loader"], 0),))
    drawing.add("Prompts Everywhere", [], "", (("positive", "CONDITIONING", core["positive"], 0), ("negative", "CONDITIONING", core["negative"], 0)))  # fmt: skip
    data = read(drawing.page())
    is_base(data)
    assert data.notes == ()


def test_anything_everywhere_by_the_list_that_the_page_holds():
    drawing, core = everywhere()
    ends = [(core["loader"], 0, 0), (core["positive"], 0, 1), (core["negative"], 0, 2)]
    links = [
        {
            "downstream": 5,
            "downstream_slot": place,
            "upstream": str(key),
            "upstream_slot": slot,
            "controller": 6,
            "type": "x",
        }
        for key, slot, place in ends
    ]
    is_base(read(drawing.page(extra={"ue_links": links})))


def test_a_choice_of_words_that_nobody_wrote_down():
    drawing = Drawing()
    core = drawing.core()
    drawing.nodes[1]["widgets_values"] = ["a {red|blue} kite over dunes"]
    drawing.nodes[2]["widgets_values"] = ["fog /* or mist */ // nothing else"]
    drawing.sample((core["loader"], 0), (core["positive"], 0), (core["negative"], 0), (core["latent"], 0))
    data = read(drawing.page())
    assert (data.prompt, data.negative_prompt.strip()) == ("", "fog")
    assert any("{several|words}" in note for note in data.notes)


LISTS: list[tuple[str, str, list[Any], list[tuple[str, float]]]] = [
    ("rgthree's power loader", "Power Lora Loader (rgthree)", [{}, {"type": "PowerLoraLoaderHeaderWidget"}, {"on": True, "lora": "ink.safetensors", "strength": 0.6, "strengthTwo": None}, {"on": False, "lora": "b.safetensors", "strength": 1}, {}, ""], [("ink.safetensors", 0.6)]),
    ("rgthree's stack", "Lora Loader Stack (rgthree)", ["ink.safetensors", 0.6, "None", 1, "None", 1, "None", 1], [("ink.safetensors", 0.6)]),
    ("LoRA Manager", "Lora Loader (LoraManager)", ["<lora:ink:0.6>", [{"name": "ink", "strength": 0.6, "active": True}, {"name": "b", "strength": 1, "active": False}]], [("ink", 0.6)]),
    ("pysssss", "LoraLoader|pysssss", [{"content": "ink.safetensors", "image": None}, 0.6, 0.6, "[none]"], [("ink.safetensors", 0.6)]),
    ("core", "LoraLoaderModelOnly", ["ink.safetensors", 0.6], [("ink.safetensors", 0.6)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "values", "found"), LISTS, ids=[one[0] for one in LISTS])
def test_loras_of_a_page(name: str, kind: str, values: list[Any], found: list[tuple[str, float]]):
    drawing = Drawing()
    core = drawing.core()
    lora = drawing.add(
        kind, values, "MODEL CLIP", (("model", "MODEL", core["loader"], 0), ("clip", "CLIP", core["loader"], 1))
    )
    drawing.sample((lora, 0), (core["positive"], 0), (core["negative"], 0), (core["latent"], 0))
    data = read(drawing.page())
    is_base(data, loras=found)
    assert data.notes == ()


def test_widgets_that_became_inputs_keep_their_places():
    drawing = Drawing()
    core = drawing.core()
    steps = drawing.add("PrimitiveNode", [21, "fixed"], "INT")
    key = drawing.sample(
        (core["loader"], 0),
        (core["positive"], 0),
        (core["negative"], 0),
        (core["latent"], 0),
        [4242, "fixed", 5, 6.0, "euler_ancestral", "karras", 1.0],
    )
    drawing.links.append([99, steps, 0, key, 4, "INT"])
    drawing.nodes[key - 1]["inputs"].append({"name": "steps", "type": "INT", "link": 99, "widget": {"name": "steps"}})
    is_base(read(drawing.page()))
