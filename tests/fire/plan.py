"""A fault plan: what is asked, by whom, with which troubles. All of it is drawn from one seed, so that a plan that
fails can be run again:  FIRE_SEED=… FIRE_SUBMITS=… FIRE_KILLS=… make fire
"""

from __future__ import annotations

import random
from dataclasses import dataclass

KEY = "KEY-THAT-MUST-NEVER-BE-SEEN-4f1d"
STEPS_AN_ERRAND = 30  # moments of an errand at which it can be killed: before and after each request and transaction


@dataclass(frozen=True)
class Errand:
    """One wish of a person. Two errands with equal `prompt` and `quantity` are one request. `cancel_after` seconds
    the person cancels; `impatient` waits a moment only; `process` says in which server it is asked."""

    number: int
    prompt: str
    quantity: int
    prompt_id: str
    process: int
    cancel_after: float | None = None
    impatient: bool = False


@dataclass(frozen=True)
class Plan:
    """`kills[i]` lists, for each life of process i, the step at which it dies; the person's key is replaced when the
    `key_changes_at`-th life of all begins."""

    seed: int
    errands: tuple[Errand, ...]
    kills: tuple[tuple[int, ...], ...]
    chance: float
    jobs: float
    per_prompt: int
    per_day: int
    key_changes_at: int = 0

    @property
    def processes(self) -> int:
        return len(self.kills)


def draw(seed: int, submits: int, kills: int, *, processes: int = 2) -> Plan:
    """`submits` errands in prompts of 4 to 24 nodes, spread over the processes; one in ten asks what an earlier one
    asks, one in ten is cancelled, one in twenty does not wait. The limits are a little too small on purpose."""
    rng = random.Random(f"fire {seed}")
    errands: list[Errand] = []
    prompt, left = 0, 0
    for number in range(submits):
        if not left:
            prompt, left = prompt + 1, rng.randint(4, 24)
        left -= 1
        like = rng.choice(errands) if errands and rng.random() < 0.1 else None
        errands.append(
            Errand(
                number,
                like.prompt if like else f"fire {seed} number {number}",
                like.quantity if like else rng.choice((1, 1, 1, 2, 3)),
                f"prompt {prompt}",
                rng.randrange(processes),
                rng.uniform(0.0, 1.5) if rng.random() < 0.1 else None,
                rng.random() < 0.05,
            )
        )
    each = max(1, 2 * submits * STEPS_AN_ERRAND // max(1, kills + processes))
    lives = tuple(
        tuple(rng.randint(1, each) for _ in range(kills // processes + (place < kills % processes)))
        for place in range(processes)
    )
    per_day, change = max(4, submits * 8 // 10), rng.randint(max(2, kills * 2 // 3), max(2, kills))
    return Plan(seed, tuple(errands), lives, 0.12, 0.12, per_prompt=20, per_day=per_day, key_changes_at=change)
