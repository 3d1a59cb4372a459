"""`lra-design score`: the sealed test split, opened once for a finished training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lra_design.cli.options import (
    device_option,
    isolation,
    isolation_options,
    json_option,
    show_findings,
    show_run,
)
from lra_design.errors import UsageError
from lra_design.records import Level

if TYPE_CHECKING:
    from agent_sandbox.isolation import Isolation
    from lra_design.records import Run


@click.command(short_help="Score a finished training on the sealed test split.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--board",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/board"),
    show_default=True,
    help="Folder of the leaderboard that gets the record.",
)
@click.option(
    "--twin",
    is_flag=True,
    help="Also train a twin on shuffled labels, which must stay at chance; takes as long as the "
    "training did.",
)
@json_option
@device_option
@isolation_options
def score(folder: Path, board: Path, twin: bool, as_json: bool, device: str, level: Level) -> int:
    """Score the finished training in FOLDER and append its record to a leaderboard.

    Weights are loaded into a fresh isolated process, which sees the inputs and never the labels.
    Exit code 1: the trained mechanism has findings; its record says which.
    """
    from agent_sandbox.isolation.cards import choose_card
    from leaderboards.store import Store
    from trainers.referee import score_run
    from trainers.training import read_run

    run = read_run(folder)
    store = Store(board)
    known = next((other for other in store.runs() if other.run_id == run.run_id), None)
    if known is None:
        with isolation(level, choose_card(device)) as opened:
            scored = score_run(run, folder, opened)
            if twin:
                scored = _with_twin(scored, opened)
        store.append(scored)
    elif twin and known.twin is None:
        raise UsageError(
            f"{board} has this run already, scored without a twin, and records are never changed. "
            "Name another folder with --board."
        )
    else:
        scored = known
    assert scored.test is not None, "a scored run has a test score"
    again = " (scored earlier)" if known else ""
    percent = f"{100 * scored.test.accuracy:.1f} %"
    if scored.twin:
        percent += f", its twin on shuffled labels {100 * scored.twin.accuracy:.1f} %"
    split = f"test split {scored.test.split_hash[:12]}"
    show_run(scored, as_json, f"{scored.name} on {scored.task}: test {percent}{again}, {split}")
    show_findings(scored.findings)
    return 1 if any(finding.tier == "error" for finding in scored.findings) else 0


def _with_twin(scored: Run, opened: Isolation) -> Run:
    """The record with the score of its twin, and with what was found in that one alone."""
    import dataclasses

    from lra_design.cli.display import Display
    from trainers.referee import run_job
    from trainers.twin import score_twin

    display, label = Display(), f"twin of {scored.name}"
    with display.showing(), display.stage(label, scored.train.num_steps) as stage:
        score, findings = score_twin(run_job(scored), opened, stage.watch(label))
    known = {finding.check for finding in scored.findings}
    new = (finding for finding in findings if finding.check not in known)
    return dataclasses.replace(scored, twin=score, findings=(*scored.findings, *new))
