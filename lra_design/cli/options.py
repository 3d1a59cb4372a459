"""Options and small habits that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from lra_design.errors import UsageError

if TYPE_CHECKING:
    from agent_sandbox.isolation import Isolation
    from agent_sandbox.isolation.cards import Card
    from lra_design.errors import CandidateFault
    from lra_design.records import Finding, Level, Run, Scalar
    from trainers.job import Job

F = TypeVar("F", bound=Callable[..., Any])

source_argument = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
json_option = click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
mode_option = click.option(
    "--mode",
    type=click.Choice(["causal", "bidirectional"]),
    default="causal",
    show_default=True,
    help="What the mechanism may look at.",
)
task_option = click.option("--task", required=True, help="Id of a task, such as listops-mini.")
SCALES = ("smoke", "small", "full")
scale_option = click.option(
    "--scale",
    type=click.Choice(SCALES),
    default="smoke",
    show_default=True,
    help="Size of the host and length of the training.",
)
variant_option = click.option(
    "--variant",
    metavar="NAME",
    help="Another recipe of the same scale, such as skyformer; `lra-design recipe` names them.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="Of the initial weights and the order of the data.",
)
executor_option = click.option(
    "--executor",
    metavar="ADDRESS",
    help="Run the work as jobs of their own: local, local?cards=0,1, ray, ray://HOST:10001?gpus=1, "
    "slurm?partition=NAME; see docs/clusters.md.",
)


device_option = click.option(
    "--device",
    metavar="DEVICE",
    default="auto",
    show_default=True,
    help="What networks are computed on: cpu; cuda or cuda:N, a card as nvidia-smi counts them; "
    "auto, the first card, or the processor where there is none.",
)


_LEVELS = ("standard", "strong", "container")


def output_option(help: str, *, folder: bool = False) -> Callable[[F], F]:
    """`-o/--output PATH`, which has to be given: a file to write, or a folder."""
    kind = click.Path(path_type=Path, dir_okay=folder, file_okay=not folder)
    return click.option("-o", "--output", type=kind, required=True, help=help)


def isolation_options(command: F) -> F:
    """Add --isolation and --unsafe-no-sandbox; the command takes both as one `level: Level`."""
    level_option = click.option(
        "--isolation",
        "level",
        type=click.Choice(_LEVELS),
        default="standard",
        show_default=True,
        callback=lambda context, _, level: "unsafe" if context.meta.get(_UNSAFE) else level,
        help="What keeps candidates apart from the judge: the kernel alone, bubblewrap around "
        "that, or Podman or Docker around that.",
    )
    unsafe_option = click.option(
        "--unsafe-no-sandbox",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=lambda context, _, unsafe: context.meta.update({_UNSAFE: unsafe}),
        help="Run candidates in a process of their own but without the kernel's walls. "
        "Written into every record.",
    )
    return level_option(unsafe_option(command))


_UNSAFE = f"{__name__}.unsafe"


def read_source(file: Path) -> bytes:
    """The bytes of a candidate's file. Raises UsageError when it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}. Name a readable file.") from None


@contextmanager
def isolation(level: Level, card: Card | None = None) -> Iterator[Isolation]:
    """The isolation a command asks for; closed, with all its workers, when the block ends.

    Workers that compute on a card may start processes: its compilers do.
    """
    from agent_sandbox.isolation import open_isolation

    with open_isolation(level, profile="train" if card else "validate", card=card) as opened:
        yield opened


def make_job(
    file: Path,
    task: str,
    scale: Literal["smoke", "small", "full"],
    mode: str,
    seed: int,
    hyperparameters: Mapping[str, Scalar] | None = None,
    variant: str | None = None,
    card: Card | None = None,
) -> Job:
    """The training that the recipe of (task, scale) gives the mechanism in `file`.

    variant: the name of another recipe than the default. card: what it is trained on.
    """
    import dataclasses

    from lra_design.cli.hyperparameters import require_known
    from tasks.registry import get_task
    from trainers.device import device_of
    from trainers.job import Job
    from trainers.recipes import get_recipe

    recipe = get_recipe(get_task(task).id, scale, variant)
    try:
        source = (content := read_source(file)).decode()
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text: expected a Python file.") from None
    require_known(hyperparameters or {}, content, file)
    return Job(
        name=file.stem,
        origin="candidate",
        agent=None,
        source=source,
        task=task,
        scale=scale,
        setting="fixed",
        host=dataclasses.replace(recipe.host, causal=mode == "causal"),
        train=recipe.train,
        hyperparameters=dict(hyperparameters or {}),
        seed=seed,
        device=device_of(card),
    )


def workers_available() -> int:
    """How many single-threaded workers fit on this machine."""
    return len(os.sched_getaffinity(0))


def together(*parts: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several arguments and options as one, which help shows in this order."""

    def add(command: F) -> F:
        for part in reversed(parts):
            command = part(command)
        return command

    return add


def out_option(folder: str) -> Callable[[F], F]:
    """Where a command trains; `folder` is the default."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(folder),
        show_default=True,
        help="Folder for the trainings; each job gets a folder of its own in it.",
    )


side_by_side_option = click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Trainings side by side.",
)


def training_options(folder: str) -> Callable[[F], F]:
    """The argument and options of a command that trains one file; `folder`: default of --out."""
    return together(
        source_argument,
        task_option,
        scale_option,
        variant_option,
        mode_option,
        seed_option,
        out_option(folder),
        json_option,
        device_option,
        isolation_options,
    )


def show_findings(findings: Sequence[Finding]) -> None:
    """Print findings to stderr, as the validator's report shows them."""
    from agent_sandbox.validator.render import render_finding

    for finding in findings:
        click.echo(render_finding(finding), err=True)


def show_fault(fault: CandidateFault, where: str) -> None:
    """Print a fault of the candidate's process as the finding it is."""
    from trainers.faults import fault_finding

    show_findings([fault_finding(fault, where)])


def show_run(run: Run, as_json: bool, summary: str) -> None:
    """Print a record as JSON, or what it comes to, with its latest score by group."""
    from lra_design.cli.breakdown import breakdown
    from lra_design.records import to_json

    if as_json:
        click.echo(to_json(run, indent=2))
        return
    score = run.test or run.validation
    assert score is not None, "a run that has ended has a validation score"
    note = f"note: the training led nowhere: {run.divergence}" if run.divergence else ""
    click.echo("\n".join(part for part in (summary, note, breakdown(score)) if part))
