"""The curve of a training while it grows: points that are whole, and one that waits."""

from __future__ import annotations

from dataclasses import asdict

from lra_design.records import Point, record


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
