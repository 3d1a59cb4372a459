"""Which pages a site has, and what renders each: all for a folder, one by one for a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from leaderboards.contents import Contents
from leaderboards.scores import rank
from leaderboards.site.agents import agent_views
from leaderboards.site.attempts import attempt_view
from leaderboards.site.boards import BoardView, FamilyView, Row, board_views, families
from leaderboards.site.commands import reproduction, source_file
from leaderboards.site.comparing import comparison_data
from leaderboards.site.diffs import Ancestry, diff_to_nearest
from leaderboards.site.figures import curve_plot, front_views, scaling_plots
from leaderboards.site.overall import overall_views
from leaderboards.site.ranking import rank_views
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

    @cached_property
    def ancestry(self) -> Ancestry:
        """Where the sources of its entries came from."""
        return Ancestry(self.contents.searches)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """What the source of each hash is called."""
        rows = [row for view in self.boards for row in view.rows]
        return {row.entry.source_hash: row.entry.name for row in rows}


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
    found: dict[str, Callable[[], str]] = {
        "index.html": partial(_index, site),
        "compare.html": partial(_compare, site),
    }
    for view in site.boards:
        found[f"boards/{view.key}.html"] = partial(_costs, site, view)
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
    return render(
        "index.html.j2",
        site=site,
        num_entries=len(rows),
        num_runs=sum(len(row.runs) for row in rows),
        newest=newest,
        writers=sorted({row.entry.agent for row in rows if row.entry.agent is not None}),
        overall=overall_views(site.boards, site.contents.runs),
        rankings=rank_views(site.boards),
        agents=agent_views(site.contents.searches),
    )


def _compare(site: Site) -> str:
    return render("compare.html.j2", site=site, data=comparison_data(site.boards))


def _costs(site: Site, view: BoardView) -> str:
    return render("costs.html.j2", site=site, view=view, fronts=front_views(view.rows))


def _entry(site: Site, view: BoardView, row: Row) -> str:
    run = row.runs[0]
    certificate = row.dossier.certificate if row.dossier else None
    return render(
        "entry.html.j2",
        site=site,
        view=view,
        row=row,
        certificate=certificate,
        curves=curve_plot(row.runs),
        scaling=scaling_plots(certificate.scaling) if certificate and certificate.scaling else [],
        diffs=[
            diff
            for diff in (site.ancestry.diff_to_parent(run), diff_to_nearest(run, row.dossier))
            if diff is not None
        ],
        commands=reproduction(row),
        source_file=source_file(run),
    )


def _attempt(
    site: Site, view: SearchView, index: int, entries: Mapping[str, Sequence[tuple[BoardView, Row]]]
) -> str:
    shown = attempt_view(view, index, entries)
    return render("attempt.html.j2", site=site, view=view, shown=shown)
