"""`lra-design board`: rank what was scored, as a table, as JSON, as pages; keep stores in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lra_design.cli.options import json_option, output_option
from lra_design.errors import UsageError

if TYPE_CHECKING:
    from leaderboards.contents import Contents

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT = Path("runs/board")
TABLES = ("runs", "entries", "attempts", "findings", "trials")
FIGURES = ("intervals", "critical-difference", "pareto")
PAGE_NOTES = (
    "Every mechanism of a board was trained inside the same host network, by the same recipe. "
    "For the test a fresh isolated process rebuilt it from source and weights and predicted; "
    "labels and metric never left the judge.",
)


def folders_argument(required: bool) -> Callable[[F], F]:
    """Folders that a command reads."""
    return click.argument(
        "folders",
        nargs=-1,
        required=required,
        metavar="FOLDER..." if required else "[FOLDER]...",
        type=click.Path(path_type=Path, file_okay=False),
    )


@click.group(short_help="Rank what was scored; export, merge and index it.")
def board() -> None:
    """The leaderboard of what is in folders: stores of records, and runs of agents."""


@board.command()
@folders_argument(required=False)
@click.option(
    "--site",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write the leaderboard to this folder, as pages that need no network.",
)
@json_option
def show(folders: tuple[Path, ...], site: Path | None, as_json: bool) -> int:
    """Show the leaderboard of everything in and below each FOLDER: stores of records, and runs of
    agents.  [default: runs/board]
    """
    publish(folders or (DEFAULT,), site, title="lra-design leaderboard", as_json=as_json)
    return 0


@board.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def rebuild(folder: Path) -> None:
    """Make the index of FOLDER anew, from the records in and below it.

    It is FOLDER/index.sqlite: with it what was read once is not read again. It is kept up to date
    by every command that reads FOLDER, and deleting it loses nothing.
    """
    from leaderboards.index import rebuild as make_anew

    if not folder.is_dir():
        raise UsageError(f"expected a folder of runs, '{folder}' is none. Name one, such as runs.")
    number, path = make_anew(folder)
    click.echo(f"{number} files in {path}")


@board.command()
@folders_argument(required=True)
@output_option("The folder to put everything together in; what is there stays.", folder=True)
def merge(folders: tuple[Path, ...], output: Path) -> None:
    """Put what is in and below each FOLDER together in one: the runs of several machines.

    Nothing is lost and nothing is there twice, whatever is merged in which order and how often.
    """
    from leaderboards.merge import merge as put_together

    added = put_together(folders, output)
    click.echo(
        f"added {added.runs} runs, {added.dossiers} dossiers and {added.searches} searches to "
        f"{output}"
    )


@board.command()
@folders_argument(required=True)
@output_option("The file to write: its ending says how, .csv, .parquet, .tex, .bib, .png or .svg.")
@click.option(
    "--table",
    type=click.Choice(TABLES),
    default="entries",
    show_default=True,
    help="What .csv and .parquet hold.",
)
@click.option(
    "--figure",
    type=click.Choice(FIGURES),
    default="intervals",
    show_default=True,
    help="What .png and .svg show.",
)
def export(folders: tuple[Path, ...], output: Path, table: str, figure: str) -> None:
    """Write what is in and below each FOLDER to a file: a table, the boards for LaTeX, what is
    compared for BibTeX, or a figure.
    """
    from leaderboards.exports import export as write

    write(folders, output, table=table, figure=figure)
    click.echo(f"wrote {output}")


def publish(folders: Sequence[Path], site: Path | None, *, title: str, as_json: bool) -> None:
    """Print the board of what is in `folders` and, when `site` is given, write it there too.

    Raises UsageError when there is no run that was scored.
    """
    import json

    from rich.console import Console

    from leaderboards.scores import rank
    from leaderboards.site import make_site, write_site
    from leaderboards.table import board_json, render_table
    from tasks.registry import TASKS

    contents = read_scored(folders, searches=site is not None)
    chance = {task.id: task.chance for task in TASKS.values()}
    entries = rank(contents.runs, chance=chance)
    if as_json:
        click.echo(json.dumps(board_json(entries), indent=2, allow_nan=False))
    else:
        Console().print(render_table(entries))
    if site is not None:
        write_site(make_site(contents, chance, title=title, notes=PAGE_NOTES), site)
        click.echo(f"page: {(site / 'index.html').resolve()}", err=as_json)


def read_scored(folders: Sequence[Path], *, searches: bool = False) -> Contents:
    """What is in and below `folders`, with what agents tried when `searches` are asked for.

    Raises UsageError when there is no run that was scored.
    """
    from leaderboards.contents import read_contents
    from leaderboards.index import read_runs_and_dossiers

    contents = read_contents(folders) if searches else read_runs_and_dossiers(folders)
    if not contents.runs:
        raise UsageError(
            f"no leaderboard in {', '.join(map(str, folders))}: expected a file records.jsonl in "
            "or below it. Score a training first, with `lra-design score` or `lra-design design`."
        )
    return contents
