"""From a person's wishes to a body, by the table alone; every body is held against CivitAI's contract."""

from __future__ import annotations

import base64
import io
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pack.civitai_bridge.errors import (
    BadInput,
    FieldRefused,
    NotAPicture,
    NotGeneratable,
    UnknownLabel,
    UnknownVariant,
    WrongFamily,
)
from pack.civitai_bridge.orchestration.body import OrderRules, build
from pack.civitai_bridge.orchestration.request import GenerationRequest, ResolvedLora
from pack.civitai_bridge.orchestration.variants import variants
from pack.civitai_bridge.resources.version import ModelVersion
from pack.civitai_bridge.sandbox import schema


def png(width: int = 640, height: int = 400) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (9, 9, 9)).save(out, "PNG")
    return out.getvalue()


def resource(base: str = "SDXL 1.0", air: str = "urn:air:sdxl:checkpoint:civitai:1@2", **more: Any) -> ModelVersion:
    kind = air.split(":")[3]
    return ModelVersion(**{"air": air, "version_id": 2, "model_id": 1, "name": "M", "version_name": "v1", "base_model": base, "type": kind, **more})  # fmt: skip


MODEL = resource()
SD1 = resource("SD 1.5", "urn:air:sd1:checkpoint:civitai:3@4")
LORA = resource(air="urn:air:sdxl:lora:civitai:5@6")
FLUX = resource("Flux.1 D", "urn:air:flux1:checkpoint:civitai:11@12")
SD1_LORA = resource("SD 1.5", "urn:air:sd1:lora:civitai:7@8")
VAE = resource(air="urn:air:sdxl:vae:civitai:9@10")


def want(**more: Any) -> GenerationRequest:
    return GenerationRequest(**{"model": "2", "prompt": "a lighthouse", **more})


def wrong(body: dict[str, Any]) -> dict[str, list[str]]:
    """What the contract says against an input (sdcpp/flux1 is taken without its three other components)."""
    found, _ = schema.input_problems(body, "input")
    if body.get("ecosystem") == "flux1" and body.get("engine") == "sdcpp":
        found = {path: [s for s in said if "missing required" not in s] for path, said in found.items()}
    return {path: said for path, said in found.items() if said}


def leaves():
    return [pytest.param(v, id=f"{v.path}-{v.operation}") for ops in variants().values() for v in ops.values()]


@pytest.mark.parametrize("variant", leaves())
def test_every_variant_is_order_as_the_contract_wants_it(variant: Any):
    image = png() if variant.kind in ("edit", "variant") else None
    model = None
    if variant.model_field and variant.fields[variant.model_field].required:
        family = variant.family
        model = resource(
            {"sd1": "SD 1.5", "flux1": "Flux.1 D"}.get(family, "SDXL 1.0"), f"urn:air:{family}:checkpoint:civitai:1@2"
        )
    for format_ in ("png", "jpeg", "webp"):
        request = want(
            engine=variant.path, operation=variant.kind or "auto", image=image, seed=7, output_format=format_
        )
        order = build(request, model)
        assert order.variant is variant and wrong(order.input) == {}
        assert list(order.input)[: len(variant.selectors)] == list(variant.selectors)
        assert order.input["outputFormat"] == {"png": "png", "jpeg": "jpeg", "webp": "webP"}[format_]


@pytest.mark.parametrize("variant", leaves())
def test_a_template_is_as_the_contract_wants_it(variant: Any):
    rules = OrderRules(currencies=("blue",), mature_content="blocked")
    order = build(want(engine="comfy/sdxl"), MODEL, rules=rules)
    body = json.loads(order.submission("k-1"))
    assert body == {**order.body, "tags": ["civitai-bridge", "k-1"], "externalId": "k-1"}
    assert schema.problems("WorkflowTemplate", body) == {}
    assert body["upgradeMode"] == "manual" and body["allowMatureContent"] is False


