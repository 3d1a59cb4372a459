"""Figures of a leaderboard, as PNG or SVG: intervals, critical differences, fronts of cost.

Names of participants are drawn as they stand: nothing in them is mathematics or mark-up.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from leaderboards import table
from leaderboards.contents import Contents
from leaderboards.exports.fronts import Fronts, cost_fronts
from leaderboards.scores import Board, Entry, group_by_board
from leaderboards.ties import CriticalDifference, critical_difference
from lra_design.errors import UsageError
from lra_design.visible import visible_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 40
"""Entries of a board that a figure shows, the best."""
NAME_WIDTH = 40
WIDTH = 7.0
"""Inches."""


def draw(figure: str, ending: str, contents: Contents, entries: Sequence[Entry]) -> bytes:
    """One of `exports.FIGURES` as the bytes of a file. Raises UsageError with nothing to draw."""
    made = {
        "intervals": lambda: _intervals(entries),
        "critical-difference": lambda: _critical_differences(entries),
        "pareto": lambda: _pareto(cost_fronts(entries, contents)),
    }[figure]()
    return _saved(made, ending)


def _saved(figure: Figure, ending: str) -> bytes:
    from matplotlib import rc_context

    sink = io.BytesIO()
    with rc_context({"svg.hashsalt": "lra-design"}), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of letters that the font has not
        metadata = {"Date": None} if ending == "svg" else {}
        figure.savefig(sink, format=ending, dpi=150, metadata=metadata)
    return sink.getvalue()


def _figure(heights: Sequence[float], columns: int = 1) -> tuple[Figure, Any]:
    """Axes one under the other, `heights` in inches; an array of (rows, columns)."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("figures need matplotlib: pip install 'lra-design[plots]'") from None
    size = (WIDTH if columns == 1 else 3.5 * columns, sum(heights))
    figure = Figure(figsize=size, layout="constrained")
    ratios = {"height_ratios": list(heights)}
    return figure, figure.subplots(len(heights), columns, squeeze=False, gridspec_kw=ratios)


def _name(text: str) -> str:
    shown = visible_text(" ".join(text.split()))
    return shown if len(shown) <= NAME_WIDTH else shown[: NAME_WIDTH - 1] + "…"


def _intervals(entries: Sequence[Entry]) -> Figure:
    scored = [entry for entry in entries if entry.test]
    groups = list(group_by_board(scored).items())
    if not groups:
        raise UsageError("nothing to draw: no entry has a test score yet")
    shown = [min(len(members), MOST) for _, members in groups]
    figure, axes = _figure([1.2 + 0.25 * number for number in shown])
    for (board, members), (ax,) in zip(groups, axes, strict=True):
        _board_intervals(ax, board, members)
    return figure


def _board_intervals(ax: Axes, board: Board, entries: list[Entry]) -> None:
    left_out = len(entries) - MOST
    title = table.board_title(board) + (f", best {MOST} of {len(entries)}" * (left_out > 0))
    ax.set_title(visible_text(title), loc="left", fontsize=9, parse_math=False)
    for place, entry in enumerate(entries[:MOST]):
        if entry.test:
            low, mean, high = (100 * x for x in (entry.test.low, entry.test.mean, entry.test.high))
            bars = [[max(0.0, mean - low)], [max(0.0, high - mean)]]
            ax.errorbar([mean], [place], xerr=bars, fmt="o", color=_color(entry), capsize=3)
    names = [_name(entry.name) for entry in entries[:MOST]]
    ax.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel("test accuracy in %, with its 95 % interval", fontsize=8)
    _marks(ax, board, entries)


def _color(entry: Entry) -> str:
    """References blue, candidates orange: two that most colour-blind people tell apart."""
    return "tab:blue" if entry.origin == "reference" else "tab:orange"


def _marks(ax: Axes, board: Board, entries: list[Entry]) -> None:
    chance = next((entry.chance for entry in entries if entry.chance is not None), None)
    if chance is not None:
        ax.axvline(100 * chance, color="grey", linestyle=":", linewidth=1, label="chance")
    results, comparable = table.board_landmarks(board)
    for result in results if comparable else ():
        label = f"published: {result.system}"
        ax.axvline(100 * result.accuracy, color="black", linestyle="--", linewidth=1, label=label)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=7)


def _critical_differences(entries: Sequence[Entry]) -> Figure:
    found = _compared(entries)
    if not found:
        raise UsageError(
            "nothing to draw: expected two mechanisms with test scores on the same two tasks"
        )
    figure, axes = _figure([1.4 + 0.2 * min(len(one.names), MOST) for _, one in found])
    for (title, one), (ax,) in zip(found, axes, strict=True):
        _draw_ranks(ax, title, one)
    return figure


