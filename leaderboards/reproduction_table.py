"""How a reproduction is written: its plan, and published results beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from leaderboards.human import FAMILY_NOTES, TASK_FAMILIES, resembled_family
from leaderboards.reproduction import HYPERPARAMETERS, Line, is_here
from leaderboards.scores import RANKED_SEEDS
from leaderboards.side_by_side import Agreement, SideBySide
from leaderboards.table import MISSING, interval, percent, published, signed
from lra_design.units import si_number
from tasks.registry import get_task

COLUMNS = ("mechanism", "ours %", "95 %", "seeds", "spread", "published %", "diff.", "of", "source")
NUMBERS = ("ours %", "95 %", "seeds", "published %", "diff.")
LEGEND = (
    "ours: mean test accuracy; 95 %: Student's t over seeds, of one seed Wilson over examples. "
    "spread: where ours lies beside the published results of the same size. "
    "diff.: ours minus published, in points."
)
HOURS_ARE_A_GUESS = (
    "hours are a guess from tokens, at the speed that Skyformer's paper has for softmax attention "
    "on one V100; ours was not measured on a GPU"
)
DATA_NOTES = {
    "b0050b457bc76016f654330561769297ef2327c9cae12b00fe8d59a6e67cc7d2": (
        "of pictures that had been through JPEG: not the task's own, for a first look alone"
    )
}
"""Test split to what must be known of it."""


def cells(row: SideBySide) -> list[tuple[str, ...]]:
    """The lines of one mechanism on one task, a cell for each of COLUMNS."""
    ours = row.ours
    own = (
        row.line.mechanism,
        percent(ours.mean if ours else None),
        interval(ours),
        str(len(row.line.runs)),
        _verdict(row),
    )
    others = [
        (
            published(other.result) + "".join(f" [{flag}]" for flag in other.result.flags),
            signed(other.difference, 1),
            f"{other.relation} ({other.result.size})",
            other.result.source,
        )
        for other in row.published
    ] or [(MISSING, MISSING, MISSING, "nothing is published")]
    return [(*(own if i == 0 else ("",) * 5), *other) for i, other in enumerate(others)]


def _verdict(row: SideBySide) -> str:
    if row.verdict is None or row.spread is None:
        return MISSING
    low, high = (percent(accuracy, 2) for accuracy in row.spread)
    return f"{row.verdict} {low}" + ("" if low == high else f"–{high}")


def by_task(rows: Iterable[SideBySide]) -> dict[str, list[SideBySide]]:
    """The lines of each task, in their order."""
    tasks: dict[str, list[SideBySide]] = {}
    for row in rows:
        tasks.setdefault(row.line.task, []).append(row)
    return tasks


def notes(rows: Sequence[SideBySide]) -> Iterator[str]:
    """What must be known to read the lines of one task."""
    task = get_task(rows[0].line.task)
    yield f"chance {percent(task.chance)} %"
    family = TASK_FAMILIES.get(task.id)
    if family is None:
        resembled = resembled_family(task.id)
        yield (
            f"nothing is published of this task: beside it stands {resembled}, a larger or another "
            "one, and no difference is taken"
        )
    elif family in FAMILY_NOTES:
        yield FAMILY_NOTES[family]
    if any(0 < len(row.line.runs) < RANKED_SEEDS for row in rows):
        yield f"few seeds: with fewer than {RANKED_SEEDS} an interval says little"
    tests = {run.test.split_hash for row in rows for run in row.line.runs if run.test}
    yield from (f"test split {key[:12]}: {DATA_NOTES[key]}" for key in tests & DATA_NOTES.keys())
    for row in rows:
        if values := HYPERPARAMETERS.get((row.line.scale, row.line.mechanism)):
            shown = ", ".join(f"{name} {value}" for name, value in values.items())
            yield f"{row.line.mechanism} with {shown}, to stay within the parameter cap"
    yield from (
        f"{row.line.mechanism}: {len(ill)} training(s) led nowhere, {', '.join(sorted(set(ill)))}"
        for row in rows
        if (ill := [run.divergence for run in row.line.runs if run.divergence])
    )


def agreement_line(agreement: Agreement) -> str:
    """`text-v1, small: ours a > b > c, published b > a > c; Kendall's tau +0.33, of 6 ...`."""
    sizes = "networks of scale small" if agreement.sizes == "small" else "networks of any size"
    return (
        f"{agreement.task}: ours {' > '.join(agreement.ours)}; published, {sizes}: "
        f"{' > '.join(agreement.published)}; Kendall's tau {signed(agreement.tau, 2)}, of "
        f"{agreement.num_orders} possible orders"
    )


def plan_lines(plan: Sequence[Line]) -> Iterator[str]:
    """The plan: what is done, what is to do, and the command that does each line alone."""
    yield _summary(plan)
    for line in plan:
        stale = f", {line.num_stale} stale" if line.num_stale else ""
        hours = f"{line.hours:5.1f} h  " if line.hours is not None else ""
        here = "" if line.is_here else "  no data"
        yield (
            f"  {line.task:<18}{line.mechanism:<16}{si_number(line.num_tokens, 'tokens'):>12}  "
            f"{hours}{len(line.runs)} done{stale}, {len(line.to_do)} to do{here}\n"
            f"    {line.command}"
        )
    yield from missing_lines(plan)


def _summary(plan: Sequence[Line]) -> str:
    num_done = sum(len(line.runs) for line in plan)
    num_to_do = sum(len(line.to_do) for line in plan)
    tokens = sum(len(line.to_do) * line.num_tokens for line in plan)
    hours = [line.hours for line in plan if line.hours is not None]
    guess = f", {sum(hours):.1f} h\n{HOURS_ARE_A_GUESS}" if hours else ""
    return (
        f"{num_done} trainings done, {num_to_do} to do, smallest first: at most "
        f"{si_number(tokens, 'tokens')}{guess}"
    )


def missing_lines(plan: Iterable[Line]) -> Iterator[str]:
    """How to get what is not on this machine, a line for each task."""
    for task in dict.fromkeys(line.task for line in plan if line.to_do):
        if not is_here(get_task(task)):
            yield f"{task} is not on this machine: lra-design data prepare {task} [--source PATH]"


def as_json(
    plan: Sequence[Line], rows: Sequence[SideBySide], agreements: Sequence[Agreement]
) -> dict[str, Any]:
    """All of it as JSON values; accuracies lie in [0, 1] and what is missing is None."""
    return {
        "schema": 1,
        "plan": [_line_json(line) for line in plan],
        "table": [_row_json(row) for row in rows],
        "agreements": [
            {**asdict(agreement), "num_orders": agreement.num_orders} for agreement in agreements
        ],
    }


def _line_json(line: Line) -> dict[str, Any]:
    plain = ("task", "mechanism", "scale", "num_tokens", "hours", "num_stale", "is_here", "command")
    return {
        **{name: getattr(line, name) for name in plain},
        "done": [run.seed for run in line.runs],
        "to_do": [job.seed for job in line.to_do],
    }


def _row_json(row: SideBySide) -> dict[str, Any]:
    return {
        "task": row.line.task,
        "mechanism": row.line.mechanism,
        "ours": asdict(row.ours) if row.ours else None,
        "seeds": [run.seed for run in row.line.runs],
        "run_ids": [run.run_id for run in row.line.runs],
        "spread": row.spread,
        "verdict": row.verdict,
        "published": [asdict(other) for other in row.published],
    }
