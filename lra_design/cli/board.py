"""`lra-design board`: rank what was scored, as a table, as JSON, as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lra_design.cli.options import json_option
from lra_design.errors import UsageError

if TYPE_CHECKING:
    from leaderboards.contents import Contents

DEFAULT = Path("runs/board")
PAGE_NOTES = (
    "Every mechanism of a board was trained inside the same host network, by the same recipe. "
    "For the test a fresh isolated process rebuilt it from source and weights and predicted; "
    "labels and metric never left the judge.",
)


@click.command(short_help="Rank what was scored.")
@click.argument(
    "folders",
    nargs=-1,
    metavar="[FOLDER]...",
    type=click.Path(path_type=Path, file_okay=False),
)
@click.option(
    "--site",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write the leaderboard to this folder, as pages that need no network.",
)
@json_option
def board(folders: tuple[Path, ...], site: Path | None, as_json: bool) -> int:
    """Show the leaderboard of everything in and below each FOLDER: stores of records, and runs of
    agents.  [default: runs/board]
    """
    publish(folders or (DEFAULT,), site, title="lra-design leaderboard", as_json=as_json)
    return 0


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

    contents = read_scored(folders)
    chance = {task.id: task.chance for task in TASKS.values()}
    entries = rank(contents.runs, chance=chance)
    if as_json:
        click.echo(json.dumps(board_json(entries), indent=2, allow_nan=False))
    else:
        Console().print(render_table(entries))
    if site is not None:
        write_site(make_site(contents, chance, title=title, notes=PAGE_NOTES), site)
        click.echo(f"page: {(site / 'index.html').resolve()}", err=as_json)


def read_scored(folders: Sequence[Path]) -> Contents:
    """What is in and below `folders`. Raises UsageError when there is no run that was scored."""
    from leaderboards.contents import read_contents

    contents = read_contents(folders)
    if not contents.runs:
        raise UsageError(
            f"no leaderboard in {', '.join(map(str, folders))}: expected a file records.jsonl in "
            "or below it. Score a training first, with `lra-design score` or `lra-design design`."
        )
    return contents
