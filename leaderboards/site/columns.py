"""The columns of numbers in a board's table; those that say nothing of any entry are left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leaderboards.site.boards import Row
from leaderboards.site.charts import amount, brief_seconds
from leaderboards.table import MISSING, decimal, percent, signed


@dataclass(frozen=True)
class Column:
    """One number of each entry."""

    title: str
    meaning: str
    """For whoever reads the page the first time."""
    value: Callable[[Row], float | None]
    """None where it is missing."""
    write: Callable[[float], str]
    always: bool = False
    """Shown even where it is missing everywhere."""

    def text(self, row: Row) -> str:
        """The number as the table has it; a dash when it is missing."""
        value = self.value(row)
        return MISSING if value is None else self.write(value)


def _window_share(row: Row) -> float | None:
    return row.reading.windowed[0].share if row.reading.windowed else None


def _gain(row: Row) -> float | None:
    tuning = row.runs[0].tuning
    return tuning.gain_points if tuning else None


def _nearest(row: Row) -> float | None:
    return row.dossier.neighbours[0].distance if row.dossier and row.dossier.neighbours else None


def _whole(number: float) -> str:
    return f"{number:,.0f}"


def _points(number: float) -> str:
    return signed(number, 1)


COLUMNS = (
    Column(
        "Val., %",
        "mean accuracy on the validation split, by which entries were chosen",
        lambda row: row.entry.validation,
        percent,
        always=True,
    ),
    Column(
        "Gap",
        "percentage points above the human state of the art",
        lambda row: row.entry.gap_points,
        _points,
    ),
    Column(
        "NS",
        "normalised score: 0 at chance, 1 at the human state of the art",
        lambda row: row.entry.normalised,
        lambda number: decimal(number, 2),
    ),
    Column(
        "Depth",
        "levels of a ListOps tree that a shortcut has to evaluate for this accuracy: 0 is the root "
        "operator alone, −1 the most frequent class",
        lambda row: row.reading.depth,
        lambda number: decimal(number, 1),
    ),
    Column(
        "Windows, %",
        "share of the accuracy above chance that is left when sequences are cut into the smallest "
        "windows that were tried",
        _window_share,
        lambda share: percent(share, 0),
    ),
    Column(
        "Reach",
        "positions that the trained mechanism sees back, on the probe of distances",
        lambda row: row.reading.reach,
        _whole,
    ),
    Column(
        "Gain",
        "percentage points that tuning gained: from the default to the tuned validation accuracy",
        _gain,
        _points,
    ),
    Column(
        "Chosen",
        "percentage points by which being the best of many raised the validation accuracy that "
        "chose it, at most; "
        "the test accuracy over fresh seeds has none of it",
        lambda row: row.entry.selection_bias_points,
        lambda number: f"≤ {number:.1f}",
    ),
    Column(
        "Nearest",
        "distance to the nearest known mechanism, by its behaviour",
        _nearest,
        lambda number: decimal(number, 2),
    ),
    Column(
        "Seeds",
        "that have a test score",
        lambda row: len(row.entry.seeds),
        _whole,
        always=True,
    ),
    Column(
        "Parameters",
        "of the whole network",
        lambda row: row.entry.num_parameters,
        amount,
        always=True,
    ),
    Column(
        "Seconds",
        "device-seconds of one training, the median over its seeds",
        lambda row: row.costs.device_seconds,
        brief_seconds,
        always=True,
    ),
    Column(
        "FLOPs",
        "of one forward of the mechanism over 4,096 positions, as its certificate has them",
        lambda row: row.costs.flops,
        amount,
    ),
)


def known_columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """Those that are shown always, and those that are known of at least one row."""
    return tuple(
        column
        for column in COLUMNS
        if column.always or any(column.value(row) is not None for row in rows)
    )
