"""`lra-design submit`: an entry with all its seeds as one file that others can verify."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lra_design.cli.options import isolation, isolation_options
from lra_design.errors import CandidateRefused, UsageError
from lra_design.records import Level

if TYPE_CHECKING:
    from leaderboards.dossiers import Dossier
    from lra_design.records import Run


@click.command(short_help="Pack the scored trainings of an entry into one file to submit.")
@click.argument(
    "folders",
    nargs=-1,
    required=True,
    metavar="RUN...",
    type=click.Path(path_type=Path, file_okay=False),
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    show_default=True,
    help="File *.lra.zip to write, or a folder, in which it is named by its content.",
)
@click.option(
    "--weights", is_flag=True, help="Add the trained weights: others can then score them again."
)
@click.option(
    "--board",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/board"),
    show_default=True,
    help="Folder of the leaderboard that has their records.",
)
@isolation_options
def submit(
    folders: tuple[Path, ...], output: Path, weights: bool, board: Path, level: Level
) -> None:
    """Pack the finished trainings in the folders RUN: one mechanism, one recipe, its seeds.

    Each must have been scored. A mechanism without a certificate is validated and compared with the
    known mechanisms first; exit code 1: it is invalid. Equal content makes equal bytes.
    """
    from leaderboards.bundles.writing import write_bundle
    from tasks.registry import get_task
    from tasks.splits.storage import split_hash

    scored = _scored(folders, board)
    runs = [run for _, run in scored.values()]
    dossier = _dossier(runs[0], board, level)
    kept = {seed: folder / "best.safetensors" for seed, (folder, _) in scored.items()}
    path = write_bundle(
        runs,
        dossier,
        split_hash(get_task(runs[0].task), "train"),
        output,
        kept if weights else {},
    )
    size = path.stat().st_size
    click.echo(f"{path}  {len(runs)} seeds, {size} bytes\nlra-design verify {path}")


def _scored(folders: tuple[Path, ...], board: Path) -> Mapping[int, tuple[Path, Run]]:
    """Each seed with its folder and its record. Raises UsageError for one that is not scored."""
    from leaderboards.store import Store
    from trainers.training import read_run

    records = {run.run_id: run for run in reversed(Store(board).runs())}
    found: dict[int, tuple[Path, Run]] = {}
    for folder in folders:
        run = read_run(folder)
        record = records.get(run.run_id)
        if record is None or record.test is None:
            raise UsageError(
                f"{folder} is not scored in {board}. Score it with `lra-design score {folder} "
                f"--board {board}`, or name the folder of its records with --board."
            )
        if run.seed in found:
            raise UsageError(
                f"{folder} and {found[run.seed][0]} are both of seed {run.seed}: a bundle holds "
                "one entry, each seed once."
            )
        found[run.seed] = folder, record
    return found


def _dossier(run: Run, board: Path, level: Level) -> Dossier:
    """The certificate and the neighbours that the board has, or new ones, which it then keeps."""
    from agent_sandbox.fingerprint import fingerprint, nearest
    from agent_sandbox.validator.validate import validate
    from leaderboards.dossiers import Dossier, DossierFile, by_subject, dossier_of

    known = dossier_of(run, by_subject(DossierFile(board).dossiers()))
    if known and known.certificate.certified and known.neighbours:
        return known
    click.echo("validating, and comparing with the known mechanisms", err=True)
    source = run.source.encode()
    with isolation(level) as walls:
        report = known.certificate if known else None
        if report is None or not report.certified:
            report = validate(source, walls, mode=run.mode, hyperparameters=run.hyperparameters)
        if not report.certified:
            raise CandidateRefused(report.findings)
        found = nearest(fingerprint(source, walls, mode=run.mode))
    dossier = Dossier(certificate=report, neighbours=found.neighbours, same_below=found.same_below)
    DossierFile(board).append(dossier)
    return dossier
