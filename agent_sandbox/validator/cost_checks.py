"""LRA221: what a forward costs as the length grows, and whether that is what its author claims."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from agent_sandbox.validator.examination import Examination
from agent_sandbox.validator.long_runs import LongRun, long_runs
from agent_sandbox.validator.violation import Violation
from lra_design.records import Exponent, Quantity, Scaling, ScalingPoint

TOLERANCES: dict[Quantity, float] = {"flops": 0.3, "seconds": 0.5}
"""By which a measured exponent may exceed the claimed one: L log L measures as 1.1 to 1.2, and time
feels caches. A count that was misled is contradicted by the judge's own clock."""
NUM_FITTED = 5
"""Of the longest lengths, to which exponents are fitted: there the leading term leads."""


def check_cost(exam: Examination) -> Iterator[Violation]:
    """Operations, peak memory and time are measured over at least five lengths up to 4,096 for the
    certificate; growth beyond the mechanism's `claimed_cost` is a warning.
    """
    claimed = exam.outline.claimed_cost
    points = tuple(map(_point, long_runs(exam)))
    scaling = exam.scaling = Scaling(points=points, exponents=_exponents(points), claimed=claimed)
    for exponent in scaling.exponents:
        allowed = TOLERANCES.get(exponent.quantity)
        if claimed is not None and allowed is not None and exponent.low > claimed + allowed:
            yield Violation(
                tier="warning",
                expected=f"{exponent.quantity} that grow as L^{claimed:g}, as claimed_cost says",
                found=f"L^{exponent.value:.2f} (95 % interval {exponent.low:.2f} to "
                f"{exponent.high:.2f})",
                likely_cause="scores of all pairs of positions, or a loop over chunks that sees "
                "all earlier ones",
                hint="Claim what it costs, or keep a state of fixed size between chunks.",
            )
            return


def _point(run: LongRun) -> ScalingPoint:
    return ScalingPoint(
        seq_len=run.y.shape[1],
        flops=run.flops,
        peak_memory_bytes=run.peak_memory_bytes,
        seconds=run.seconds,
    )


def _exponents(points: Sequence[ScalingPoint]) -> tuple[Exponent, ...]:
    quantities: tuple[Quantity, ...] = ("flops", "peak_memory_bytes", "seconds")
    found = []
    for quantity in quantities:
        measured = [(p.seq_len, value) for p in points if (value := getattr(p, quantity))]
        if len(measured) >= NUM_FITTED:
            found.append(_fit(quantity, measured[-NUM_FITTED:]))
    return tuple(found)


def _fit(quantity: Quantity, measured: Sequence[tuple[int, float]]) -> Exponent:
    """Slope of the logarithms by least squares, with Student's interval."""
    from scipy.special import stdtrit  # scipy.stats would take a second to import

    lengths, values = (
        [math.log(number) for number in column] for column in zip(*measured, strict=True)
    )
    (slope, _), covariance = np.polyfit(lengths, values, 1, cov=True)
    value = float(slope)
    half = float(stdtrit(len(measured) - 2, 0.975)) * math.sqrt(covariance[0, 0])
    return Exponent(quantity=quantity, value=value, low=value - half, high=value + half)
