"""The tables of docs/reproduction.md, from the records that lie in leaderboards/reproduced.

    python benchmarks/reproduction.py

What stands above the mark in that file is written by hand and left as it is.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from leaderboards import reproduction_table as parts
from leaderboards.reproduction import (
    MECHANISMS,
    RECORDS,
    STAND_INS,
    TASKS,
    TOKENS_PER_HOUR,
    ReproductionScale,
    make_plan,
    select,
)
from leaderboards.side_by_side import SideBySide, agreements, side_by_side
from leaderboards.store import Store
from lra_design.home import HOME_VARIABLE
from lra_design.units import si_number

PAGE = Path(__file__).parent.parent / "docs" / "reproduction.md"
MARK = "<!-- Below this line: written by benchmarks/reproduction.py -->\n"
NUMBERS = ("ours %", "95 %", "seeds", "published %", "diff.")


def generated() -> str:
    """What stands below the mark. The data of this machine is not looked at."""
    with tempfile.TemporaryDirectory() as empty:
        before = os.environ.get(HOME_VARIABLE)
        os.environ[HOME_VARIABLE] = empty
        try:
            lines = [*_smoke(), *_small()]
        finally:
            if before is None:
                del os.environ[HOME_VARIABLE]
            else:
                os.environ[HOME_VARIABLE] = before
    return "\n".join(lines) + "\n"


def _rows(scale: ReproductionScale) -> list[SideBySide]:
    tasks = (*TASKS[scale], *(STAND_INS.values() if scale == "small" else ()))
    plan = make_plan(select(tasks, MECHANISMS, scale, None), Store(RECORDS).runs())
    return [side_by_side(line) for line in plan]


def _smoke() -> Iterator[str]:
    rows = _rows("smoke")
    yield "\n## On a CPU: the mini tasks"
    for task, members in parts.by_task(rows).items():
        yield from _task(task, members)
    yield "\n### Do they come in the published order?\n"
    yield from (f"- {parts.agreement_line(agreement)}" for agreement in agreements(rows))


def _small() -> Iterator[str]:
    rows = _rows("small")
    yield "\n## At scale `small`: what is left to do\n"
    yield f"The {parts.HOURS_ARE_A_GUESS}.\n"
    yield from _head(("task", "mechanism", "tokens", "hours", "done", "command"), ("hours", "done"))
    for row in rows:
        line = row.line
        tokens, hours = si_number(line.num_tokens, ""), line.num_tokens / TOKENS_PER_HOUR
        done = f"{len(line.runs)} of {line.num_seeds}"
        cells = (line.task, line.mechanism, tokens, f"{hours:.1f}", done, f"`{line.command}`")
        yield _line(cells)
    yield "\n## Published and ours at scale `small`"
    for task, members in parts.by_task(rows).items():
        yield from _task(task, members)


def _task(task: str, rows: Sequence[SideBySide]) -> Iterator[str]:
    yield f"\n### `{task}`\n"
    yield from _head(parts.COLUMNS, NUMBERS)
    for row in rows:
        yield from (_line(cells) for cells in parts.cells(row))
    yield ""
    yield from (f"- {note}" for note in (*parts.notes(rows), *_conditions(rows)))


def _conditions(rows: Sequence[SideBySide]) -> Iterator[str]:
    """The command of the whole task, and where, with which seeds and how long it ran."""
    runs = [run for row in rows for run in row.line.runs]
    if not runs:
        return
    seeds = max(len(row.line.runs) for row in rows)
    task, scale = rows[0].line.task, rows[0].line.scale
    yield f"`lra-design reproduce {task} --scale {scale} --seeds {seeds}`"
    machines = {(r.hardware.processor, r.hardware.device, r.versions.torch) for r in runs}
    seconds = statistics.median(run.usage.cpu_seconds for run in runs)
    for processor, device, torch in sorted(machines):
        yield f"{processor} ({device}), torch {torch}"
    numbers = sorted({run.seed for run in runs})
    yield f"seeds {', '.join(map(str, numbers))}; {seconds:.0f} s of CPU in the median training"


def _head(names: Sequence[str], right: Sequence[str]) -> Iterator[str]:
    yield _line(names)
    yield _line(["--:" if name in right else "---" for name in names])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    introduction = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(introduction + MARK + generated(), encoding="utf-8")
