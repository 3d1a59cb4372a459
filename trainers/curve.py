"""What a training looked like while it ran, for the record, the progress bar and TensorBoard."""

from __future__ import annotations

from dataclasses import asdict

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
class Pending:
    """A point whose accuracy is not there yet; fields as those of `Point`."""

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    seconds: float

    def with_accuracy(self, accuracy: float) -> Point:
        """The point, once it is."""
        return Point(**asdict(self), accuracy=accuracy)


@record
class Curve:
    """All evaluations so far, first to last."""

    points: tuple[Point, ...] = ()

    @property
    def best(self) -> Point | None:
        """The first point with the best validation accuracy."""
        return max(self.points, key=lambda point: point.accuracy, default=None)

    @property
    def step(self) -> int:
        """The step of the latest evaluation; 0 when there is none."""
        return self.points[-1].step if self.points else 0
