"""`lra-design design`: an agent writes mechanisms, the benchmark judges them, the board ranks them.

The ladder of a run: every candidate is validated; a valid one is trained on the probes; the best
few by their mean over the probes are trained on the task; the best of those on validation is
trained with several seeds beside the references, under the same recipe, and the sealed test split
is opened for these runs alone. After that the winner's change is taken apart, on validation splits.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lra_design.cli.agents import agent_options, agent_settings, check_agent
from lra_design.cli.contest import contest_options, contest_settings
from lra_design.cli.options import (
    device_option,
    isolation,
    isolation_options,
    json_option,
    mode_option,
    scale_option,
    workers_available,
)
from lra_design.records import Device, Level

if TYPE_CHECKING:
    from lra_design.cli.run_folder import DesignSettings, RunFolder

NUM_FINALISTS = 2
"""Candidates that climb from the probes to the task."""


@click.command(short_help="Let an agent write mechanisms, and judge them.")
@click.option("--task", default="listops-mini", show_default=True, help="Id of the task.")
@scale_option
@mode_option
@agent_options
@contest_options
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Trainings of the best candidate and of each reference for the test score.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=workers_available,
    show_default="the processors available",
    help="Trainings side by side, one thread each.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/design"),
    show_default=True,
    help="Folder of the run; the same command resumes it.",
)
@click.option(
    "--trainings",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of trainings that several designs share: what one has trained, or judged, is not "
    "done again by the others.  [default: in --out]",
)
@click.option("--new", is_flag=True, help="Start another run beside the one in the folder.")
@click.option(
    "--no-attribution",
    is_flag=True,
    help="Print the command that tells which of its changes made the winner better, in place of "
    "running it.",
)
@json_option
@device_option
@isolation_options
def design(
    workers: int,
    out: Path,
    trainings: Path | None,
    new: bool,
    no_attribution: bool,
    as_json: bool,
    device: str,
    level: Level,
    **asked: Any,
) -> int:
    """Let an agent design mechanisms for a task, and rank the best beside the references.

    Nothing that finished is lost to Ctrl-C or a crash: the same command goes on from there. The
    agent is told findings and validation accuracies, never anything of a test split.
    """
    from agent_sandbox.agents.llm.faults import LLMFault
    from agent_sandbox.isolation.cards import choose_card
    from lra_design.cli.crew import Crew
    from lra_design.cli.display import Display
    from lra_design.cli.judging import Judging
    from lra_design.cli.ladder import Ladder
    from lra_design.cli.run_folder import opened
    from lra_design.cli.winner import explained
    from lra_design.files import write_atomically
    from trainers.device import device_of

    card = choose_card(device)
    settings = design_settings(asked, device_of(card), level)
    check_agent(settings, out, trainings)
    display = Display()
    with (
        opened(out, settings, new=new, trainings=trainings) as folder,
        isolation(level) as walls,
        isolation(level, card) if card else nullcontext(walls) as training,
    ):
        with display.showing(), Crew(workers) as crew:
            folder.llm_fault.unlink(missing_ok=True)
            try:
                won = Ladder(Judging(settings, folder, walls, training, crew), display).climb()
            except LLMFault as fault:
                write_atomically(folder.llm_fault, str(fault).encode())
                raise
        _show_board(settings, folder, as_json)
        if won is not None:
            with display.showing(), Crew(workers) as crew:
                judging = Judging(settings, folder, walls, training, crew)
                text = explained(won, judging, display, trains=not no_attribution)
            click.echo(text, err=as_json)
    return 0


def design_settings(asked: Mapping[str, Any], device: Device, level: Level) -> DesignSettings:
    """What the options of this command come to, but for where it works.

    Raises UsageError for a task or a probe without a recipe at the scale, and as
    `contest_settings`; `check_agent` is to be asked of the rest.
    """
    from lra_design.cli.run_folder import DesignSettings
    from tasks.registry import get_task
    from trainers.recipes import get_recipe

    contest = contest_settings(asked)
    for name in (asked["task"], *contest["probes"]):
        get_recipe(get_task(name).id, asked["scale"])
    return DesignSettings(
        task=asked["task"],
        scale=asked["scale"],
        mode=asked["mode"],
        num_seeds=asked["seeds"],
        isolation=level,
        device=device,
        **contest,
        **agent_settings(asked),
    )


def _show_board(settings: DesignSettings, folder: RunFolder, as_json: bool) -> None:
    """Print the table, write the page, say where it lies."""
    from lra_design.cli.board import publish

    publish(
        [folder.path],
        folder.site,
        title=f"{settings.task}: agent-written mechanisms beside the references",
        as_json=as_json,
    )
