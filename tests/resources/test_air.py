"""AIRs: what is read, what is written, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pack.civitai_bridge.errors import InvalidAir
from pack.civitai_bridge.resources.air import Air

READS = [
    # text, canonical, (ecosystem, type, source, id, version, file, format)
    ("urn:air:sdxl:checkpoint:civitai:827184@2514310", None, ("sdxl", "checkpoint", "civitai", "827184", "2514310", None, None)),
    ("urn:air:sdxl:checkpoint:civitai:827184@2514310+2402203", None, ("sdxl", "checkpoint", "civitai", "827184", "2514310", "2402203", None)),
    ("urn:air:qwen:text_encoders:civitai:1@2+3.safetensors", None, ("qwen", "text_encoders", "civitai", "1", "2", "3", "safetensors")),
    ("urn:air:wanvideo-22-t2v-a14b:lora:civitai:1@2", None, ("wanvideo-22-t2v-a14b", "lora", "civitai", "1", "2", None, None)),
    # prefixes may be missing
    ("air:sdxl:lora:civitai:1@2", "urn:air:sdxl:lora:civitai:1@2", None),
    ("sdxl:lora:civitai:1@2", "urn:air:sdxl:lora:civitai:1@2", None),
    ("urn:civitai:1@2", "urn:air:civitai:1@2", ("", "", "civitai", "1", "2", None, None)),
    ("civitai:1@2", "urn:air:civitai:1@2", None),
    ("civitai:1", "urn:air:civitai:1", ("", "", "civitai", "1", None, None, None)),
    ("lora:civitai:1@2", "urn:air:lora:civitai:1@2", ("lora", "", "civitai", "1", "2", None, None)),
    # bare, as old packs write it
    ("4384@128713", "urn:air:civitai:4384@128713", ("", "", "civitai", "4384", "128713", None, None)),
    ("4384@128713+7", "urn:air:civitai:4384@128713+7", None),
    # case and white space around
    ("  URN:AIR:SDXL:LoRA:CivitAI:1@2 ", "urn:air:sdxl:lora:civitai:1@2", None),
    # a format that the regex swallows into the version
    ("urn:air:sd1:checkpoint:civitai:1@2.safetensors", None, ("sd1", "checkpoint", "civitai", "1", "2", None, "safetensors")),
    # the older grammar's layer
    ("urn:air:sdxl:lora:civitai:1@2:unet", "urn:air:sdxl:lora:civitai:1@2", None),
    # other sources
    (
        "urn:air:zimageturbo:diffusion_model:huggingface:Comfy-Org/z_image_turbo@main/split_files/diffusion_models/x.safetensors",
        None,
        ("zimageturbo", "diffusion_model", "huggingface", "Comfy-Org/z_image_turbo", "main/split_files/diffusion_models/x.safetensors", None, None),
    ),
    ("urn:air:other:other:civitai-r2:civitai-worker-assets@sam_vit_b_01ec64.pth", None, None),
    ("urn:air:comfy:nodepack:comfyregistry:kijai/comfyui-kjnodes@1.4.0", None, None),
    ("urn:air:oci:image:ghcr:civitai/x@v1", None, None),
]  # fmt: skip

REFUSALS = [
    ("", "empty"),
    ("   ", "empty"),
    ("hello", "follow"),
    ("a:b:c:d:e:1@2", "follow"),
    ("urn:air:sdxl:lora:civitai:1 @2", "white space"),
    ("urn:air:sdxl:lora:civitai:abc@2", "whole numbers"),
    ("urn:air:sdxl:lora:civitai:1@two", "whole numbers"),
    ("urn:air:oci:image:ghcr:x@sha256:abcdef", "digest"),
    ("http://x", "web address"),
    ("https://civitai.com/models/1", "web address"),
    ("http:x", "no source"),
    ("urn:air:sdxl:lora:civitai:1@2\n:x", "white space"),
    ("urn:air:" + "a" * 2000, "too long"),
    ("urn:air:sdxl:lora:civitai:１@2", "follow"),
]


@pytest.mark.parametrize(("text", "canonical", "parts"), READS, ids=[text for text, _, _ in READS])
def test_reads(text: str, canonical: str | None, parts: tuple[str | None, ...] | None):
    air = Air.parse(text)
    assert str(air) == (canonical or text)
    if parts:
        assert (air.ecosystem, air.type, air.source, air.id, air.version, air.file, air.format) == parts


@pytest.mark.parametrize(("text", "reason"), REFUSALS, ids=[text[:40] for text, _ in REFUSALS])
def test_refusals(text: str, reason: str):
    with pytest.raises(InvalidAir, match=reason):
        Air.parse(text)


def test_ids_of_civitai_alone():
    air = Air.parse("urn:air:sdxl:lora:civitai:1@2+3")
    assert (air.model_id, air.version_id, air.file_id) == (1, 2, 3)
    other = Air.parse("urn:air:flux1:lora:huggingface:org/repo@main")
    assert (other.model_id, other.version_id) == (None, None)


_word = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=12)
_number = st.integers(1, 2**31 - 1).map(str)


@given(_word, _word, _number, st.none() | _number, st.none() | _number)
def test_what_is_written_is_read_back(ecosystem: str, type_: str, id_: str, version: str | None, file: str | None):
    air = Air(ecosystem, type_, "civitai", id_, version, file)
    assert Air.parse(str(air)) == air


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str):
    try:
        assert Air.parse(str(Air.parse(text))) == Air.parse(text)
    except InvalidAir as error:
        assert error.reason
