"""The winner of a study, trained again with seeds that the search did not have."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from agent_sandbox.isolation.protocol import Isolation
from lra_design.files import write_atomically
from lra_design.records import Run, to_json
from trainers.job import Job, run_id
from trainers.referee import run_job
from trainers.training import OnProgress, read_run, train


def retrain(
    winner: Run, seed: int, isolation: Isolation, folder: Path, on_progress: OnProgress
) -> Run:
    """Train the winner of a study once more with a seed of its own; its ledger goes along.

    folder: of the study; the training lies in its `retrained_folder`.
    """
    job = retraining(winner, seed)
    place = retrained_folder(folder, job)
    train(job, isolation, place, on_progress)
    return add_ledger(winner, place)


def retraining(winner: Run, seed: int) -> Job:
    """What is asked of the winner's training with a seed of its own."""
    return dataclasses.replace(run_job(winner), seed=seed)


def add_ledger(winner: Run, place: Path) -> Run:
    """The record of a retraining that has ended, with the ledger of the winner's study."""
    run = read_run(place)
    if run.tuning != winner.tuning:
        run = dataclasses.replace(run, tuning=winner.tuning)
        write_atomically(place / "run.json", to_json(run, indent=2).encode())
    return run


def retrained_folder(folder: Path, job: Job | Run) -> Path:
    """Where a winner's training with a fresh seed lies."""
    name = job.run_id if isinstance(job, Run) else run_id(job)
    return folder / "winners" / name[:16]


def fresh_seeds(winner: Run, number: int) -> list[int]:
    """Seeds that no trial of the study had: all of them had the winner's."""
    return [(winner.seed + 1 + i) % 2**31 for i in range(number)]