def _compared(entries: Sequence[Entry]) -> list[tuple[str, CriticalDifference]]:
    """For each scale, setting and mode the mechanisms that share the most tasks."""
    scores: dict[str, dict[str, dict[str, float]]] = {}
    names: dict[str, str] = {}
    for entry in entries:
        if entry.test:
            board = entry.board
            condition = " · ".join((board.scale, board.setting, board.mode))
            by_source = scores.setdefault(condition, {})
            by_source.setdefault(entry.source_hash, {}).setdefault(board.task, entry.test.mean)
            names[entry.source_hash] = f"{_name(entry.name)} ({entry.source_hash[:6]})"
    found = []
    for condition, by_source in scores.items():
        tasks, members = _largest_block(by_source)
        if len(tasks) > 1 and len(members) > 1:
            columns = {names[m]: [by_source[m][task] for task in tasks] for m in members}
            found.append((f"{condition}: {', '.join(tasks)}", critical_difference(columns)))
    return found


def _largest_block(scores: dict[str, dict[str, float]]) -> tuple[list[str], list[str]]:
    """The tasks of some mechanism, and all that have them too: as many cells as can be."""
    blocks = []
    for tasks in {frozenset(by_task) for by_task in scores.values()}:
        members = [source for source, by_task in scores.items() if tasks <= by_task.keys()]
        blocks.append((len(tasks) * len(members), sorted(tasks), members))
    usable = [block for block in blocks if len(block[1]) > 1 and len(block[2]) > 1]
    return max(usable, default=(0, [], []))[1:]


def _draw_ranks(ax: Axes, title: str, found: CriticalDifference) -> None:
    """Mean ranks on a line each, and a bar through those that are not told apart."""
    number = min(len(found.names), MOST)
    ax.set_title(visible_text(title), loc="left", fontsize=9, parse_math=False, wrap=True)
    ax.plot(found.mean_ranks[:number], range(number), "o", color="tab:blue")
    ax.set_yticks(range(number), list(found.names[:number]), fontsize=8, parse_math=False)
    ax.set_ylim(number - 0.5, -0.5)
    for offset, group in enumerate(found.groups):
        shown = [place for place in group if place < number]
        if len(shown) > 1:
            x = max(found.mean_ranks) + 0.15 * (1 + offset)
            ax.plot([x, x], [shown[0], shown[-1]], color="black", linewidth=3)
    ax.set_xlabel(
        f"mean rank over {found.num_tasks} tasks; a bar joins who is not told apart "
        f"(Nemenyi, 5 %: {found.difference:.2f} ranks)",
        fontsize=8,
    )


def _pareto(boards: Sequence[tuple[Board, Fronts]]) -> Figure:
    if not boards:
        raise UsageError("nothing to draw: no entry has a test score and a known cost")
    columns = max(len(fronts) for _, fronts in boards)
    figure, axes = _figure([3.0] * len(boards), columns)
    for (board, fronts), row in zip(boards, axes, strict=True):
        row[0].set_title(
            visible_text(table.board_title(board)), loc="left", fontsize=9, parse_math=False
        )
        for ax in row[len(fronts) :]:
            ax.set_axis_off()
        for (cost, points, best), ax in zip(fronts, row, strict=False):
            _draw_front(ax, cost, points, best)
    return figure


def _draw_front(
    ax: Axes, cost: str, points: Sequence[tuple[float, float, str]], best: Sequence[int]
) -> None:
    ax.plot([x for x, _, _ in points], [y for _, y, _ in points], "o", color="tab:grey")
    ax.plot([points[i][0] for i in best], [points[i][1] for i in best], "o-", color="tab:blue")
    middle = math.sqrt(min(x for x, _, _ in points) * max(x for x, _, _ in points))
    for x, y, name in (points[i] for i in best[:MOST]):
        side, shift = ("right", -4) if x > middle else ("left", 4)
        ax.annotate(
            _name(name), (x, y), (shift, -9), textcoords="offset points", ha=side, fontsize=7
        ).set_parse_math(False)
    if min(x for x, _, _ in points) > 0:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:.3g}")
        ax.xaxis.set_minor_formatter("")
    ax.set_xlabel(cost.replace("_", " "), fontsize=8)
    ax.set_ylabel("test accuracy in %", fontsize=8)
    ax.tick_params(which="both", labelsize=7)
