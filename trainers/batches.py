"""Batches as a pure function of (examples, batch size, seed, step): a run can resume anywhere.

Each epoch is a fresh permutation, cut into pools of several batches; within a pool examples are
sorted by length, so that a batch holds examples of about one length and little padding, and the
batches of a pool are then shuffled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

BATCHES_PER_POOL = 16
"""Larger pools waste less on padding; smaller ones mix lengths better from batch to batch."""


@dataclass(frozen=True)
class Sequences:
    """Sequences of different lengths, one after the other, as tensors."""

    tokens: Tensor
    """Integers, all sequences concatenated."""
    offsets: Tensor
    """(n + 1,) int64."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """(n,) int64."""
        return self.offsets.diff()


@dataclass(frozen=True)
class Batch:
    """Some sequences side by side, padded on the right to the longest of them."""

    index: Tensor
    """(B,) which examples these are."""
    tokens_BL: Tensor
    key_padding_mask_BL: Tensor | None
    """True = padding; None when all have the same length."""


def gather(sequences: Sequences, index: Tensor) -> Batch:
    """The batch of the examples in `index` (B,)."""
    starts_B = sequences.offsets[index]
    lengths_B = sequences.offsets[index + 1] - starts_B
    columns_L = torch.arange(int(lengths_B.max()))
    padding_BL = columns_L >= lengths_B[:, None]
    places_BL = (starts_B[:, None] + columns_L).masked_fill_(padding_BL, 0)
    tokens_BL = sequences.tokens[places_BL].long()
    if not bool(padding_BL.any()):
        return Batch(index, tokens_BL, None)
    return Batch(index, tokens_BL.masked_fill_(padding_BL, 0), padding_BL)


def gather_position_labels(labels: Tensor, sequences: Sequences, batch: Batch, fill: int) -> Tensor:
    """Labels (B, L) of a batch, for tasks that label positions; `fill` under the padding."""
    places_BL = sequences.offsets[batch.index][:, None] + torch.arange(batch.tokens_BL.shape[1])
    labels_BL = labels[places_BL.clamp_(max=len(labels) - 1)]
    if batch.key_padding_mask_BL is not None:
        labels_BL = labels_BL.masked_fill(batch.key_padding_mask_BL, fill)
    return labels_BL


class TrainingOrder:
    """Which examples make up the batch of each step."""

    def __init__(self, lengths: Tensor, batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = min(batch_size, len(lengths))
        self._seed = seed
        self._epoch = -1
        self._batches: list[Tensor] = []

    def index(self, step: int) -> Tensor:
        """(B,) examples of step `step`, from 0. Incomplete batches are left out of an epoch."""
        epoch, place = divmod(step, len(self._lengths) // self._batch_size)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._draw_epoch(epoch)
        return self._batches[place]

    def _draw_epoch(self, epoch: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
        order = torch.randperm(len(self._lengths), generator=generator)
        order = order[: len(order) - len(order) % self._batch_size]
        batches: list[Tensor] = []
        for pool in torch.split(order, self._batch_size * BATCHES_PER_POOL):
            by_length = pool[self._lengths[pool].argsort(stable=True)]
            batches_of_pool = torch.split(by_length, self._batch_size)
            shuffled = torch.randperm(len(batches_of_pool), generator=generator)
            batches += [batches_of_pool[i] for i in shuffled.tolist()]
        return batches


def evaluation_batches(sequences: Sequences, tokens_per_batch: int) -> Iterator[Batch]:
    """All examples, shortest first, in batches of about `tokens_per_batch` tokens."""
    order = sequences.lengths.argsort(stable=True)
    start = 0
    while start < len(order):
        length = int(sequences.lengths[order[start]])
        count = max(1, tokens_per_batch // max(1, length))
        yield gather(sequences, order[start : start + count])
        start += count
