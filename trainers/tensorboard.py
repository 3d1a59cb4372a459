"""Event files for TensorBoard, written while a training runs.

    tensorboard --logdir FOLDER

Scalars every few steps and at every evaluation; at the end the hyperparameters with the final
metrics, for the HParams view. A training that goes on from a checkpoint hides what an earlier call
wrote beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor

from lra_design.errors import DataError
from lra_design.records import Point, Run, Usage
from trainers.statistics import STATISTICS

FLUSH_SECONDS = 5
"""How long a scalar may take to its file."""


class TensorBoard:
    """The event file of one call of `train`."""

    def __init__(self, folder: Path, step: int) -> None:
        """step: from which the training goes on. All methods raise DataError on a full disk."""
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder
        with _told(folder):
            self._writer = SummaryWriter(
                str(folder), purge_step=step + 1 if step else None, flush_secs=FLUSH_SECONDS
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with _told(self._folder):
            self._writer.close()

    def add_steps(self, step: int, log: Tensor, *, learning_rate: float, tokens: float) -> None:
        """Steps up to `step`; log: (steps, 2) loss and gradient norm; tokens: real ones a second,
        at the split's mean length."""
        loss, norm = log.mean(dim=0).tolist()
        self._add(step, "loss/train", loss)
        self._add(step, "gradient_norm/train", norm)
        self._add(step, "learning_rate", learning_rate)
        self._add(step, "speed/tokens_per_second", tokens)

    def add_point(self, point: Point, usage: Usage) -> None:
        """An evaluation, and what the worker took until then."""
        self._add(point.step, "accuracy/validation", point.accuracy)
        self._add(point.step, "loss/between_evaluations", point.loss)
        self._add(point.step, "memory/peak_bytes", usage.peak_memory_bytes)
        self._add(point.step, "speed/cpu_seconds", usage.cpu_seconds)
        if usage.peak_device_memory_bytes is not None:
            self._add(point.step, "memory/peak_device_bytes", usage.peak_device_memory_bytes)

    def add_statistics(self, step: int, blocks: Tensor) -> None:
        """How the outputs of the blocks are distributed: (layers, 3), as `trainers.statistics`."""
        for layer, row in enumerate(blocks.tolist()):
            for name, value in zip(STATISTICS, row, strict=True):
                self._add(step, f"activations/layer{layer}_{name}", value)

    def add_run(self, run: Run) -> None:
        """The hyperparameters of host, recipe and mechanism, with the final metrics."""
        assert run.validation is not None, "a run that has ended has a validation score"
        parts = {
            "host": asdict(run.host),
            "train": asdict(run.train),
            "mechanism": run.hyperparameters,
        }
        values = {
            f"{part}.{k}": "none" if v is None else v
            for part, named in parts.items()
            for k, v in named.items()
        }
        metrics = {
            "final/accuracy_validation": run.validation.accuracy,
            "final/parameters": run.num_parameters,
            "final/seconds": run.usage.seconds,
            "final/peak_memory_bytes": run.usage.peak_memory_bytes,
        }
        if run.usage.peak_device_memory_bytes is not None:
            metrics["final/peak_device_memory_bytes"] = run.usage.peak_device_memory_bytes
        asked = {"name": run.name, "task": run.task, "seed": run.seed, **values}
        asked["device"] = run.hardware.device
        with _told(self._folder):
            self._writer.add_hparams(asked, metrics, run_name=".")

    def _add(self, step: int, tag: str, value: float) -> None:
        with _told(self._folder):
            self._writer.add_scalar(tag, value, step)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Errors of the system as one that says what to do."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write {folder}: {error.strerror}. Make sure that you may write to it and that "
            "the disk has space, or choose another folder."
        ) from None
