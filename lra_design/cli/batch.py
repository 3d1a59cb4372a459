"""Many files judged side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from agent_sandbox.validator.formats import FileReport
from agent_sandbox.validator.formats.verdicts import one_line
from agent_sandbox.validator.registry import CHECKS, FAST
from agent_sandbox.validator.validate import validate
from lra_design.cli.crew import Crew
from lra_design.cli.options import isolation
from lra_design.records import Level, Scalar, ValidationReport


def judge_all(
    sources: Mapping[Path, bytes],
    *,
    mode: Literal["causal", "bidirectional"],
    fast: bool,
    hyperparameters: Mapping[str, Scalar],
    seed: int | None,
    num_workers: int,
    level: Level,
) -> list[FileReport]:
    """The report on each file, in order; files of the same bytes are judged once.

    Raises HarnessError when the benchmark or the machine is at fault.
    """
    checks = FAST if fast else CHECKS
    distinct: dict[bytes, Path] = {}
    for file, source in sources.items():
        distinct.setdefault(source, file)
    with (
        Crew(min(num_workers, len(distinct))) as crew,
        isolation(level) as opened,  # inside, so that Ctrl-C ends the workers the crew waits for
        _progress(len(distinct)) as done,
    ):

        def judge(source: bytes, file: Path) -> ValidationReport:
            crew.check()
            report = validate(
                source,
                opened,
                mode=mode,
                hyperparameters=hyperparameters,
                seed=seed,
                checks=checks,
            )
            done(file)
            return report

        futures = {source: crew.submit(judge, source, file) for source, file in distinct.items()}
        return [
            FileReport(file=_shown(file), report=futures[source].result())
            for file, source in sources.items()
        ]


@contextmanager
def _progress(num_files: int) -> Iterator[Callable[[Path], None]]:
    """Shows how far several files have come; takes each as it is done."""
    if num_files == 1:
        yield lambda file: None
        return
    from lra_design.cli.display import Display

    display = Display()
    with display.showing(), display.stage(f"validating {num_files} files", num_files) as stage:
        yield lambda file: stage.complete(one_line(str(file)), 1)


def _shown(file: Path) -> str:
    """Relative to the working folder when it lies there, as services of CI expect it."""
    here = Path.cwd()
    absolute = file.parent.resolve() / file.name  # a link stays the file that was named
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)
