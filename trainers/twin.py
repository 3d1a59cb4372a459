"""LRA504: a twin of a training, on labels that mean nothing, must know nothing.

The twin goes the whole way of its original: the same job, the same number of steps, the same
workers, exported weights, a cold start, the same referee. Only the labels differ. Those of every
split are dealt out anew among its examples (or its labelled positions), in an order that the judge
draws and keeps. What a worker gets in training then says nothing about the held-out labels, so
whatever it computes, its accuracy is that of guessing. More than that has one explanation: a score
that was forged, or held-out labels that leaked.
"""

from __future__ import annotations

import dataclasses
import secrets
import tempfile
from pathlib import Path

import torch

from agent_sandbox.isolation.protocol import Isolation
from agent_sandbox.validator.registry import ENTRIES
from lra_design.records import Finding, Score
from tasks.registry import get_task
from tasks.task import SPLIT_NAMES, UNLABELLED, SplitName, Task
from trainers.accuracy import LabelledSplit, chance_bound, labelled_split, most_frequent
from trainers.device import device_of
from trainers.job import Job
from trainers.referee import referee
from trainers.training import OnProgress, train


def score_twin(
    job: Job, isolation: Isolation, on_progress: OnProgress
) -> tuple[Score, list[Finding]]:
    """Train the twin of `job`; its accuracy on shuffled test labels, and what speaks against it.

    It is computed on the isolation's device, and takes as long as a training there. A twin that is
    interrupted starts again. Raises what `train` and `referee` raise.
    """
    task, seed = get_task(job.task), secrets.randbits(60)
    job = dataclasses.replace(job, device=device_of(isolation.card))

    def splits(task: Task, split: SplitName) -> LabelledSplit:
        return shuffled(labelled_split(task, split), seed + SPLIT_NAMES.index(split))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(job, isolation, folder, on_progress, splits)
        held_out = splits(task, "test")
        score, findings = referee(job, folder / "best.safetensors", isolation, held_out, "test")
    return score, [*check_random_labels(score, most_frequent(held_out)), *findings]


def shuffled(split: LabelledSplit, seed: int) -> LabelledSplit:
    """The split with its labels in an order drawn from `seed`; what is unlabelled stays so."""
    generator = torch.Generator().manual_seed(seed)
    labels = split.labels.clone()
    scored = (labels != UNLABELLED).nonzero().flatten()
    labels[scored] = labels[scored[torch.randperm(len(scored), generator=generator)]]
    return dataclasses.replace(split, labels=labels)


def check_random_labels(score: Score, chance: float) -> list[Finding]:
    """LRA504: the twin knows labels that nobody told it."""
    bound = chance_bound(chance, score.num_labels)
    if score.accuracy <= bound:
        return []
    return [
        Finding(
            check="LRA504",
            name=ENTRIES["LRA504"].name,
            tier="error",
            expected=f"accuracy of at most {bound:.4f} on shuffled labels: chance is {chance:.4f}",
            found=f"{score.accuracy:.4f} over {score.num_labels} labels",
            likely_cause="a forged score, or held-out labels that reach the candidate's process",
            hint="Report it to the benchmark's owner: no honest mechanism can do this.",
            where=f"{score.task}, {score.split}",
        )
    ]
