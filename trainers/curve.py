"""What a training looked like while it ran, for the record, the progress bar and TensorBoard."""

from __future__ import annotations

from pathlib import Path

from lra_design.records import record


@record
class Point:
    """One evaluation on the way."""

    step: int
    loss: float
    """Mean training loss since the point before."""
    gradient_norm: float
    """Mean norm before clipping since the point before."""
    learning_rate: float
    accuracy: float
    """On the validation split."""
    seconds: float
    """Since the start of the training, interruptions left out."""


@record
class Curve:
    """All evaluations so far, first to last."""

    points: tuple[Point, ...] = ()

    @property
    def best(self) -> Point | None:
        """The first point with the best validation accuracy."""
        return max(self.points, key=lambda point: point.accuracy, default=None)


def write_tensorboard(folder: Path, curve: Curve) -> None:
    """Put the curve's scalars into a TensorBoard event file of their own."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    for point in curve.points:
        for tag, value in (
            ("loss/train", point.loss),
            ("gradient_norm/train", point.gradient_norm),
            ("learning_rate", point.learning_rate),
            ("accuracy/validation", point.accuracy),
        ):
            writer.add_scalar(tag, value, point.step)
    writer.close()
