"""`lra-design tune`: hyperparameters under the same budget for everybody."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import click

from lra_design.cli.options import (
    isolation,
    json_option,
    make_job,
    mode_option,
    scale_option,
    seed_option,
    show_findings,
    source_argument,
    task_option,
    unsafe_option,
)


@click.command(short_help="Search hyperparameters, under the same budget for all.")
@source_argument
@task_option
@scale_option
@mode_option
@seed_option
@click.option("--trials", type=click.IntRange(1), default=12, show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/tune"),
    show_default=True,
    help="Folder for the study and its trainings.",
)
@json_option
@unsafe_option
def tune(
    file: Path,
    task: str,
    scale: Literal["smoke", "small", "full"],
    mode: str,
    seed: int,
    trials: int,
    out: Path,
    as_json: bool,
    unsafe: bool,
) -> int:
    """Tune learning rate, weight decay and the search_space of the mechanism in FILE.

    Trials are compared on the validation split. The same command goes on where an interrupted one
    stopped. Score the winner with `lra-design score FOLDER`.
    """
    job = dataclasses.replace(make_job(file, task, scale, mode), seed=seed)
    from lra_design.cli.display import Display
    from lra_design.errors import CandidateFault
    from lra_design.records import to_json
    from trainers.faults import fault_finding
    from trainers.study import tune as tune_job

    display = Display()
    try:
        title = f"{trials} trials of {job.name} on {task}"
        with (
            isolation(unsafe) as opened,
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
    except CandidateFault as fault:
        show_findings((fault_finding(fault, "tuning"),))
        return 1
    if as_json:
        click.echo(to_json(run, indent=2))
        return 0
    assert run.validation is not None, "a run that has ended has a validation score"
    click.echo(f"best of {trials} trials: validation {100 * run.validation.accuracy:.1f} %")
    click.echo(f"  learning_rate {run.train.learning_rate:.2e}")
    click.echo(f"  weight_decay {run.train.weight_decay:.2e}")
    for name, value in run.hyperparameters.items():
        click.echo(f"  {name} {value}")
    click.echo(str(out / "trials" / run.run_id[:16]))
    return 0
