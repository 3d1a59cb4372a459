"""`lra-design reproduce`: published results trained again, and what became of them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from lra_design.cli.options import device_option, isolation_options, json_option
from lra_design.errors import UsageError
from lra_design.records import Device, Level

if TYPE_CHECKING:
    from leaderboards.reproduction import Selection
    from leaderboards.side_by_side import SideBySide
    from leaderboards.store import Store
    from lra_design.records import Run
    from trainers.executors import Executor, State

SELECTION = "selection.json"
"""In --out: what was asked for last."""
TABLE_WIDTH = 150
"""Columns the table needs; a narrower terminal wraps its lines."""


class Asked(NamedTuple):
    """What is to be trained, and how."""

    selection: Selection
    device: Device
    level: Level


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
    help="Trainings side by side, each in a process of its own.",
)
@click.option(
    "--executor",
    metavar="ADDRESS",
    default="local",
    show_default=True,
    help="Where they run: on this machine, or with local?cards=0,1 one on each of these GPUs.",
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
@device_option
@isolation_options
def reproduce(
    tasks: tuple[str, ...],
    mechanisms: str | None,
    scale: Literal["smoke", "small"] | None,
    seeds: int | None,
    out: Path,
    resume: bool,
    workers: int,
    executor: str,
    records: Path | None,
    export: bool,
    listing: bool,
    as_json: bool,
    device: str,
    level: Level,
) -> int:
    """Train references on TASK... by its recipe, score them, show published beside ours.

    The plan goes from the smallest training to the largest, first all of them with seed 0. The
    same command goes on where an interrupted one stopped. What has a record, in --out or in
    --records, is not trained again; a task whose data is not here is left out and said to be.

    Exit code 1: a reference failed by its own fault, which is not tried again; its folder says why.
    3: by that of the benchmark or of the machine; the same command tries again.
    """
    from leaderboards.reproduction import RECORDS, select
    from leaderboards.store import Store
    from trainers.executors import open_executor

    if resume and (tasks or mechanisms or scale or seeds):
        raise UsageError(
            "--resume goes on with what --out was last asked for: leave out tasks, --mechanisms, "
            "--scale and --seeds, or leave out --resume; a new selection goes on as well."
        )
    names = [name.strip() for name in (mechanisms or "").split(",") if name.strip()]
    selection = _earlier(out) if resume else None
    selection = selection or select(tasks, names, scale or "small", seeds)
    earlier = Store(records or RECORDS)
    states: list[State] = []
    if not listing:
        asked = Asked(selection, _device(device, executor), level)
        with closing(open_executor(executor, workers)) as opened:
            states = _train(asked, out, earlier, export, opened)
    _show(selection, [*Store(out / "board").runs(), *earlier.runs()], listing, as_json)
    errors = {state.error for state in states if state.name != "done"}
    return 0 if not errors else 1 if errors == {"candidate"} else 3


def _earlier(out: Path) -> Selection | None:
    """What `out` was last asked for; None when it was asked for nothing yet."""
    from leaderboards.reproduction import Selection
    from lra_design.records import from_json

    path = out / SELECTION
    return from_json(Selection, path.read_bytes()) if path.exists() else None


def _device(asked: str, executor: str) -> Device:
    """What the jobs train on. A cluster's machines may have the card that this one lacks."""
    from agent_sandbox.isolation.cards import choose_card
    from trainers.device import device_of

    if asked == "cuda" and not executor.startswith("local"):
        return "cuda"
    return device_of(choose_card(asked))


def _train(asked: Asked, out: Path, earlier: Store, export: bool, opened: Executor) -> list[State]:
    """Train and score what has no record yet; how each of that ended."""
    from leaderboards.reproduction import give_back, jobs_in_order, make_plan
    from leaderboards.store import Store
    from lra_design.cli.reproducing import train_all
    from lra_design.cli.run_folder import locked
    from lra_design.files import write_atomically
    from lra_design.records import to_json

    own = Store(out / "board")
    with locked(out):
        write_atomically(out / SELECTION, to_json(asked.selection, indent=2).encode())
        known = [*own.runs(), *earlier.runs()]
        jobs = jobs_in_order(make_plan(asked.selection, known, asked.device))
        try:
            return train_all(jobs, out / "trainings", own, opened, asked.level) if jobs else []
        finally:
            if export:
                give_back(own.runs(), earlier)


def _show(selection: Selection, runs: list[Run], listing: bool, as_json: bool) -> None:
    """Print the plan, where it was asked for, and the table."""
    import json

    from leaderboards import reproduction_table
    from leaderboards.reproduction import make_plan
    from leaderboards.side_by_side import agreements, side_by_side

    plan = make_plan(selection, runs)
    rows = [side_by_side(line) for line in plan]
    if as_json:
        values = reproduction_table.as_json(plan, rows, agreements(rows))
        click.echo(json.dumps(values, indent=2, allow_nan=False))
        return
    if listing:
        click.echo("\n".join(reproduction_table.plan_lines(plan)))
    _print_tables(rows)
    for agreement in agreements(rows):
        click.echo(reproduction_table.agreement_line(agreement))
    if not listing:
        for missing in reproduction_table.missing_lines(plan):
            click.echo(missing)


def _print_tables(rows: list[SideBySide]) -> None:
    """A table for each task."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from leaderboards import reproduction_table as parts

    console = Console(highlight=False)
    console.width = max(console.width, TABLE_WIDTH)
    for task, members in parts.by_task(rows).items():
        table = Table(box=SIMPLE_HEAD, title=task, title_justify="left", caption_justify="left")
        table.caption = Text("\n".join(parts.notes(members)))
        for name in parts.COLUMNS:
            table.add_column(name, justify="right" if name in parts.NUMBERS else "left")
        for row in members:
            for line in parts.cells(row):
                table.add_row(*map(Text, line))
        console.print(table)
    console.print(Text(parts.LEGEND))
