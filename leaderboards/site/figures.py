"""The plots of the site: curves of trainings, costs over lengths, accuracy against costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leaderboards.pareto import AT_LENGTH, front
from leaderboards.site.boards import Row
from leaderboards.site.charts import (
    Dot,
    Plot,
    Series,
    amount,
    binary,
    brief_seconds,
    make_plot,
)
from leaderboards.table import NAME_WIDTH, percent
from lra_design.records import Run, Scaling

COSTS: dict[str, tuple[str, Callable[[float], str]]] = {
    "device_seconds": ("Device-seconds of a training", brief_seconds),
    "num_parameters": ("Parameters of the whole network", amount),
    "flops": (f"FLOPs of the mechanism at {AT_LENGTH:,} positions", amount),
    "peak_memory_bytes": (f"Memory of the mechanism at {AT_LENGTH:,} positions", binary),
}
QUANTITIES: dict[str, tuple[str, Callable[[float], str]]] = {
    "flops": ("FLOPs", amount),
    "peak_memory_bytes": ("Peak memory", binary),
    "seconds": ("Seconds", brief_seconds),
}


@dataclass(frozen=True)
class FrontView:
    """Accuracy against one cost, and who is on the front."""

    cost: str
    title: str
    text: Callable[[float], str]
    plot: Plot
    members: tuple[Row, ...]
    """Cheapest first."""

    def value(self, row: Row) -> float:
        """The cost of a member."""
        return float(getattr(row.costs, self.cost))


def curve_plot(runs: Sequence[Run]) -> Plot | None:
    """Validation accuracy over the steps, a line for each seed; None where no curve is kept."""
    series = [
        Series(
            name=f"seed {run.seed}",
            dots=tuple(
                Dot(p.step, p.accuracy, f"seed {run.seed}, step {p.step}: {percent(p.accuracy)} %")
                for p in run.curve
            ),
            marked=False,
        )
        for run in runs
        if run.curve
    ]
    return make_plot(
        "Validation accuracy over the steps of each seed",
        series,
        x=("Step", amount),
        y=("Validation accuracy, %", lambda share: f"{100 * share:.3g}"),
    )


def scaling_plots(scaling: Scaling) -> list[Plot]:
    """Each measured cost of one forward over the length, both axes logarithmic."""
    plots = [_scaling_plot(scaling, quantity) for quantity in QUANTITIES]
    return [plot for plot in plots if plot is not None]


def _scaling_plot(scaling: Scaling, quantity: str) -> Plot | None:
    title, text = QUANTITIES[quantity]
    known = [(p.seq_len, getattr(p, quantity)) for p in scaling.points]
    dots = tuple(
        Dot(length, value, f"{length:,} positions: {text(value)}")
        for length, value in known
        if value is not None
    )
    return make_plot(
        f"{title} of one forward by length",
        [Series(title, dots)],
        x=("Positions", lambda length: f"{length:,.0f}"),
        y=(title, text),
        x_base=2,
        y_base=2 if quantity == "peak_memory_bytes" else 10,
    )


def front_views(rows: Sequence[Row]) -> list[FrontView]:
    """Accuracy against each cost that is known of at least one entry."""
    views = [_front_view(rows, cost) for cost in COSTS]
    return [view for view in views if view is not None]


def _front_view(rows: Sequence[Row], cost: str) -> FrontView | None:
    title, text = COSTS[cost]
    known = [row for row in rows if row.entry.test and (getattr(row.costs, cost) or 0) > 0]
    places = front([(getattr(row.costs, cost), _accuracy(row)) for row in known])
    members = tuple(known[place] for place in places)

    def dots(some: Sequence[Row]) -> tuple[Dot, ...]:
        return tuple(_dot(row, getattr(row.costs, cost), text) for row in some)

    others = [row for place, row in enumerate(known) if place not in set(places)]
    plot = make_plot(
        f"Test accuracy against cost: {title}",
        [
            Series("on the front", dots(members), stepped=True),
            Series("others", dots(others), line=False),
        ],
        x=(title, text),
        y=("Test accuracy, %", lambda share: f"{100 * share:.3g}"),
        x_base=2 if cost == "peak_memory_bytes" else 10,
    )
    return None if plot is None else FrontView(cost, title, text, plot, members)


def _accuracy(row: Row) -> float:
    assert row.entry.test is not None
    return row.entry.test.mean


def _dot(row: Row, value: float, text: Callable[[float], str]) -> Dot:
    accuracy = _accuracy(row)
    return Dot(
        value, accuracy, f"{row.entry.name[:NAME_WIDTH]}: {percent(accuracy)} %, {text(value)}"
    )
