"""What comes after the first sampler: decoded by which VAE, enlarged by what, sampled again as what."""

from __future__ import annotations

from typing import Any

import pytest
from test_comfy_packs import base, is_base, sampler
from test_comfy_reader import node, read

UPSCALER = {"n20": node("UpscaleModelLoader", model_name="4xSharp.pth")}
HIRES: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
    ("latent by a factor", {"n10": node("LatentUpscaleBy", samples=["6", 0], upscale_method="bicubic", scale_by=1.5)}, ("", 1.5, 12, 0.5, None, None)),
    ("latent to a size", {"n10": node("LatentUpscale", samples=["6", 0], upscale_method="bicubic", width=1280, height=896, crop="disabled")}, ("", None, 12, 0.5, 1280, 896)),
    ("a neural one", {"n10": node("NNLatentUpscale", latent=["6", 0], version="SDXL", upscale=1.5)}, ("", 1.5, 12, 0.5, None, None)),
    ("a picture by a model, then to a size", {**UPSCALER, "n11": node("ImageUpscaleWithModel", upscale_model=["20", 0], image=["7", 0]), "n12": node("ImageScale", image=["11", 0], upscale_method="area", width=1280, height=896, crop="disabled"),
        "n10": node("VAEEncode", pixels=["12", 0], vae=["1", 2])}, ("4xSharp.pth", None, 12, 0.5, 1280, 896)),
    ("a picture by a model, then by a factor", {**UPSCALER, "n11": node("ImageUpscaleWithModel", upscale_model=["20", 0], image=["7", 0]), "n12": node("ImageScaleBy", image=["11", 0], upscale_method="area", scale_by=0.5),
        "n10": node("VAEEncode", pixels=["12", 0], vae=["1", 2])}, ("4xSharp.pth", None, 12, 0.5, None, None)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more", "want"), HIRES, ids=[one[0] for one in HIRES])
def test_the_same_model_on_an_enlarged_picture_is_a_hires_fix(name: str, more: dict[str, Any], want: tuple[Any, ...]):
    later = sampler(latent_image=["10", 0], seed=7, steps=12, denoise=0.5)
    data = read(
        base(
            n13=later,
            n14=node("VAEDecode", samples=["13", 0], vae=["1", 2]),
            n8=node("SaveImage", images=["14", 0]),
            **more,
        )
    )
    up = data.upscale
    assert up is not None and (up.upscaler, up.scale, up.steps, up.denoise, up.width, up.height) == want
    is_base(data, upscale=up)
    assert data.notes == ()


def test_a_tiled_upscaler_is_a_hires_fix_with_its_own_factor():
    tiled = node("UltimateSDUpscale", image=["7", 0], model=["1", 0], positive=["3", 0], negative=["4", 0], vae=["1", 2], upscale_by=2.0, seed=1, steps=12, cfg=5,
                 sampler_name="euler", scheduler="normal", denoise=0.25, upscale_model=["20", 0], mode_type="Linear", tile_width=512, tile_height=512)  # fmt: skip
    data = read(base(n13=tiled, n8=node("SaveImage", images=["13", 0]), **UPSCALER))
    up = data.upscale
    assert up is not None and (up.upscaler, up.scale, up.steps, up.denoise) == ("4xSharp.pth", 2.0, 12, 0.25)
    is_base(data, upscale=up)


def test_impacts_iterative_upscale_takes_its_settings_from_its_provider():
    data = read(base(
        n12=node("PixelKSampleUpscalerProvider", scale_method="lanczos", model=["1", 0], vae=["1", 2], seed=5, steps=12, cfg=5, sampler_name="euler", scheduler="normal",
                 positive=["3", 0], negative=["4", 0], denoise=0.4, use_tiled_vae=False, tile_size=512, upscale_model_opt=["20", 0]),
        n13=node("IterativeLatentUpscale", samples=["6", 0], upscale_factor=1.5, steps=3, temp_prefix="", upscaler=["12", 0]),
        n14=node("VAEDecode", samples=["13", 0], vae=["13", 1]), n8=node("SaveImage", images=["14", 0]), **UPSCALER))  # fmt: skip
    up = data.upscale
    assert up is not None and (up.upscaler, up.scale, up.steps, up.denoise) == ("4xSharp.pth", 1.5, 12, 0.4)
    is_base(data, upscale=up)


def test_efficiencys_script_is_a_hires_fix():
    script = node("HighRes-Fix Script", upscale_type="pixel", hires_ckpt_name="(use same)", latent_upscaler="nearest-exact", pixel_upscaler="4xSharp.pth", upscale_by=1.5,
                  use_same_seed=True, seed=1, hires_steps=12, denoise=0.5, iterations=1, use_controlnet=False, control_net_name="depth.safetensors", strength=1)  # fmt: skip
    first = node(
        "KSampler (Efficient)",
        **{
            **sampler()["inputs"],
            "preview_method": "auto",
            "vae_decode": "true",
            "optional_vae": ["1", 2],
            "script": ["12", 0],
        },
    )
    data = read(base(n6=first, n12=script, n7=node("VAEDecode", samples=["6", 3], vae=["1", 2])))
    up = data.upscale
    assert up is not None and (up.upscaler, up.scale, up.steps, up.denoise) == ("4xSharp.pth", 1.5, 12, 0.5)
    is_base(data, upscale=up)
    assert [one.kind for one in data.others] == ["upscaler"]


def advanced(start: int, end: int, **changes: Any) -> dict[str, Any]:
    inputs = {"add_noise": "enable" if start == 0 else "disable", "noise_seed": 4242, "steps": 21, "cfg": 6.0, "sampler_name": "euler_ancestral", "scheduler": "karras",
              "start_at_step": start, "end_at_step": end, "return_with_leftover_noise": "enable", "model": ["1", 0], "positive": ["3", 0], "negative": ["4", 0],
              "latent_image": ["5", 0]}  # fmt: skip
    return node("KSamplerAdvanced", **{**inputs, **changes})


def test_a_refiner_is_a_refiner():
    data = read(base(n2=node("CheckpointLoaderSimple", ckpt_name="refinerX.safetensors"), n6=advanced(0, 16), n16=advanced(16, 10000, model=["2", 0], latent_image=["6", 0]),
                     n7=node("VAEDecode", samples=["16", 0], vae=["1", 2])))  # fmt: skip
    is_base(data)
    assert [(one.kind, one.name) for one in data.others] == [("refiner", "refinerX.safetensors")]
    assert any(note.startswith("A refiner finished the picture") for note in data.notes)


@pytest.mark.parametrize("low", ["wan2.2_t2v_low_noise_14B.safetensors", "Wan_LowNoise.gguf"])
def test_a_second_expert_is_a_second_expert(low: str):
    data = read(base(n1=node("UNETLoader", unet_name="wan2.2_t2v_high_noise_14B.safetensors"), n2=node("UNETLoader", unet_name=low), n5=node("EmptyHunyuanLatentVideo", width=640, height=448, length=81, batch_size=1),
                     n6=advanced(0, 10), n16=advanced(10, 10000, model=["17", 0], latent_image=["6", 0]), n17=node("LoraLoaderModelOnly", model=["2", 0], lora_name="fast_low.safetensors", strength_model=1.0),
                     n7=node("VAEDecode", samples=["16", 0], vae=["9", 0]), n9=node("VAELoader", vae_name="wan_vae.safetensors")))  # fmt: skip
    is_base(data, model_name="wan2.2_t2v_high_noise_14B.safetensors", loras=[("fast_low.safetensors", 1.0)])
    assert [(one.kind, one.name) for one in data.others] == [("checkpoint", low)]
    assert data.vae == "wan_vae.safetensors" and data.detected_type == "t2v"
    assert any(note.startswith("A second expert") for note in data.notes)


def test_an_expert_that_takes_over_at_a_split_of_the_schedule():
    def part(model: str, slot: int, latent: list[Any], seed: int) -> dict[str, Any]:
        return node(
            "SamplerCustom",
            model=[model, 0],
            add_noise=slot == 0,
            noise_seed=seed,
            cfg=6.0,
            positive=["3", 0],
            negative=["4", 0],
            sampler=["30", 0],
            sigmas=["31", slot],
            latent_image=latent,
        )

    data = read(base(n1=node("UNETLoader", unet_name="one.safetensors"), n2=node("UNETLoader", unet_name="two.safetensors"), n6=part("1", 0, ["5", 0], 4242), n16=part("2", 1, ["6", 0], 1),
                     n30=node("KSamplerSelect", sampler_name="euler_ancestral"), n31=node("SplitSigmas", sigmas=["32", 0], step=10), n32=node("BasicScheduler", model=["1", 0], scheduler="karras", steps=21, denoise=1.0),
                     n7=node("VAEDecode", samples=["16", 0], vae=["9", 0]), n9=node("VAELoader", vae_name="v.safetensors")))  # fmt: skip
    is_base(data, model_name="one.safetensors")
    assert any(note.startswith("A second expert") for note in data.notes)


def test_cascades_second_stage_is_a_stage():
    data = read(base(n2=node("UNETLoader", unet_name="stage_b.safetensors"), n5=node("StableCascade_EmptyLatentImage", width=640, height=448, compression=42, batch_size=1),
                     n12=node("StableCascade_StageB_Conditioning", conditioning=["3", 0], stage_c=["6", 0]), n13=sampler(model=["2", 0], positive=["12", 0], latent_image=["5", 1], seed=1, steps=10, cfg=1.1),
                     n7=node("VAEDecode", samples=["13", 0], vae=["1", 2])))  # fmt: skip
    is_base(data)
    assert any(note.startswith("A second stage") for note in data.notes)


DETAIL = {
    "image": ["7", 0],
    "seed": 99,
    "steps": 15,
    "cfg": 5.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "denoise": 0.4,
    "guide_size": 512,
}
DETAILERS: list[tuple[str, dict[str, Any]]] = [
    ("Impact's pipe", {"n12": node("FaceDetailerPipe", detailer_pipe=["13", 0], **DETAIL), "n13": node("ToDetailerPipe", model=["1", 0], clip=["1", 1], vae=["1", 2], positive=["3", 0], negative=["4", 0], wildcard="")}),
    ("Impact's masks", {"n12": node("MaskDetailerPipe", basic_pipe=["13", 0], mask=["14", 0], **DETAIL), "n13": node("ToBasicPipe", model=["1", 0], clip=["1", 1], vae=["1", 2], positive=["3", 0], negative=["4", 0]), "n14": node("SolidMask", value=1.0)}),
    ("with a prompt of its own", {"n12": node("FaceDetailer", model=["1", 0], clip=["1", 1], vae=["1", 2], positive=["13", 0], negative=["4", 0], wildcard="", **DETAIL), "n13": node("CLIPTextEncode", clip=["1", 1], text="a face")}),
    ("Impact's segments", {"n12": node("DetailerForEach", segs=["13", 0], model=["1", 0], clip=["1", 1], vae=["1", 2], positive=["3", 0], negative=["4", 0], wildcard="", **DETAIL), "n13": node("BboxDetectorSEGS", bbox_detector=["14", 0], image=["7", 0]), "n14": node("UltralyticsDetectorProvider", model_name="bbox/face_yolov8m.pt")}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more"), DETAILERS, ids=[one[0] for one in DETAILERS])
def test_a_detailer_is_a_detailer(name: str, more: dict[str, Any]):
    data = read(base(n8=node("SaveImage", images=["12", 0]), **more))
    is_base(data)
    assert any(note.startswith("A detailer worked on the picture afterwards") for note in data.notes)
    assert not any("not known" in note for note in data.notes)


def test_the_vae_is_the_one_that_decodes():
    data = read(base(n5=node("VAEEncode", pixels=["30", 0], vae=["31", 0]), n30=node("LoadImage", image="a.png"), n31=node("VAELoader", vae_name="other.safetensors"), n6=sampler(denoise=0.6),
                     n7=node("VAEDecodeTiled", samples=["6", 0], vae=["9", 0], tile_size=512), n9=node("VAELoader", vae_name="softVae.safetensors")))  # fmt: skip
    assert data.vae == "softVae.safetensors" and data.detected_type == "i2i"
    assert "The size is not written in the graph." in data.notes


def test_upscalers_after_decoding_are_no_second_pass():
    data = read(base(n11=node("ImageUpscaleWithModel", upscale_model=["20", 0], image=["7", 0]), n12=node("ImageScaleBy", image=["11", 0], upscale_method="area", scale_by=0.5),
                     n8=node("SaveImage", images=["12", 0]), **UPSCALER))  # fmt: skip
    is_base(data)
    assert [(one.kind, one.name) for one in data.others] == [("upscaler", "4xSharp.pth")] and data.notes == ()


def test_another_branch_lends_neither_vae_nor_upscaler():
    data = read(base(n60=sampler(seed=1, latent_image=["61", 0]), n61=node("EmptyLatentImage", width=64, height=64, batch_size=1), n62=node("VAEDecode", samples=["60", 0], vae=["63", 0]), n63=node("VAELoader", vae_name="b.safetensors")))  # fmt: skip
    is_base(data)
    assert data.vae == ""
