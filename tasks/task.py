"""What a task is: data about data, and one function that draws a split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SplitName = Literal["train", "validation", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "validation", "test")
UNLABELLED = -1
"""Label of a position that is not scored, in tasks that label positions."""


@dataclass(frozen=True)
class Examples:
    """Sequences of tokens of different lengths, one after the other, and their labels."""

    tokens: NDArray[np.uint8] | NDArray[np.uint16]
    """All sequences, concatenated."""
    offsets: NDArray[np.int64]
    """(number of examples + 1,); example i is `tokens[offsets[i]:offsets[i + 1]]`."""
    labels: NDArray[np.int16]
    """One per example (`labels="example"`), or one per token (`labels="position"`)."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """L of each example."""
        return np.diff(self.offsets)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One benchmark task. Its id carries a version: a changed split or generator is a new id."""

    id: str
    title: str
    vocabulary: tuple[str, ...]
    """Readable form of each token id; id 0 is padding."""
    num_classes: int
    labels: Literal["example", "position"]
    """One label per example (the host pools over the sequence) or one per position."""
    max_seq_len: int
    sizes: dict[SplitName, int]
    """Number of examples per split."""
    chance: float
    """Accuracy of always answering the most frequent class."""
    generator: str
    """Name and version of the generator; part of the cache key."""
    draw: Callable[[int, int, int], Examples] = field(repr=False)
    """`draw(seed, start, count)`: examples start..start+count of the stream that `seed` names.
    Each example depends on the seed and its own index alone."""
    probe: bool = False
    """A probe explains a score and gates a search; it is never part of a headline score."""
    source: str
    licence: str
    citation: str
    metric: Literal["accuracy"] = "accuracy"
