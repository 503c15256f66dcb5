"""Sampler names in four spellings: A1111's labels, ComfyUI's names, and the two dialects of the orchestrator.

Sources: CivitAI's own label mapping (facts/orchestration-api.md §5.7) for the first columns; the sdcpp column follows
the enum's plain correspondences (§5.3). A name that no row knows is said to be unknown; nothing is guessed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..errors import UnknownLabel

AUTO = "auto"


@dataclass(frozen=True)
class Sampling:
    """ComfyUI's sampler and scheduler; the scheduler is `""` where the label does not say."""

    sampler: str
    scheduler: str


# A1111's label without its scheduler, ComfyUI's sampler, sdcpp's sample method ("" = it has none).
_ROWS: tuple[tuple[str, str, str], ...] = (
    ("Euler", "euler", "euler"),
    ("Euler CFG++", "euler_cfg_pp", ""),
    ("Euler a", "euler_ancestral", "euler_a"),
    ("Euler a CFG++", "euler_ancestral_cfg_pp", ""),
    ("Heun", "heun", "heun"),
    ("HeunPP2", "heunpp2", ""),
    ("DPM2", "dpm_2", "dpm2"),
    ("DPM2 a", "dpm_2_ancestral", ""),
    ("LMS", "lms", ""),
    ("DPM fast", "dpm_fast", ""),
    ("DPM adaptive", "dpm_adaptive", ""),
    ("DPM++ 2S a", "dpmpp_2s_ancestral", "dpm++2s_a"),
    ("DPM++ 2S a CFG++", "dpmpp_2s_ancestral_cfg_pp", ""),
    ("DPM++ SDE", "dpmpp_sde", ""),
    ("DPM++ SDE GPU", "dpmpp_sde_gpu", ""),
    ("DPM++ 2M", "dpmpp_2m", "dpm++2m"),
    ("DPM++ 2M v2", "", "dpm++2mv2"),
    ("DPM++ 2M CFG++", "dpmpp_2m_cfg_pp", ""),
    ("DPM++ 2M SDE", "dpmpp_2m_sde", ""),
    ("DPM++ 2M SDE GPU", "dpmpp_2m_sde_gpu", ""),
    ("DPM++ 3M SDE", "dpmpp_3m_sde", ""),
    ("DPM++ 3M SDE GPU", "dpmpp_3m_sde_gpu", ""),
    ("DDPM", "ddpm", ""),
    ("LCM", "lcm", "lcm"),
    ("iPNDM", "ipndm", "ipndm"),
    ("iPNDM v", "ipndm_v", "ipndm_v"),
    ("DEIS", "deis", ""),
    ("DDIM", "ddim", "ddim_trailing"),
    ("UniPC", "uni_pc", ""),
    ("UniPC BH2", "uni_pc_bh2", ""),
    ("Res Multistep", "res_multistep", "res_multistep"),
    ("RES 2s", "res_2s", "res_2s"),
    ("TCD", "tcd", "tcd"),
    ("ER SDE", "er_sde", "er_sde"),
)
# A1111's scheduler word, ComfyUI's scheduler, sdcpp's schedule.
_SCHEDULES: tuple[tuple[str, str, str], ...] = (
    ("Uniform", "normal", "discrete"),
    ("Karras", "karras", "karras"),
    ("Exponential", "exponential", "exponential"),
    ("SGM Uniform", "sgm_uniform", "sgm_uniform"),
    ("Simple", "simple", "simple"),
    ("Normal", "normal", "discrete"),
    ("DDIM", "ddim_uniform", ""),
    ("Beta", "beta", ""),
    ("KL Optimal", "kl_optimal", "kl_optimal"),
    ("Align Your Steps", "ays", "ays"),
    ("Bong Tangent", "bong_tangent", "bong_tangent"),
    ("GITS", "gits", "gits"),
    ("Smoothstep", "smoothstep", "smoothstep"),
    ("LCM", "lcm", "lcm"),
)

_AUTOMATIC = "automatic"
# What A1111's "Automatic" is for a sampler that has a schedule of its own (modules/sd_samplers_kdiffusion.py); for all
# others it is the model's, ComfyUI's `normal`.
_OWN_SCHEDULES = {
    "dpmpp_2m": "karras", "dpmpp_sde": "karras", "dpmpp_2s_ancestral": "karras", "dpm_2": "karras",
    "dpm_2_ancestral": "karras", "dpmpp_2m_sde": "exponential", "dpmpp_3m_sde": "exponential",
}  # fmt: skip
# The same for labels that have no name in ComfyUI.
_OWN_SCHEDULES_BY_LABEL = {"dpm++ 2m sde heun": "exponential", "restart": "karras"}

SAMPLER_NAMES: tuple[str, ...] = (AUTO, *dict.fromkeys(name for _, name, _ in _ROWS if name))
SCHEDULER_NAMES: tuple[str, ...] = (AUTO, *dict.fromkeys(name for _, name, _ in _SCHEDULES if name))

