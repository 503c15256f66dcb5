"""A bare engine name means, of the engines that it names, the one that fits the model."""

from __future__ import annotations

from typing import Any

import pytest

from pack.civitai_bridge.errors import BadInput, CivitaiError, UnknownVariant, WrongFamily
from pack.civitai_bridge.orchestration.body import build
from pack.civitai_bridge.orchestration.engine_choice import choose_engine
from pack.civitai_bridge.orchestration.request import GenerationRequest
from pack.civitai_bridge.orchestration.variants import variants
from pack.civitai_bridge.resources.ecosystems import BASE_MODELS, ecosystem_of
from pack.civitai_bridge.resources.version import ModelVersion


def model(base: str) -> ModelVersion:
    air = f"urn:air:{ecosystem_of(base)}:checkpoint:civitai:1@2"
    return ModelVersion(air, 2, 1, "M", "v1", base, "checkpoint")


@pytest.mark.parametrize(
    ("name", "base", "path"),
    [
        ("sdxl", "SDXL 1.0", "comfy/sdxl"),
        ("SDXL", "Pony", "comfy/sdxl"),
        ("illustrious", "Illustrious", "comfy/sdxl"),
        ("sd1", "SD 1.5", "comfy/sd1"),
        ("sd15", "SD 1.5 LCM", "comfy/sd1"),
        ("flux2", "Flux.2 D", "flux2/dev"),
        ("flux2", "Flux.2 Klein 9B", "flux2/klein"),
        ("flux1", "Flux.1 Krea", "comfy/flux1"),
        ("sdcpp", "SDXL 1.0", "sdcpp/sdxl"),
        ("sdcpp", "Flux.2 D", "sdcpp/flux2Dev"),
        ("comfy", "Flux.2 D", "comfy/flux2Dev"),
        ("zImage", "ZImageBase", "sdcpp/zImage/base"),
        ("turbo", "Ernie", "comfy/ernie/turbo"),
        ("pro", "Flux.1 Kontext", "flux1-kontext/pro"),
        ("wan", "Wan Image 2.7", "wan/v2.7/fal"),
        ("comfy/sdxl", "SD 1.5", "comfy/sdxl"),
        ("nonsense", "SD 1.5", "nonsense"),
    ],
)
def test_a_bare_name_is_the_engine_of_that_name_which_fits_the_model(name: str, base: str, path: str):
    assert choose_engine(name, model(base))[0] == path


def test_a_klein_model_chooses_its_own_weights_wherever_it_runs():
    for name in ("flux2", "sdcpp", "sdcpp/flux2Klein", "flux2/klein"):
        path, fields = choose_engine(name, model("Flux.2 Klein 9B-base"))
        assert "lein" in path and fields == {"modelVersion": "9b-base"}


@pytest.mark.parametrize(
    ("name", "base", "error", "words"),
    [
        ("sdxl", "SD 1.5", WrongFamily, "family SD 1.5.*sdcpp/sdxl, comfy/sdxl.*runs on comfy/sd1"),
        ("flux2", "SDXL 1.0", WrongFamily, "names no engine that runs M v1"),
        ("sd1", "SD 2.1", WrongFamily, "family SD 2.1"),
        ("google", "Nano Banana", UnknownVariant, "name one of google/nano-banana-pro, google/nano-banana-2"),
        ("sdxl", "", BadInput, "Name one of them, or a model"),
        ("sdx", "SDXL 1.0", UnknownVariant, "Did you mean"),
        ("", "", BadInput, "No model is named"),
    ],
)
def test_where_none_fits_a_sentence_says_which_there_are(name: str, base: str, error: type, words: str):
    with pytest.raises(error, match=words):
        build(GenerationRequest(prompt="x", engine=name), model(base) if base else None)


def test_a_name_of_one_engine_alone_needs_no_model():
    assert choose_engine("imagen4", None) == ("google/imagen4", {})
    assert choose_engine("krea2/base", None)[0] == "krea2/base", "a part of a path is no name"


def test_what_a_name_chooses_never_runs_another_family():
    """Whatever word of a path or family is named with whatever base model: an engine that takes it, or a sentence."""
    words = {word for path in variants() for word in path.split("/")} | {ecosystem_of(base) for base in BASE_MODELS}
    for base in BASE_MODELS:
        for word in sorted(words - set(variants())):
            try:
                path, _ = choose_engine(word, model(base))
                chosen: Any = next(iter(variants()[path].values())) if path in variants() else None
            except CivitaiError:
                continue
            if chosen is not None and chosen.model_field:
                request = GenerationRequest(prompt="x", engine=word, operation=chosen.kind or "auto")
                if chosen.kind != "edit":
                    assert build(request, model(base)).input[chosen.model_field] == model(base).air
