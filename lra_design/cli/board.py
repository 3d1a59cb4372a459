"""`lra-design board`: rank what was scored, as a table, as JSON, as a page."""

from __future__ import annotations

from pathlib import Path

import click

from lra_design.cli.options import json_option
from lra_design.errors import UsageError

PAGE_NOTES = (
    "Every mechanism of a board was trained inside the same host network, by the same recipe. "
    "For the test a fresh isolated process rebuilt it from source and weights and predicted; "
    "labels and metric never left the judge.",
)


@click.command(short_help="Rank what was scored.")
@click.argument(
    "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("runs/board")
)
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the leaderboard to this HTML file, which needs no network.",
)
@json_option
def board(folder: Path, page: Path | None, as_json: bool) -> int:
    """Show the leaderboard in FOLDER: a store of records, or a run that has one."""
    publish(find_store(folder), page, title="lra-design leaderboard", as_json=as_json)
    return 0


def find_store(folder: Path) -> Path:
    """The store of records that `folder` is, or has. Raises UsageError when there is none."""
    store = folder / "board" if (folder / "board").is_dir() else folder
    if not (store / "records.jsonl").exists():
        raise UsageError(
            f"no leaderboard in {folder}: expected {store / 'records.jsonl'}. "
            "Score a training first, with `lra-design score` or `lra-design design`."
        )
    return store


def publish(store: Path, page: Path | None, *, title: str, as_json: bool) -> None:
    """Print the board in `store` and, when `page` is given, write it there too."""
    import json

    from rich.console import Console

    from leaderboards.page import render_page, write_page
    from leaderboards.scores import rank
    from leaderboards.store import Store
    from leaderboards.table import board_json, render_table
    from tasks.registry import TASKS

    runs = Store(store).runs()
    entries = rank(runs, chance={task.id: task.chance for task in TASKS.values()})
    if as_json:
        click.echo(json.dumps(board_json(entries), indent=2, allow_nan=False))
    else:
        Console().print(render_table(entries))
    if page is not None:
        write_page(page, render_page(entries, runs, title=title, notes=PAGE_NOTES))
        click.echo(f"page: {page.resolve()}", err=as_json)