_BY_LABEL = {label.lower(): name for label, name, _ in _ROWS if name} | {"undefined": "dpmpp_2m"}
_SCHEDULE_BY_LABEL = {label.lower(): name for label, name, _ in _SCHEDULES}
_LABELS = {name: label for label, name, _ in reversed(_ROWS) if name}
_SCHEDULE_LABELS = {name: label for label, name, _ in reversed(_SCHEDULES)} | {"normal": "Normal"}
_TO_SDCPP = {name: method for _, name, method in _ROWS if name and method}
_SCHEDULE_TO_SDCPP = {name: schedule for _, name, schedule in _SCHEDULES if schedule}


def from_label(label: str, schedule: str = "") -> Sampling:
    """An A1111 label ("DPM++ 2M Karras"), with its separate "Schedule type" if there is one, in ComfyUI's names.

    assert from_label("DPM++ 2M Karras") == from_label("DPM++ 2M", "Automatic") == Sampling("dpmpp_2m", "karras")
    Raises UnknownLabel for a label that no table has."""
    text = " ".join(label.split()).lower()
    scheduler = ""
    if _is_automatic(schedule):
        found = from_label(label)
        return Sampling(found.sampler, found.scheduler or _OWN_SCHEDULES.get(found.sampler, "normal"))
    if schedule:
        word = " ".join(schedule.split()).lower()
        scheduler = _SCHEDULE_BY_LABEL.get(word) or (word if word in SCHEDULER_NAMES[1:] else "")
        if not scheduler:
            raise UnknownLabel(f"The schedule type {schedule!r} is unknown; nothing stands in for it.")
    if text not in _BY_LABEL:
        for word, name, _ in _SCHEDULES:
            if text.endswith(" " + word.lower()) and text[: -len(word) - 1] in _BY_LABEL:
                return Sampling(_BY_LABEL[text[: -len(word) - 1]], scheduler or name)
        if text in SAMPLER_NAMES and text != AUTO:
            return Sampling(text, scheduler)
        raise UnknownLabel(f"The sampler {label!r} is unknown; nothing stands in for it.")
    return Sampling(_BY_LABEL[text], scheduler or ("karras" if text == "undefined" else ""))


@functools.lru_cache(1024)  # a handful of labels makes up nearly all of what is read
def read_label(label: str, schedule: str = "") -> tuple[Sampling, tuple[str, ...]]:
    """As `from_label`, for what a stranger wrote: a word that no table has is kept as it is and named in a note."""
    short = len(label) + len(schedule) < 80
    return _remembered(label, schedule) if short else _read(label, schedule)


def _is_automatic(schedule: str) -> bool:
    return schedule.strip().lower() == _AUTOMATIC


def _read(label: str, schedule: str) -> tuple[Sampling, tuple[str, ...]]:
    notes: list[str] = []
    automatic = _is_automatic(schedule)
    try:
        found = from_label(label, schedule)
        if automatic and found.scheduler != "normal":
            notes.append(
                f"The schedule of {label.strip()} is A1111's automatic one: {found.scheduler} stands in for it."
            )
        return found, tuple(notes)
    except UnknownLabel:
        pass
    if automatic:
        found, unknown = _read(label, "")
        own = _OWN_SCHEDULES_BY_LABEL.get(" ".join(label.split()).lower(), "")
        what = f"{own} stands in for it" if own else "nothing stands in for it"
        return Sampling(found.sampler, own), (
            *unknown,
            f"The schedule of {label.strip()} is A1111's automatic one: {what}.",
        )
    sampler, scheduler = label.strip(), schedule.strip()
    for part in ("sampler", "schedule"):
        try:
            if part == "sampler" and sampler:
                sampler, found = (one := from_label(label)).sampler, one.scheduler
                scheduler = scheduler or found
            elif part == "schedule" and schedule:
                scheduler = from_label("Euler", schedule).scheduler
        except UnknownLabel as unknown:
            notes.append(str(unknown))
    return Sampling(sampler, scheduler), tuple(notes)


# There are few labels, and a folder of pictures repeats them.
_remembered = lru_cache(256)(_read)


def to_label(sampler: str) -> str:
    """A1111's label of ComfyUI's sampler; a name without one stays as it is."""
    return _LABELS.get(sampler, sampler)


def to_schedule_label(scheduler: str) -> str:
    """A1111's "Schedule type" of ComfyUI's scheduler; a name without one stays as it is."""
    return _SCHEDULE_LABELS.get(scheduler, scheduler)


def for_dialect(sampler: str, choices: Sequence[str], dialect: str) -> str:
    """ComfyUI's sampler name in a variant's own enum. Raises UnknownLabel with what it takes."""
    return _translate(sampler, choices, _TO_SDCPP if dialect == "sdcpp" else {}, "sampler_name")


def schedule_for_dialect(scheduler: str, choices: Sequence[str], dialect: str) -> str:
    """ComfyUI's scheduler name in a variant's own enum. Raises UnknownLabel with what it takes."""
    return _translate(scheduler, choices, _SCHEDULE_TO_SDCPP if dialect == "sdcpp" else {}, "scheduler")


def _translate(name: str, choices: Sequence[str], table: dict[str, str], what: str) -> str:
    translated = table.get(name, name)
    if translated in choices:
        return translated
    back = {theirs: ours for ours, theirs in table.items()}
    takes = ", ".join(dict.fromkeys(back.get(choice, choice) for choice in choices))
    raise UnknownLabel(f"This engine has no {what} {name!r}. It takes: {takes}.")
