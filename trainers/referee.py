"""The referee: score trained weights in a cold start, and look once more for what they might hide.

A fresh worker rebuilds host and mechanism from source, with other initial weights than the training
had, and takes the exported tensors, strictly. It gets unlabelled tokens in groups it cannot
foresee and returns logits; labels and metric stay here. Then, on the trained weights:

    LRA511 regrouped   some examples again, alone and in other company, give the same logits
    LRA512 causal      features of a prefix do not change with what follows, at the task's lengths

Both are asked in float32, where a leak must be larger than rounding, and in float64, where next to
nothing is.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from agent_sandbox.isolation.protocol import Isolation
from lra_design.records import Finding, Run, Score
from tasks.registry import get_task
from trainers.accuracy import HeldOut, labelled_split, measure_accuracy
from trainers.batches import Batch, Sequences, gather
from trainers.job import Job, task_shape
from trainers.session import NetworkSession
from trainers.tensor_files import read_tensors

NUM_RECHECKED = 24
"""Examples that are predicted again, and whose prefixes are compared."""
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}
"""Largest honest deviation, relative to the largest magnitude compared."""


def score_run(run: Run, folder: Path, isolation: Isolation) -> Run:
    """The record of `run` with its test score and the referee's findings.

    folder: where its training left `best.safetensors`. Raises CandidateFault when the candidate
    gives no valid answer.
    """
    score, findings = referee(run_job(run), folder / "best.safetensors", isolation, "test")
    return dataclasses.replace(run, test=score, findings=(*run.findings, *findings))


def run_job(run: Run) -> Job:
    """What was asked of a run."""
    return Job(**{field.name: getattr(run, field.name) for field in dataclasses.fields(Job)})


def referee(
    job: Job, weights: Path, isolation: Isolation, split: HeldOut
) -> tuple[Score, list[Finding]]:
    """The score of exported weights on a held-out split, and what the re-checks found."""
    held_out = labelled_split(get_task(job.task), split)
    sequences = held_out.sequences
    generator = torch.Generator().manual_seed(secrets.randbits(62))
    chosen = torch.randperm(len(sequences), generator=generator)[:NUM_RECHECKED]
    with NetworkSession(isolation, job, task_shape(held_out.task)) as session:
        session.build(secrets.randbits(31))
        session.load(read_tensors(weights)[0])
        groups = list(_groups(sequences, job.train.batch_size, generator))
        logits = dict(_predict_each(session, sequences, groups))
        score = measure_accuracy(held_out, split, groups, lambda batch: _stack(batch, logits))
        findings = _check_regrouped(session, sequences, chosen, logits, "float32")
        findings += _check_causal(session, job, sequences, chosen, generator, "float32")
        session.double()
        company = [gather(sequences, chosen)]
        logits = dict(_predict_each(session, sequences, company))
        findings += _check_regrouped(session, sequences, chosen, logits, "float64")
        findings += _check_causal(session, job, sequences, chosen, generator, "float64")
    return score, findings


def _groups(sequences: Sequences, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
    """All examples, in random company of random size."""
    order = torch.randperm(len(sequences), generator=generator)
    while len(order):
        size = int(torch.randint(1, 2 * batch_size, (), generator=generator))
        yield gather(sequences, order[:size])
        order = order[size:]


def _predict_each(
    session: NetworkSession, sequences: Sequences, batches: Iterable[Batch]
) -> Iterator[tuple[int, Tensor]]:
    """Example and its logits: (C,), or (L, C) of its real positions alone."""
    lengths = sequences.lengths
    for batch in batches:
        for i, logits in zip(batch.index.tolist(), session.predict(batch), strict=True):
            yield i, logits[: int(lengths[i])] if logits.ndim == 2 else logits


def _stack(batch: Batch, logits: dict[int, Tensor]) -> Tensor:
    """The logits of a batch again, with zeros at padding."""
    rows = [logits[i] for i in batch.index.tolist()]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def _check_regrouped(
    session: NetworkSession,
    sequences: Sequences,
    chosen: Tensor,
    logits: dict[int, Tensor],
    precision: str,
) -> list[Finding]:
    """LRA511: the chosen examples alone give other logits than in company."""
    alone = (gather(sequences, index) for index in chosen.split(1))  # type: ignore[no-untyped-call]
    worst = max(
        _relative_difference(row, logits[i]) for i, row in _predict_each(session, sequences, alone)
    )
    if worst <= TOLERANCE[precision]:
        return []
    return [
        Finding(
            check="LRA511",
            name="regrouped",
            tier="error",
            expected="the same logits for an example alone and in company, on trained weights",
            found=f"a difference of {worst:.1e} of their size",
            likely_cause="examples of a batch, or padding, reach each other",
            hint="Mask padding in every sum over the length; sum nothing over the batch.",
            where=precision,
        )
    ]


def _check_causal(
    session: NetworkSession,
    job: Job,
    sequences: Sequences,
    chosen: Tensor,
    generator: torch.Generator,
    precision: str,
) -> list[Finding]:
    """LRA512: features of a prefix change with what follows it."""
    if not job.host.causal:
        return []
    worst = 0.0
    for index in chosen.split(1):  # type: ignore[no-untyped-call]
        batch = gather(sequences, index)
        length = batch.tokens_BL.shape[1]
        cut = int(torch.randint(1, length, (), generator=generator)) if length > 1 else 1
        shuffled = cut + torch.randperm(length - cut, generator=generator)
        changed_BL = torch.cat([batch.tokens_BL[:, :cut], batch.tokens_BL[:, shuffled]], dim=1)
        full_BLD = session.features(batch)
        for tokens_BL in (batch.tokens_BL[:, :cut], changed_BL):
            other_BLD = session.features(Batch(index, tokens_BL, None))
            worst = max(worst, _relative_difference(full_BLD[0, :cut], other_BLD[0, :cut]))
    if worst <= TOLERANCE[precision]:
        return []
    return [
        Finding(
            check="LRA512",
            name="causal_when_trained",
            tier="error",
            expected="features up to t that do not depend on tokens after t, on trained weights",
            found=f"a difference of {worst:.1e} of their size",
            likely_cause="the mechanism looks ahead when its weights or its inputs are not random",
            hint="Validate again at the task's lengths; look for masks made of finite constants.",
            where=precision,
        )
    ]


def _relative_difference(a: Tensor, b: Tensor) -> float:
    """The largest deviation, relative to the largest magnitude."""
    size = torch.maximum(a.abs().max(), b.abs().max()).clamp(min=torch.finfo(a.dtype).tiny)
    return float((a - b).abs().max() / size)
