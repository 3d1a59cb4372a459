"""The one table of a tournament."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leaderboards.tournament import ENDED, Cell, Row, Share, Spread, table
from lra_design.cli.tournament_cells import Place, Terms, reference_cells
from lra_design.records import Spending, record
from lra_design.visible import visible_text
from tasks.registry import get_task

WIDTH = 170
"""Columns the table needs; a narrower terminal wraps its lines."""
COLUMNS = (
    "agent",
    "valid searches",
    "valid attempts",
    "best val. %",
    "test %",
    "95 %",
    "NS",
    "device s",
    "tokens",
    "$",
    "why not",
)
LEGEND = (
    "valid searches: that ended with a valid finalist, of those that ended, with Wilson's 95 % "
    "interval; valid attempts: of all. Scores are the means of the finalists there are: a search "
    "without one is in no score.\n"
    "95 %: s over searches, t over trainings of the one finalist, e over test examples. NS: 0 at "
    "chance, 1 at the human state of the art. device s, tokens, $: of the searches, together; + of "
    "the finalists' studies; ? not known."
)
MAX_REASON = 60


@record
class Standing:
    """A tournament as it stands: `tournament.json`."""

    terms: Terms
    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]


def standing(terms: Terms, places: Sequence[Place], cells: Sequence[Cell]) -> Standing:
    """The table of `cells`, which are those of `places`, with the references beside them."""
    chance = {place.task: get_task(place.task).chance for place in places}
    references = reference_cells(places)
    rows = table(cells, references, chance=chance)
    return Standing(terms=terms, rows=tuple(rows), cells=(*cells,))


def show(stands: Standing) -> None:
    """Print the table on standard output."""
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    drawn = Table(box=SIMPLE_HEAD, caption=Text(_counted(stands.cells)), caption_justify="left")
    for name in COLUMNS:
        left = name in ("agent", "why not")
        drawn.add_column(name, justify="left" if left else "right", no_wrap=not left)
    for (task, setting), rows in groupby(stands.rows, key=lambda row: (row.task, row.setting)):
        drawn.add_section()
        drawn.add_row(Text(f"{task}, {setting}" if task else "all tasks", style="bold"))
        for row in rows:
            drawn.add_row(*map(Text, _line(row)))
    console.print(drawn)


def _line(row: Row) -> list[str]:
    test, normalised = row.test, row.normalised
    return [
        f"  ({row.agent})" if row.is_reference else f"  {row.agent}",
        _share(row.valid_cells, interval=True),
        _share(row.valid_attempts),
        _percent(row.best_validation),
        _percent(test.mean if test else None),
        _interval(test) if test else "–",
        f"{normalised.mean:.2f} [{normalised.low:.2f}, {normalised.high:.2f}]"
        if normalised
        else "–",
        _seconds(row),
        *_cost(row.spent),
        "; ".join(visible_text(reason)[:MAX_REASON] for reason in row.reasons),
    ]


def _share(share: Share | None, *, interval: bool = False) -> str:
    if share is None:
        return "–"
    ends = f" [{100 * share.low:.0f}, {100 * share.high:.0f}] %" if interval else ""
    return f"{share.count}/{share.of}{ends}"


def _interval(test: Spread) -> str:
    over = {"search seeds": "s", "training seeds": "t", "examples": "e"}[test.over]
    return f"{100 * test.low:.1f}–{100 * test.high:.1f} {over}"


def _percent(accuracy: float | None) -> str:
    return "–" if accuracy is None else f"{100 * accuracy:.1f}"


def _seconds(row: Row) -> str:
    search = "–" if row.spent is None else f"{row.spent.device_seconds:.0f}"
    return search if row.tuning_seconds is None else f"{search} + {row.tuning_seconds:.0f}"


def _cost(spent: Spending | None) -> list[str]:
    if spent is None:
        return ["–", "–"]
    tokens = "?" if spent.tokens is None else f"{spent.tokens}"
    return [tokens, "?" if spent.dollars is None else f"{spent.dollars:.2f}"]


def _counted(cells: Sequence[Cell]) -> str:
    """The legend, and what is in no rate."""
    failed = sum(cell.outcome == "failed" for cell in cells)
    missing = sum(cell.outcome == "missing" for cell in cells)
    ended = sum(cell.outcome in ENDED for cell in cells)
    return (
        f"{len(cells)} searches: {ended} ended, {failed} failed by a fault of ours, {missing} "
        f"not done.\n{LEGEND}"
    )
