"""A fault plan for Civitai Link, drawn from one seed: what a browser clicks, how long each life of the agent lasts,
when the relay goes away. A plan that fails is run again with FIRE_SEED=… FIRE_FAULTS=… FIRE_KILLS=… FIRE_RESTARTS=…"""

from __future__ import annotations

import random
from dataclasses import dataclass

KEY = "KEY-THAT-MUST-NEVER-BE-SEEN-7b2c"
# Networks of the sandbox's site, each in one lane only, so that its end is the end of that lane's last click.
VERSIONS = (300001, 300003, 300019, 300087, 300103, 300107, 300109, *range(300201, 300241, 2))
HABITS = ("keep", "keep", "churn", "cancel", "array")


@dataclass(frozen=True)
class Lane:
    """What one corner of the page does again and again, one click after the other. `keep` adds its version, `churn`
    adds and removes it, `cancel` adds it and cancels that, `array` adds its versions in the document's form and
    cancels some of them, `odd` asks for lists and for what nobody knows."""

    habit: str
    versions: tuple[int, ...]
    seed: str
    pause: float = 0.3  # seconds at most between two clicks


@dataclass(frozen=True)
class LinkPlan:
    """`lives` are the seconds for which each life of the agent lasts once it is in its room; `away` those for which
    the relay is gone, `calms` those before each; at least `faults` messages meet a fault."""

    seed: int
    faults: int
    lanes: tuple[Lane, ...]
    lives: tuple[float, ...]
    calms: tuple[float, ...]
    away: tuple[float, ...]
    chance: float = 0.08


def draw(seed: int, faults: int, kills: int, restarts: int) -> LinkPlan:
    """A plan; the more faults it has, the more lanes are busy at once."""
    rng = random.Random(f"link {seed}")
    versions = list(VERSIONS)
    rng.shuffle(versions)
    is_long = faults >= 100
    pause = 1.5 if is_long else 0.3
    lanes = [Lane("odd", (), f"{seed} odd", pause)]
    for number in range(20 if is_long else 5):
        habit = HABITS[number % len(HABITS)]
        own = tuple(versions.pop() for _ in range(2 if habit == "array" else 1))
        lanes.append(Lane(habit, own, f"{seed} lane {number}", pause))
    return LinkPlan(
        seed,
        faults,
        tuple(lanes),
        tuple(rng.uniform(0.05, 2.0) for _ in range(kills)),
        tuple(rng.uniform(0.5, 4.0) for _ in range(restarts)),
        tuple(rng.uniform(0.0, 1.0) for _ in range(restarts)),
    )
