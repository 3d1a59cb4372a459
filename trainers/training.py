"""Train one job in an isolated worker; the judge counts, measures, decides and keeps.

    <folder>/checkpoint.safetensors   a late state, with the curve so far; every 30 s at least
             best.safetensors         the weights at the best validation accuracy
             run.json                 the record, when the training has ended
             tensorboard/             loss, accuracy and more, as it goes

Each file but the last appears in one step. A training that was killed, at whatever moment, goes on
from its checkpoint and gives the same numbers as one that was not; one that has ended is read, not
repeated. One that diverges ends early, with the best weights it had and a note in its record.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

from agent_sandbox.candidate import source_hash
from agent_sandbox.isolation.protocol import Isolation
from lra_design.errors import DataError
from lra_design.files import write_atomically
from lra_design.records import Divergence, Run, Score, Usage, from_json, to_json
from lra_design.versions import current_versions
from tasks.registry import get_task
from tasks.task import SplitName, Task
from trainers.accuracy import LabelledSplit, labelled_split
from trainers.checkpoint import remove_checkpoint
from trainers.course import Course, OnProgress, Progress, refuse
from trainers.device import device_name, hardware, require_device
from trainers.divergence import guess_bound
from trainers.evaluator import Evaluator, evaluate, in_place_or_beside
from trainers.job import Job, run_id, task_shape
from trainers.network_checks import check_parameter_cap, check_rebuilt, count_parameters
from trainers.replay import check_optimizer, check_trained
from trainers.session import NetworkSession, Trained
from trainers.tensor_files import read_tensors
from trainers.tensorboard import TensorBoard

__all__ = ["OnProgress", "Progress", "Splits", "read_run", "train"]

Splits = Callable[[Task, SplitName], LabelledSplit]
"""Where a training has its examples and their labels from."""


def train(
    job: Job,
    isolation: Isolation,
    folder: Path,
    on_progress: OnProgress,
    splits: Splits = labelled_split,
    *,
    beside: bool | None = None,
) -> Run:
    """Train `job` to its end, from wherever an earlier call stopped, and return its record.

    The record holds the best validation score; `best.safetensors` the weights that gave it. beside:
    whether they are evaluated in a second worker meanwhile; None: where there is a card. Raises
    CandidateFault and CandidateRefused when the candidate is at fault, HarnessError when we are,
    UsageError when the job asks for another device than the isolation has.
    """
    if (folder / "run.json").exists():
        return read_run(folder)
    return _Training(job, isolation, folder, on_progress, splits, beside).run()


def read_run(folder: Path) -> Run:
    """The record of a training that has ended. Raises DataError when there is none."""
    try:
        return from_json(Run, (folder / "run.json").read_bytes())
    except OSError as error:
        raise DataError(f"no finished training in {folder}: {error.strerror}.") from None


class _Training:
    """One call of `train`: the course of the training, and what is judged around it."""

    def __init__(
        self,
        job: Job,
        isolation: Isolation,
        folder: Path,
        on_progress: OnProgress,
        splits: Splits,
        beside: bool | None,
    ) -> None:
        self._job = job
        self._isolation = isolation
        self._folder = folder
        self._beside = isolation.card is not None if beside is None else beside
        self._task = get_task(job.task)
        self._train = splits(self._task, "train")
        self._validation = splits(self._task, "validation")
        require_device(job.device, isolation)
        device = device_name(isolation.card)
        self._course = Course(
            job, folder, self._train, guess_bound(self._validation), on_progress, device
        )

    def run(self) -> Run:
        with TensorBoard(self._folder / "tensorboard", self._course.step) as board:
            run = self._run(board)
            board.add_run(run)
        write_atomically(self._folder / "run.json", to_json(run, indent=2).encode())
        remove_checkpoint(self._folder)
        return run

    def _run(self, board: TensorBoard) -> Run:
        shape = task_shape(self._task)
        with self._session_with_data() as session:
            names = session.build(self._job.seed)
            initial = session.export()
            num_parameters = count_parameters(initial, names)
            refuse(check_parameter_cap(num_parameters, self._job.host, shape))
            trained = self._start(session)
            with self._evaluator(session) as evaluator:
                divergence = self._course.run(session, evaluator, board, initial, names)
                usage, compiled = self._course.usage(), session.compiled
        score = self._score_cold()
        self._replay(trained)
        run = self._record(num_parameters, usage, score, divergence)
        return dataclasses.replace(run, compiled=compiled)

    def _session_with_data(self) -> NetworkSession:
        """A fresh worker with room for the training split."""
        shape = task_shape(self._task)
        return NetworkSession(self._isolation, self._job, shape, self._train.num_bytes)

    def _evaluator(self, session: NetworkSession) -> AbstractContextManager[Evaluator]:
        return in_place_or_beside(
            self._job, self._isolation, self._validation, session, beside=self._beside
        )

    def _start(self, session: NetworkSession) -> Trained:
        """Hand over the training split; which parameters are trained."""
        split, job = self._train, self._job
        return session.start_training(split.sequences, split.labels, job.train, job.seed)

    def _replay(self, trained: Trained) -> None:
        """Refuse a training whose optimiser steps were no honest ones, in a fresh worker."""
        if not self._course.stretches.kept:
            return  # all of it was done by a call that was interrupted
        with self._session_with_data() as session:
            session.build(self._job.seed + 1)
            refuse(check_trained(trained, self._start(session)))
            for stretch in self._course.stretches.kept:
                refuse(check_optimizer(session, stretch, trained, self._job.train))

    def _score_cold(self) -> Score:
        """The validation score of the kept weights in a worker that never trained.

        What the training process answered may have come from more than its weights.
        """
        kept, _ = read_tensors(self._folder / "best.safetensors")
        with NetworkSession(self._isolation, self._job, task_shape(self._task)) as session:
            session.build(self._job.seed + 1)
            session.load(kept)
            score = evaluate(self._validation, session)
        if self._course.curve.best is not None:
            refuse(check_rebuilt(self._course.curve.best.accuracy, score.accuracy))
        return score

    def _record(
        self, num_parameters: int, usage: Usage, validation: Score, divergence: Divergence | None
    ) -> Run:
        return Run(
            **{field.name: getattr(self._job, field.name) for field in fields(Job)},
            run_id=run_id(self._job),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            source_hash=source_hash(self._job.source.encode()),
            mode="causal" if self._job.host.causal else "bidirectional",
            num_parameters=num_parameters,
            validation=validation,
            test=None,
            divergence=divergence,
            curve=self._course.curve.points,
            findings=(),
            usage=usage,
            isolation=self._isolation.record,
            hardware=hardware(self._isolation.card),
            versions=current_versions(),
        )
