"""`lra-design score`: the sealed test split, opened once for a finished training."""

from __future__ import annotations

from pathlib import Path

import click

from lra_design.cli.options import isolation, json_option, show_findings, unsafe_option


@click.command(short_help="Score a finished training on the sealed test split.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--board",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/board"),
    show_default=True,
    help="Folder of the leaderboard that gets the record.",
)
@json_option
@unsafe_option
def score(folder: Path, board: Path, as_json: bool, unsafe: bool) -> int:
    """Score the finished training in FOLDER and append its record to a leaderboard.

    Weights are loaded into a fresh isolated process, which sees the inputs and never the labels.
    Exit code 1: the trained mechanism has findings; its record says which.
    """
    from leaderboards.store import Store
    from lra_design.errors import CandidateFault
    from lra_design.records import to_json
    from trainers.faults import fault_finding
    from trainers.referee import score_run
    from trainers.training import read_run

    run = read_run(folder)
    store = Store(board)
    known = next((other for other in store.runs() if other.run_id == run.run_id), None)
    try:
        with isolation(unsafe) as opened:
            scored = known or score_run(run, folder, opened)
    except CandidateFault as fault:
        show_findings((fault_finding(fault, "scoring"),))
        return 1
    if known is None:
        store.append(scored)
    assert scored.test is not None, "a scored run has a test score"
    if as_json:
        click.echo(to_json(scored, indent=2))
    else:
        again = " (scored earlier)" if known else ""
        click.echo(
            f"{scored.name} on {scored.task}: test {100 * scored.test.accuracy:.1f} %{again}"
        )
    show_findings(scored.findings)
    return 1 if any(finding.tier == "error" for finding in scored.findings) else 0
