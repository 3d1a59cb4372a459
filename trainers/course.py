"""The course of one training in its worker: steps, evaluations, checkpoints, until it ends."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lra_design.errors import CandidateRefused
from lra_design.records import Divergence, Finding, Score, Usage
from tasks.registry import get_task
from trainers.accuracy import LabelledSplit, measure_accuracy
from trainers.batches import evaluation_batches
from trainers.checkpoint import Standing, read_checkpoint, write_checkpoint
from trainers.curve import Curve, Point
from trainers.divergence import end_of, guess_bound, spiked
from trainers.job import Job
from trainers.network_checks import check_only_parameters_trained, require_same, require_small
from trainers.replay import DrawnStretches, Stretch, scored_weights
from trainers.schedule import learning_rate
from trainers.session import NetworkSession, NotFinite
from trainers.tensor_files import write_tensors
from trainers.tensorboard import TensorBoard

STEPS_PER_CALL = 10
"""Few enough to replay such a stretch, many enough for the calls and states to cost little."""
CHECKPOINT_SECONDS = 30.0
"""Between two checkpoints at most, besides those at evaluations."""
EVALUATION_TOKENS = 16_384
"""Tokens in one batch of an evaluation."""
NUM_REPLAYED = 3
"""Stretches of a training that are replayed, each from another interval between evaluations."""


@dataclass(frozen=True)
class Progress:
    """Where a training stands."""

    step: int
    num_steps: int
    loss: float
    """Mean over the latest steps."""
    seconds: float
    accuracy: float | None
    """The latest on the validation split."""
    evaluated: bool
    """Whether `accuracy` was measured at this very step."""


OnProgress = Callable[[Progress], None]
"""Called every few steps. An exception it raises ends the training, which can be resumed."""


class Course:
    """A training between its checkpoints."""

    def __init__(
        self,
        job: Job,
        folder: Path,
        train: LabelledSplit,
        validation: LabelledSplit,
        on_progress: OnProgress,
    ) -> None:
        """Where the checkpoint in `folder` stands, or at the beginning."""
        self._job = job
        self._folder = folder
        self._on_progress = on_progress
        self._num_classes = get_task(job.task).num_classes
        self._train = train
        self._validation = validation
        self._bound = guess_bound(validation)
        self.stretches = DrawnStretches(NUM_REPLAYED)
        kept = read_checkpoint(folder)
        self._state, standing = kept if kept else ({}, Standing())
        self.curve = standing.curve
        self._log = torch.tensor(standing.log, dtype=torch.float64).view(-1, 2)
        self._earlier_usage = standing.usage
        self._kept_at = time.monotonic()

    @property
    def step(self) -> int:
        """How many steps were taken."""
        return self.curve.step + len(self._log)

    def run(
        self,
        session: NetworkSession,
        board: TensorBoard,
        initial: Mapping[str, Tensor],
        names: Set[str],
    ) -> Divergence | None:
        """Train to the last step, or until it is of no use; what the training came to, if ill.

        session: after `start_training`. initial: its weights, of which `names` are parameters.
        """
        self._session, self._board = session, board
        self._initial, self._names = initial, names
        if self._state:
            session.restore(self._state)
        try:
            while self.step < self._job.train.num_steps:
                if spiked(self.curve, self._num_classes, self._bound):
                    return "loss spike"
                self.stretches.add(self._train_to_next_evaluation())
        except NotFinite:
            if self.curve.best is None:
                write_tensors(self._folder / "best.safetensors", initial, {})
            return "not finite"
        return end_of(self.curve, self._bound)

    def usage(self) -> Usage:
        """What the training took so far, interruptions left out."""
        earlier, now = self._earlier_usage, self._session.usage()
        return Usage(
            seconds=earlier.seconds + now.seconds,
            cpu_seconds=earlier.cpu_seconds + now.cpu_seconds,
            peak_memory_bytes=max(earlier.peak_memory_bytes, now.peak_memory_bytes),
        )

    def _train_to_next_evaluation(self) -> Stretch:
        """Train, evaluate, keep; one stretch of the way, drawn in secret."""
        until = min(self.curve.step + self._job.train.evaluate_every, self._job.train.num_steps)
        stretch, state = self._train_steps(until)
        require_small(state, self._initial)
        score = evaluate(self._validation, self._session)
        if self.curve.best is None or score.accuracy > self.curve.best.accuracy:
            self._keep_best(state)
        loss, norm = self._log.mean(dim=0).tolist()
        usage = self.usage()
        point = Point(
            step=until,
            loss=loss,
            gradient_norm=norm,
            learning_rate=learning_rate(until - 1, self._job.train),
            accuracy=score.accuracy,
            seconds=usage.seconds,
        )
        self.curve, self._log = Curve(points=(*self.curve.points, point)), self._log[:0]
        self._keep(state)
        self._board.add_point(point, usage)
        self._board.add_statistics(until, self._session.statistics())
        self._report(until, loss, evaluated=True)
        return stretch

    def _train_steps(self, until: int) -> tuple[Stretch, Mapping[str, Tensor]]:
        """Train up to step `until`; one of the stretches, and the state at the end.

        The state is asked for after every stretch: which of them is going to be replayed cannot be
        told from the questions.
        """
        starts = range(self.step, until, STEPS_PER_CALL)
        drawn, state = secrets.choice(starts), self._session.checkpoint()
        for start in starts:
            before, step = state, min(start + STEPS_PER_CALL, until)
            log = self._train_call(step, step - start)
            state = self._session.checkpoint()
            if start == drawn:
                stretch = Stretch(start, before, state, norms=log[:, 1])
            if step < until and time.monotonic() - self._kept_at >= CHECKPOINT_SECONDS:
                require_small(state, self._initial)
                self._keep(state)
            self._report(step, float(log[:, 0].mean()), evaluated=False)
        return stretch, state

    def _train_call(self, until: int, num_steps: int) -> Tensor:
        """The (steps, 2) loss and gradient norm of some steps, which are noted."""
        started = time.monotonic()
        log = self._session.train(until, num_steps)
        num_examples = num_steps * min(self._job.train.batch_size, len(self._train.sequences))
        tokens = num_examples * len(self._train.sequences.tokens) / len(self._train.sequences)
        self._log = torch.cat([self._log, log])
        self._board.add_steps(
            until,
            log,
            learning_rate=learning_rate(until - 1, self._job.train),
            tokens=tokens / (time.monotonic() - started),
        )
        return log

    def _keep(self, state: Mapping[str, Tensor]) -> None:
        """Write the checkpoint of this very step."""
        log = tuple((loss, norm) for loss, norm in self._log.tolist())
        standing = Standing(curve=self.curve, log=log, usage=self.usage())
        write_checkpoint(self._folder, state, standing)
        self._kept_at = time.monotonic()

    def _keep_best(self, state: Mapping[str, Tensor]) -> None:
        weights = self._session.export()
        require_same(weights, scored_weights(state, self._job.train))
        refuse(check_only_parameters_trained(self._initial, weights, self._names))
        write_tensors(self._folder / "best.safetensors", weights, {})

    def _report(self, step: int, loss: float, *, evaluated: bool) -> None:
        self._on_progress(
            Progress(
                step=step,
                num_steps=self._job.train.num_steps,
                loss=loss,
                seconds=self.usage().seconds,
                accuracy=self.curve.points[-1].accuracy if self.curve.points else None,
                evaluated=evaluated,
            )
        )


def evaluate(split: LabelledSplit, session: NetworkSession) -> Score:
    """The validation score of the weights in `session`. Raises NotFinite, CandidateFault."""
    batches = evaluation_batches(split.sequences, EVALUATION_TOKENS)
    return measure_accuracy(split, "validation", batches, session.predict)


def refuse(findings: list[Finding]) -> None:
    """Raise CandidateRefused when there are findings."""
    if findings:
        raise CandidateRefused(findings)
