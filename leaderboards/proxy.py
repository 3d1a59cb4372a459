"""The proxy gap: how far a training in a share of the steps tells what a full one would reach.

Worked out from `repeats.jsonl` over the references that were trained in both. A screening is one
short training of each candidate; what it is held against is the mean of the full trainings over
their seeds, which has noise of its own: the gap is, if anything, smaller than it looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from leaderboards.comparison import t_quantile
from leaderboards.intervals import LEVEL
from leaderboards.noise import Noise
from leaderboards.repeats import Conditions, Mode, Repeats, Scale, current_repeats
from lra_design.records import record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Correlation = Callable[[Numbers, Numbers], float]

FEWEST = 5
"""References below which nothing is said of an order."""
CONFIDENCE = 0.9
"""With which the best of the candidates is meant to pass a screening."""
NUM_RESAMPLES = 1000


@dataclass(frozen=True)
class Screenings:
    """The references as a screening sees them, and as they are."""

    names: tuple[str, ...]
    full: tuple[float, ...]
    """Mean accuracy in full, by reference."""
    num_full: tuple[int, ...]
    """How many seeds that is the mean of."""
    short: tuple[tuple[float, ...], ...]
    """Accuracies in a share of the steps: for each seed one of every reference."""


@record
class Correlated:
    """A rank correlation and its 95 % bootstrap interval over references."""

    value: float
    low: float
    high: float


@record
class Proxy:
    """How far a short training can be trusted, under some conditions."""

    task: str
    scale: Scale
    setting: Literal["fixed", "tuned"]
    mode: Mode
    share: float
    """Of the recipe's steps."""
    mechanisms: tuple[str, ...]
    num_screenings: int
    """Seeds of the short trainings: each is a screening of its own."""
    tau: Correlated
    """Kendall's tau-b, mean over the screenings."""
    rho: Correlated
    """Spearman's, likewise."""
    num_pairs: int
    """Pairs of references whose full accuracies differ beyond the noise floor."""
    ordered_right: float | None
    """Share of those that a screening puts in the right order; None when there are none."""
    num_candidates: int
    """How many references were drawn at a time for `recall`."""
    recall: tuple[float, ...]
    """How often the best of so many is among the 1, 2, ... that do best in the screening."""


def screenings(
    conditions: Conditions, share: float, rows: Sequence[Repeats] | None = None
) -> Screenings | None:
    """What there is at this share and in full; None with fewer than five references.

    rows: instead of those of the file. A seed counts when all references were trained with it.
    """
    current = current_repeats(conditions, rows)
    full = {row.mechanism: row.by_seed for row in current if row.share == 1}
    short = {row.mechanism: row.by_seed for row in current if row.share == share}
    names = [name for name in full if full[name] and short.get(name)]
    if len(names) < FEWEST:
        return None
    seeds = sorted(set.intersection(*(set(short[name]) for name in names)))
    if not seeds:
        return None
    return Screenings(
        names=tuple(names),
        full=tuple(fmean(t.validation for t in full[name].values()) for name in names),
        num_full=tuple(len(full[name]) for name in names),
        short=tuple(tuple(short[name][seed].validation for name in names) for seed in seeds),
    )


def proxy_gap(conditions: Conditions, share: float, found: Screenings, noise: Noise) -> Proxy:
    """What the screenings come to. noise: of full trainings under the same conditions."""
    half = len(found.names) // 2
    num_pairs, right = _ordered_right(found, noise)
    return Proxy(
        **conditions._asdict(),
        share=share,
        mechanisms=found.names,
        num_screenings=len(found.short),
        tau=_bootstrapped(found, _kendall),
        rho=_bootstrapped(found, _spearman),
        num_pairs=num_pairs,
        ordered_right=right,
        num_candidates=half,
        recall=tuple(recall(found, half)),
    )


