"""Videos and the models that make them: from a text or a picture, with which prompt, size and experts."""

from __future__ import annotations

from typing import Any

import pytest
from test_comfy_packs import NEGATIVE, PROMPT, base, is_base, loras
from test_comfy_reader import node, read

PICTURE = node("LoadImage", image="a.png")
SAVED = node("VHS_VideoCombine", images=["7", 0], frame_rate=16, format="video/h264-mp4")


def custom(**more: dict[str, Any]) -> dict[str, Any]:
    """The base graph with the custom sampler's parts."""
    graph = base(
        n6=node("SamplerCustom", model=["1", 0], add_noise=True, noise_seed=4242, cfg=6.0, positive=["10", 0], negative=["10", 1], sampler=["11", 0], sigmas=["12", 0], latent_image=["10", 2]),
        n11=node("KSamplerSelect", sampler_name="euler_ancestral"), n12=node("BasicScheduler", model=["1", 0], scheduler="karras", steps=21, denoise=1.0), n8=SAVED, n30=PICTURE,
    )  # fmt: skip
    return {**graph, **{key.removeprefix("n"): one for key, one in more.items()}}


FROM_PICTURE: list[tuple[str, dict[str, Any]]] = [
    ("LTXV", node("LTXVImgToVideo", positive=["3", 0], negative=["4", 0], vae=["1", 2], image=["30", 0], width=640, height=448, length=97, batch_size=1)),
    ("Wan", node("WanImageToVideo", positive=["3", 0], negative=["4", 0], vae=["1", 2], start_image=["30", 0], width=640, height=448, length=81, batch_size=1)),
    ("Wan, first and last", node("WanFirstLastFrameToVideo", positive=["3", 0], negative=["4", 0], vae=["1", 2], start_image=["30", 0], end_image=["30", 0], width=640, height=448, length=81, batch_size=1)),
    ("Hunyuan", node("HunyuanImageToVideo", positive=["3", 0], negative=["4", 0], vae=["1", 2], start_image=["30", 0], width=640, height=448, length=53, batch_size=1, guidance_type="v1")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "maker"), FROM_PICTURE, ids=[one[0] for one in FROM_PICTURE])
def test_a_video_from_a_picture(name: str, maker: dict[str, Any]):
    data = read(custom(n10=maker))
    is_base(data)
    assert data.detected_type == "i2v" and data.notes == ()


def test_a_video_from_a_text():
    graph = custom()
    graph["6"]["inputs"].update(positive=["13", 0], negative=["13", 1], latent_image=["10", 0])
    graph["10"] = node("EmptyLTXVLatentVideo", width=640, height=448, length=97, batch_size=1)
    graph["13"] = node("LTXVConditioning", positive=["3", 0], negative=["4", 0], frame_rate=25.0)
    data = read(graph)
    is_base(data)
    assert data.detected_type == "t2v" and data.notes == ()


def test_stable_video_diffusion_has_no_prompt_and_says_so():
    graph = base(n1=node("ImageOnlyCheckpointLoader", ckpt_name="svd_xt.safetensors"), n9=node("VideoLinearCFGGuidance", model=["1", 0], min_cfg=1.0), n30=PICTURE, n8=SAVED,
                 n10=node("SVD_img2vid_Conditioning", clip_vision=["1", 1], init_image=["30", 0], vae=["1", 2], width=640, height=448, video_frames=25, motion_bucket_id=127, fps=6, augmentation_level=0.0))  # fmt: skip
    graph["6"]["inputs"].update(model=["9", 0], positive=["10", 0], negative=["10", 1], latent_image=["10", 2])
    data = read(graph)
    is_base(data, prompt="", negative_prompt="", model_name="svd_xt.safetensors")
    assert data.detected_type == "i2v" and data.notes == ("The prompt is not written in the graph.",)


