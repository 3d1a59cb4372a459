"""How costs are written: numbers with a unit, and how they grow."""

from __future__ import annotations

from lra_design.records import Exponent

QUANTITIES = {"flops": "FLOPs", "peak_memory_bytes": "memory", "seconds": "time"}


def exponent_line(exponent: Exponent) -> str:
    """`FLOPs grows as L^1.97 (95 %: 1.94 to 1.99)`."""
    return (
        f"{QUANTITIES[exponent.quantity]} grows as L^{exponent.value:.2f} "
        f"(95 %: {exponent.low:.2f} to {exponent.high:.2f})"
    )


def si_number(value: float | None, unit: str, *, digits: int = 3) -> str:
    """So many digits with a prefix of the SI; `-` for what is missing."""
    if value is None:
        return "-"
    if value == 0:
        return f"0 {unit}"
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m")):
        if value >= size:
            return f"{_rounded(value / size, digits)} {prefix}{unit}"
    return f"{_rounded(value / 1e-6, digits)} u{unit}"


def _rounded(value: float, digits: int) -> str:
    """Without an exponent, which `.2g` gives to 303."""
    return f"{value:.{digits}g}" if value < 10**digits else f"{value:.0f}"
