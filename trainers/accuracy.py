"""Accuracy, computed by the judge: it alone holds the labels of held-out splits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import torch
from torch import Tensor

from lra_design.records import GroupScore, Score
from tasks.splits.storage import load_split, split_hash
from tasks.task import UNLABELLED, Task
from trainers.batches import Batch, Sequences, gather_position_labels

HeldOut = Literal["validation", "test"]
CONFIDENCE = 0.999
"""Of what knows nothing, at least this share stays under `chance_bound`."""


@dataclass(frozen=True)
class LabelledSplit:
    """A split as tensors. Only the sequences of a held-out one ever leave the judge."""

    task: Task
    sequences: Sequences
    labels: Tensor
    """(n,), or one per token, as the task has it; int16."""
    groups: Tensor | None = None
    """The group of each label, shape as `labels`, where the task has groups."""

    @property
    def num_bytes(self) -> int:
        """What a worker holds in memory that is given the split."""
        sequences = self.sequences
        return sequences.tokens.nbytes + sequences.offsets.nbytes + self.labels.nbytes


def labelled_split(task: Task, split: Literal["train", "validation", "test"]) -> LabelledSplit:
    """A split of `task`, drawn on first use."""
    examples = load_split(task, split)
    tokens, offsets = torch.from_numpy(examples.tokens), torch.from_numpy(examples.offsets)
    return LabelledSplit(
        task,
        Sequences(tokens, offsets, task.first_id, task.documents),
        torch.from_numpy(examples.labels),
        torch.from_numpy(task.groups(examples)) if task.groups else None,
    )


def measure_accuracy(
    held_out: LabelledSplit,
    split: HeldOut,
    batches: Iterable[Batch],
    predict: Callable[[Batch], Tensor],
) -> Score:
    """The score of `predict` (batch to logits) over `batches`, which hold each example once."""
    hits: list[Tensor] = []
    groups: list[Tensor] = []
    num_examples = 0
    for batch in batches:
        labels = _of_batch(held_out, held_out.labels, batch)
        scored = labels != UNLABELLED
        hits.append((predict(batch).argmax(dim=-1) == labels)[scored])
        if held_out.groups is not None:
            groups.append(_of_batch(held_out, held_out.groups, batch)[scored])
        num_examples += len(batch.index)
    assert num_examples == len(held_out.sequences), "each example is scored once"
    hit = torch.cat(hits)
    return Score(
        task=held_out.task.id,
        split=split,
        split_hash=split_hash(held_out.task, split),
        accuracy=int(hit.sum()) / len(hit),
        num_examples=num_examples,
        num_labels=len(hit),
        groups=_by_group(hit, torch.cat(groups)) if groups else (),
    )


def most_frequent(split: LabelledSplit) -> float:
    """The accuracy of always answering the most frequent label."""
    scored = split.labels[split.labels != UNLABELLED]
    return int(scored.bincount().max()) / len(scored)


def chance_bound(chance: float, num_labels: int) -> float:
    """What an accuracy over labels in random order exceeds once in a thousand times at most.

    The number of hits of any fixed answers varies no more than a binomial one: labels are dealt out
    without replacement. With the correction for continuity of the normal approximation.
    """
    deviation = math.sqrt(chance * (1 - chance) / num_labels)
    return chance + NormalDist().inv_cdf(CONFIDENCE) * deviation + 0.5 / num_labels


def _by_group(hit: Tensor, groups: Tensor) -> tuple[GroupScore, ...]:
    found = []
    for group in sorted(set(groups.tolist())):
        inside = hit[groups == group]
        accuracy = int(inside.sum()) / len(inside)
        found.append(GroupScore(group=group, accuracy=accuracy, num_labels=len(inside)))
    return tuple(found)


def _of_batch(held_out: LabelledSplit, values: Tensor, batch: Batch) -> Tensor:
    """(B,) or (B, L) labels, or groups of labels, of a batch."""
    if held_out.task.labels == "example":
        return values[batch.index]
    return gather_position_labels(values, held_out.sequences, batch, UNLABELLED)