def wrapper(**more: dict[str, Any]) -> dict[str, Any]:
    """WanVideoWrapper's own loaders, encoders and sampler."""
    graph = {
        "1": node("WanVideoModelLoader", model="WanVideo/wan_14B.safetensors", base_precision="fp16", quantization="disabled", load_device="offload_device", lora=["20", 0]),
        "2": node("WanVideoTextEncode", positive_prompt=PROMPT, negative_prompt=NEGATIVE, t5=["9", 0], force_offload=True),
        "3": node("WanVideoEmptyEmbeds", width=640, height=448, num_frames=81),
        "6": node("WanVideoSampler", model=["1", 0], text_embeds=["2", 0], image_embeds=["3", 0], steps=21, cfg=6.0, shift=5.0, seed=4242, force_offload=True, scheduler="unipc", riflex_freq_index=0),
        "7": node("WanVideoDecode", vae=["8", 0], samples=["6", 0]),
        "8": node("WanVideoVAELoader", model_name="Wan2_1_VAE.safetensors", precision="bf16"),
        "9": node("LoadWanVideoT5TextEncoder", model_name="umt5.safetensors", precision="bf16"),
        "20": node("WanVideoLoraSelect", lora="ink.safetensors", strength=0.6, prev_lora=["21", 0]),
        "21": node("WanVideoLoraSelect", lora="oil.safetensors", strength=0.2),
        "90": node("VHS_VideoCombine", images=["7", 0], frame_rate=16),
    }  # fmt: skip
    return {**graph, **{key.removeprefix("n"): one for key, one in more.items()}}


def test_wan_wrapper():
    data = read(wrapper())
    is_base(data, sampler="", scheduler="unipc", model_name="WanVideo/wan_14B.safetensors", loras=[("oil.safetensors", 0.2), ("ink.safetensors", 0.6)])  # fmt: skip
    assert (data.vae, data.detected_type, data.notes) == ("Wan2_1_VAE.safetensors", "t2v", ())


def test_wan_wrapper_from_a_picture():
    data = read(
        wrapper(
            n3=node(
                "WanVideoImageToVideoEncode", width=640, height=448, num_frames=81, start_image=["30", 0], vae=["8", 0]
            ),
            n30=PICTURE,
        )
    )
    assert (data.width, data.height, data.detected_type, data.notes) == (640, 448, "i2v", ())


def test_wan_wrapper_with_two_experts_and_a_list_of_loras():
    data = read(wrapper(
        n1=node("WanVideoModelLoader", model="Wan22_HIGH_noise.safetensors", base_precision="fp16", lora=["20", 0]), n20=node("WanVideoLoraSelectMulti", lora_0="ink.safetensors", strength_0=0.6, lora_1="none", strength_1=1.0),
        n11=node("WanVideoModelLoader", model="Wan22_LOW_noise.safetensors", base_precision="fp16"),
        n16=node("WanVideoSampler", model=["11", 0], text_embeds=["2", 0], image_embeds=["3", 0], samples=["6", 0], steps=21, cfg=1.0, shift=5.0, seed=4242, scheduler="unipc", start_step=10),
        n7=node("WanVideoDecode", vae=["8", 0], samples=["16", 0])))  # fmt: skip
    assert (data.model_name, data.steps, data.cfg, data.upscale) == ("Wan22_HIGH_noise.safetensors", 21, 6.0, None)
    assert [(one.kind, one.name) for one in data.others] == [("checkpoint", "Wan22_LOW_noise.safetensors")]
    assert loras(data) == [("ink.safetensors", 0.6)] and any(note.startswith("A second expert") for note in data.notes)


def test_wan_wrapper_whose_schedule_is_a_node():
    graph = wrapper(n30=node("WanVideoSchedulerv2", scheduler="dpm++_sde", steps=21, shift=5.0))
    graph["6"]["inputs"].update(scheduler=["30", 0])
    del graph["6"]["inputs"]["steps"]
    data = read(graph)
    assert (data.steps, data.scheduler) == (21, "dpm++_sde")
