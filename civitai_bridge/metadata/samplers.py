"""Sampler names in four spellings: A1111's labels, ComfyUI's names, and the two dialects of the orchestrator.

Sources: CivitAI's own label mapping (`samplerMap` of github.com/civitai/civitai, `src/server/common/constants.ts`) for
the first columns; the sdcpp column follows the plain correspondences of its enum in the orchestrator's contract. A name
that no row knows is said to be unknown; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import UnknownLabel
from ..resources.json_values import text

AUTO = "auto"


class Sampling(NamedTuple):
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

# ComfyUI's names that no label above stands for, of its own list and of RES4LYF; they are read and not offered.
_MORE_SAMPLERS = (
    "dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu", "exp_heun_2_x0", "exp_heun_2_x0_sde", "res_multistep_cfg_pp",
    "res_multistep_ancestral", "res_multistep_ancestral_cfg_pp", "gradient_estimation", "gradient_estimation_cfg_pp",
    "seeds_2", "seeds_3", "sa_solver", "sa_solver_pece", "res_2m", "res_3m", "res_3s",
)  # fmt: skip
_MORE_SCHEDULERS = ("linear_quadratic", "beta57")
_MORE_LABELS = {"dpm++ 2m sde heun": "dpmpp_2m_sde_heun", "dpm++ 2s ancestral": "dpmpp_2s_ancestral"}
# What stands where nobody chose a sampler.
_NOT_CHOSEN = frozenset(("undefined", "unknown", "none", "null"))
_AUTOMATIC = "automatic"
# What A1111's "Automatic" is for a sampler that has a schedule of its own (modules/sd_samplers_kdiffusion.py); for all
# others it is the model's, ComfyUI's `normal`.
_OWN_SCHEDULES = {
    "dpmpp_2m": "karras", "dpmpp_sde": "karras", "dpmpp_2s_ancestral": "karras", "dpm_2": "karras",
    "dpm_2_ancestral": "karras", "dpmpp_2m_sde": "exponential", "dpmpp_3m_sde": "exponential",
    "dpmpp_2m_sde_heun": "exponential",
}  # fmt: skip
# The schedules of labels that have no name in ComfyUI.
_OWN_SCHEDULES_BY_LABEL = {"restart": "karras"}

SAMPLER_NAMES: tuple[str, ...] = (AUTO, *dict.fromkeys(name for _, name, _ in _ROWS if name))
SCHEDULER_NAMES: tuple[str, ...] = (AUTO, *dict.fromkeys(name for _, name, _ in _SCHEDULES if name))


_JOINTS = str.maketrans("_/(),-", "      ")


def _folded(label: str) -> str:
    return _FOLDED.get(label) or " ".join(label.lower().translate(_JOINTS).split())


_FOLDED: dict[str, str] = {}
_FOLDED.update({label: _folded(label) for label, _, _ in (*_ROWS, *_SCHEDULES)})  # as nearly all texts spell them


_NAMES = (*SAMPLER_NAMES[1:], *_MORE_SAMPLERS)
_SCHEDULERS = {
    **{_folded(name): name for name in (*SCHEDULER_NAMES[1:], *_MORE_SCHEDULERS)},
    **{_folded(label): name for label, name, _ in _SCHEDULES},
}
_BY_LABEL = {
    **{_folded(name): name for name in _NAMES},
    **{_folded(label): name for label, name, _ in _ROWS if name},
    **_MORE_LABELS,
}
# Everything that a label may be, folded: a sampler with its schedule, however they are joined, or a sampler alone.
_SAMPLINGS: dict[str, Sampling] = {
    **{
        f"{label} {schedule}": Sampling(name, scheduler)
        for label, name in _BY_LABEL.items()
        for schedule, scheduler in _SCHEDULERS.items()
    },
    **{label: Sampling(name, "") for label, name in _BY_LABEL.items()},
}
_LABELS = {name: label for label, name, _ in reversed(_ROWS) if name}
_SCHEDULE_LABELS = {name: label for label, name, _ in reversed(_SCHEDULES)} | {"normal": "Normal"}
_TO_SDCPP = {name: method for _, name, method in _ROWS if name and method}
_SCHEDULE_TO_SDCPP = {name: schedule for _, name, schedule in _SCHEDULES if schedule}
_FROM_SDCPP = {method: name for name, method in _TO_SDCPP.items()}
_SCHEDULE_FROM_SDCPP = {schedule: name for name, schedule in _SCHEDULE_TO_SDCPP.items()}


def from_label(label: str, schedule: str = "") -> Sampling:
    """An A1111 label ("DPM++ 2M Karras"), with its separate "Schedule type" if there is one, in ComfyUI's names.

    assert from_label("DPM++ 2M Karras") == from_label("DPM++ 2M", "Automatic") == Sampling("dpmpp_2m", "karras")
    Raises UnknownLabel for a label that no table has."""
    key, word = _folded(label), _folded(schedule)
    if key not in _SAMPLINGS:
        raise UnknownLabel(_unknown_sampler(label))
    sampling = _SAMPLINGS[key]
    if not word:
        return sampling
    scheduler = _automatic(key) if word == _AUTOMATIC else _SCHEDULERS.get(word)
    if scheduler is None:
        raise UnknownLabel(_unknown_schedule(schedule))
    return Sampling(sampling.sampler, scheduler)


def read_label(label: str, schedule: str = "") -> tuple[Sampling, tuple[str, ...]]:
    """As `from_label`, for what a stranger wrote: a word that no table has is kept as it is and named in a note."""
    notes: list[str] = []
    key, word = _folded(label), _folded(schedule)
    sampling = _SAMPLINGS.get(key)
    if sampling is None:
        chosen = key not in _NOT_CHOSEN
        sampling = Sampling(label.strip() if chosen else "", "")
        if key:
            notes.append(_unknown_sampler(label) if chosen else f"The sampler is not said: {label!r} stands there.")
    if not word:
        return sampling, tuple(notes)
    scheduler = _SCHEDULERS.get(word)
    if word == _AUTOMATIC:
        scheduler = _automatic(key)
        if scheduler != "normal":
            stand_in = f"{scheduler or 'nothing'} stands in for it"
            notes.append(f"The schedule of {label.strip()} is A1111's automatic one: {stand_in}.")
    elif scheduler is None:
        scheduler = schedule.strip()
        notes.append(_unknown_schedule(schedule))
    return Sampling(sampling.sampler, scheduler), tuple(notes)


def _automatic(key: str) -> str:
    """What A1111's "Automatic" is for a folded label; `""` where nobody knows."""
    sampling = _SAMPLINGS.get(key)
    if sampling is None:
        return _OWN_SCHEDULES_BY_LABEL.get(key, "")
    return sampling.scheduler or _OWN_SCHEDULES.get(sampling.sampler, "normal")


