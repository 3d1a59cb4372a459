"""`lra-design train`: one training, in isolation, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from lra_design.cli.hyperparameters import hyperparameters_option
from lra_design.cli.options import isolation, make_job, show_run, training_options
from lra_design.records import Level, Scalar


@click.command(short_help="Train a mechanism on a task, in isolation.")
@training_options("runs/train")
@hyperparameters_option
def train(
    file: Path,
    task: str,
    scale: Literal["smoke", "small", "full"],
    variant: str | None,
    mode: str,
    seed: int,
    out: Path,
    as_json: bool,
    device: str,
    level: Level,
    hyperparameters: dict[str, Scalar],
) -> None:
    """Train the mechanism in FILE and print its validation accuracy.

    The same command goes on where an interrupted one stopped, and repeats nothing that has ended.
    Score it on the test split with `lra-design score`.
    """
    from agent_sandbox.isolation.cards import choose_card

    card = choose_card(device)
    job = make_job(file, task, scale, mode, seed, hyperparameters, variant, card)
    from lra_design.cli.display import Display
    from lra_design.cli.preparing import generate_shown
    from tasks.registry import get_task
    from trainers.job import run_id
    from trainers.training import train as train_job

    display = Display()
    with display.showing():
        generate_shown(get_task(task), display)
    folder = out / run_id(job)[:16]
    with (
        isolation(level, card) as opened,
        display.showing(),
        display.stage(f"training {job.name} on {task}", job.train.num_steps) as stage,
    ):
        run = train_job(job, opened, folder, stage.watch(job.name))
    assert run.validation is not None, "a run that has ended has a validation score"
    show_run(
        run,
        as_json,
        f"{run.name} on {task}, seed {seed}: validation {100 * run.validation.accuracy:.1f} %, "
        f"{run.num_parameters} parameters, {run.usage.seconds:.0f} s on "
        f"{run.hardware.device}\n"
        f"validation split {run.validation.split_hash[:12]}\n{folder}",
    )
