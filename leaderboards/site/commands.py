"""The exact commands that train an entry again, quoted for a shell."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace

from leaderboards.site.boards import Row
from lra_design.errors import UsageError
from lra_design.records import Run
from mechanisms import REFERENCES, reference_hash
from trainers.recipes import Recipe, get_variant, recipe_space, variant_names
from trainers.tuning.space import content_hash

FILE = "mechanism.py"
"""What the reader saves the source as."""
TRAININGS = "runs/again"
BOARD = "runs/again-board"


def reproduction(row: Row) -> list[str]:
    """What checks the mechanism, trains every seed again, scores them and shows the outcome.

    Empty when no recipe of this version trains as the runs were trained; a tuned entry is trained
    again by the search that found its values.
    """
    run = row.runs[0]
    recipe = _recipe_flags(run)
    if recipe is None:
        return []
    file = source_file(run)
    task = ["--task", run.task, "--scale", run.scale, *recipe]
    mode = ["--mode", run.mode]
    check = _line("validate", file, *mode, *_settings(run))
    if run.tuning is not None:
        return [check, _tuning(run, file, [*task, *mode]), _line("board", TRAININGS)]
    device = ["--device", run.device] if run.device != "cpu" else []
    train = [*task, *mode, *device, "--out", TRAININGS, *_settings(run)]
    return [
        check,
        *(_line("train", file, *train, "--seed", str(one.seed)) for one in row.runs),
        f"{_line('score')} {TRAININGS}/* --board {BOARD}",
        _line("board", BOARD),
    ]


def source_file(run: Run) -> str:
    """Where the source stands: its file in this project, or the one that the reader saves."""
    known = run.name in REFERENCES and reference_hash(run.name) == run.source_hash
    return f"mechanisms/{run.name}.py" if known else FILE


def _tuning(run: Run, file: str, where: list[str]) -> str:
    assert run.tuning is not None
    protocol = run.tuning.protocol
    seconds = [] if protocol.max_seconds is None else ["--seconds", f"{protocol.max_seconds:g}"]
    trials = ["--trials", str(protocol.num_trials)]
    return _line("tune", file, *where, *trials, *seconds, "--out", TRAININGS)


def _recipe_flags(run: Run) -> list[str] | None:
    """`--variant` where one is needed; None when no recipe of the task is this one."""
    try:
        names = variant_names(run.task, run.scale)
    except UsageError:
        return None
    for place, name in enumerate(names):
        if _trains(get_variant(run.task, run.scale, name).recipe, run):
            return ["--variant", name] if place else []
    return None


def _trains(recipe: Recipe, run: Run) -> bool:
    """Whether `run` was trained, or its study began, by that recipe."""
    if replace(recipe.host, causal=run.host.causal) != run.host:
        return False
    if run.tuning is None:
        return recipe.train == run.train
    begun = content_hash([asdict(recipe.train), recipe_space(run.task, run.scale)])
    return begun == run.tuning.protocol.recipe_hash


def _settings(run: Run) -> list[str]:
    return [
        part for key, value in run.hyperparameters.items() for part in ("--set", f"{key}={value}")
    ]


def _line(*words: str) -> str:
    return shlex.join(["lra-design", *words])
