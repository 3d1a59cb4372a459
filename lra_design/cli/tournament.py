"""`lra-design tournament`: agents by tasks by settings by seeds, with the same budget for all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from lra_design.cli.contest import DEFAULT_TRIALS, SETTINGS, names_in
from lra_design.cli.options import device_option, isolation_options, json_option
from lra_design.errors import unknown_name
from lra_design.records import Level

if TYPE_CHECKING:
    from leaderboards.tournament import Setting
    from trainers.executors import State

TABLE = "tournament.json"
"""In --out: what is printed with --json."""


@click.command(short_help="Let a field of agents compete on several tasks.")
@click.argument("agents", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--tasks", metavar="LIST", required=True, help="Ids of tasks, with commas between.")
@click.option(
    "--settings",
    metavar="LIST",
    default=",".join(SETTINGS),
    show_default=True,
    help="On each task: all by the recipe, all tuned first.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Searches of each agent on each task, of seeds 0, 1, ...",
)
@click.option(
    "--trials",
    type=click.IntRange(1),
    default=DEFAULT_TRIALS,
    show_default=True,
    help="Of each study in the tuned setting, candidates and references alike.",
)
@click.option(
    "--test-seeds",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Trainings of each finalist, and of each reference, for the test score.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Searches side by side, each in a process of its own.",
)
@click.option(
    "--executor",
    metavar="ADDRESS",
    default="local",
    show_default=True,
    help="Where they run: local, local?cards=0,1, ray, slurm?partition=NAME; see docs/clusters.md.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/tournament"),
    show_default=True,
    help="Folder of the tournament; the same command goes on with it.",
)
@click.option("--list", "listing", is_flag=True, help="Show the table as it stands; run nothing.")
@json_option
@device_option
@isolation_options
def tournament(
    agents: Path,
    tasks: str,
    settings: str,
    seeds: int,
    trials: int,
    test_seeds: int,
    workers: int,
    executor: str,
    out: Path,
    listing: bool,
    as_json: bool,
    device: str,
    level: Level,
) -> int:
    """Let the agents in the TOML file AGENTS design mechanisms for every task, in every setting.

    Each search is a run of `lra-design design` with the budget that the file gives to all. The
    table has, for each agent, task and setting, how often it handed in something valid, what that
    reached on validation and on the sealed test split, and what the search cost. Nothing that
    finished is lost to Ctrl-C or a crash: the same command goes on from there, and more agents,
    tasks, settings or seeds may be added.

    Exit code 3: some searches failed by a fault of the benchmark or of the machine, or are not done
    yet; the same command tries again.
    """
    from leaderboards.tournament import ENDED
    from lra_design.cli.agents_file import read_agents_file
    from lra_design.cli.tournament_cells import Terms, check, places, read_cell
    from lra_design.cli.tournament_running import run_cells
    from lra_design.cli.tournament_table import show, standing
    from lra_design.files import write_atomically
    from lra_design.records import to_json

    terms = Terms(
        file=read_agents_file(agents),
        num_trials=trials,
        num_tests=test_seeds,
        device=device,
        isolation=level,
    )
    asked = places(terms.file, names_in(tasks), _settings(settings), seeds, out)
    states: dict[Path, State] = {}
    if not listing:
        check(asked, terms, out, agents.parent)
        states = run_cells(asked, terms, out, agents.parent, executor, workers)
    stands = standing(terms, asked, [read_cell(place, states.get(place.folder)) for place in asked])
    if not listing:
        write_atomically(out / TABLE, to_json(stands, indent=2).encode())
    if as_json:
        click.echo(to_json(stands, indent=2))
    else:
        show(stands)
    return 0 if listing or all(cell.outcome in ENDED for cell in stands.cells) else 3


def _settings(text: str) -> list[Setting]:
    names = names_in(text)
    for name in names:
        if name not in SETTINGS:
            raise unknown_name("setting", name, SETTINGS)
    return [cast("Setting", name) for name in names]
