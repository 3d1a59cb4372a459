"""Geometry of the figures: where values stand in a drawing. The templates draw, nothing scripts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

PLOT_WIDTH = 460.0
PLOT_HEIGHT = 280.0
"""Size of a plot in SVG units, its labels included."""
LEFT, RIGHT, TOP, BOTTOM = 72.0, 16.0, 14.0, 46.0
MOST_TICKS = 6


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` along a line from `start` to `end`, in SVG units."""

    low: float
    high: float
    start: float
    end: float
    base: int = 0
    """Of the logarithm along it; 0: it is linear."""

    def place(self, value: float) -> float:
        """Where a value stands, in SVG units."""
        low, high, at = map(self._measure, (self.low, self.high, value))
        return round(self.start + (self.end - self.start) * (at - low) / (high - low), 1)

    def _measure(self, value: float) -> float:
        return math.log(value) if self.base else value

    @property
    def ticks(self) -> list[float]:
        """A few round values, lowest first."""
        ticks = log_ticks(self.low, self.high, self.base) if self.base else []
        return ticks if len(ticks) > 2 else _ticks(self.low, self.high)


@dataclass(frozen=True)
class Dot:
    """One point of a plot, and what it stands for."""

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Series:
    """Points that belong together, as dots or as a line from one to the next."""

    name: str
    dots: tuple[Dot, ...]
    line: bool = True
    stepped: bool = False
    """The line goes along and then up or down, as a front does."""
    marked: bool = True
    """Whether the points themselves are drawn."""


@dataclass(frozen=True)
class Plot:
    """One figure: y against x."""

    title: str
    x_title: str
    y_title: str
    x: Scale
    y: Scale
    series: tuple[Series, ...]
    x_text: Callable[[float], str]
    y_text: Callable[[float], str]

    def path(self, series: Series) -> str:
        """The line of a series, as SVG writes paths."""
        points = [(self.x.place(dot.x), self.y.place(dot.y)) for dot in series.dots]
        if not points:
            return ""
        steps = [f"M{points[0][0]} {points[0][1]}"]
        for (_, _), (x, y) in pairwise(points):
            steps.append(f"H{x}V{y}" if series.stepped else f"L{x} {y}")
        return "".join(steps)


def make_plot(
    title: str,
    series: Sequence[Series],
    *,
    x: tuple[str, Callable[[float], str]],
    y: tuple[str, Callable[[float], str]],
    x_base: int = 0,
    y_base: int = 0,
) -> Plot | None:
    """A plot with room for all points; None when nothing finite is to be drawn.

    x, y: title of the axis, and how its values are written. x_base, y_base: of the logarithm along
    it; 0: it is linear. Points that are not finite, or not
    positive along a logarithmic axis, are left out.
    """

    def drawn(dot: Dot) -> bool:
        along = ((dot.x, x_base), (dot.y, y_base))
        return all(math.isfinite(at) and (at > 0 or not base) for at, base in along)

    kept = [replace(one, dots=tuple(filter(drawn, one.dots))) for one in series]
    dots = [dot for one in kept for dot in one.dots]
    if not dots:
        return None
    return Plot(
        title=title,
        x_title=x[0],
        y_title=y[0],
        x=_scale((dot.x for dot in dots), LEFT, PLOT_WIDTH - RIGHT, x_base),
        y=_scale((dot.y for dot in dots), PLOT_HEIGHT - BOTTOM, TOP, y_base),
        series=tuple(one for one in kept if one.dots),
        x_text=x[1],
        y_text=y[1],
    )


def _scale(values: Iterable[float], start: float, end: float, base: int) -> Scale:
    """A scale with a little room at both ends."""
    known = list(values)
    low, high = min(known), max(known)
    if base:
        room = (high / low) ** 0.06 if high > low else 2.0
        return Scale(low / room, high * room, start, end, base)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return Scale(low - room, high + room, start, end)


def _ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / (MOST_TICKS - 1)
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= rough)
    return [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def log_ticks(low: float, high: float, base: int) -> list[float]:
    """At most six powers of the base; with the factors 2 and 5, or 3, between those of 10 where
    there is room."""
    powers = range(math.floor(math.log(low, base)), math.ceil(math.log(high, base)) + 1)
    for factors in ((1, 2, 5), (1, 3)) if base == 10 else ():
        ticks = [m * 10.0**e for e in powers for m in factors if low <= m * 10.0**e <= high]
        if len(ticks) <= MOST_TICKS:
            return ticks
    ticks = [float(base) ** e for e in powers if low <= float(base) ** e <= high]
    return ticks[:: math.ceil(len(ticks) / MOST_TICKS) or 1]


def amount(value: float) -> str:
    """`3.2 M`: a count with the prefix of its thousands."""
    for limit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {prefix}"
    return f"{value:.3g}"


def binary(value: float) -> str:
    """`12.5 MiB`: bytes."""
    for limit, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.3g} B"


def brief_seconds(value: float) -> str:
    """`3.1 s`, `12 ms`."""
    for limit, factor, unit in ((1.0, 1.0, "s"), (1e-3, 1e3, "ms"), (0.0, 1e6, "µs")):
        if abs(value) >= limit:
            return f"{value * factor:.3g} {unit}"
    raise AssertionError("an absolute value is never below 0")
