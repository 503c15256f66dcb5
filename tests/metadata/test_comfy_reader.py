"""ComfyUI's graphs: loaders and samplers of core and of the packs that copy them, and graphs that were made to hurt."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pack.civitai_bridge.metadata.comfy.generator import extra_metadata
from pack.civitai_bridge.metadata.comfy.reader import read_comfy
from pack.civitai_bridge.metadata.comfy.remarks import MADE_ELSEWHERE
from pack.civitai_bridge.metadata.generation import GenerationData, UsedResource
from pack.civitai_bridge.metadata.merge import merge


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def core(**more: dict[str, Any]) -> dict[str, Any]:
    return {
        "3": node("KSampler", seed=42, steps=20, cfg=7.5, sampler_name="dpmpp_2m", scheduler="karras", denoise=1.0,
                  model=["10", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0]),
        "4": node("CheckpointLoaderSimple", ckpt_name="sdxl/base.safetensors"),
        "5": node("EmptyLatentImage", width=832, height=1216, batch_size=1),
        "6": node("CLIPTextEncode", text="a cat, embedding:good", clip=["10", 1]),
        "7": node("CLIPTextEncode", text="lowres", clip=["10", 1]),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", images=["8", 0]),
        "10": node("LoraLoader", lora_name="ink.safetensors", strength_model=0.8, strength_clip=0.6, model=["4", 0], clip=["4", 1]),
        **more,
    }  # fmt: skip


def read(graph: dict[str, Any]) -> GenerationData:
    data = read_comfy(json.dumps(graph))
    assert data is not None
    return data


def loras(data: GenerationData) -> list[tuple[str, float, float | None]]:
    return [(n.air or n.name, n.weight, n.clip_weight) for n in data.networks]


def test_cores_own_graph():
    data = read(core())
    assert (data.prompt, data.negative_prompt) == ("a cat, embedding:good", "lowres")
    assert (data.seed, data.steps, data.cfg, data.sampler, data.scheduler, data.denoise) == (
        42,
        20,
        7.5,
        "dpmpp_2m",
        "karras",
        1.0,
    )
    assert (data.width, data.height, data.model_name) == (832, 1216, "sdxl/base.safetensors")
    assert data.networks == (UsedResource("", 0.8, "ink.safetensors", clip_weight=0.6, source="comfy"),)
    assert [e.name for e in data.embeddings] == ["good"]
    assert (data.source, data.engine, data.detected_type, data.notes, data.others) == (
        "comfy",
        "ComfyUI",
        "t2i",
        (),
        (),
    )


LOADERS: list[tuple[str, dict[str, Any], list[tuple[str, float, float | None]]]] = [
    ("model only", node("LoraLoaderModelOnly", lora_name="a.safetensors", strength_model=-0.5, model=["4", 0]), [("a.safetensors", -0.5, None)]),
    ("off", node("LoraLoader", lora_name="a.safetensors", strength_model=0, strength_clip=0, model=["4", 0]), [("a.safetensors", 0.0, None)]),
    ("an AIR", node("LoraLoader", lora_name="urn:air:sdxl:lora:civitai:1@2", strength_model=1, strength_clip=1, model=["4", 0]),
     [("urn:air:sdxl:lora:civitai:1@2", 1.0, None)]),
    ("rgthree", node("Power Lora Loader (rgthree)", PowerLoraLoaderHeaderWidget={"type": "x"}, lora_1={"on": True, "lora": "a.safetensors", "strength": 0.7},
                     lora_2={"on": False, "lora": "b.safetensors", "strength": 1}, lora_3={"on": True, "lora": "c.safetensors", "strength": 0.5, "strengthTwo": 0.2},
                     model=["4", 0]), [("a.safetensors", 0.7, None), ("c.safetensors", 0.5, 0.2)]),
    ("LoRA Manager", node("Lora Loader (LoraManager)", text="<lora:a:0.7>", loras={"__value__": [
        {"name": "a", "strength": 0.7, "clipStrength": "0.5", "active": True}, {"name": "b", "strength": 1, "active": False}]}, model=["4", 0]), [("a", 0.7, 0.5)]),
    ("Efficiency, simple", node("LoRA Stacker", input_mode="simple", lora_count=2, lora_name_1="a.safetensors", lora_wt_1=0.3, lora_name_2="None", lora_wt_2=1,
                                lora_name_3="c.safetensors", lora_wt_3=1, model=["4", 0]), [("a.safetensors", 0.3, None)]),
    ("Efficiency, advanced", node("LoRA Stacker", input_mode="advanced", lora_count=1, lora_name_1="a.safetensors", lora_wt_1=0.3, model_str_1=0.4, clip_str_1=0.5,
                                  model=["4", 0]), [("a.safetensors", 0.4, 0.5)]),
    ("Comfyroll", node("CR LoRA Stack", switch_1="On", lora_name_1="a.safetensors", model_weight_1=0.4, clip_weight_1=0.4, switch_2="Off", lora_name_2="b.safetensors",
                       model_weight_2=1, clip_weight_2=1, model=["4", 0]), [("a.safetensors", 0.4, None)]),
    ("Impact", node("ImpactWildcardEncode", wildcard_text="__x__", populated_text="<lora:a:0.7> x", model=["4", 0]), [("a", 0.7, None)]),
    ("linked weight", node("LoraLoaderModelOnly", lora_name="a.safetensors", strength_model=["20", 0], model=["4", 0]), [("a.safetensors", 0.25, None)]),
    ("unknown weight", node("LoraLoaderModelOnly", lora_name="a.safetensors", strength_model=["99", 0], model=["4", 0]), [("a.safetensors", 1.0, None)]),
    ("nan", node("LoraLoaderModelOnly", lora_name="a.safetensors", strength_model=float("nan"), model=["4", 0]), [("a.safetensors", 1.0, None)]),
    ("cut by CivitAI", node("LoraLoaderModelOnly", lora_name=["21", 1], strength_model=1, model=["4", 0]), [("urn:air:sdxl:lora:civitai:5@6", 1.0, None)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "loader", "found"), LOADERS, ids=[one[0] for one in LOADERS])
def test_lora_loaders(name: str, loader: dict[str, Any], found: list[tuple[str, float, float | None]]):
    data = read(core(**{"10": loader, "20": node("PrimitiveFloat", value=0.25), "21": node(
        "CivitaiModelSelector", resources_json=json.dumps({"bySlot": {"1": "urn:air:sdxl:lora:civitai:5@6"}}))}))  # fmt: skip
    assert loras(data) == found
    assert bool(data.notes) == (name in ("unknown weight", "nan"))
    assert data.model_name == "sdxl/base.safetensors"


def test_a_chain_is_listed_in_the_order_it_is_applied():
    graph = core(**{"11": node("LoraLoader", lora_name="two.safetensors", strength_model=1, strength_clip=1, model=["10", 0], clip=["10", 1]),
                    "12": node("LoraLoader", lora_name="loose.safetensors", strength_model=1, strength_clip=1, model=["4", 0], clip=["4", 1])})  # fmt: skip
    graph["3"]["inputs"]["model"] = ["11", 0]
    assert [name for name, _, _ in loras(read(graph))] == ["ink.safetensors", "two.safetensors"]


def test_samplers_of_the_custom_kind():
    graph = {
        "1": node(
            "SamplerCustomAdvanced",
            noise=["2", 0],
            guider=["3", 0],
            sampler=["4", 0],
            sigmas=["5", 0],
            latent_image=["6", 0],
        ),
        "2": node("RandomNoise", noise_seed=7),
        "3": node("BasicGuider", model=["7", 0], conditioning=["8", 0]),
        "4": node("KSamplerSelect", sampler_name="euler"),
        "5": node("BasicScheduler", scheduler="simple", steps=25, denoise=1, model=["7", 0]),
        "6": node("EmptySD3LatentImage", width=1024, height=768, batch_size=1),
        "7": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
        "8": node("FluxGuidance", guidance=3.5, conditioning=["9", 0]),
        "9": node("CLIPTextEncode", text=["11", 0], clip=["10", 0]),
        "10": node("DualCLIPLoader", clip_name1="t5", clip_name2="clip_l"),
        "11": node("StringConcatenate", string_a="a cat", string_b=["12", 0], delimiter=", "),
        "12": node("PrimitiveStringMultiline", value="on a mat"),
        "13": node("VAELoader", vae_name="ae.safetensors"),
        "14": node("VAEDecode", samples=["1", 0], vae=["13", 0]),
    }
    data = read(graph)
    assert (data.prompt, data.negative_prompt, data.guidance) == ("a cat, on a mat", "", 3.5)
    assert (data.seed, data.steps, data.sampler, data.scheduler, data.cfg) == (7, 25, "euler", "simple", None)
    assert (data.model_name, data.width, data.height) == ("flux1-dev.safetensors", 1024, 768)
    graph["3"] = node("CFGGuider", model=["7", 0], positive=["8", 0], negative=["15", 0], cfg=4.0)
    graph["15"] = node("ConditioningZeroOut", conditioning=["9", 0])
    data = read(graph)
    assert (data.cfg, data.prompt, data.negative_prompt) == (4.0, "a cat, on a mat", "")
    graph["1"] = node("SamplerCustom", model=["7", 0], add_noise=True, noise_seed=9, cfg=3, positive=["8", 0], negative=["9", 0],
                      sampler=["4", 0], sigmas=["16", 0], latent_image=["6", 0])  # fmt: skip
    graph["16"] = node("KarrasScheduler", steps=12)
    data = read(graph)
    assert (data.seed, data.steps, data.cfg, data.sampler, data.scheduler) == (9, 12, 3.0, "euler", "karras")


def test_efficiency_nodes():
    data = read({
        "1": node("Efficient Loader", ckpt_name="base.safetensors", vae_name="Baked VAE", clip_skip=-2, lora_name="None", lora_model_strength=1, lora_clip_strength=1,
                  positive="a cat", negative="lowres", empty_latent_width=512, empty_latent_height=768, batch_size=1, lora_stack=["3", 0]),
        "2": node("KSampler (Efficient)", seed=5, steps=20, cfg=7, sampler_name="euler", scheduler="normal", denoise=1, model=["1", 0], positive=["1", 1],
                  negative=["1", 2], latent_image=["1", 3], optional_vae=["1", 4]),
        "3": node("LoRA Stacker", input_mode="simple", lora_count=1, lora_name_1="a.safetensors", lora_wt_1=0.3),
    })  # fmt: skip
    assert (data.prompt, data.negative_prompt, data.width, data.height, data.clip_skip) == (
        "a cat",
        "lowres",
        512,
        768,
        2,
    )
    assert (data.model_name, data.vae, data.seed, loras(data)) == (
        "base.safetensors",
        "",
        5,
        [("a.safetensors", 0.3, None)],
    )


def test_a_second_pass():
    graph = core(**{
        "20": node("LatentUpscaleBy", upscale_method="bicubic", scale_by=1.5, samples=["3", 0]),
        "21": node("KSampler", seed=43, steps=10, cfg=5, sampler_name="euler", scheduler="simple", denoise=0.5, model=["10", 0], positive=["6", 0], negative=["7", 0],
                   latent_image=["20", 0]),
        "22": node("UpscaleModelLoader", model_name="4x.pth"),
    })  # fmt: skip
    graph["8"]["inputs"]["samples"] = ["21", 0]
    data = read(dict(reversed(list(graph.items()))))
    assert (data.seed, data.steps, data.denoise) == (42, 20, 1.0)
    assert data.upscale is not None
    assert (data.upscale.scale, data.upscale.steps, data.upscale.denoise) == (1.5, 10, 0.5)


KINDS: list[tuple[str, dict[str, Any], str]] = [
    ("image to image", {"5": node("VAEEncode", pixels=["30", 0], vae=["4", 2]), "30": node("LoadImage", image="a.png")}, "i2i"),
    ("a ControlNet's image", {"6": node("ControlNetApply", conditioning=["31", 0], image=["30", 0], control_net=["32", 0], strength=1),
                              "31": node("CLIPTextEncode", text="a", clip=["4", 1]), "32": node("ControlNetLoader", control_net_name="canny.pth"),
                              "30": node("LoadImage", image="a.png")}, "t2i"),
    ("text to video", {"5": node("EmptyHunyuanLatentVideo", width=512, height=512, length=33, batch_size=1)}, "t2v"),
    ("image to video", {"5": node("WanImageToVideo", start_image=["30", 0], width=512, height=512, length=33), "30": node("LoadImage", image="a.png")}, "i2v"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more", "kind"), KINDS, ids=[one[0] for one in KINDS])
def test_the_kind_of_picture(name: str, more: dict[str, Any], kind: str):
    graph = core(**more)
    if kind == "i2i":
        graph["3"]["inputs"]["denoise"] = 0.5
    data = read(graph)
    assert data.detected_type == kind
    assert [n.name for n in data.others if n.kind == "controlnet"] == (["canny.pth"] if "ControlNet" in name else [])


def workflow(mode: int = 0) -> dict[str, Any]:
    """The page's form of a small graph, with a reroute and a LoRA loader in some mode."""
    return {
        "nodes": [
            {"id": 1, "type": "CheckpointLoaderSimple", "mode": 0, "widgets_values": ["base.safetensors"], "inputs": [],
             "outputs": [{"type": "MODEL"}, {"type": "CLIP"}, {"type": "VAE"}]},
            {"id": 2, "type": "LoraLoader", "mode": mode, "widgets_values": ["ink.safetensors", 0.8, 0.6],
             "inputs": [{"name": "model", "type": "MODEL", "link": 1}, {"name": "clip", "type": "CLIP", "link": 2}], "outputs": [{"type": "MODEL"}, {"type": "CLIP"}]},
            {"id": 3, "type": "Reroute", "mode": 0, "inputs": [{"name": "", "type": "*", "link": 3}], "outputs": [{"type": "MODEL"}]},
            {"id": 4, "type": "CLIPTextEncode", "mode": 0, "widgets_values": ["a cat"], "inputs": [{"name": "clip", "type": "CLIP", "link": 4}], "outputs": []},
            {"id": 5, "type": "CLIPTextEncode", "mode": 0, "widgets_values": ["bad"], "inputs": [{"name": "clip", "type": "CLIP", "link": 5}], "outputs": []},
            {"id": 6, "type": "EmptyLatentImage", "mode": 0, "widgets_values": [512, 768, 1], "inputs": [], "outputs": []},
            {"id": 7, "type": "KSampler", "mode": 0, "widgets_values": [0, "randomize", 20, 7, "euler", "normal", 1],
             "inputs": [{"name": "model", "link": 6}, {"name": "positive", "link": 7}, {"name": "negative", "link": 8}, {"name": "latent_image", "link": 9},
                        {"name": "seed", "link": 10, "widget": {"name": "seed"}}], "outputs": []},
            {"id": 8, "type": "PrimitiveNode", "mode": 0, "widgets_values": [99, "fixed"], "inputs": [], "outputs": []},
            {"id": 9, "type": "Note", "mode": 0, "widgets_values": ["hello"]},
        ],
        "links": [[1, 1, 0, 2, 0, "MODEL"], [2, 1, 1, 2, 1, "CLIP"], [3, 2, 0, 3, 0, "MODEL"], [4, 2, 1, 4, 0, "CLIP"], {"id": 5, "origin_id": 2, "origin_slot": 1},
                  [6, 3, 0, 7, 0, "MODEL"], [7, 4, 0, 7, 1, "CONDITIONING"], [8, 5, 0, 7, 2, "CONDITIONING"], [9, 6, 0, 7, 3, "LATENT"], [10, 8, 0, 7, 4, "INT"]],
    }  # fmt: skip


