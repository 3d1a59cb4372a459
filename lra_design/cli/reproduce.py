"""`lra-design reproduce`: published results trained again, and what became of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from lra_design.cli.options import isolation, isolation_options, json_option
from lra_design.errors import UsageError
from lra_design.records import Level

if TYPE_CHECKING:
    from leaderboards.reproduction import Selection
    from leaderboards.store import Store
    from lra_design.records import Run

SELECTION = "selection.json"
"""In --out: what was asked for last."""


@click.command(short_help="Train references again, and hold them against published results.")
@click.argument("tasks", metavar="[TASK]...", nargs=-1)
@click.option(
    "--mechanisms",
    metavar="NAME,...",
    help="References to train.  [default: softmax,linear,nystromformer,performer,s4d,mega]",
)
@click.option(
    "--scale",
    type=click.Choice(["smoke", "small"]),
    help="`small`: the network of the published tables. `smoke`: minutes on a CPU, on smaller "
    "tasks, of which nothing is published.  [default: small]",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    help="Trainings of each mechanism on each task, of seeds 0, 1, ...  [default: 1 at small, 5 at "
    "smoke]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/reproduce"),
    show_default=True,
    help="Folder for the trainings and their records.",
)
@click.option(
    "--resume", is_flag=True, help="Go on with what --out was last asked for, or with all there is."
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Trainings side by side.",
)
@click.option(
    "--records",
    type=click.Path(path_type=Path, file_okay=False),
    help="Store of earlier records, which are shown and not repeated.  [default: the project's, "
    "leaderboards/reproduced]",
)
@click.option(
    "--export", is_flag=True, help="Add what is scored to --records, to be given back by it."
)
@click.option("--list", "listing", is_flag=True, help="Show the plan and the table; train nothing.")
@json_option
@isolation_options
def reproduce(
    tasks: tuple[str, ...],
    mechanisms: str | None,
    scale: Literal["smoke", "small"] | None,
    seeds: int | None,
    out: Path,
    resume: bool,
    workers: int,
    records: Path | None,
    export: bool,
    listing: bool,
    as_json: bool,
    level: Level,
) -> int:
    """Train references on TASK... by its recipe, score them, show published beside ours.

    The plan goes from the smallest training to the largest, first all of them with seed 0. The
    same command goes on where an interrupted one stopped. What has a record, in --out or in
    --records, is not trained again; a task whose data is not here is left out and said to be.

    Exit code 1: a training failed; the same command tries it again.
    """
    from leaderboards.reproduction import RECORDS, select
    from leaderboards.store import Store

    if resume and (tasks or mechanisms or scale or seeds):
        raise UsageError(
            "--resume goes on with what --out was last asked for: leave out tasks, --mechanisms, "
            "--scale and --seeds, or leave out --resume; a new selection goes on as well."
        )
    names = [name.strip() for name in (mechanisms or "").split(",") if name.strip()]
    selection = _earlier(out) if resume else None
    selection = selection or select(tasks, names, scale or "small", seeds)
    earlier = Store(records or RECORDS)
    failed = False
    if not listing:
        failed = _train(selection, out, earlier, export, workers, level)
    _show(selection, [*Store(out / "board").runs(), *earlier.runs()], listing, as_json)
    return int(failed)


def _earlier(out: Path) -> Selection | None:
    """What `out` was last asked for; None when it was asked for nothing yet."""
    from leaderboards.reproduction import Selection
    from lra_design.records import from_json

    path = out / SELECTION
    return from_json(Selection, path.read_bytes()) if path.exists() else None


def _train(
    selection: Selection, out: Path, earlier: Store, export: bool, workers: int, level: Level
) -> bool:
    """Train and score what has no record yet; whether anything failed."""
    from leaderboards.reproduction import give_back, jobs_in_order, make_plan
    from leaderboards.store import Store
    from lra_design.cli.crew import Crew
    from lra_design.cli.reproducing import Trainings
    from lra_design.cli.run_folder import locked
    from lra_design.files import write_atomically
    from lra_design.records import to_json

    own = Store(out / "board")
    with locked(out):
        write_atomically(out / SELECTION, to_json(selection, indent=2).encode())
        plan = make_plan(selection, [*own.runs(), *earlier.runs()])
        jobs = jobs_in_order(plan)
        try:
            with isolation(level) as opened, Crew(workers) as crew:
                trainings = Trainings(out, own, opened, crew)
                trainings.run(jobs)
        finally:
            if export:
                give_back(own.runs(), earlier)
    return trainings.num_failed > 0


def _show(selection: Selection, runs: list[Run], listing: bool, as_json: bool) -> None:
    """Print the plan, where it was asked for, and the table."""
    from leaderboards.reproduction import make_plan
    from leaderboards.side_by_side import side_by_side

    for line in make_plan(selection, runs):
        row = side_by_side(line)
        print(line.task, line.mechanism, line.num_tokens, row.ours, row.verdict)
