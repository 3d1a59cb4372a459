"""`lra-design screen`: find the best of many candidates without training all of them in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from lra_design.cli.options import (
    isolation,
    isolation_options,
    json_option,
    make_job,
    mode_option,
    out_option,
    scale_option,
    seed_option,
    show_findings,
    side_by_side_option,
    task_option,
)
from lra_design.records import Level

if TYPE_CHECKING:
    from lra_design.cli.screening import Rung, Screening
    from trainers.job import Job


@click.command(short_help="Train many candidates shortly, the best of them in full.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@task_option
@scale_option
@mode_option
@seed_option
@side_by_side_option
@out_option("runs/screen")
@json_option
@isolation_options
def screen(
    files: tuple[Path, ...],
    task: str,
    scale: Literal["smoke", "small", "full"],
    mode: str,
    seed: int,
    workers: int,
    out: Path,
    as_json: bool,
    level: Level,
) -> int:
    """Validate the candidates in FILES and train them: in a tenth of the steps, in 30 %, in full.

    From each rung go on as many as the measured proxy gap says are needed to keep the best
    (`lra-design proxy`), and all that are within the noise of the best. The same command goes on
    where an interrupted one stopped. Exit code 1: no candidate was trained in full.
    """
    jobs = _jobs(files, task, scale, mode, seed)
    from lra_design.cli.crew import Crew
    from lra_design.cli.display import Display
    from lra_design.cli.preparing import generate_shown
    from lra_design.cli.screening import Ladder
    from lra_design.records import to_json
    from tasks.registry import get_task

    display = Display()
    with display.showing():
        generate_shown(get_task(task), display)
    with isolation(level) as opened, display.showing(), Crew(workers) as crew:
        found = Ladder(jobs, opened, out, crew, display).climb()
    click.echo(to_json(found, indent=2) if as_json else "\n".join(_lines(found, out)))
    for refused in found.refused:
        click.echo(f"{refused.name} is invalid:", err=True)
        show_findings(refused.findings)
    return 0 if _last(found.rungs) else 1


def _jobs(
    files: Sequence[Path], task: str, scale: Literal["smoke", "small", "full"], mode: str, seed: int
) -> dict[str, Job]:
    """The full training of each file, by its name; of several of one source only the first."""
    import dataclasses

    jobs: dict[str, Job] = {}
    for file in files:
        job = make_job(file, task, scale, mode, seed)
        if job.source in {other.source for other in jobs.values()}:
            continue
        name = str(file) if job.name in jobs else job.name
        jobs[name] = dataclasses.replace(job, name=name)
    return jobs


def _last(rungs: Sequence[Rung]) -> Rung | None:
    """The full rung, when something was trained on it."""
    full = [rung for rung in rungs if rung.share == 1]
    reached = full and any(trained.accuracy is not None for trained in full[0].trained)
    return full[0] if reached else None


def _lines(found: Screening, out: Path) -> Iterator[str]:
    for rung in found.rungs:
        yield from _rung_lines(rung)
    yield from found.notes
    yield (
        f"{found.device_seconds:.0f} device-seconds; all candidates in full would have taken "
        f"about {found.full_device_seconds:.0f}"
    )
    last = _last(found.rungs)
    if last is None:
        yield "no candidate was trained in full"
        return
    best = last.trained[0]
    yield f"best: {best.name}, validation {_percent(best.accuracy)}"
    if found.best is not None and found.best.num_choices > 1:
        yield (
            f"  the best of {found.best.num_choices}: without what choosing can have added "
            f"{_percent(found.best.corrected)} at least"
        )
    yield f"  {out / best.folder}"
    yield "train it with fresh seeds before any score: lra-design train FILE --seed N"


def _rung_lines(rung: Rung) -> Iterator[str]:
    yield f"{rung.share:.0%} of the steps ({rung.num_steps})"
    for trained in rung.trained:
        failure = trained.failure
        note = f"failed: {failure.check} {failure.name}" if failure else ""
        note = note or ("goes on" if trained.goes_on and rung.share < 1 else "")
        cells = f"  {trained.name:<28}{_percent(trained.accuracy):>8}{trained.seconds:8.1f} s"
        yield f"{cells}  {note}".rstrip()
    if rung.share < 1:
        yield f"  at least {rung.num_needed} go on: {rung.reason}"


def _percent(accuracy: float | None) -> str:
    return "–" if accuracy is None else f"{100 * accuracy:.1f} %"
