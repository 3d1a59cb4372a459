"""What each step computes: its batch, in parts of about one length, where the network is.

How long the parts are is decided from lengths in the host's memory, so that nothing waits for the
device. Batches are made for several steps at a time: on a processor that takes two thirds of the
time of making each when it is needed, when a backward has just emptied the caches.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lra_design.records import TrainConfig
from tasks.task import UNLABELLED
from trainers.batches import Batch, Sequences, TrainingOrder, gather, gather_position_labels
from trainers.host import TaskShape
from trainers.micro_batches import CALL_TOKENS, micro_batches

AHEAD = 8
"""Steps whose batches are made at once."""


@dataclass(frozen=True)
class Part:
    """Some examples of a step's batch with their labels."""

    batch: Batch
    labels: Tensor
    """(examples,), or (B * L,) where the task labels positions; int64."""
    num_labels: int
    """That are scored in the whole batch: the loss is their mean."""


class Feed:
    """The batches of a training, by step."""

    def __init__(
        self,
        sequences: Sequences,
        labels: Tensor,
        shape: TaskShape,
        config: TrainConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        """sequences, labels: as in `trainers.accuracy.LabelledSplit`, in the host's memory."""
        self._device = device
        self._by_position = shape.labels == "position"
        self._order = TrainingOrder(sequences.longest, config.batch_size, seed, config.order)
        lengths = sequences.lengths.view(-1, sequences.documents)
        self._shortest, self._longest = lengths.amin(1).numpy(), lengths.amax(1).numpy()
        self.padded = sequences.longest * sequences.documents
        """(number of examples,) tokens that each takes alone."""
        self._num_labels = self._count(sequences, labels).numpy()
        self._made: dict[tuple[int, int], list[Part]] = {}
        self.sequences = sequences.near(device)
        self.labels = labels.to(device)

    def _count(self, sequences: Sequences, labels: Tensor) -> Tensor:
        """(number of examples,) labels that are scored, of each example."""
        scored = labels != UNLABELLED
        if not self._by_position:
            return scored.long()
        counted = torch.cat([torch.zeros(1, dtype=torch.int64), scored.cumsum(0)])
        return counted[sequences.offsets].diff()

    def one_shape(self, max_tokens: int) -> bool:
        """Whether the batches of all steps have one shape and are whole."""
        longest = int(self._longest.max())
        whole = self._order.batch_size * longest <= max_tokens
        return whole and longest == int(self._shortest.min())

    def parts(self, step: int, max_tokens: int) -> list[Part]:
        """The batch of step `step`, whole or in parts; max_tokens: as in `micro_batches`."""
        if (step, max_tokens) not in self._made:
            steps = range(step, step + AHEAD)
            self._made = {(i, max_tokens): self._make(i, max_tokens) for i in steps}
        return self._made.pop((step, max_tokens))

    def _make(self, step: int, max_tokens: int) -> list[Part]:
        index = self._order.index(step)
        places = micro_batches(self.padded[index], CALL_TOKENS[self._device.type], max_tokens)
        num_labels = int(self._num_labels[index.numpy()].sum())
        return [self._part(index[place], num_labels) for place in places]

    def _part(self, index: Tensor, num_labels: int) -> Part:
        rows = index.numpy()
        extent = int(self._shortest[rows].min()), int(self._longest[rows].max())
        batch = gather(self.sequences, self._sent(index), extent).to(self._device)
        return Part(batch, self._labels_of(batch), num_labels)

    def _sent(self, index: Tensor) -> Tensor:
        """The same where the sequences are, without waiting for it."""
        where = self.sequences.offsets.device
        return index if where.type == "cpu" else index.pin_memory().to(where, non_blocking=True)

    def _labels_of(self, batch: Batch) -> Tensor:
        if not self._by_position:
            return self.labels[batch.index].long()
        labels_BL = gather_position_labels(self.labels, self.sequences, batch, UNLABELLED)
        return labels_BL.flatten().long()
