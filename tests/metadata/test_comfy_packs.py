"""Nodes of the packs people use, each in one small graph: what they hide, wrap, switch or choose is read or said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_comfy_reader import node, read

from pack.civitai_bridge.metadata.generation import GenerationData

PROMPT, NEGATIVE = "a red kite over dunes", "fog"


def base(**more: dict[str, Any]) -> dict[str, Any]:
    """A whole graph of core's nodes; what is given takes the place of nodes or adds some (`n15` is node 15)."""
    graph = {
        "1": node("CheckpointLoaderSimple", ckpt_name="duneMix_v4.safetensors"),
        "3": node("CLIPTextEncode", clip=["1", 1], text=PROMPT),
        "4": node("CLIPTextEncode", clip=["1", 1], text=NEGATIVE),
        "5": node("EmptyLatentImage", width=640, height=448, batch_size=1),
        "6": sampler(),
        "7": node("VAEDecode", samples=["6", 0], vae=["1", 2]),
        "8": node("SaveImage", images=["7", 0], filename_prefix="x"),
    }
    return {**graph, **{key.removeprefix("n"): one for key, one in more.items()}}


def sampler(**changes: Any) -> dict[str, Any]:
    inputs = {"model": ["1", 0], "positive": ["3", 0], "negative": ["4", 0], "latent_image": ["5", 0], "seed": 4242, "steps": 21,
              "cfg": 6.0, "sampler_name": "euler_ancestral", "scheduler": "karras", "denoise": 1.0}  # fmt: skip
    return node("KSampler", **{**inputs, **changes})


def without(graph: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: one for key, one in graph.items() if key not in keys}


def loras(data: GenerationData) -> list[tuple[str, float]]:
    return [(one.name or one.air, one.total[0]) for one in data.networks]


def is_base(data: GenerationData, **but: Any) -> None:
    """Everything is as in the base graph but for what is named."""
    want = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "seed": 4242, "steps": 21, "cfg": 6.0, "sampler": "euler_ancestral",
            "scheduler": "karras", "width": 640, "height": 448, "model_name": "duneMix_v4.safetensors", "upscale": None, "loras": []}  # fmt: skip
    got = {**{name: getattr(data, name) for name in want if name != "loras"}, "loras": loras(data)}
    assert got == {**want, **but}


def test_the_base_graph_says_everything_and_nothing_is_to_be_noted():
    data = read(base())
    is_base(data)
    assert data.notes == ()


