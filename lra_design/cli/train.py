"""`lra-design train`: one training, in isolation, resumable."""

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


@click.command(short_help="Train a mechanism on a task, in isolation.")
@source_argument
@task_option
@scale_option
@mode_option
@seed_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/train"),
    show_default=True,
    help="Folder for the training; each job gets a folder of its own in it.",
)
@json_option
@unsafe_option
def train(
    file: Path,
    task: str,
    scale: Literal["smoke", "small", "full"],
    mode: str,
    seed: int,
    out: Path,
    as_json: bool,
    unsafe: bool,
) -> int:
    """Train the mechanism in FILE and print its validation accuracy.

    The same command goes on where an interrupted one stopped, and repeats nothing that has ended.
    Score it on the test split with `lra-design score`.
    """
    job = dataclasses.replace(make_job(file, task, scale, mode), seed=seed)
    from lra_design.cli.display import Display
    from lra_design.errors import CandidateFault
    from lra_design.records import to_json
    from trainers.faults import fault_finding
    from trainers.job import run_id
    from trainers.training import TrainingRefused
    from trainers.training import train as train_job

    folder = out / run_id(job)[:16]
    display = Display()
    try:
        with (
            isolation(unsafe) as opened,
            display.showing(),
            display.stage(f"training {job.name} on {task}", job.train.num_steps) as stage,
        ):
            run = train_job(job, opened, folder, stage.watch(job.name))
    except TrainingRefused as refusal:
        show_findings(refusal.findings)
        return 1
    except CandidateFault as fault:
        show_findings((fault_finding(fault, "training"),))
        return 1
    if as_json:
        click.echo(to_json(run, indent=2))
    else:
        assert run.validation is not None, "a run that has ended has a validation score"
        click.echo(
            f"{run.name} on {task}, seed {seed}: validation {100 * run.validation.accuracy:.1f} %, "
            f"{run.num_parameters} parameters, {run.usage.seconds:.0f} s\n{folder}"
        )
    return 0
