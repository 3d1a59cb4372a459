"""`lra-design sandbox`: which walls hold on this machine, and any script put behind them."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lra_design.cli.options import json_option
from lra_design.errors import CandidateFault, UsageError
from lra_design.records import Level, Limits, Profile

if TYPE_CHECKING:
    from agent_sandbox.isolation.script import Errand
    from agent_sandbox.isolation.survey import Trial

EXIT_LIMIT = 124
_SIGNAL_BASE = 128
_MEGABYTE = 1024**2
_LEVELS = ("standard", "strong", "container")


@click.group(short_help="See what the sandbox holds, and attack it.")
def sandbox() -> None:
    """See what holds on this machine, and run any script as a candidate would be run."""


@sandbox.command(short_help="Which levels hold on this machine?")
@json_option
def selftest(as_json: bool) -> int:
    """Try every layer and every level of isolation on this machine.

    Says which hold, which do not and why, what helps, and what a level cannot stop even then. Exit
    code 0: level `standard`, which every command uses unless told otherwise, holds. 3: it does not.
    """
    import dataclasses
    import json

    from agent_sandbox.isolation.survey import survey

    trials = []
    for trial in survey():
        trials.append(trial)
        if not as_json:
            click.echo(_shown(trial))
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(trial) for trial in trials], indent=2))
    standard = [trial.holds for trial in trials if trial.name == "standard"]
    return 0 if all(standard) else 3


def _shown(trial: Trial) -> str:
    name = f"{trial.kind} {trial.name}" + (f", profile {trial.profile}" if trial.profile else "")
    name += f", {trial.card}" if trial.card else ""
    if not trial.holds:
        return f"no   {name}\n       {trial.found}"
    tried = f" ({len(trial.attempts)} attempts refused)" if trial.attempts else ""
    gaps = "".join(f"\n       cannot stop: {gap}" for gap in trial.gaps)
    return f"yes  {name}{tried}, {trial.seconds:.2f} s{gaps}"


@sandbox.command(
    name="exec",
    short_help="Run a script as a candidate would be run.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--level", type=click.Choice(_LEVELS), default="standard", show_default=True)
@click.option(
    "--profile",
    type=click.Choice(["validate", "train"]),
    default="validate",
    show_default=True,
    help="`validate`: no processes, nothing writable; the script runs inside the worker's own "
    "interpreter. `train`: both within limits; PYTHON is executed.",
)
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="What profile `train` may write to. Default: a new folder, removed at the end.",
)
@click.option("--wall", type=click.FloatRange(0.1), default=60.0, show_default=True, help="s")
@click.option("--memory", type=click.IntRange(1), default=2048, show_default=True, help="MB")
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Processes and threads together.",
)
@click.option(
    "--disk",
    type=click.IntRange(1),
    default=1024,
    show_default=True,
    help=f"MB in the scratch folder, in at most {Limits().num_files} files.",
)
@click.option("--output", type=click.IntRange(1), default=16, show_default=True, help="MB")
@click.argument("python")
@click.argument("script", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def execute(
    level: Level,
    profile: Profile,
    scratch: Path | None,
    wall: float,
    memory: int,
    processes: int,
    disk: int,
    output: int,
    python: str,
    script: Path,
    arguments: tuple[str, ...],
) -> int:
    """Run SCRIPT as a candidate would be run; what it leaves behind is killed.

    Its stdout and stderr come out on stdout, in the order they were written; stdin is empty.

    Exit codes: the script's own, 0 to 255; 128 + n when signal n ended it; 124 when a limit did,
    which a line on stderr names; 3 when the sandbox is at fault; 2 for wrong usage. A script may
    exit with 124 too: only the line on stderr tells the two apart.
    """
    errand = _errand(python, script, arguments, profile)
    limits = Limits(
        memory_bytes=memory * _MEGABYTE,
        output_bytes=output * _MEGABYTE,
        num_threads=processes,
        wall_seconds=wall,
        num_processes=processes,
        disk_bytes=disk * _MEGABYTE,
    )
    from agent_sandbox.isolation import open_isolation
    from agent_sandbox.isolation.script import run_script

    with (
        _folder(scratch) as folder,
        open_isolation(
            level, profile=profile, readable=[errand.script, errand.python], scratch=folder
        ) as walls,
    ):
        try:
            writes = folder if profile == "train" else None
            code = run_script(walls, errand, limits, writes, _show)
        except CandidateFault as fault:
            click.echo(f"sandbox: ended by a limit: {fault.kind}: {fault.detail}", err=True)
            return EXIT_LIMIT
    if code < 0:
        click.echo(f"sandbox: ended by signal {-code}", err=True)
    return code if code >= 0 else _SIGNAL_BASE - code


def _errand(python: str, script: Path, arguments: tuple[str, ...], profile: Profile) -> Errand:
    from agent_sandbox.isolation.script import Errand

    found = shutil.which(python)
    if found is None:
        raise UsageError(f"there is no program '{python}': name a Python interpreter.")
    executes, ours = profile == "train", Path(found).samefile(sys.executable)
    if not executes and not ours:
        raise UsageError(
            f"profile 'validate' executes nothing: the script runs inside {sys.executable}. "
            f"Name that one instead of {found}, or take --profile train."
        )
    return Errand(
        # Through the name that the walls show: it is what finds the packages.
        python=sys.executable if ours else str(Path(found).resolve()),
        script=script.resolve(),
        arguments=arguments,
        executes=executes,
    )


@contextmanager
def _folder(scratch: Path | None) -> Iterator[Path]:
    if scratch is not None:
        yield scratch.resolve()
        return
    with tempfile.TemporaryDirectory(
        prefix="lra-design-scratch-", ignore_cleanup_errors=True
    ) as new:
        yield Path(new)


def _show(content: bytes) -> None:
    if content:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
