"""All there is to say of a reference mechanism: its paper, its measures, its published results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from leaderboards.measured import Measured, measured
from leaderboards.published import Row, published_rows
from mechanisms import SHELF, Heading, heading, reference_hash

if TYPE_CHECKING:
    from leaderboards.scores import Entry

FIVE_TASKS = ("listops", "text", "retrieval", "image", "pathfinder")
"""Those whose mean most papers print; Path-X is left out, since many fail at it."""


@dataclass(frozen=True)
class ShelfEntry:
    """One reference mechanism."""

    name: str
    kind: str
    heading: Heading
    measured: Measured | None
    """None when the file was changed since it was measured."""
    published: tuple[Row, ...]
    """Rows of published results of what mixes as it does."""
    reproduced: tuple[Entry, ...]
    """Our own scores of it."""

    @property
    def best_published_mean(self) -> float | None:
        """The highest mean over the five tasks, percent, of the rows that have all five and carry
        no flag; None without one."""
        means = [
            fmean(float(row.accuracies[task]) for task in FIVE_TASKS)  # type: ignore[index]
            for row in self.published
            if not row.flags and set(FIVE_TASKS) <= row.accuracies.keys()
        ]
        return max(means, default=None)


def shelf(entries: Iterable[Entry] = ()) -> list[ShelfEntry]:
    """Every reference, by kind. entries: scores from a board; those of a reference's very source
    are our own of it."""
    found, rows, own = measured(), published_rows(), list(entries)
    return [
        ShelfEntry(
            name=name,
            kind=kind,
            heading=heading(name),
            measured=found.get(name),
            published=tuple(row for row in rows if row.mechanism == name),
            reproduced=tuple(entry for entry in own if entry.source_hash == reference_hash(name)),
        )
        for kind, names in SHELF.items()
        for name in names
    ]
