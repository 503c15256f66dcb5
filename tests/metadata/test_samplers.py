"""Sampler names in four spellings, and an honest "unknown"."""

from __future__ import annotations

import pytest

from pack.civitai_bridge.errors import UnknownLabel
from pack.civitai_bridge.metadata.samplers import (
    SAMPLER_NAMES,
    SCHEDULER_NAMES,
    Sampling,
    for_dialect,
    from_label,
    read_label,
    schedule_for_dialect,
)
from pack.civitai_bridge.orchestration.variants import find


@pytest.mark.parametrize(
    ("label", "schedule", "sampling"),
    [
        ("Euler a", "", Sampling("euler_ancestral", "")),
        ("Euler", "", Sampling("euler", "")),
        ("DPM++ 2M Karras", "", Sampling("dpmpp_2m", "karras")),
        ("DPM++ 2M", "Karras", Sampling("dpmpp_2m", "karras")),
        ("dpm++ 2m  sde karras", "", Sampling("dpmpp_2m_sde", "karras")),
        ("DPM++ 3M SDE", "Exponential", Sampling("dpmpp_3m_sde", "exponential")),
        ("DPM2 a Karras", "", Sampling("dpm_2_ancestral", "karras")),
        ("DDIM", "", Sampling("ddim", "")),
        ("UniPC", "", Sampling("uni_pc", "")),
        ("euler", "SGM Uniform", Sampling("euler", "sgm_uniform")),
        ("dpmpp_2m", "", Sampling("dpmpp_2m", "")),
    ],
)
def test_labels(label: str, schedule: str, sampling: Sampling):
    assert from_label(label, schedule) == sampling


@pytest.mark.parametrize(("label", "schedule"), [("PLMS 9", ""), ("", ""), ("auto", ""), ("Euler", "Wobbly")])
def test_what_no_table_has_is_said_to_be_unknown(label: str, schedule: str):
    with pytest.raises(UnknownLabel, match="nothing stands in"):
        from_label(label, schedule)


@pytest.mark.parametrize(
    ("label", "schedule", "sampler", "scheduler"),
    [
        ("dpmpp_2m_karras", "", "dpmpp_2m", "karras"),
        ("euler_ancestral_sgm_uniform", "", "euler_ancestral", "sgm_uniform"),
        ("er_sde simple", "", "er_sde", "simple"),
        ("euler_simple", "", "euler", "simple"),
        ("uni_pc_bh2_ddim_uniform", "", "uni_pc_bh2", "ddim_uniform"),
        ("dpmpp_2m_sde_heun", "", "dpmpp_2m_sde_heun", ""),
        ("dpmpp_2m_sde_heun_gpu_beta", "", "dpmpp_2m_sde_heun_gpu", "beta"),
        ("Euler Ancestral", "Karras", "euler_ancestral", "karras"),
        ("DPM++ 2M (Karras)", "", "dpmpp_2m", "karras"),
        ("euler", "linear_quadratic", "euler", "linear_quadratic"),
        ("res_multistep", "Linear Quadratic", "res_multistep", "linear_quadratic"),
    ],
)
def test_names_that_comfyui_savers_join(label: str, schedule: str, sampler: str, scheduler: str):
    assert read_label(label, schedule) == (Sampling(sampler, scheduler), ())


@pytest.mark.parametrize("label", ["Undefined", "undefined", "unknown", "None"])
def test_a_sampler_that_nobody_chose_is_empty_and_named(label: str):
    sampling, (note,) = read_label(label)
    assert sampling == Sampling("", "") and label in note
    with pytest.raises(UnknownLabel):
        from_label(label)


AUTOMATIC = [
    ("DPM++ 2M", "dpmpp_2m", "karras"), ("DPM++ SDE", "dpmpp_sde", "karras"), ("DPM++ 2S a", "dpmpp_2s_ancestral", "karras"),
    ("DPM2", "dpm_2", "karras"), ("DPM2 a", "dpm_2_ancestral", "karras"), ("DPM++ 2M SDE", "dpmpp_2m_sde", "exponential"),
    ("DPM++ 3M SDE", "dpmpp_3m_sde", "exponential"), ("Euler a", "euler_ancestral", "normal"), ("LCM", "lcm", "normal"),
    ("DPM++ 2M SDE Karras", "dpmpp_2m_sde", "karras"), ("DPM++ 2M SDE Heun", "dpmpp_2m_sde_heun", "exponential"),
    ("Restart", "Restart", "karras"), ("PLMS 9", "PLMS 9", ""),
]  # fmt: skip


@pytest.mark.parametrize(("label", "sampler", "scheduler"), AUTOMATIC)
@pytest.mark.parametrize("word", ["Automatic", " automatic "])
def test_automatic_is_the_samplers_own_schedule(label: str, sampler: str, scheduler: str, word: str):
    found, notes = read_label(label, word)
    assert found == Sampling(sampler, scheduler)
    assert any("automatic" in note for note in notes) == (scheduler != "normal")
    assert read_label(label)[0].sampler == sampler


def test_comfy_names_are_the_variants_own():
    fields = find("comfy/sdxl", "create").fields
    for name in fields["sampler"].choices:
        assert for_dialect(name, fields["sampler"].choices, "comfy") == name
        assert name in SAMPLER_NAMES
    for name in fields["scheduler"].choices:
        assert name in SCHEDULER_NAMES


def test_every_sdcpp_method_has_a_name_of_ours():
    fields = find("sdcpp/sdxl", "create").fields
    known = {
        for_dialect(n, fields["sampleMethod"].choices, "sdcpp") for n in ("euler_ancestral", "dpmpp_2m", "ddim", "heun")
    }
    assert known == {"euler_a", "dpm++2m", "ddim_trailing", "heun"}
    assert schedule_for_dialect("normal", fields["schedule"].choices, "sdcpp") == "discrete"


def test_a_name_that_the_variant_has_not_lists_what_it_takes():
    fields = find("sdcpp/sdxl", "create").fields
    with pytest.raises(UnknownLabel, match="euler_ancestral"):
        for_dialect("uni_pc", fields["sampleMethod"].choices, "sdcpp")
    with pytest.raises(UnknownLabel, match="karras"):
        schedule_for_dialect("kl_optimal", find("comfy/sdxl", "create").fields["scheduler"].choices, "comfy")
