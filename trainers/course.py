"""The course of one training in its worker: steps, evaluations, checkpoints, until it ends."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lra_design.errors import CandidateRefused
from lra_design.records import Divergence, Finding, Point, Usage
from tasks.registry import get_task
from trainers.accuracy import LabelledSplit
from trainers.checkpoint import NAME, PENDING, Standing, read_checkpoint, write_checkpoint
from trainers.curve import Curve, Pending
from trainers.device import require_same_device
from trainers.divergence import end_of, spiked
from trainers.evaluator import Evaluator
from trainers.job import Job
from trainers.loop import below
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
    """Whether `accuracy` is that of this very step, which may be an evaluation ago."""


OnProgress = Callable[[Progress], None]
"""Called every few steps. An exception it raises ends the training, which can be resumed."""


class Course:
    """A training between its checkpoints."""

    def __init__(
        self,
        job: Job,
        folder: Path,
        train: LabelledSplit,
        bound: float,
        on_progress: OnProgress,
        device: str = "cpu",
    ) -> None:
        """Where the checkpoint in `folder` stands, or at the beginning.

        bound: see `guess_bound`. device: the name of what it is trained on. Raises DataError when
        the checkpoint is of another.
        """
        self._job = job
        self._folder = folder
        self._on_progress = on_progress
        self._num_classes = get_task(job.task).num_classes
        self._train = train
        self._bound = bound
        self.stretches = DrawnStretches(NUM_REPLAYED)
        kept = read_checkpoint(folder)
        self._state, standing = kept if kept else ({}, Standing(device=device))
        require_same_device(standing.device, device, folder / NAME)
        self._device = device
        self.curve, self._pending = standing.curve, standing.pending
        self._weights: Mapping[str, Tensor] = below(PENDING, self._state)
        self._log = torch.tensor(standing.log, dtype=torch.float64).view(-1, 2)
        self._earlier_usage = standing.usage
        self._kept_at = time.monotonic()

    @property
    def step(self) -> int:
        """How many steps were taken."""
        return self._evaluated + len(self._log)

    @property
    def _evaluated(self) -> int:
        """The step of the latest evaluation, its score there or not."""
        return self._pending.step if self._pending else self.curve.step

    def run(
        self,
        session: NetworkSession,
        evaluator: Evaluator,
        board: TensorBoard,
        initial: Mapping[str, Tensor],
        names: Set[str],
    ) -> Divergence | None:
        """Train to the last step, or until it is of no use; what the training came to, if ill.

        session: after `start_training`. initial: its weights, of which `names` are parameters.
        """
        self._session, self._evaluator, self._board = session, evaluator, board
        self._initial, self._names = initial, names
        if self._state:
            state = self._state.items()
            session.restore({name: t for name, t in state if not name.startswith(PENDING)})
        if self._pending:
            if not evaluator.late:
                raise ValueError("a training that was evaluated beside can only go on so")
            evaluator.begin(self._weights)
        try:
            spike = self._train_to_end()
        except NotFinite:
            with suppress(NotFinite):
                self._announce(self._take_score())
            if self.curve.best is None:
                write_tensors(self._folder / "best.safetensors", initial, {})
            return "not finite"
        return "loss spike" if spike else end_of(self.curve, self._bound)

    def _train_to_end(self) -> bool:
        """Train to the last step, or to a loss spike: whether that was before the last."""
        num_steps = self._job.train.num_steps
        while self.step < num_steps and not spiked(self.curve, self._num_classes, self._bound):
            self.stretches.add(self._train_to_next_evaluation())
        self._announce(self._take_score())
        return self.step < num_steps

    def usage(self) -> Usage:
        """What the training took so far, interruptions left out."""
        now = self._evaluator.add_usage(self._session.usage())
        return self._earlier_usage.and_then(now)

    def _train_to_next_evaluation(self) -> Stretch:
        """Train, evaluate, keep; one stretch of the way, drawn in secret."""
        until = min(self._evaluated + self._job.train.evaluate_every, self._job.train.num_steps)
        stretch, state = self._train_steps(until)
        require_small(state, self._initial)
        earlier = self._take_score()
        self._begin_evaluation(until, self._export(state))
        point = earlier if self._evaluator.late else self._take_score()
        self._keep(state)
        self._board.add_statistics(until, self._session.statistics())
        self._announce(point)
        return stretch

    def _begin_evaluation(self, step: int, weights: Mapping[str, Tensor]) -> None:
        loss, norm = self._log.mean(dim=0).tolist()
        self._pending = Pending(
            step=step,
            loss=loss,
            gradient_norm=norm,
            learning_rate=learning_rate(step - 1, self._job.train),
            seconds=self.usage().seconds,
        )
        self._weights, self._log = weights, self._log[:0]
        self._evaluator.begin(weights)

    def _take_score(self) -> Point | None:
        """Wait for the score that is pending, if any: a point of the curve, perhaps the best."""
        pending, self._pending = self._pending, None
        if pending is None:
            return None
        point = pending.with_accuracy(self._evaluator.score().accuracy)
        if self.curve.best is None or point.accuracy > self.curve.best.accuracy:
            write_tensors(self._folder / "best.safetensors", self._weights, {})
        self.curve = Curve(points=(*self.curve.points, point))
        return point

    def _announce(self, point: Point | None) -> None:
        if point is not None:
            self._board.add_point(point, self.usage())
            self._report(point.step, point.loss, evaluated=True)

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
        standing = Standing(
            curve=self.curve,
            log=tuple((loss, norm) for loss, norm in self._log.tolist()),
            pending=self._pending,
            usage=self.usage(),
            device=self._device,
            title=f"{self._job.name} on {self._job.task}, seed {self._job.seed}",
            num_steps=self._job.train.num_steps,
        )
        weights = self._weights if self._pending else {}
        pending = {f"{PENDING}{name}": tensor for name, tensor in weights.items()}
        write_checkpoint(self._folder, {**state, **pending}, standing)
        self._kept_at = time.monotonic()

    def _export(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The weights at this step, which are those of the state and of what was counted."""
        weights = self._session.export()
        require_same(weights, scored_weights(state, self._job.train))
        refuse(check_only_parameters_trained(self._initial, weights, self._names))
        return weights

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


def refuse(findings: list[Finding]) -> None:
    """Raise CandidateRefused when there are findings."""
    if findings:
        raise CandidateRefused(findings)
