"""What is known of the probes of a design run before anybody is trained on them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lra_design.cli.run_folder import DesignSettings


def probe_noise(settings: DesignSettings) -> float | None:
    """Standard deviation over seeds of the mean accuracy on the probes, which agents are told;
    None where it was not measured for one of them."""
    from leaderboards.noise import noise_floor
    from leaderboards.repeats import Conditions

    floors = [
        noise_floor(Conditions(probe, settings.scale, "fixed", settings.mode))
        for probe in settings.probes
    ]
    known = [floor.sd for floor in floors if floor is not None]
    return math.hypot(*known) / len(floors) if known and len(known) == len(floors) else None


def described(name: str) -> str:
    """A task in a line."""
    from tasks.registry import get_task

    task = get_task(name)
    what = "one label per sequence" if task.labels == "example" else "labels at positions"
    return (
        f"- {task.id}: {task.title}. Up to {task.max_seq_len} tokens of {len(task.vocabulary)}, "
        f"{task.num_classes} classes, {what}, chance {100 * task.chance:.1f} %."
    )