OTHER = {"n20": node("CheckpointLoaderSimple", ckpt_name="otherModel.safetensors")}
TEXTS = {"n20": node("PrimitiveString", value=PROMPT), "n21": node("PrimitiveString", value="a blue boat")}
SWITCHES: list[tuple[str, dict[str, Any]]] = [
    ("Impact, numbered", {**OTHER, "n15": node("ImpactSwitch", select=2, sel_mode=False, input1=["20", 0], input2=["1", 0])}),
    ("Impact, select wired", {**OTHER, "n15": node("ImpactSwitch", select=["22", 0], input1=["20", 0], input2=["1", 0]), "n22": node("ImpactInt", value=2)}),
    ("Impact, by condition", {**OTHER, "n15": node("ImpactConditionalBranch", cond=True, tt_value=["1", 0], ff_value=["20", 0])}),
    ("core, soft", {**OTHER, "n15": node("ComfySoftSwitchNode", switch=False, on_false=["1", 0], on_true=["20", 0])}),
    ("core, boolean wired", {**OTHER, "n15": node("ComfySwitchNode", switch=["22", 0], on_false=["20", 0], on_true=["1", 0]), "n22": node("PrimitiveBoolean", value=True)}),
    ("KJ", {**OTHER, "n15": node("LazySwitchKJ", switch=True, on_false=["20", 0], on_true=["1", 0])}),
    ("rgthree, the first that is there", {**OTHER, "n15": node("Any Switch (rgthree)", any_02=["1", 0], any_03=["20", 0])}),
    ("Crystools", {**OTHER, "n15": node("Switch any [Crystools]", on_true=["20", 0], on_false=["1", 0], boolean=False)}),
    ("Crystools, boolean wired", {**OTHER, "n15": node("Switch any [Crystools]", on_true=["1", 0], on_false=["20", 0], boolean=["22", 0]), "n22": node("Primitive boolean [Crystools]", boolean=True)}),
    ("Comfyroll", {**OTHER, "n15": node("CR Model Input Switch", Input=2, model1=["20", 0], model2=["1", 0])}),
    ("Comfyroll, model and CLIP", {**OTHER, "n15": node("CR Switch Model and CLIP", Input=1, model1=["1", 0], clip1=["1", 1], model2=["20", 0], clip2=["20", 1])}),
    ("WAS", {**OTHER, "n15": node("Model Input Switch", model_a=["20", 0], model_b=["1", 0], boolean=["22", 0]), "n22": node("Logic Boolean", boolean=0)}),
    ("Easy-Use, from 0", {**OTHER, "n15": node("easy anythingIndexSwitch", index=1, value0=["20", 0], value1=["1", 0])}),
    ("Easy-Use, if else", {**OTHER, "n15": node("easy ifElse", boolean=True, on_true=["1", 0], on_false=["20", 0])}),
    ("an unknown class with the usual names", {**OTHER, "n15": node("MyPack Chooser", on_true=["20", 0], on_false=["1", 0], condition=False)}),
    ("a switch of switches", {**OTHER, "n15": node("ImpactSwitch", select=1, input1=["16", 0], input2=["20", 0]), "n16": node("ComfySwitchNode", switch=True, on_true=["1", 0], on_false=["20", 0])}),
    ("both branches lead to the same", {"n15": node("ImpactSwitch", select=["99", 0], input1=["1", 0], input2=["16", 0]), "n16": node("Reroute", x=["1", 0])}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more"), SWITCHES, ids=[one[0] for one in SWITCHES])
def test_of_a_switch_the_selected_branch_alone_is_read(name: str, more: dict[str, Any]):
    data = read(base(n6=sampler(model=["15", 0]), **more))
    is_base(data)
    assert data.others == () and data.notes == ()


LORA = node(
    "LoraLoader", model=["1", 0], clip=["1", 1], lora_name="unused.safetensors", strength_model=0.9, strength_clip=0.9
)
UNSAID: list[tuple[str, dict[str, Any]]] = [
    ("Impact", node("ImpactSwitch", select=["22", 0], input1=["2", 0], input2=["1", 0])),
    ("core", node("ComfySwitchNode", switch=["22", 0], on_false=["1", 0], on_true=["2", 0])),
    ("a class that nobody knows", node("SuperModelSwitch", a=["1", 0], b=["2", 0], which="left")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "switch"), UNSAID, ids=[one[0] for one in UNSAID])
def test_a_switch_whose_selection_is_made_elsewhere_is_said(name: str, switch: dict[str, Any]):
    data = read(
        base(n6=sampler(model=["15", 0]), n2=LORA, n15=switch, n22=node("MathExpression|pysssss", expression="1"))
    )
    is_base(data, model_name="")
    assert any("switch" in note for note in data.notes) and any("model is not known" in note for note in data.notes)


TEXT_NODES: list[tuple[str, dict[str, Any]]] = [
    ("core's switch", {**TEXTS, "n15": node("ComfySwitchNode", switch=True, on_false=["21", 0], on_true=["20", 0])}),
    ("Comfyroll's switch", {**TEXTS, "n15": node("CR Text Input Switch", Input=1, text1=["20", 0], text2=["21", 0])}),
    ("Easy's switch", {**TEXTS, "n15": node("easy textSwitch", input=2, text1="a blue boat", text2=PROMPT)}),
    ("WAS' switch", {**TEXTS, "n15": node("Text Input Switch", text_a=["21", 0], text_b=["20", 0], boolean=False)}),
    ("core's replacement", {"n15": node("StringReplace", string="a red boat over dunes", find="boat", replace="kite")}),
    ("WAS' replacement", {"n15": node("Text Find and Replace", text="a red boat over dunes", find="boat", replace="kite")}),
    ("Comfyroll's replacement", {"n15": node("CR Text Replace", text="a blue boat over dunes", find1="boat", replace1="kite", find2="blue", replace2="red", find3="", replace3="")}),
    ("Easy's replacement", {"n15": node("easy promptReplace", prompt="a red boat over dunes", find1="boat", replace1="kite", find2="", replace2="", find3="", replace3="")}),
    ("Comfyroll's joiner", {"n15": node("CR Combine Prompt", part1="a red", part2="kite", part3="over", part4="dunes", separator=" ")}),
    ("Easy's joiner", {"n15": node("easy promptConcat", prompt1="a red kite", prompt2="over dunes", separator=" ")}),
    ("KJ's joiner", {"n15": node("JoinStringMulti", inputcount=2, string_1="a red kite", string_2=["20", 0], delimiter=" ", return_list=False), "n20": node("StringConstant", string="over dunes")}),
    ("pysssss' function", {"n15": node("StringFunction|pysssss", action="append", tidy_tags="yes", text_a=PROMPT, text_b="", text_c="")}),
    ("ttN's", {"n15": node("ttN text", text=PROMPT)}),
    ("LoRA Manager's", {"n15": node("Text (LoraManager)", text=PROMPT)}),
    ("Crystools'", {"n15": node("Primitive string multiline [Crystools]", string=PROMPT)}),
    ("Show Text", {"n15": node("ShowText|pysssss", text=["20", 0]), "n20": node("CR Text", text=PROMPT)}),
    ("Show Text over what a model wrote", {"n15": node("ShowText|pysssss", text=["20", 0], text_0=PROMPT), "n20": node("OllamaGenerate", prompt="Write")}),
    ("Display Any", {"n15": node("Display Any (rgthree)", source=["20", 0]), "n20": node("StringConstantMultiline", string=PROMPT, strip_newlines=True)}),
    ("a trimmed one", {"n15": node("StringTrim", string=f"  {PROMPT} ", mode="Both")}),
    ("Inspire's zipped prompts", {"n15": node("UnzipPrompt //Inspire", zipped_prompt=["20", 0]), "n20": node("ZipPrompt //Inspire", positive=PROMPT, negative=NEGATIVE)}),
    ("Impact's wildcards", {"n15": node("ImpactWildcardProcessor", wildcard_text="__x__", populated_text=PROMPT, mode="populate", seed=1)}),
    ("Power Primitive", {"n15": node("Power Primitive (rgthree)", type="STRING", value=PROMPT)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more"), TEXT_NODES, ids=[one[0] for one in TEXT_NODES])
def test_a_prompt_comes_through_text_nodes(name: str, more: dict[str, Any]):
    data = read(base(n3=node("CLIPTextEncode", clip=["1", 1], text=["15", 0]), **more))
    is_base(data)
    assert data.notes == ()


ENCODERS: list[tuple[str, dict[str, Any], str]] = [
    ("SDXL", node("CLIPTextEncodeSDXL", width=1, height=1, crop_w=0, crop_h=0, target_width=1, target_height=1, text_g=PROMPT, text_l="kite", clip=["1", 1]), f"{PROMPT}\nkite"),
    ("Flux", node("CLIPTextEncodeFlux", clip=["1", 1], clip_l=PROMPT, t5xxl=PROMPT, guidance=3.5), PROMPT),
    ("HiDream", node("CLIPTextEncodeHiDream", clip=["1", 1], clip_l="kite", clip_g="", t5xxl="", llama=PROMPT), f"kite\n{PROMPT}"),
    ("Lumina2", node("CLIPTextEncodeLumina2", clip=["1", 1], system_prompt="superior", user_prompt=PROMPT), PROMPT),
    ("Qwen edit", node("TextEncodeQwenImageEdit", clip=["1", 1], prompt=PROMPT), PROMPT),
    ("BNK", node("BNK_CLIPTextEncodeAdvanced", clip=["1", 1], text=PROMPT, token_normalization="none", weight_interpretation="comfy"), PROMPT),
    ("smZ", node("smZ CLIPTextEncode", clip=["1", 1], text=PROMPT, parser="A1111"), PROMPT),
    ("Power Prompt", node("Power Prompt (rgthree)", opt_clip=["1", 1], prompt=PROMPT), PROMPT),
    ("Power Prompt - Simple", node("Power Prompt - Simple (rgthree)", opt_clip=["1", 1], prompt=PROMPT), PROMPT),
    ("SDXL Power Prompt", node("SDXL Power Prompt - Positive (rgthree)", opt_clip=["1", 1], prompt_g=PROMPT, prompt_l=""), PROMPT),
    ("LoRA Manager", node("Prompt (LoraManager)", clip=["1", 1], text=PROMPT), PROMPT),
    ("Inspire's wildcards", node("WildcardEncode //Inspire", model=["1", 0], clip=["1", 1], wildcard_text="__x__", populated_text=PROMPT, seed=1), PROMPT),
]  # fmt: skip


@pytest.mark.parametrize(("name", "encoder", "prompt"), ENCODERS, ids=[one[0] for one in ENCODERS])
def test_encoders_by_their_own_inputs(name: str, encoder: dict[str, Any], prompt: str):
    data = read(base(n3=encoder))
    is_base(data, prompt=prompt)
    assert data.notes == ()


STACKS: list[tuple[str, dict[str, Any], list[tuple[str, float]]]] = [
    ("Easy's stack", {"n30": node("easy loraStackApply", lora_stack=["31", 0], model=["1", 0], optional_clip=["1", 1]), "n31": node("easy loraStack", toggle=True, mode="simple", num_loras=2, lora_1_name="ink.safetensors", lora_1_strength=0.6, lora_1_model_strength=1, lora_1_clip_strength=1, lora_2_name="None", lora_2_strength=1, lora_3_name="beyond.safetensors", lora_3_strength=1)}, [("ink.safetensors", 0.6)]),
    ("Easy's stack, advanced", {"n30": node("easy loraStackApply", lora_stack=["31", 0], model=["1", 0]), "n31": node("easy loraStack", toggle=True, mode="advanced", num_loras=1, lora_1_name="ink.safetensors", lora_1_strength=0.6, lora_1_model_strength=0.5, lora_1_clip_strength=0.4)}, [("ink.safetensors", 0.5)]),
    ("Easy's stack, off", {"n30": node("easy loraStackApply", lora_stack=["31", 0], model=["1", 0]), "n31": node("easy loraStack", toggle=False, mode="simple", num_loras=1, lora_1_name="ink.safetensors", lora_1_strength=0.6)}, []),
    ("Easy's switcher", {"n30": node("easy loraStackApply", lora_stack=["31", 0], model=["1", 0]), "n31": node("easy loraSwitcher", toggle=True, select=2, num_loras=2, lora_strength=0.7, lora_1_name="a.safetensors", lora_2_name="ink.safetensors")}, [("ink.safetensors", 0.7)]),
    ("pysssss' loader", {"n30": node("LoraLoader|pysssss", model=["1", 0], clip=["1", 1], lora_name={"content": "ink.safetensors", "image": None}, strength_model=0.6, strength_clip=0.6)}, [("ink.safetensors", 0.6)]),
    ("Comfyroll's loader", {"n30": node("CR Load LoRA", model=["1", 0], clip=["1", 1], switch="On", lora_name="ink.safetensors", strength_model=0.6, strength_clip=0.6)}, [("ink.safetensors", 0.6)]),
    ("Comfyroll's loader, off", {"n30": node("CR Load LoRA", model=["1", 0], clip=["1", 1], switch="Off", lora_name="ink.safetensors", strength_model=0.6, strength_clip=0.6)}, []),
    ("Comfyroll's stack", {"n30": node("CR Apply LoRA Stack", model=["1", 0], clip=["1", 1], lora_stack=["31", 0]), "n31": node("CR LoRA Stack", switch_1="On", lora_name_1="ink.safetensors", model_weight_1=0.6, clip_weight_1=1, switch_2="Off", lora_name_2="b.safetensors", model_weight_2=1, clip_weight_2=1, switch_3="Off", lora_name_3="None", model_weight_3=1, clip_weight_3=1)}, [("ink.safetensors", 0.6)]),
    ("ttN's stack", {"n30": node("CR Apply LoRA Stack", model=["1", 0], clip=["1", 1], lora_stack=["31", 1]), "n31": node("ttN pipeLoraStack", toggle="True", mode="simple", num_loras=1, lora_1_name="ink.safetensors", lora_1_strength=0.6)}, [("ink.safetensors", 0.6)]),
    ("LoRA Manager's stacker", {"n30": node("Lora Loader (LoraManager)", model=["1", 0], clip=["1", 1], text="", loras={"__value__": []}, lora_stack=["31", 0]), "n31": node("Lora Stacker (LoraManager)", text="<lora:ink:0.6>", loras={"__value__": [{"name": "ink", "strength": "0.60", "active": True}]})}, [("ink", 0.6)]),
    ("LoRA Manager's text", {"n30": node("LoRA Text Loader (LoraManager)", model=["1", 0], clip=["1", 1], lora_syntax="<lora:ink:0.6>")}, [("ink", 0.6)]),
    ("tags", {"n30": node("LoraTagLoader", model=["1", 0], clip=["1", 1], text="x <lora:ink:0.6>")}, [("ink", 0.6)]),
    ("Power Prompt", {"n30": node("Power Prompt (rgthree)", opt_model=["1", 0], opt_clip=["1", 1], prompt="x <lora:ink:0.6>")}, [("ink", 0.6)]),
    ("CivitAI's selector", {"n30": node("CivitaiLoraLoader", model=["1", 0], clip=["1", 1], loras_json=json.dumps([{"air": "urn:air:sdxl:lora:civitai:1@2", "strength": 0.6, "on": True}, {"air": "urn:air:sdxl:lora:civitai:3@4", "on": False}]))}, [("urn:air:sdxl:lora:civitai:1@2", 0.6)]),
    ("CivitAI's old loader, by file", {"n30": node("CivitAI_Lora_Loader", model=["1", 0], clip=["1", 1], lora_air="{model_id}@{model_version}", lora_name="ink.safetensors", strength_model=0.6, strength_clip=0.6)}, [("ink.safetensors", 0.6)]),
    ("CivitAI's old loader, by AIR", {"n30": node("CivitAI_Lora_Loader", model=["1", 0], clip=["1", 1], lora_air="109395@84321", lora_name="none", strength_model=0.6, strength_clip=0.6)}, [("109395@84321", 0.6)]),
    ("block weights", {"n30": node("LoraLoaderBlockWeight //Inspire", model=["1", 0], clip=["1", 1], category_filter="All", lora_name="ink.safetensors", strength_model=0.6, strength_clip=0.6, inverse=False, seed=0, A=4, B=1, preset="Preset", block_vector="1,1", bypass=False)}, [("ink.safetensors", 0.6)]),
    ("Nunchaku", {"n30": node("NunchakuFluxLoraLoader", model=["1", 0], lora_name="ink.safetensors", lora_strength=0.6)}, [("ink.safetensors", 0.6)]),
    ("essentials", {"n30": node("LoraLoaderModelOnly", model=["1", 0], lora_name=["31", 0], strength_model=0.6), "n31": node("easy loraNames", lora_name="ink.safetensors")}, [("ink.safetensors", 0.6)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more", "found"), STACKS, ids=[one[0] for one in STACKS])
def test_loras_of_each_pack(name: str, more: dict[str, Any], found: list[tuple[str, float]]):
    data = read(base(n6=sampler(model=["30", 1] if "Power" in name or "CivitAI's sel" in name else ["30", 0]), **more))
    is_base(data, loras=found)
    assert data.notes == ()


def test_a_lora_that_is_not_read_is_said():
    data = read(
        base(
            n6=sampler(model=["30", 0]),
            n30=node("SuperLoraThing", model=["1", 0], my_file="ink.safetensors", power=0.6),
        )
    )
    assert loras(data) == [] and any("A LoRA is not read: ink.safetensors" in note for note in data.notes)


SIZES: list[tuple[str, dict[str, Any]]] = [
    ("rgthree", {"n5": node("SDXL Empty Latent Image (rgthree)", dimensions="640 x 448   (landscape)", clip_scale=2.0, batch_size=1)}),
    ("Comfyroll, a preset as latent", {"n6": sampler(latent_image=["5", 4]), "n5": node("CR SDXL Aspect Ratio", width=1024, height=1024, aspect_ratio="10:7 landscape 640x448", swap_dimensions="Off", upscale_factor=1.0, batch_size=1)}),
    ("Comfyroll, swapped", {"n6": sampler(latent_image=["5", 5]), "n5": node("CR Aspect Ratio", width=1024, height=1024, aspect_ratio="SDXL - 7:10 portrait 448x640", swap_dimensions="On", upscale_factor=1.0, prescale_factor=1.0, batch_size=1)}),
    ("Comfyroll, custom, as numbers", {"n5": node("EmptyLatentImage", width=["30", 0], height=["30", 1], batch_size=1), "n30": node("CR SDXL Aspect Ratio", width=640, height=448, aspect_ratio="custom", swap_dimensions="Off", upscale_factor=1.0, batch_size=1)}),
    ("Comfyroll, a preset as numbers", {"n5": node("EmptyLatentImage", width=["30", 0], height=["30", 1], batch_size=1), "n30": node("CR SD1.5 Aspect Ratio", width=1, height=1, aspect_ratio="x 640x448", swap_dimensions="Off", upscale_factor=1.0, batch_size=1)}),
    ("KJ", {"n5": node("EmptyLatentImagePresets", dimensions="640 x 448 (1.43:1)", invert=False, batch_size=1)}),
    ("KJ, inverted", {"n5": node("EmptyLatentImagePresets", dimensions="448 x 640", invert=True, batch_size=1)}),
    ("essentials", {"n5": node("SDXLEmptyLatentSizePicker+", resolution="640x448 (1.43)", batch_size=1, width_override=0, height_override=0)}),
    ("essentials, overridden", {"n5": node("SDXLEmptyLatentSizePicker+", resolution="1024x1024 (1.0)", batch_size=1, width_override=640, height_override=448)}),
    ("literals", {"n5": node("EmptyLatentImage", width=["30", 0], height=["31", 0], batch_size=1), "n30": node("Width/Height Literal (Image Saver)", size=640), "n31": node("INTConstant", value=448)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more"), SIZES, ids=[one[0] for one in SIZES])
def test_sizes_of_each_pack(name: str, more: dict[str, Any]):
    data = read(base(**more))
    is_base(data)
    assert data.notes == ()


def easy(loader: str, **more: Any) -> dict[str, Any]:
    return node(loader, **{**{"ckpt_name": "duneMix_v4.safetensors", "vae_name": "Baked VAE", "clip_skip": -1, "lora_name": "None", "lora_model_strength": 1,
        "lora_clip_strength": 1, "resolution": "width x height (custom)", "empty_latent_width": 640, "empty_latent_height": 448, "positive": PROMPT, "negative": NEGATIVE,
        "batch_size": 1}, **more})  # fmt: skip


RUN = {"steps": 21, "cfg": 6.0, "sampler_name": "euler_ancestral", "scheduler": "karras", "denoise": 1.0}
CONTEXT = {"model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2], "positive": ["3", 0], "negative": ["4", 0]}
PIPES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("Easy, a resolution", {"n1": easy("easy fullLoader", resolution="640 x 448", empty_latent_width=512), "n6": node("easy fullkSampler", pipe=["1", 0], **RUN, seed=4242, image_output="Preview")}, ("3", "4", "5", "7", "8")),
    ("Easy, before and after", {"n1": easy("easy a1111Loader"), "n15": node("easy preSampling", pipe=["1", 0], **RUN, seed=4242), "n6": node("easy kSampler", pipe=["15", 0], image_output="Preview"), "n8": node("SaveImage", images=["6", 1])}, ("3", "4", "5", "7")),
    ("Easy, model elsewhere", {"n1": easy("easy comfyLoader", ckpt_name="x.safetensors"), "n20": node("UNETLoader", unet_name="duneMix_v4.safetensors"), "n15": node("easy pipeEdit", pipe=["1", 0], clip_skip=-1, optional_positive="", optional_negative="", model=["20", 0]), "n6": node("easy fullkSampler", pipe=["15", 0], **RUN, seed=4242)}, ("3", "4", "5", "7", "8")),
    ("Easy, taken out", {"n1": easy("easy comfyLoader"), "n15": node("easy pipeOut", pipe=["1", 0]), "n6": sampler(model=["15", 1], positive=["15", 2], negative=["15", 3], latent_image=["15", 4])}, ("3", "4", "5", "7", "8")),
    ("Easy, put in", {"n15": node("easy pipeIn", model=["1", 0], pos=["3", 0], neg=["4", 0], latent=["5", 0], vae=["1", 2], clip=["1", 1]), "n6": node("easy fullkSampler", pipe=["15", 0], **RUN, seed=4242)}, ("7", "8")),
    ("ttN", {"n1": node("ttN pipeLoader_v2", ckpt_name="duneMix_v4.safetensors", config_name="Default", vae_name="Baked VAE", clip_skip=-1, loras="", positive=PROMPT, negative=NEGATIVE, empty_latent_aspect="width x height [custom]", empty_latent_width=640, empty_latent_height=448, batch_size=1, seed=1), "n6": node("ttN pipeKSampler_v2", pipe=["1", 0], lora_name="None", lora_strength=1, upscale_method="None", **RUN, seed=4242), "n8": node("SaveImage", images=["6", 7])}, ("3", "4", "5", "7")),
    ("Impact's basic pipe", {"n15": node("ToBasicPipe", **CONTEXT), "n6": node("ImpactKSamplerBasicPipe", basic_pipe=["15", 0], latent_image=["5", 0], seed=4242, **RUN), "n7": node("VAEDecode", samples=["6", 1], vae=["6", 2])}, ()),
    ("Impact's pipe, edited and taken apart", {"n15": node("ToBasicPipe", **{**CONTEXT, "positive": ["4", 0]}), "n16": node("EditBasicPipe", basic_pipe=["15", 0], positive=["3", 0]), "n17": node("FromBasicPipe_v2", basic_pipe=["16", 0]), "n6": sampler(model=["17", 1], positive=["17", 4], negative=["17", 5])}, ()),
    ("Inspire's sampler", {"n15": node("ToBasicPipe", **CONTEXT), "n6": node("KSamplerPipe //Inspire", basic_pipe=["15", 0], latent_image=["5", 0], seed=4242, **RUN, noise_mode="GPU(=A1111)")}, ()),
    ("rgthree, context on context", {"n40": node("Context (rgthree)", **CONTEXT), "n41": node("Context Big (rgthree)", base_ctx=["40", 0], latent=["5", 0], seed=4242, steps=21, cfg=6.0, sampler="euler_ancestral", scheduler="karras"), "n6": sampler(model=["41", 1], positive=["41", 4], negative=["41", 5], latent_image=["41", 6], seed=["41", 8], steps=["41", 9], cfg=["41", 11], sampler_name=["41", 13], scheduler=["41", 14])}, ()),
    ("rgthree, context switch", {**OTHER, "n40": node("Context (rgthree)", **CONTEXT), "n41": node("Context (rgthree)", model=["20", 0]), "n42": node("Context Switch (rgthree)", ctx_02=["40", 0], ctx_03=["41", 0]), "n6": sampler(model=["42", 1], positive=["42", 4], negative=["42", 5])}, ()),
    ("rgthree, context merge", {**OTHER, "n40": node("Context (rgthree)", **{**CONTEXT, "model": ["20", 0]}), "n41": node("Context (rgthree)", model=["1", 0]), "n42": node("Context Merge (rgthree)", ctx_01=["40", 0], ctx_02=["41", 0]), "n6": sampler(model=["42", 1], positive=["42", 4], negative=["42", 5])}, ()),
    ("rgthree, settings", {"n40": node("KSampler Config (rgthree)", steps_total=21, refiner_step=18, cfg=6.0, sampler_name="euler_ancestral", scheduler="karras"), "n6": sampler(steps=["40", 0], cfg=["40", 2], sampler_name=["40", 3], scheduler=["40", 4])}, ()),
    ("Image Saver's parameters", {"n40": node("Input Parameters (Image Saver)", seed=4242, steps=21, cfg=6.0, sampler="euler_ancestral", scheduler="karras", denoise=1.0), "n6": sampler(seed=["40", 0], steps=["40", 1], cfg=["40", 2], sampler_name=["40", 3], scheduler=["40", 4], denoise=["40", 5])}, ()),
    ("Image Saver's loader", {"n1": node("Checkpoint Loader with Name (Image Saver)", ckpt_name="duneMix_v4.safetensors")}, ()),
    ("Efficiency's SDXL", {"n1": node("Eff. Loader SDXL", base_ckpt_name="duneMix_v4.safetensors", base_clip_skip=-2, refiner_ckpt_name="None", refiner_clip_skip=-2, positive_ascore=6, negative_ascore=2, vae_name="Baked VAE", positive=PROMPT, negative=NEGATIVE, empty_latent_width=640, empty_latent_height=448, batch_size=1), "n6": node("KSampler SDXL (Eff.)", sdxl_tuple=["1", 0], latent_image=["1", 1], noise_seed=4242, steps=21, cfg=6.0, sampler_name="euler_ancestral", scheduler="karras", start_at_step=0, refine_at_step=-1, optional_vae=["1", 2]), "n8": node("SaveImage", images=["6", 3])}, ("3", "4", "5", "7")),
    ("Comfyroll's module", {"n15": node("CR Module Pipe Loader", model=["1", 0], pos=["3", 0], neg=["4", 0], latent=["5", 0], vae=["1", 2], clip=["1", 1], seed=4242), "n16": node("CR Module Input", pipe=["15", 0]), "n6": sampler(model=["16", 1], positive=["16", 2], negative=["16", 3], latent_image=["16", 4])}, ()),
    ("pysssss' checkpoint", {"n1": node("CheckpointLoader|pysssss", ckpt_name={"content": "duneMix_v4.safetensors", "image": None})}, ()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more", "gone"), PIPES, ids=[one[0] for one in PIPES])
def test_pipes_contexts_and_loaders_of_each_pack(name: str, more: dict[str, Any], gone: tuple[str, ...]):
    data = read(without(base(**more), *gone))
    is_base(data)
    assert data.notes == ()
    # The overridden model's file still lends its text encoder.
    assert [one.name for one in data.others] == (["x.safetensors"] if "model elsewhere" in name else [])


def test_a_lora_node_that_draws_its_own_is_said():
    data = read(base(n6=sampler(model=["30", 0]), n30=node("CR Apply LoRA Stack", model=["1", 0], lora_stack=["31", 0]), n31=node("Lora Cycler (LoraManager)", cycler_config={"index": 3})))  # fmt: skip
    is_base(data)
    assert data.notes == ("Which LoRA Lora Cycler (LoraManager) applies, if any, is not written in the graph.",)


def test_of_two_branches_the_one_that_is_saved_is_read():
    shown = {"n20": sampler(seed=1, steps=5, positive=["21", 0]), "n21": node("CLIPTextEncode", clip=["1", 1], text="a blue boat"), "n22": node("VAEDecode", samples=["20", 0], vae=["1", 2]),
             "n23": node("PreviewImage", images=["22", 0])}  # fmt: skip
    data = read({**{key.removeprefix("n"): one for key, one in shown.items()}, **base()})
    is_base(data)
    assert data.notes == ()


MODELS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("a merge", {"n1": node("ModelMergeSimple", model1=["20", 0], model2=["21", 0], ratio=0.5), "n20": node("CheckpointLoaderSimple", ckpt_name="duneMix_v4.safetensors"), "n21": node("CheckpointLoaderSimple", ckpt_name="b.safetensors")}, ["b.safetensors"]),
    ("GGUF", {"n1": node("UnetLoaderGGUF", unet_name="duneMix_v4.safetensors")}, []),
    ("KJ's loader", {"n1": node("DiffusionModelLoaderKJ", model_name="duneMix_v4.safetensors", weight_dtype="default")}, []),
    ("KJ's selector", {"n1": node("UNETLoader", unet_name=["20", 0]), "n20": node("DiffusionModelSelector", model_name="duneMix_v4.safetensors")}, []),
    ("Easy's names", {"n1": node("CheckpointLoaderSimple", ckpt_name=["20", 0]), "n20": node("easy ckptNames", ckpt_name="duneMix_v4.safetensors")}, []),
    ("LoRA Manager's loader", {"n1": node("Checkpoint Loader (LoraManager)", ckpt_name="duneMix_v4.safetensors")}, []),
    ("through patches", {"n6": sampler(model=["20", 0]), "n20": node("FreeU_V2", model=["21", 0], b1=1.3), "n21": node("ModelSamplingDiscrete", model=["1", 0], sampling="eps")}, []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more", "others"), MODELS, ids=[one[0] for one in MODELS])
def test_models_of_each_pack(name: str, more: dict[str, Any], others: list[str]):
    data = read(base(**more))
    is_base(data)
    assert [one.name for one in data.others] == others and data.notes == ()


def test_control_nets_and_upscalers_by_their_own_inputs():
    data = read(base(n6=sampler(positive=["30", 0], negative=["30", 1]), n30=node("CR Apply Multi-ControlNet", base_positive=["3", 0], base_negative=["4", 0], switch="On", controlnet_stack=["31", 0]),
                     n31=node("Control Net Stacker", control_net=["32", 0], image=["33", 0], strength=1.0, start_percent=0.0, end_percent=1.0), n32=node("ControlNetLoader", control_net_name="depth.safetensors"),
                     n33=node("LoadImage", image="a.png"), n8=node("SaveImage", images=["40", 0]), n40=node("CR Upscale Image", image=["7", 0], upscale_model="4x.pth", mode="rescale", rescale_factor=2)))  # fmt: skip
    is_base(data)
    assert {(one.kind, one.name) for one in data.others} == {
        ("controlnet", "depth.safetensors"),
        ("upscaler", "4x.pth"),
    }
    assert data.notes == ()


def test_a_model_behind_an_unknown_node_is_named_and_said():
    data = read(base(n6=sampler(model=["20", 0]), n20=node("SuperPatch", thing=["1", 0])))
    is_base(data)
    assert data.notes == ("What SuperPatch does to a model is not known; the model behind it is named.",)


def test_another_model_never_stands_in_for_one_that_is_not_known():
    """The checkpoint lends its text encoder alone; what the unknown loader loads is in a place that nobody knows."""
    data = read(base(n6=sampler(model=["20", 0]), n20=node("SuperLoader", thing=3)))
    is_base(data, model_name="")
    assert data.notes == ("The model is not written in the graph, or its loader is not known here.",)
    assert [(one.kind, one.name) for one in data.others] == [("checkpoint", "duneMix_v4.safetensors")]


@pytest.mark.parametrize(
    "resize",
    [
        node("ImageResizeKJ", image=["30", 0], width=640, height=448, keep_proportion=True),
        node("ImageResize+", image=["30", 0], width=640, height=448, method="keep proportion"),
    ],
)
def test_bounds_of_a_size_are_no_size(resize: dict[str, Any]):
    data = read(
        base(
            n5=node("VAEEncode", pixels=["31", 0], vae=["1", 2]),
            n31=resize,
            n30=node("LoadImage", image="a.png"),
            n6=sampler(denoise=0.5),
        )
    )
    is_base(data, width=None, height=None)
    assert data.notes == ("The size is not written in the graph.",)