def _ordered_right(found: Screenings, noise: Noise) -> tuple[int, float | None]:
    """Pairs beyond the noise, and the share of them in the right order; a tie is half right."""
    scores: list[float] = []
    num_pairs = 0
    quantile = t_quantile(noise.df)
    for i in range(len(found.names)):
        for j in range(i):
            difference = found.full[i] - found.full[j]
            error = noise.sd * math.sqrt(1 / found.num_full[i] + 1 / found.num_full[j])
            if abs(difference) <= quantile * error:
                continue
            num_pairs += 1
            leads = [(short[i] - short[j]) * difference for short in found.short]
            scores += [0.5 if lead == 0 else float(lead > 0) for lead in leads]
    return num_pairs, fmean(scores) if scores else None


def _bootstrapped(found: Screenings, correlation: Correlation) -> Correlated:
    """The mean over screenings; the interval is that of another draw of references."""
    import numpy as np

    full, generator = np.array(found.full), np.random.default_rng(0)
    shorts = [np.array(short) for short in found.short]

    def mean(index: NDArray[np.int64]) -> float:
        return fmean(correlation(full[index], short[index]) for short in shorts)

    size = len(full)
    drawn = [mean(generator.integers(size, size=size)) for _ in range(NUM_RESAMPLES)]
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Correlated(value=mean(np.arange(size)), low=float(low), high=float(high))


def _kendall(x: Numbers, y: Numbers) -> float:
    """tau-b; NaN when one of them is constant."""
    import numpy as np

    signs_x, signs_y = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
    scale = math.sqrt(float((signs_x**2).sum() * (signs_y**2).sum()))
    return float((signs_x * signs_y).sum()) / scale if scale else math.nan


def _spearman(x: Numbers, y: Numbers) -> float:
    import numpy as np

    ranks = [np.sign(z[:, None] - z).sum(1) for z in (x, y)]  # linear in the mean ranks
    scale = math.sqrt(float((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return float(ranks[0] @ ranks[1]) / scale if scale else math.nan


def recall(found: Screenings, num_candidates: int) -> list[float]:
    """How often the best of so many references is among the best k of a screening, k from 1 on.

    Over all sets of `num_candidates` references, counted and not drawn, and all screenings. A tie
    in the screening goes against the best. Raises ValueError for more than there are.
    """
    size = len(found.names)
    if not 1 <= num_candidates <= size:
        raise ValueError(f"expected 1 to {size} candidates, found {num_candidates}")
    ranks = [0] * num_candidates
    for short in found.short:
        for i in range(size):
            for rank, count in enumerate(_sets_by_rank(found.full, short, i, num_candidates)):
                ranks[rank] += count
    total = sum(ranks)
    return [sum(ranks[: k + 1]) / total for k in range(num_candidates)]


def _sets_by_rank(
    full: Sequence[float], short: Sequence[float], best: int, num_candidates: int
) -> list[int]:
    """Sets whose best is `best`, by how many of the set do as well in the screening or better."""
    beaten = [j for j in range(len(full)) if (full[j], j) < (full[best], best)]
    ahead = sum(short[j] >= short[best] for j in beaten)
    behind = len(beaten) - ahead
    return [
        math.comb(ahead, rank) * math.comb(behind, num_candidates - 1 - rank)
        for rank in range(num_candidates)
    ]


def num_kept(found: Screenings, num_candidates: int, confidence: float = CONFIDENCE) -> int:
    """How many of so many candidates to keep for the best to be kept with this probability.

    Of the references at most half are drawn at a time, because there are few larger sets; where
    there are more candidates the same share of them is kept.
    """
    drawn = min(num_candidates, len(found.names) // 2)
    curve = recall(found, drawn)
    keep = next(k for k, share in enumerate(curve, start=1) if share >= confidence)
    return math.ceil(keep * num_candidates / drawn)


def survivors(accuracies: Mapping[str, float], keep: int, noise: Noise | None) -> list[str]:
    """The best `keep` by accuracy, and all that the noise of one training does not tell from the
    best; best first."""
    order = sorted(accuracies, key=lambda name: (-accuracies[name], name))
    if not order:
        return []
    within = math.sqrt(2) * noise.sd * t_quantile(noise.df) if noise else 0.0
    least = accuracies[order[0]] - within
    return [name for place, name in enumerate(order) if place < keep or accuracies[name] >= least]
