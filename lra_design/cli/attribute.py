"""`lra-design attribute`: which of several changes made a candidate better than its parent."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import click

from lra_design.cli.options import (
    device_option,
    isolation,
    isolation_options,
    json_option,
    make_job,
    mode_option,
    out_option,
    scale_option,
    side_by_side_option,
    task_option,
)
from lra_design.records import Level

RATES = (1 / 3, 1.0, 3.0)
"""Of the recipe's learning rate, tried with --tuned-rates."""


@click.command(short_help="Which of several changes made a candidate better?")
@click.argument("parent", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("child", type=click.Path(path_type=Path, dir_okay=False))
@task_option
@scale_option
@mode_option
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Trainings of each variant, all with the same seeds, from 0.",
)
@click.option(
    "--tuned-rates",
    is_flag=True,
    help="Also a third and three times the recipe's learning rate: three times the trainings.",
)
@side_by_side_option
@out_option("runs/attribute")
@json_option
@device_option
@isolation_options
def attribute(
    parent: Path,
    child: Path,
    task: str,
    scale: Literal["smoke", "small", "full"],
    mode: Literal["causal", "bidirectional"],
    seeds: int,
    tuned_rates: bool,
    workers: int,
    out: Path,
    as_json: bool,
    device: str,
    level: Level,
) -> None:
    """Split what makes the file CHILD of the file PARENT into ingredients, and label each.

    Trained from the same seeds are both, the parent with each ingredient alone, and the child
    without each. An ingredient is a real gain, a real loss, within noise, a gain only together with
    others, only with a learning-rate change, or not valid alone. The same command goes on where an
    interrupted one stopped.
    """
    from agent_sandbox.isolation.cards import choose_card
    from leaderboards.attribution import attribute as attribute_change
    from leaderboards.noise import noise_floor
    from leaderboards.repeats import Conditions
    from lra_design.cli.attributing import Trainings, summary
    from lra_design.cli.crew import Crew
    from lra_design.cli.display import Display
    from lra_design.cli.preparing import generate_shown
    from lra_design.cli.run_folder import locked
    from lra_design.records import to_json
    from tasks.registry import get_task

    card = choose_card(device)
    before, after = (make_job(file, task, scale, mode, 0, card=card) for file in (parent, child))
    rates = RATES if tuned_rates else (1.0,)
    display = Display()
    with display.showing():
        generate_shown(get_task(task), display)
    with (
        locked(out),
        isolation(level) as walls,
        isolation(level, card) if card else nullcontext(walls) as training,
        display.showing(),
        Crew(workers) as crew,
    ):
        found = attribute_change(
            before.source,
            after.source,
            Trainings(after, seeds, walls, training, out, crew, display),
            rates,
            noise_floor(Conditions(task, scale, "fixed", mode)),
        )
    title = f"{after.name} against {before.name} on {task}, {seeds} seed(s), validation split"
    click.echo(to_json(found, indent=2) if as_json else "\n".join([title, *summary(found)]))