@pytest.mark.parametrize(
    ("more", "field", "allowed"),
    [
        ({"steps": 151}, "steps", "1 to 150"),
        ({"steps": -1}, "steps", "1 to 150"),
        ({"cfg": 31.0}, "cfg", "0 to 30"),
        ({"cfg": math.nan}, "cfg", "a number"),
        ({"width": -8}, "width", "0 or more"),
        ({"quantity": 13}, "quantity", "1 to 12"),
        ({"quantity": 0}, "quantity", "1 to 12"),
        ({"prompt": "x" * 10_001}, "prompt", "at most 10000"),
        ({"negative_prompt": "x" * 10_001}, "negative_prompt", "at most 10000"),
        ({"seed": -2}, "seed", "0 to"),
        ({"seed": 2**53}, "seed", "0 to"),
        ({"image": png(), "denoise": 1.5, "operation": "variant"}, "denoise", "0 to 1"),
        ({"output_format": "gif"}, "output_format", "png"),
        ({"operation": "upscale"}, "operation", "auto"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(more: dict[str, Any], field: str, allowed: str):
    with pytest.raises(FieldRefused, match=allowed) as caught:
        build(want(**more), MODEL)
    assert caught.value.field == field and str(caught.value).startswith(field)


@pytest.mark.parametrize("prompt", ["", " \n"])
def test_an_empty_prompt_is_one_short_sentence(prompt: str):
    with pytest.raises(BadInput) as caught:
        build(want(prompt=prompt), MODEL)
    assert str(caught.value) == "The prompt is empty."


def test_a_seed_of_minus_one_is_not_known_and_it_is_said():
    order = build(want(seed=-1), MODEL)
    assert order.input["seed"] == 0 and any("not known" in note for note in order.notes)
    assert order.hash == build(want(), MODEL).hash and build(want(), MODEL).notes == ()


@pytest.mark.parametrize(
    ("engine", "size", "sent"),
    [
        ("comfy/sd1", (1280, 1920), (688, 1024)),
        ("comfy/sd1", (1024, 512), (1024, 512)),
        ("comfy/sd1", (0, 4096), (None, 1024)),
        ("comfy/sdxl", (4096, 2048), (2048, 1024)),
        ("comfy/sdxl", (32, 64), (64, 128)),
        ("flux2/dev", (300, 400), (512, 680)),
        ("sdcpp/flux1", (2000, 500), (1216, 832)),
    ],
)
def test_a_size_beyond_the_limits_is_fitted_in_its_shape_and_it_is_said(
    engine: str, size: tuple[int, int], sent: tuple[int | None, int]
):
    model = {"comfy/sd1": SD1, "flux2/dev": None, "sdcpp/flux1": FLUX}.get(engine, MODEL)
    order = build(want(engine=engine, width=size[0], height=size[1]), model)
    assert (order.input.get("width"), order.input["height"]) == sent and wrong(order.input) == {}
    fitted = any("pixels a side" in note and str(size[1]) in note for note in order.notes)
    assert fitted is (sent != size)


@pytest.mark.parametrize(
    ("engine", "more", "field", "value"),
    [
        ("comfy/flux1", {"guidance": 3.5, "cfg": 1.0}, "cfgScale", 3.5),
        ("comfy/flux1", {"cfg": 2.0}, "cfgScale", 2.0),
        ("flux2/dev", {"guidance": 4.0}, "guidanceScale", 4.0),
        ("flux1-kontext/pro", {"guidance": 2.5, "cfg": 1.0, "image": png()}, "guidanceScale", 2.5),
        ("comfy/sdxl", {"guidance": 3.5, "cfg": 6.0}, "cfgScale", 6.0),
    ],
)
def test_guidance_goes_where_the_variant_takes_it_and_it_is_said(
    engine: str, more: dict[str, Any], field: str, value: float
):
    order = build(want(engine=engine, **more), {"comfy/flux1": FLUX, "comfy/sdxl": MODEL}.get(engine))
    assert order.input[field] == value and wrong(order.input) == {}
    assert any("guidance" in note for note in order.notes) is ("guidance" in more)


def test_a_guidance_out_of_range_is_refused_by_its_own_name():
    with pytest.raises(FieldRefused, match="guidance is 40"):
        build(want(engine="flux2/dev", guidance=40.0), None)


def test_zero_and_auto_leave_the_variants_own():
    assert build(want(), MODEL).input == {
        "engine": "comfy", "ecosystem": "sdxl", "operation": "createImage", "model": MODEL.air, "prompt": "a lighthouse",
        "quantity": 1, "seed": 0, "outputFormat": "png",
    }  # fmt: skip


def test_sizes_are_rounded_and_it_is_said():
    order = build(want(width=1000, height=1023), MODEL)
    assert (order.input["width"], order.input["height"]) == (992, 1024)
    assert any("width 1000 became 992" in note and "16" in note for note in order.notes)
    assert build(want(width=1024), MODEL).notes == ()


@pytest.mark.parametrize(
    ("engine", "size", "field", "value"),
    [
        ("google/imagen4", (1920, 1080), "aspectRatio", "16:9"),
        ("google/imagen4", (700, 1000), "aspectRatio", "3:4"),
        ("grok", (1000, 1000), "aspectRatio", "1:1"),
        ("openai/dall-e-3", (1792, 1000), "size", "1792x1024"),
        ("openai/dall-e-2", (500, 500), "size", "512x512"),
        ("fal/qwen2", (768, 1024), "imageSize", "portrait_4_3"),
        ("wan/v2.7/fal", (500, 500), "imageSize", "square"),
    ],
)
def test_a_size_becomes_the_nearest_shape(engine: str, size: tuple[int, int], field: str, value: str):
    order = build(want(engine=engine, width=size[0], height=size[1]), None)
    assert order.input[field] == value and any(f"{field} {value}" in note for note in order.notes)
    assert "width" not in order.input and wrong(order.input) == {}


def test_what_is_not_used_is_named_only_when_it_was_set():
    order = build(want(engine="google/imagen4", steps=30, cfg=7.0, sampler_name="euler", clip_skip=2), None)
    assert "Not used by google/imagen4: steps, cfg, sampler_name, clip_skip." in order.notes
    assert build(want(engine="google/imagen4"), None).notes == ()


@pytest.mark.parametrize("more", [{"image": png()}, {"mask": png()}])
def test_pictures_for_an_engine_without_are_refused(more: dict[str, Any]):
    with pytest.raises(BadInput, match="takes no"):
        build(want(engine="google/imagen4", **more), None)


def test_loras_and_vae_for_an_engine_without_are_refused():
    with pytest.raises(BadInput, match="takes no LoRAs"):
        build(want(engine="google/imagen4"), None, [ResolvedLora(LORA, 1.0)])
    with pytest.raises(BadInput, match="takes no VAE"):
        build(want(engine="google/imagen4"), None, vae=VAE)


def test_loras_in_both_shapes():
    assert build(want(), MODEL, [ResolvedLora(LORA, 0.8)]).input["loras"] == {LORA.air: 0.8}
    flux = resource("Flux.2 D", "urn:air:flux2:lora:civitai:5@6")
    order = build(want(engine="flux2/dev"), None, [ResolvedLora(flux, 0.8)])
    assert order.input["loras"] == [{"air": flux.air, "strength": 0.8}]
    with pytest.raises(FieldRefused, match="0 to 4"):
        build(want(engine="flux2/dev"), None, [ResolvedLora(flux, -1.0)])
    assert build(want(), MODEL, [ResolvedLora(LORA, -0.5)]).input["loras"] == {LORA.air: -0.5}


def test_the_same_lora_twice_is_added_and_strength_zero_is_off():
    order = build(want(), MODEL, [ResolvedLora(LORA, 0.5), ResolvedLora(LORA, 0.25)])
    assert order.input["loras"] == {LORA.air: 0.75} and any("twice" in note for note in order.notes)
    assert "loras" not in build(want(), MODEL, [ResolvedLora(LORA, 0.0)]).input
    with pytest.raises(FieldRefused, match="a number"):
        build(want(), MODEL, [ResolvedLora(LORA, math.inf)])


def test_another_family_is_refused_with_both_names():
    with pytest.raises(WrongFamily, match=r"SD 1\.5.*SDXL 1\.0"):
        build(want(), MODEL, [ResolvedLora(SD1_LORA, 1.0)])
    order = build(want(), MODEL, [ResolvedLora(SD1_LORA, 1.0)], rules=OrderRules(family_mismatch="warn"))
    assert any("may not show" in note for note in order.notes)
    with pytest.raises(WrongFamily, match="comfy/sdxl"):
        build(want(engine="comfy/sdxl"), SD1)
    pony = resource("Pony", "urn:air:sdxl:lora:civitai:5@6")
    assert build(want(), MODEL, [ResolvedLora(pony, 1.0)]).notes == ()


def test_a_lora_is_no_checkpoint_and_a_checkpoint_no_lora():
    with pytest.raises(BadInput, match="is a LoRA, not a checkpoint"):
        build(want(), LORA)
    with pytest.raises(BadInput, match="not a LoRA"):
        build(want(), MODEL, [ResolvedLora(resource(), 1.0)])
    with pytest.raises(BadInput, match="not a VAE"):
        build(want(), MODEL, vae=LORA)
    assert build(want(), MODEL, vae=VAE).input["vaeModel"] == VAE.air


def test_what_the_fleet_does_not_run_is_refused():
    with pytest.raises(NotGeneratable, match="not enabled"):
        build(want(), resource(can_generate=False))
    with pytest.raises(NotGeneratable, match="LoRA"):
        build(want(), MODEL, [ResolvedLora(resource(air=LORA.air, can_generate=False), 1.0)])
    with pytest.raises(UnknownVariant, match="no image engine"):
        build(want(), resource("SD 2.1", "urn:air:sd2:checkpoint:civitai:1@2"))
    with pytest.raises(BadInput, match="No model"):
        build(want(model=""), None)
    with pytest.raises(BadInput, match="needs a model"):
        build(want(engine="comfy/sdxl"), None)


def test_an_own_model_is_said_to_be_not_sent():
    qwen = resource("Qwen", "urn:air:qwen:checkpoint:civitai:1@2")
    assert any("runs its own model" in note for note in build(want(), qwen).notes)


def test_klein_gets_its_version_from_the_base_model():
    klein = resource("Flux.2 Klein 4B-base", "urn:air:flux2:checkpoint:civitai:1@2")
    assert build(want(), klein).input["modelVersion"] == "4b-base"


@pytest.mark.parametrize(
    ("engine", "more", "operation"),
    [
        ("comfy/sdxl", {}, "createImage"),
        ("comfy/sdxl", {"image": png()}, "createVariant"),
        ("sdcpp/qwen/20b", {"image": png()}, "createVariant"),
        ("sdcpp/qwen/20b", {"image": png(), "denoise": 1.0}, "editImage"),
        ("flux2/klein", {"image": png()}, "editImage"),
        ("wan/v2.5/fal", {"image": png()}, "image-to-image"),
        ("comfy/boogu/edit", {"image": png()}, "editImage"),
    ],
)
def test_auto_chooses_the_operation(engine: str, more: dict[str, Any], operation: str):
    model = MODEL if engine == "comfy/sdxl" else None
    order = build(want(engine=engine, **more), model)
    assert order.variant.operation == operation and wrong(order.input) == {}


def test_an_operation_without_its_picture_is_refused():
    with pytest.raises(BadInput, match="needs an image"):
        build(want(operation="variant"), MODEL)
    with pytest.raises(UnknownVariant, match="no operation 'edit'"):
        build(want(operation="edit", image=png()), MODEL)


def test_a_picture_goes_along_as_png():
    order = build(want(image=png(), denoise=0.4), MODEL)
    assert base64.b64decode(order.input["image"].removeprefix("data:image/png;base64,")) == png()
    assert order.input["denoiseStrength"] == 0.4
    with pytest.raises(NotAPicture, match="not a PNG"):
        build(want(image=b"GIF89a" + b"\0" * 99), MODEL)
    with pytest.raises(NotAPicture, match="MB"):
        build(want(image=png() + b"\0" * 9_000_000), MODEL)


def test_a_size_that_must_be_told_is_the_pictures_own():
    order = build(want(engine="sdcpp/qwen/20b", image=png(640, 400), operation="edit"), None)
    assert (order.input["width"], order.input["height"]) == (640, 400)


@pytest.mark.parametrize(("engine", "seed", "sent"), [("comfy/sdxl", 2**53 - 1, 2**53 - 1), ("seedream", 2**31 + 5, 5), ("wan/v2.7/fal", 7, 7)])  # fmt: skip
def test_seeds_are_folded_into_the_range(engine: str, seed: int, sent: int):
    order = build(want(engine=engine, seed=seed), MODEL if engine == "comfy/sdxl" else None)
    assert order.input["seed"] == sent and (("folded" in " ".join(order.notes)) is (seed != sent))


def test_the_last_picture_of_a_batch_has_a_legal_seed_too():
    order = build(want(engine="seedream", seed=2**31 - 1, quantity=12), None)
    assert order.input["seed"] + 11 < 2**31


def test_samplers_are_translated_or_refused():
    assert (
        build(want(engine="sdcpp/sdxl", sampler_name="euler_ancestral", scheduler="normal"), MODEL).input[
            "sampleMethod"
        ]
        == "euler_a"
    )
    with pytest.raises(UnknownLabel, match="It takes"):
        build(want(engine="sdcpp/sdxl", sampler_name="uni_pc"), MODEL)


def test_extra_fields_are_checked_too():
    assert build(want(engine="google/nano-banana-pro", extra={"resolution": "2K"}), None).input["resolution"] == "2K"
    for extra in ({"resolution": "9K"}, {"nothing": 1}):
        with pytest.raises(BadInput):
            build(want(engine="google/nano-banana-pro", extra=extra), None)


_numbers = st.integers(-10, 20_000)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([(v.path, v.kind) for ops in variants().values() for v in ops.values()]),
    st.fixed_dictionaries(
        {},
        optional={
            "width": _numbers, "height": _numbers, "steps": st.integers(-5, 300), "quantity": st.integers(-1, 20),
            "cfg": st.floats(-5, 200) | st.just(math.nan), "guidance": st.floats(-5, 50), "seed": st.integers(-1, 2**60), "clip_skip": st.integers(-3, 30),
            "negative_prompt": st.text(max_size=20), "denoise": st.floats(-1, 2), "sampler_name": st.sampled_from(["auto", "euler", "lcm", "nope"]),
            "scheduler": st.sampled_from(["auto", "karras", "nope"]), "image": st.sampled_from([None, png()]),
        },
    ),
)  # fmt: skip
def test_whatever_is_asked_is_refused_or_legal(place: tuple[str, str], more: dict[str, Any]):
    path, kind = place
    families = {"sd1": "SD 1.5", "sdxl": "SDXL 1.0", "flux1": "Flux.1 D"}
    family = path.split("/")[-1]
    model = resource(families[family], f"urn:air:{family}:checkpoint:civitai:1@2") if family in families else None
    try:
        order = build(want(engine=path, operation=kind or "auto", **more), model)
    except BadInput as error:
        assert str(error)
    else:
        assert wrong(order.input) == {}


def test_the_two_sizes_of_klein_are_not_mixed():
    big, small = "Flux.2 Klein 9B", "Flux.2 Klein 4B"
    model = resource(big, "urn:air:flux2:checkpoint:civitai:1@2")
    with pytest.raises(WrongFamily):
        build(want(), model, [ResolvedLora(resource(small, "urn:air:flux2:lora:civitai:5@6"), 1.0)])
    assert build(want(), model, [ResolvedLora(resource(big, "urn:air:flux2:lora:civitai:5@6"), 1.0)]).input["loras"]


def test_a_vae_of_another_family_is_refused():
    with pytest.raises(WrongFamily, match="VAE"):
        build(want(), MODEL, vae=resource("SD 1.5", "urn:air:sd1:vae:civitai:9@10"))


def test_kontext_and_z_image_base_do_not_run_on_their_cousins():
    for base, air, engine in (
        ("Flux.1 Kontext", "urn:air:flux1kontext:checkpoint:civitai:1@2", "comfy/flux1"),
        ("ZImageBase", "urn:air:zimagebase:checkpoint:civitai:1@2", "sdcpp/zImage/turbo"),
    ):
        with pytest.raises(WrongFamily):
            build(want(engine=engine), resource(base, air))
    krea = resource("Flux.1 Krea", "urn:air:fluxkrea:checkpoint:civitai:1@2")
    assert build(want(), krea).variant.path == "comfy/flux1"
