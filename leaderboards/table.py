"""The leaderboard in a terminal and as JSON, and how its numbers are written everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from leaderboards.human import (
    FAMILY_NOTES,
    TASK_FAMILIES,
    HumanResult,
    anchor,
    comparable_task,
    landmarks,
    resembled_family,
)
from leaderboards.scores import RANKED_SEEDS, Board, Entry, Estimate, group_by_board
from lra_design.records import TuningProtocol
from lra_design.visible import visible_text

if TYPE_CHECKING:
    from rich.table import Table

MISSING = "–"
NOT_COMPARABLE = "not comparable"
NAME_WIDTH = 60
"""Characters of a name that a table shows."""


def percent(share: float | None, digits: int = 1) -> str:
    """`58.9` for 0.589; a dash when it is missing."""
    return MISSING if share is None else f"{100 * share:.{digits}f}"


def interval(estimate: Estimate | None) -> str:
    """`56.1–61.2`, in percent."""
    return MISSING if estimate is None else f"{percent(estimate.low)}–{percent(estimate.high)}"


def signed(number: float | None, digits: int) -> str:
    """`+1.2` or `−4.9`; a dash when it is missing."""
    return MISSING if number is None else f"{number:+.{digits}f}".replace("-", "−")


def decimal(number: float | None, digits: int) -> str:
    """`0.82` or `−0.07`; a dash when it is missing."""
    return MISSING if number is None else f"{number:.{digits}f}".replace("-", "−")


def place(entry: Entry) -> str:
    """`1≈`: the rank, and ≈ when the entry cannot be told from the best; a dash without a rank."""
    return (MISSING if entry.rank is None else str(entry.rank)) + "≈" * entry.tied_with_best


def published(result: HumanResult) -> str:
    """`63.85`: a published accuracy in percent; `fail` when failure is what was published."""
    return "fail" if "failed" in result.flags else percent(result.accuracy, 2)


def board_title(board: Board) -> str:
    """`listops-v1 · small · fixed · causal`."""
    return " · ".join((board.task, board.scale, board.setting, board.mode))


def conditions(board: Board) -> str:
    """One line on what all entries of a board share."""
    host = board.host
    parts = [f"{host.num_layers} layers, width {host.d_model}, {host.num_heads} heads"]
    if board.train is not None:
        parts.append(f"{board.train.num_steps} steps of batch {board.train.batch_size}")
    if board.tuning is not None:
        parts.append(_budget(board.tuning))
    if board.test_split_hash is not None:
        parts.append(f"test split {board.test_split_hash[:12]}")
    return "; ".join(parts)


def _budget(tuning: TuningProtocol) -> str:
    """`tuned in 12 trials or 3,600 device-seconds`."""
    seconds = f" or {tuning.max_seconds:,.0f} device-seconds" if tuning.max_seconds else ""
    return f"tuned in {tuning.num_trials} trials{seconds}"


def _chance(chance: float | None) -> str:
    return "" if chance is None else f"chance {percent(chance)} %; "


def human_note(board: Board) -> str:
    """One line on the published results that a board's entries can or cannot be held against."""
    human = anchor(TASK_FAMILIES.get(board.task))
    if human is not None:
        return f"human state of the art {percent(human.accuracy, 2)} % ({human.system})"
    family = resembled_family(board.task)
    best = anchor(family)
    if family is None or best is None:
        return "no published result at this size"
    return (
        f"no published result at this size; on {comparable_task(family)}, {NOT_COMPARABLE}: "
        f"{percent(best.accuracy, 2)} % ({best.system})"
    )


def gap_note(board: Board) -> str | None:
    """What must be known to read the board's gaps; None when nothing, or when it has none."""
    return FAMILY_NOTES.get(TASK_FAMILIES.get(board.task, ""))


def board_landmarks(board: Board) -> tuple[tuple[HumanResult, ...], bool]:
    """The published results to show beside a board, and whether they are comparable with it."""
    family = TASK_FAMILIES.get(board.task)
    if family is not None:
        return landmarks(family), True
    family = resembled_family(board.task)
    return (landmarks(family) if family else ()), False


def render_table(entries: Iterable[Entry]) -> Table:
    """All boards one under the other, readable at 80 columns."""
    from rich.table import Table

    stack = Table.grid()
    for board, members in group_by_board(entries).items():
        stack.add_row(_board_table(board, members))
    return stack


def _board_table(board: Board, entries: list[Entry]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=SIMPLE_HEAD,
        title=Text(visible_text(board_title(board))),
        caption=Text(visible_text(_caption(board, entries))),
        title_style="bold",
        title_justify="left",
        caption_justify="left",
        min_width=60,
    )
    table.add_column("#", no_wrap=True)
    table.add_column("mechanism", overflow="fold")  # the one column that gives way
    for header in ("test %", "95 %", "val. %", "gap", "NS"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("seeds", justify="right", no_wrap=True)
    for entry in entries:
        table.add_row(*(Text(cell) for cell in _cells(entry)))
    return table


def _cells(entry: Entry) -> tuple[str, ...]:
    warning = "! " if entry.isolation == "unsafe" or entry.findings else ""
    return (
        place(entry),
        warning + _short(visible_text(" ".join(entry.name.split()))),
        percent(entry.test.mean if entry.test else None),
        interval(entry.test),
        percent(entry.validation),
        signed(entry.gap_points, 1),
        decimal(entry.normalised, 2),
        str(len(entry.seeds)),
    )


def _short(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 1] + "…"


def _caption(board: Board, entries: list[Entry]) -> str:
    chance = next((entry.chance for entry in entries if entry.chance is not None), None)
    lines = [
        conditions(board),
        f"{_chance(chance)}{human_note(board)}",
        *filter(None, [gap_note(board)]),
        f"≈ not told apart from the best; – no rank below {RANKED_SEEDS} seeds",
    ]
    if any(entry.test and entry.test.kind == "wilson over examples" for entry in entries):
        lines.append("one seed: the interval is over examples and says nothing about seeds")
    if any(entry.isolation == "unsafe" or entry.findings for entry in entries):
        lines.append("! has findings, or ran with less isolation than the standard")
    for entry in filter(lambda entry: entry.divergences, entries):
        kinds = ", ".join(sorted(set(entry.divergences)))
        lines.append(
            f"{_short(entry.name)}: {len(entry.divergences)} training(s) led nowhere, {kinds}"
        )
    for entry in entries:
        if entry.selection_bias_points is not None:
            points = f"{entry.selection_bias_points:.1f}"
            lines.append(f"{_short(entry.name)}: chosen by a val. % at most {points} too high")
    return "\n".join(lines)


def board_json(entries: Iterable[Entry]) -> dict[str, Any]:
    """The boards as JSON values; accuracies lie in [0, 1] and what is missing is None."""
    return {
        "schema": 1,
        "boards": [
            {
                "board": asdict(board),
                "human_state_of_the_art": _anchor_json(board),
                "gap_note": gap_note(board),
                "entries": [_entry_json(entry) for entry in members],
            }
            for board, members in group_by_board(entries).items()
        ],
    }


def _anchor_json(board: Board) -> Mapping[str, Any] | None:
    human = anchor(TASK_FAMILIES.get(board.task))
    return None if human is None else asdict(human)


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {key: value for key, value in asdict(entry).items() if key != "board"}
