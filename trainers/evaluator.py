"""Validation accuracy of weights on the way: where the training is, or in a second worker beside.

In place the training waits, and nothing of the machine is used twice. Beside it the training goes
on meanwhile, its process never sees a validation input, and a score comes one evaluation late:
always at the next one, never earlier, so that what is decided by it does not depend on who was
faster.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from torch import Tensor

from agent_sandbox.isolation.protocol import Isolation
from lra_design.records import Score, Usage
from trainers.accuracy import LabelledSplit, measure_accuracy
from trainers.batches import evaluation_batches
from trainers.job import Job, task_shape
from trainers.session import NetworkSession

EVALUATION_TOKENS = 16_384
"""Tokens in one batch of an evaluation."""


def evaluate(split: LabelledSplit, session: NetworkSession) -> Score:
    """The validation score of the weights in `session`. Raises NotFinite, CandidateFault."""
    batches = evaluation_batches(split.sequences, EVALUATION_TOKENS)
    return measure_accuracy(split, "validation", batches, session.predict)


class Evaluator(Protocol):
    """Scores one set of weights at a time."""

    late: bool
    """Whether a score is to be asked for at the next evaluation only."""

    def begin(self, weights: Mapping[str, Tensor]) -> None:
        """Begin to score these weights, those of the training at this moment."""

    def score(self) -> Score:
        """The score of what was begun last. Raises NotFinite, CandidateFault."""

    def add_usage(self, training: Usage) -> Usage:
        """What the training took, and what was taken here besides."""


class InPlace:
    """Scores the weights that the training's own worker holds, while it waits."""

    late = False

    def __init__(self, split: LabelledSplit, session: NetworkSession) -> None:
        self._split = split
        self._session = session

    def begin(self, weights: Mapping[str, Tensor]) -> None:
        """Nothing: the worker holds them."""

    def score(self) -> Score:
        """See `Evaluator.score`."""
        return evaluate(self._split, self._session)

    def add_usage(self, training: Usage) -> Usage:
        """The same: it is all in one worker."""
        return training


class Beside:
    """Scores weights in a worker of its own, which is charged for the seconds it computes."""

    late = True

    def __init__(
        self, split: LabelledSplit, session: NetworkSession, pool: ThreadPoolExecutor
    ) -> None:
        """session: after `build`, of another worker than the training's."""
        self._split = split
        self._session = session
        self._pool = pool
        self._begun: Future[Score]
        self._seconds = 0.0

    def begin(self, weights: Mapping[str, Tensor]) -> None:
        """See `Evaluator.begin`."""
        self._begun = self._pool.submit(self._evaluate, weights)

    def score(self) -> Score:
        """See `Evaluator.score`."""
        return self._begun.result()

    def _evaluate(self, weights: Mapping[str, Tensor]) -> Score:
        started = time.monotonic()
        try:
            self._session.load(weights)
            return evaluate(self._split, self._session)
        finally:
            self._seconds += time.monotonic() - started

    def add_usage(self, training: Usage) -> Usage:
        """Seconds add up, and so does memory, for both workers are there at once."""
        own = self._session.usage()
        both = training.and_then(replace(own, seconds=self._seconds))
        peaks = (training.peak_device_memory_bytes, own.peak_device_memory_bytes)
        known = [peak for peak in peaks if peak is not None]
        return replace(
            both,
            peak_memory_bytes=training.peak_memory_bytes + own.peak_memory_bytes,
            peak_device_memory_bytes=sum(known) if known else None,
        )


@contextmanager
def in_place_or_beside(
    job: Job, isolation: Isolation, split: LabelledSplit, session: NetworkSession, *, beside: bool
) -> Iterator[Evaluator]:
    """The evaluator of the training in `session`; a worker of its own ends with the block."""
    if not beside:
        yield InPlace(split, session)
        return
    # The worker is closed first, so that nobody waits for an evaluation that is of no use any more.
    with (
        ThreadPoolExecutor(1, thread_name_prefix="evaluation") as pool,
        NetworkSession(isolation, job, task_shape(split.task)) as second,
    ):
        second.build(job.seed + 1)
        yield Beside(split, second, pool)
