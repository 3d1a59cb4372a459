"""Which pages a site has, and what renders each: all for a folder, one by one for a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from leaderboards.contents import Contents
from leaderboards.scores import rank
from leaderboards.site.attempts import attempt_view
from leaderboards.site.boards import BoardView, FamilyView, Row, board_views, families
from leaderboards.site.rendering import render
from leaderboards.site.searches import SearchView, search_views
from lra_design.files import write_atomically


@dataclass(frozen=True)
class Live:
    """What a served page says of what goes on now."""

    kind: Literal["records", "progress"]
    """What the page is made of."""
    version: str
    """Equal as long as that is the same."""
    line: str
    """What is running, in a line."""


@dataclass(frozen=True)
class Site:
    """All that the pages show."""

    title: str
    notes: Sequence[str]
    contents: Contents
    boards: tuple[BoardView, ...]
    families: Sequence[FamilyView]
    searches: tuple[SearchView, ...]
    live: Live | None = None
    """Of a site that is served while it grows."""


def make_site(
    contents: Contents, chance: Mapping[str, float], *, title: str, notes: Sequence[str] = ()
) -> Site:
    """chance: task id -> accuracy of always answering the most frequent class.

    Raises RecordError when a score is no number in [0, 1].
    """
    boards = board_views(rank(contents.runs, chance=chance), contents)
    published = families(view.board for view in boards)
    return Site(title, notes, contents, boards, published, search_views(contents.searches))


def pages(site: Site) -> dict[str, Callable[[], str]]:
    """Every page by its path in the site, and what renders it."""
    found: dict[str, Callable[[], str]] = {"index.html": partial(_index, site)}
    for view in site.boards:
        for row in view.rows:
            found[f"entries/{row.key}.html"] = partial(_entry, site, view, row)
    return found | _search_pages(site)


def _search_pages(site: Site) -> dict[str, Callable[[], str]]:
    entries: dict[str, list[tuple[BoardView, Row]]] = {}
    for board in site.boards:
        for row in board.rows:
            entries.setdefault(row.entry.source_hash, []).append((board, row))
    found: dict[str, Callable[[], str]] = {}
    for view in site.searches:
        found[f"searches/{view.key}.html"] = partial(render, "search.html.j2", site=site, view=view)
        for index in range(len(view.attempts)):
            page = partial(_attempt, site, view, index, entries)
            found[f"searches/{view.key}/{index}.html"] = page
    return found


def write_site(site: Site, folder: Path) -> None:
    """Write all pages to `folder`; a reader sees an old page or a new one, nothing between.

    Raises DataError when one cannot be written.
    """
    for path, page in pages(site).items():
        write_atomically(folder / path, page().encode())


def _index(site: Site) -> str:
    rows = [row for view in site.boards for row in view.rows]
    newest = max((run.created_at for run in site.contents.runs), default=None)
    num_runs = sum(len(row.runs) for row in rows)
    return render(
        "index.html.j2", site=site, num_entries=len(rows), num_runs=num_runs, newest=newest
    )


def _entry(site: Site, view: BoardView, row: Row) -> str:
    return render("entry.html.j2", site=site, view=view, row=row)


def _attempt(
    site: Site, view: SearchView, index: int, entries: Mapping[str, Sequence[tuple[BoardView, Row]]]
) -> str:
    shown = attempt_view(view, index, entries)
    return render("attempt.html.j2", site=site, view=view, shown=shown)
