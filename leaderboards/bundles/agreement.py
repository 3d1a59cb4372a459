"""What a bundle claims beside what was found, figure by figure, each with its tolerance.

What could not be checked is said, and never counts as agreeing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist, fmean, stdev

from lra_design.records import Run, Score, ValidationReport, record
from trainers.network_checks import REBUILT_TOLERANCE

SAME_WEIGHTS = REBUILT_TOLERANCE
"""Share of labels whose answer may differ between two processes with the same weights: examples in
other company, another processor or another version of torch add in another order, which turns an
answer only where two classes are equally likely to a part in a million."""
CONFIDENCE = 0.999
"""Honest scores on two draws of a split differ by more than the tolerance in one of 1000 cases."""
RETRAINED_CONFIDENCE = 0.99
"""The same of a seed trained elsewhere: such comparisons are few, and few seeds tell little."""
FEWEST_SEEDS = 3
"""From fewer seeds nobody can say how far another one may lie."""


@record
class Figure:
    """One claim, and what became of it."""

    name: str
    """`seed 3, test accuracy`."""
    claimed: str | float
    found: str | float | None
    """None when it could not be checked."""
    tolerance: float | None = None
    """Largest difference that agrees; None where only the same does."""
    how: str
    """How the two were compared, or why they were not."""
    agrees: bool | None
    """None when it could not be checked."""


@record
class Verification:
    """What became of one bundle."""

    file: str
    content: str | None
    """Its hash; None when it was refused."""
    name: str | None
    refusal: str | None = None
    """Why it was not read any further."""
    figures: tuple[Figure, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether everything that was checked agrees, and something was."""
        verdicts = [figure.agrees for figure in self.figures]
        return self.refusal is None and True in verdicts and False not in verdicts


def same(name: str, claimed: str | float, found: str | float, how: str) -> Figure:
    """A figure of which only the same agrees."""
    return Figure(name=name, claimed=claimed, found=found, how=how, agrees=claimed == found)


def unchecked(name: str, claimed: str | float, why: str) -> Figure:
    """A figure that could not be checked."""
    return Figure(name=name, claimed=claimed, found=None, how=f"not checked: {why}", agrees=None)


def close(name: str, claimed: float, found: float, tolerance: float, how: str) -> Figure:
    """A figure that agrees when it differs by no more than `tolerance`."""
    return Figure(
        name=name,
        claimed=claimed,
        found=found,
        tolerance=tolerance,
        how=how,
        agrees=abs(claimed - found) <= tolerance,
    )


def compare_scores(name: str, claimed: Score, found: Score) -> Iterator[Figure]:
    """Two scores of the same weights: on one split exactly, on two draws of it as two samples."""
    same_split = claimed.split_hash == found.split_hash
    if same_split:
        tolerance, how = SAME_WEIGHTS, "same weights, same examples"
        labels = f"{claimed.num_labels} labels", f"{found.num_labels} labels"
        yield same(f"{name}, size of the split", *labels, "same split")
    else:
        tolerance = two_sample_tolerance(claimed, found)
        how = (
            f"same weights, other examples (our split is {found.split_hash[:12]}, the claim is of "
            f"{claimed.split_hash[:12]}): two binomial samples, {CONFIDENCE:.1%} of honest pairs"
        )
    yield close(f"{name} accuracy", claimed.accuracy, found.accuracy, tolerance, how)


def two_sample_tolerance(one: Score, other: Score) -> float:
    """How far two honest accuracies of the same weights on two draws of a split may lie apart.

    Normal approximation with the pooled share, one success and one failure added to each sample
    (Agresti & Caffo 2000, https://doi.org/10.1080/00031305.2000.10474560). Examples are counted,
    not labels: labels of one example are not independent.
    """
    hits = sum(score.accuracy * score.num_examples + 1 for score in (one, other))
    sizes = [score.num_examples + 2 for score in (one, other)]
    share = hits / sum(sizes)
    deviation = math.sqrt(share * (1 - share) * (1 / sizes[0] + 1 / sizes[1]))
    return NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * deviation


def compare_reports(claimed: ValidationReport, found: ValidationReport) -> Iterator[Figure]:
    """The certificate beside what a fresh validation with other inputs, of other sizes, came to."""
    how = "validated again, with inputs of our own"
    yield same("certificate", "valid", "valid" if found.valid else _errors(found), how)
    yield same("mechanism", str(claimed.mechanism), str(found.mechanism), how)
    asked, ours = ({check.check for check in report.checks} for report in (claimed, found))
    if found.valid:
        names = ", ".join(sorted(ours - asked)) or "none"
        if claimed.versions == found.versions:
            yield same("checks left out", "none", names, "same versions")
        elif ours != asked:
            yield unchecked(
                "checks left out", "none", f"other versions; here but not there: {names}"
            )


def _errors(report: ValidationReport) -> str:
    return "invalid: " + ", ".join(f.check for f in report.findings if f.tier == "error")


def compare_retrained(runs: Sequence[Run], claimed: Run, found: Run) -> Iterator[Figure]:
    """A seed that was trained again beside what was claimed of it.

    runs: of all seeds. The same machine and versions compute the same weights; elsewhere rounding
    grows until the training is as another seed's, which is then compared with all of them.
    """
    name = f"seed {claimed.seed}, trained again, validation accuracy"
    assert claimed.validation is not None, "a run of a bundle is scored"
    assert found.validation is not None, "a training that has ended is scored"
    same_split = claimed.validation.split_hash == found.validation.split_hash
    score = found.validation.accuracy
    if same_split and _where(claimed) == _where(found):
        how = "same machine, versions and splits"
        yield close(name, claimed.validation.accuracy, score, SAME_WEIGHTS, how)
        return
    scores = [run.validation.accuracy for run in runs if run.validation is not None]
    if len(scores) < FEWEST_SEEDS:
        yield unchecked(name, claimed.validation.accuracy, f"fewer than {FEWEST_SEEDS} seeds")
        return
    tolerance = another_seed_tolerance(scores)
    how = f"other machine, versions or splits: as another seed beside the mean of {len(scores)}"
    if not same_split:
        tolerance = math.hypot(
            tolerance, two_sample_tolerance(claimed.validation, found.validation)
        )
    yield close(name, fmean(scores), score, tolerance, how)


def another_seed_tolerance(scores: Sequence[float]) -> float:
    """How far one more seed may lie from the mean of these: half of a prediction interval."""
    from scipy.special import stdtrit

    quantile = float(stdtrit(len(scores) - 1, (1 + RETRAINED_CONFIDENCE) / 2))
    return quantile * stdev(scores) * math.sqrt(1 + 1 / len(scores))


def _where(run: Run) -> tuple[object, ...]:
    hardware = run.hardware
    return run.versions, run.device, hardware.machine, hardware.processor, hardware.device
