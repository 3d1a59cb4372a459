"""`lra-design tune`: hyperparameters under the same budget for everybody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from lra_design.cli.options import isolation, make_job, show_run, training_options
from lra_design.records import Level

if TYPE_CHECKING:
    from lra_design.records import Run


@click.command(short_help="Search hyperparameters, under the same budget for all.")
@training_options("runs/tune")
@click.option("--trials", type=click.IntRange(1), default=12, show_default=True)
def tune(
    file: Path,
    task: str,
    scale: Literal["smoke", "small", "full"],
    variant: str | None,
    mode: str,
    seed: int,
    trials: int,
    out: Path,
    as_json: bool,
    level: Level,
) -> None:
    """Tune learning rate, weight decay and the search_space of the mechanism in FILE.

    Trials are compared on the validation split. The same command goes on where an interrupted one
    stopped. Score the winner with `lra-design score FOLDER`.
    """
    job = make_job(file, task, scale, mode, seed, variant=variant)
    from lra_design.cli.display import Display
    from lra_design.cli.preparing import generate_shown
    from tasks.registry import get_task
    from trainers.study import tune as tune_job

    display = Display()
    with display.showing():
        generate_shown(get_task(task), display)
    title = f"{trials} trials of {job.name} on {task}"
    with (
        isolation(level) as opened,
        display.showing(),
        display.stage(title, trials * job.train.num_steps) as stage,
    ):
        run = tune_job(
            job,
            opened,
            out,
            num_trials=trials,
            watch=lambda number: stage.watch(f"trial {number}"),
        )
    show_run(run, as_json, _summary(run, trials, out))


def _summary(run: Run, num_trials: int, out: Path) -> str:
    assert run.validation is not None, "a run that has ended has a validation score"
    values = {
        "learning_rate": f"{run.train.learning_rate:.2e}",
        "weight_decay": f"{run.train.weight_decay:.2e}",
        **run.hyperparameters,
    }
    lines = [f"best of {num_trials} trials: validation {100 * run.validation.accuracy:.1f} %"]
    lines += [f"  {name} {value}" for name, value in values.items()]
    return "\n".join([*lines, str(out / "trials" / run.run_id[:16])])