def _unknown_sampler(label: str) -> str:
    return f"The sampler {label!r} is unknown; nothing stands in for it."


def _unknown_schedule(schedule: str) -> str:
    return f"The schedule type {schedule!r} is unknown; nothing stands in for it."


def to_label(sampler: str) -> str:
    """A1111's label of ComfyUI's sampler; a name without one stays as it is."""
    return _LABELS.get(sampler, sampler)


def to_schedule_label(scheduler: str) -> str:
    """A1111's "Schedule type" of ComfyUI's scheduler; a name without one stays as it is."""
    return _SCHEDULE_LABELS.get(scheduler, scheduler)


def from_dialect(method: str, schedule: str = "") -> Sampling:
    """sdcpp's sample method and schedule in ComfyUI's names; what has none there stays as it is.

    assert from_dialect("euler_a", "discrete") == Sampling("euler_ancestral", "normal")
    """
    return Sampling(_FROM_SDCPP.get(method, method), _SCHEDULE_FROM_SDCPP.get(schedule, schedule))


def sampling_of_order(asked: Mapping[str, Any]) -> Sampling:
    """Sampler and scheduler of an imageGen input, whichever of its two dialects it speaks, in ComfyUI's names.

    assert sampling_of_order({"sampler": "euler"}) == Sampling("euler", "")
    """
    other = from_dialect(text(asked.get("sampleMethod")), text(asked.get("schedule")))
    return Sampling(text(asked.get("sampler")) or other.sampler, text(asked.get("scheduler")) or other.scheduler)


def for_dialect(sampler: str, choices: Sequence[str], dialect: str) -> str:
    """ComfyUI's sampler name in a variant's own enum. Raises UnknownLabel with what it takes."""
    return _translate(sampler, choices, _TO_SDCPP if dialect == "sdcpp" else {}, "sampler_name")


def schedule_for_dialect(scheduler: str, choices: Sequence[str], dialect: str) -> str:
    """ComfyUI's scheduler name in a variant's own enum. Raises UnknownLabel with what it takes."""
    return _translate(scheduler, choices, _SCHEDULE_TO_SDCPP if dialect == "sdcpp" else {}, "scheduler")


def _translate(name: str, choices: Sequence[str], table: dict[str, str], field: str) -> str:
    translated = table.get(name, name)
    if translated in choices:
        return translated
    back = {method: own for own, method in table.items()}
    takes = ", ".join(dict.fromkeys(back.get(choice, choice) for choice in choices))
    raise UnknownLabel(f"This engine has no {field} {name!r}. It takes: {takes}.")
