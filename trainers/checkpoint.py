"""What a training that was killed at any moment goes on from: one file, replaced as a whole.

It holds the state of the worker after some step, and what the judge knew then. Everything else of a
training follows from these and the job, so that it ends with the same weights and the same curve,
bit for bit, wherever it was killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from lra_design.records import Usage, from_json, record, to_json
from trainers.curve import Curve, Pending
from trainers.tensor_files import read_notes, read_tensors, write_tensors

NAME = "checkpoint.safetensors"
PENDING = "pending."
"""Begins the names of the weights whose score is pending; all others are of the worker's state."""


@record
class Standing:
    """Where a training stands, as the judge keeps it."""

    curve: Curve = Curve()
    log: tuple[tuple[float, float], ...] = ()
    """Loss and norm of the gradient of each step since the latest evaluation."""
    pending: Pending | None = None
    """The latest evaluation, while its score is not there; its weights are among the tensors."""
    usage: Usage = Usage(seconds=0.0, cpu_seconds=0.0, peak_memory_bytes=0)
    """Up to then, interruptions left out."""
    device: str = "cpu"
    """The name of what computed it: a card's, or `cpu`."""
    title: str = ""
    """What is trained, in words, for whoever shows how far it is."""
    num_steps: int | None = None
    """Of the whole training; None in older checkpoints."""

    @property
    def step(self) -> int:
        """How many steps were taken."""
        evaluated = self.pending.step if self.pending else self.curve.step
        return evaluated + len(self.log)


def write_checkpoint(folder: Path, state: Mapping[str, Tensor], standing: Standing) -> None:
    """Keep the worker's state and where the training stands. Raises DataError when that fails."""
    write_tensors(folder / NAME, state, {"standing": to_json(standing)})


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], Standing] | None:
    """What was kept last; None when nothing was.

    Raises DataError when the file is damaged, RecordError when another version wrote it.
    """
    if not (folder / NAME).exists():
        return None
    tensors, notes = read_tensors(folder / NAME)
    return tensors, from_json(Standing, notes.get("standing", "{}"))


def read_standing(folder: Path) -> Standing | None:
    """Where a training stood when it was last kept, without its tensors; None when nothing was.

    Raises DataError when the file is damaged, RecordError when another version wrote it.
    """
    if not (folder / NAME).exists():
        return None
    return from_json(Standing, read_notes(folder / NAME).get("standing", "{}"))


def remove_checkpoint(folder: Path) -> None:
    """Let go of it: the training has ended."""
    (folder / NAME).unlink(missing_ok=True)