def test_a_workflow_without_its_prompt():
    data = read_comfy(workflow=json.dumps(workflow()))
    assert data is not None
    assert (data.prompt, data.negative_prompt, data.seed, data.steps, data.cfg, data.sampler) == (
        "a cat",
        "bad",
        99,
        20,
        7.0,
        "euler",
    )
    assert (data.width, data.height, data.model_name, loras(data)) == (
        512,
        768,
        "base.safetensors",
        [("ink.safetensors", 0.8, 0.6)],
    )


@pytest.mark.parametrize(("mode", "model"), [(2, ""), (4, "base.safetensors")])
def test_muted_and_bypassed_nodes_take_no_part(mode: int, model: str):
    data = read_comfy(workflow=json.dumps(workflow(mode)))
    assert data is not None
    assert (loras(data), data.model_name, data.prompt) == ([], model, "a cat")


def test_the_prompt_that_ran_has_the_word_over_the_workflow():
    data = read_comfy(json.dumps(core()), json.dumps({**workflow(), "extra": {"airs": ["x"], "lora_airs": ["1@2"]}}))
    assert data is not None
    assert (data.seed, data.engine, data.extra["lora_airs"]) == (42, "Civitai", ["1@2"])
    assert set(data.texts) == {"prompt", "workflow"}


