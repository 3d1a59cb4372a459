"""Batches as a pure function of (examples, batch size, seed, step): a run can resume anywhere.

Each epoch is a fresh permutation. In the order `random` it is cut into batches as it stands. In the
order `pools` it is cut into pools of several batches; within a pool examples are sorted by length,
so that a batch holds examples of about one length and little padding, and the batches of a pool are
then shuffled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

BATCHES_PER_POOL = 16
"""Larger pools waste less on padding; smaller ones mix lengths better from batch to batch."""


@dataclass(frozen=True)
class Sequences:
    """The sequences of some examples, one after the other, as tensors on one device."""

    tokens: Tensor
    """Integers as they are stored, all sequences concatenated."""
    offsets: Tensor
    """(number of sequences + 1,) int64."""
    first_id: int = 0
    """Token id of the stored value 0."""
    documents: int = 1
    """Sequences per example: of two, sequences 2i and 2i + 1 are example i."""

    def __len__(self) -> int:
        """The number of examples."""
        return (len(self.offsets) - 1) // self.documents

    @property
    def lengths(self) -> Tensor:
        """(number of sequences,) int64."""
        return self.offsets.diff()

    @property
    def longest(self) -> Tensor:
        """(number of examples,) int64, the length of the longest sequence of each."""
        return self.lengths.view(-1, self.documents).amax(1)

    def rows(self, index: Tensor) -> Tensor:
        """The sequences of the examples in `index` (B,), those of one example side by side."""
        if self.documents == 1:
            return index
        documents = torch.arange(self.documents, device=index.device)
        return (index[:, None] * self.documents + documents).flatten()

    def ids(self, places: Tensor) -> Tensor:
        """The token ids at some places of the concatenation, shape as `places`."""
        tokens = self.tokens.index_select(0, places.flatten())  # faster than by an index tensor
        return tokens.view(places.shape).long().add_(self.first_id)

    def near(self, device: torch.device) -> Sequences:
        """The same sequences on a device, where batches are then made, if they fit there.

        A fifth of the free memory is theirs; the rest is for the training.
        """
        num_bytes = self.tokens.nbytes + self.offsets.nbytes
        if device.type == "cuda" and num_bytes > torch.cuda.mem_get_info(device)[0] // 5:
            return self
        return replace(self, tokens=self.tokens.to(device), offsets=self.offsets.to(device))


@dataclass(frozen=True)
class Batch:
    """Some examples side by side, padded on the right to the longest sequence among them."""

    index: Tensor
    """(B,) which examples these are."""
    tokens_BL: Tensor
    """A row for each sequence: in tasks with two documents, rows 2i and 2i + 1 are the i-th."""
    key_padding_mask_BL: Tensor | None
    """True = padding; None when all have the same length."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        mask_BL = self.key_padding_mask_BL
        return Batch(
            self.index.to(device),
            self.tokens_BL.to(device),
            None if mask_BL is None else mask_BL.to(device),
        )


def gather(sequences: Sequences, index: Tensor, extent: tuple[int, int] | None = None) -> Batch:
    """The batch of the examples in `index` (B,), made where the sequences are.

    extent: lengths of the shortest and the longest sequence among them, by who knows them: then
    nothing waits for the device.
    """
    offsets = sequences.offsets
    rows_B = sequences.rows(index).to(offsets.device)
    starts_B1 = offsets.index_select(0, rows_B).unsqueeze(1)
    lengths_B1 = offsets.index_select(0, rows_B + 1).unsqueeze(1) - starts_B1
    shortest, longest = extent or (int(lengths_B1.min()), int(lengths_B1.max()))
    columns_L = torch.arange(longest, device=offsets.device)
    if shortest == longest:
        return Batch(index, sequences.ids(starts_B1 + columns_L), None)
    padding_BL = columns_L >= lengths_B1
    places_BL = (starts_B1 + columns_L).clamp_(max=len(sequences.tokens) - 1)
    return Batch(index, sequences.ids(places_BL).masked_fill_(padding_BL, 0), padding_BL)


def gather_position_labels(labels: Tensor, sequences: Sequences, batch: Batch, fill: int) -> Tensor:
    """Labels (B, L) of a batch, for tasks that label positions; `fill` under the padding."""
    starts_B = sequences.offsets[batch.index.to(sequences.offsets.device)]
    columns_L = torch.arange(batch.tokens_BL.shape[1], device=labels.device)
    places_BL = starts_B[:, None].to(labels.device) + columns_L
    labels_BL = labels[places_BL.clamp_(max=len(labels) - 1)]
    if batch.key_padding_mask_BL is not None:
        labels_BL = labels_BL.masked_fill(batch.key_padding_mask_BL, fill)
    return labels_BL


class TrainingOrder:
    """Which examples make up the batch of each step."""

    def __init__(
        self,
        lengths: Tensor,
        batch_size: int,
        seed: int,
        order: Literal["pools", "random"] = "pools",
    ) -> None:
        """lengths: (number of examples,). order: as `TrainConfig.order`."""
        self._lengths = lengths
        self._order = order
        self.batch_size = min(batch_size, len(lengths))
        self._seed = seed
        self._epoch = -1
        self._batches: list[Tensor] = []

    def index(self, step: int) -> Tensor:
        """(B,) examples of step `step`, from 0. Incomplete batches are left out of an epoch."""
        epoch, place = divmod(step, len(self._lengths) // self.batch_size)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._draw_epoch(epoch)
        return self._batches[place]

    def _draw_epoch(self, epoch: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
        order = torch.randperm(len(self._lengths), generator=generator)
        order = order[: len(order) - len(order) % self.batch_size]
        if self._order == "random":
            return list(torch.split(order, self.batch_size))
        batches: list[Tensor] = []
        for pool in torch.split(order, self.batch_size * BATCHES_PER_POOL):
            by_length = pool[self._lengths[pool].argsort(stable=True)]
            batches_of_pool = torch.split(by_length, self.batch_size)
            shuffled = torch.randperm(len(batches_of_pool), generator=generator)
            batches += [batches_of_pool[i] for i in shuffled.tolist()]
        return batches


def evaluation_batches(sequences: Sequences, tokens_per_batch: int) -> Iterator[Batch]:
    """All examples, shortest first, in batches of about `tokens_per_batch` tokens."""
    lengths = sequences.longest
    order = lengths.argsort(stable=True)
    start = 0
    while start < len(order):
        length = int(lengths[order[start]]) * sequences.documents
        count = max(1, tokens_per_batch // max(1, length))
        yield gather(sequences, order[start : start + count])
        start += count