def test_what_civitais_generator_writes_over_it():
    data = extra_metadata(read(core()), json.dumps({"extraMetadata": json.dumps({
        "prompt": "real", "negativePrompt": "n", "steps": 9, "cfgScale": "nan", "resources": [
            {"modelVersionId": 5, "type": "lora", "strength": 0.4}, {"modelVersionId": 6, "type": "checkpoint"}]})}))  # fmt: skip
    assert (data.prompt, data.negative_prompt, data.steps, data.cfg, data.model_version_id) == ("real", "n", 9, 7.5, 6)
    assert (data.networks[-1].version_id, data.networks[-1].weight) == (5, 0.4)
    assert "cfgScale" in data.notes[-1]


# --- values that other nodes hand on, and values that they make ---------------------------------------------------

WIRES: list[tuple[str, dict[str, Any], object]] = [
    ("a primitive", {"20": node("PrimitiveInt", value=30)}, 30),
    ("a literal", {"20": node("Int Literal (Image Saver)", int=30)}, 30),
    ("a constant behind reroutes", {"20": node("Reroute", **{"": ["21", 0]}), "21": node("Reroute (rgthree)", any=["22", 0]), "22": node("INTConstant", value=30)}, 30),
    ("another slot", {"20": node("Text String", text="1", text_b="2")}, 1),
    ("a slot that is not there", {"20": node("PrimitiveInt", value=30), "3s": 5}, None),
    ("mathematics", {"20": node("MathExpression|pysssss", expression="a*2", a=10)}, None),
    ("a sum", {"20": node("CM_IntBinaryOperation", op="Add", a=["21", 0], b=5), "21": node("PrimitiveInt", value=100)}, None),
    ("a branch", {"20": node("ImpactConditionalBranch", cond=False, tt_value=["21", 0], ff_value=["22", 0]), "21": node("PrimitiveInt", value=1), "22": node("PrimitiveInt", value=2)}, 2),
    ("an image's size", {"20": node("GetImageSize+", image=["21", 0]), "21": node("LoadImage", image="x.png")}, None),
    ("megapixels", {"20": node("ImageScaleToMegapixel", value=2, base=["21", 0]), "21": node("PrimitiveInt", value=1024)}, None),
    ("a node of ours", {"20": node("CivitaiBridgeGenerationSettings", generation=["21", 0]), "21": node("CivitaiBridgeImageData", reference=["22", 0]),
                        "22": node("PrimitiveString", value="900001")}, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more", "value"), WIRES, ids=[one[0] for one in WIRES])
def test_only_what_hands_on_a_value_is_followed(name: str, more: dict[str, Any], value: object):
    slot = more.pop("3s", 0)
    graph = core(**more)
    graph["3"]["inputs"].update({key: ["20", slot] for key in ("seed", "steps", "cfg", "sampler_name", "scheduler")})
    graph["5"]["inputs"].update(width=["20", slot], height=["20", slot])
    data = read(graph)
    assert (data.seed, data.steps, data.cfg, data.width, data.height) == (value,) * 5
    if value is None:
        assert set(data.extra[MADE_ELSEWHERE]) == {"seed", "steps", "cfg", "sampler", "scheduler", "width", "height"}
        assert (data.sampler, data.scheduler) == ("", "")
    wired = GenerationData(seed=11, steps=9, cfg=5.0, sampler="euler", scheduler="simple", width=640, height=960)
    saved, lines = merge(data, wired)
    if value is None:
        assert lines == () and saved.notes == () and {name: getattr(saved, name) for name in ("seed", "steps", "cfg", "width")} == {"seed": 11, "steps": 9, "cfg": 5.0, "width": 640}  # fmt: skip


PROMPTS: list[tuple[str, dict[str, Any], str, bool]] = [
    ("a node twice", {"20": node("StringConcatenate", string_a=["21", 0], string_b=["22", 0], delimiter=", "), "21": node("PrimitiveString", value="best"),
                      "22": node("StringConcatenate", string_a="cat", string_b=["21", 0], delimiter=", ")}, "best, cat, best", True),
    ("empty pieces", {"20": node("StringConcatenate", string_a="", string_b="cat", delimiter=", ")}, ", cat", True),
    ("empty pieces of WAS", {"20": node("Text Concatenate", delimiter=" ", text_a="a", text_b="", text_c=["21", 1]), "21": node("Text String", text="x", text_b="b")}, "a b", True),
    ("a wildcard that was drawn", {"20": node("ImpactWildcardProcessor", wildcard_text="__x__", populated_text="a cat")}, "a cat", True),
    ("a language model", {"20": node("OllamaGenerate", prompt="Write of a dog", model="llama3", seed=3)}, "", False),
    ("a language model behind words", {"20": node("StringConcatenate", string_a="best", string_b=["21", 0], delimiter=", "), "21": node("OllamaGenerate", prompt="Write of a dog")}, "best", False),
    ("a switch", {"20": node("TextSwitch", text_a="A", text_b="B", select=2)}, "", False),
    ("a replacement", {"20": node("StringReplace", string="a dog", find="dog", replace="cat")}, "a cat", True),
    ("a node of ours", {"20": node("CivitaiBridgeImageData", reference=["21", 0]), "21": node("PrimitiveString", value="900001")}, "", False),
    ("a circle", {"20": node("StringConcatenate", string_a="a", string_b=["20", 0], delimiter=", ")}, "a", False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more", "prompt", "whole"), PROMPTS, ids=[one[0] for one in PROMPTS])
def test_a_prompt_that_text_nodes_make(name: str, more: dict[str, Any], prompt: str, whole: bool):
    graph = core(**more)
    graph["6"]["inputs"]["text"] = ["20", 0]
    data = read(graph)
    assert (data.prompt, data.negative_prompt) == (prompt, "lowres")
    assert data.extra.get(MADE_ELSEWHERE, []) == ([] if whole else ["prompt"])
    assert bool(data.notes) is not whole
    saved, lines = merge(data, GenerationData(prompt="a real cat"))
    assert (saved.prompt, bool(lines)) == ((prompt, True) if whole else ("a real cat", False))
    assert not any("prompt is not written" in note for note in saved.notes)


def test_texts_that_double_themselves_end():
    graph = core(**{str(i): node("StringConcatenate", string_a=[str(i + 1), 0], string_b=[str(i + 1), 0], delimiter="") for i in range(100, 160)},
                 **{"160": node("PrimitiveString", value="ha ")})  # fmt: skip
    graph["6"]["inputs"]["text"] = ["100", 0]
    data = read(graph)
    assert len(data.prompt) < 10 and any("more text than is read" in note for note in data.notes)


def test_a_weight_that_another_node_makes_comes_from_the_wire():
    graph = core(**{"20": node("MathExpression|pysssss", expression="0.5", a=1)})
    graph["10"]["inputs"].update(strength_model=["20", 1], strength_clip=["20", 1])
    data = read(graph)
    assert loras(data) == [("ink.safetensors", 1.0, None)] and any("1 stands in" in note for note in data.notes)
    saved, lines = merge(data, GenerationData(networks=(UsedResource("", 0.5, "ink"),)))
    assert loras(saved) == [("ink.safetensors", 0.5, None)] and lines == () and saved.notes == ()


# --- LoRAs that stand more than once, and pictures that stand beside each other -----------------------------------


def in_a_row(*files: tuple[str, float]) -> dict[str, Any]:
    """The core graph with these LoRAs one behind the other."""
    graph = core()
    for i, (file, weight) in enumerate(files):
        graph[str(100 + i)] = node("LoraLoaderModelOnly", lora_name=file, strength_model=weight, model=[str(99 + i) if i else "4", 0])  # fmt: skip
    graph["3"]["inputs"]["model"] = [str(99 + len(files)), 0]
    for encoder in ("6", "7"):
        graph[encoder]["inputs"]["clip"] = ["4", 1]
    return graph


def test_one_file_in_two_loaders_is_applied_twice():
    (one,) = read(in_a_row(("ink.safetensors", 0.5), ("ink.safetensors", 0.25))).networks
    assert (one.weight, one.again, one.total) == (0.5, ((0.25, None),), (0.75, 0.75))
    found = read(in_a_row(("a/ink.safetensors", 0.1), ("b/ink.safetensors", 0.2), ("b/ink.safetensors", 0.3)))
    assert [(one.name, one.total[0]) for one in found.networks] == [("a/ink.safetensors", 0.1), ("b/ink.safetensors", 0.5)]  # fmt: skip
    assert found.notes == ()


def test_another_row_of_the_same_file_does_not_add_up():
    graph = core(**{
        "21": node("KSampler", seed=43, steps=10, cfg=5, sampler_name="euler", scheduler="simple", denoise=0.5, model=["22", 0], positive=["6", 0],
                   negative=["7", 0], latent_image=["3", 0]),
        "22": node("LoraLoaderModelOnly", lora_name="ink.safetensors", strength_model=0.3, model=["4", 0]),
    })  # fmt: skip
    graph["8"]["inputs"]["samples"] = ["21", 0]
    data = read(graph)
    assert [one.total for one in data.networks] == [(0.8, 0.6)]
    assert any("weight 0.8 in one place of the graph and 0.3" in note for note in data.notes)


def test_a_picture_beside_it_lends_it_nothing():
    other = {f"o{key}": one for key, one in core().items()}
    for one in other.values():
        one["inputs"] = {name: [f"o{v[0]}", v[1]] if isinstance(v, list) else v for name, v in one["inputs"].items()}
    other["o10"]["inputs"]["lora_name"] = "pen.safetensors"
    data = read({**core(), **other})
    assert [one.name for one in data.networks] == ["ink.safetensors"]
    assert any("several pictures" in note for note in data.notes)
    other["o3"]["inputs"]["latent_image"] = ["3", 0]
    data = read({**core(), **other})
    assert [one.name for one in data.networks] == ["ink.safetensors", "pen.safetensors"]
    assert data.notes == ("The picture was sampled again without being enlarged: KSampler, steps 20, denoise 1.0.",)


def test_long_graphs_take_time_by_their_length():
    """A chain of edits beside a loaded image, and samplers behind a chain of loaders: each was looked at from each."""
    graph = core(
        **{f"e{i}": node("ReferenceLatent", conditioning=[f"e{i - 1}" if i else "6", 0]) for i in range(15_000)}
    )
    graph["4"]["inputs"]["image"] = ["l", 0]
    graph["l"] = node("LoadImage", image="a.png")
    graph["3"]["inputs"]["positive"] = ["e14999", 0]
    assert read(graph).detected_type == "i2i"
    graph = in_a_row(*((f"{i}.safetensors", 0.5) for i in range(15_000)))
    for i in range(64):
        graph[f"s{i}"] = node(
            "KSampler", seed=i, steps=1, cfg=1, model=["15099", 0], latent_image=[f"s{i - 1}" if i else "3", 0]
        )
    graph["8"]["inputs"]["samples"] = ["s63", 0]
    data = read(graph)
    assert data.seed == 42 and len(data.networks) == 15_000
