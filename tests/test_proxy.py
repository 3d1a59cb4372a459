"""How far a short training can be trusted, and what a screening keeps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from test_noise import CONDITIONS, make_noise, make_row

from leaderboards.proxy import (
    Screenings,
    num_kept,
    proxy_gap,
    recall,
    screenings,
    survivors,
)
from mechanisms import REFERENCES

NAMES = REFERENCES[:7]


def make_screenings(full: Sequence[float], *short: Sequence[float]) -> Screenings:
    return Screenings(
        names=tuple(f"mechanism {i}" for i in range(len(full))),
        full=tuple(full),
        num_full=(1,) * len(full),
        short=tuple(map(tuple, short)),
    )


def drawn(size: int, noise: float) -> Screenings:
    generator = np.random.default_rng(0)
    full = generator.normal(size=size)
    return make_screenings(full.tolist(), *(full + noise * generator.normal(size=(2, size))))


def test_what_was_trained_in_both_is_paired_seed_by_seed() -> None:
    rows = [make_row(name, [0.40 + i / 100, 0.42 + i / 100]) for i, name in enumerate(NAMES)]
    assert screenings(CONDITIONS, 0.1, rows) is None
    short = [make_row(name, [0.2, 0.3, 0.9][: 2 + i], share=0.1) for i, name in enumerate(NAMES)]
    found = screenings(CONDITIONS, 0.1, rows + short)
    assert found is not None
    assert found.names == NAMES
    assert found.full == pytest.approx([0.41 + i / 100 for i in range(7)])
    assert found.short == ((0.2,) * 7, (0.3,) * 7)  # the third seed is not everybody's
    assert screenings(CONDITIONS, 0.1, rows + short[:4]) is None


def test_the_correlations_are_those_of_scipy() -> None:
    from scipy import stats  # takes a second

    found = drawn(11, 1.0)
    gap = proxy_gap(CONDITIONS, 0.1, found, make_noise(0.1, 10))
    tau = [stats.kendalltau(found.full, short).statistic for short in found.short]
    rho = [stats.spearmanr(found.full, short).statistic for short in found.short]
    assert gap.tau.value == pytest.approx(np.mean(tau))
    assert gap.rho.value == pytest.approx(np.mean(rho))
    assert gap.tau.low < gap.tau.value < gap.tau.high
    ties = make_screenings([0.1, 0.2, 0.2, 0.3, 0.5], [0.1, 0.1, 0.3, 0.2, 0.4])
    gap = proxy_gap(CONDITIONS, 0.1, ties, make_noise(0.1, 10))
    assert gap.tau.value == pytest.approx(stats.kendalltau(ties.full, ties.short[0]).statistic)
    assert gap.rho.value == pytest.approx(stats.spearmanr(ties.full, ties.short[0]).statistic)


def test_only_pairs_beyond_the_noise_are_held_against_a_screening() -> None:
    found = make_screenings([0.1, 0.11, 0.5, 0.9, 0.91], [0.2, 0.1, 0.5, 0.4, 0.4])
    gap = proxy_gap(CONDITIONS, 0.1, found, make_noise(0.01, 30))
    assert gap.num_pairs == 8  # not the first two, not the last two
    assert gap.ordered_right == pytest.approx(6 / 8)  # the third before the fourth and the fifth
    gap = proxy_gap(CONDITIONS, 0.1, found, make_noise(1.0, 30))
    assert (gap.num_pairs, gap.ordered_right) == (0, None)


@pytest.mark.parametrize("num_candidates", [1, 2, 4, 7])
def test_recall_counts_every_set(num_candidates: int) -> None:
    found = drawn(7, 1.0)
    ranks: list[int] = []
    for short in found.short:
        for chosen in itertools.combinations(range(7), num_candidates):
            best = max(chosen, key=lambda i: found.full[i])
            ranks.append(sum(short[i] >= short[best] for i in chosen))
    expected = [sum(r <= k for r in ranks) / len(ranks) for k in range(1, num_candidates + 1)]
    assert recall(found, num_candidates) == pytest.approx(expected)
    assert recall(found, num_candidates)[-1] == 1


def test_a_screening_that_is_right_needs_to_keep_one() -> None:
    accuracies = [i / 100 for i in range(12)]
    right, wrong = (
        make_screenings(accuracies, accuracies),
        make_screenings(accuracies, accuracies[::-1]),
    )
    alike = make_screenings(accuracies, [0.5] * 12)
    assert num_kept(right, 12) == 2  # of six it keeps one
    assert num_kept(right, 6) == 1
    assert num_kept(wrong, 6) == num_kept(alike, 6) == 6
    assert num_kept(wrong, 40) == 40


def test_a_screening_that_knows_nothing_keeps_nine_of_ten() -> None:
    generator = np.random.default_rng(0)
    blind = make_screenings([i / 100 for i in range(40)], *generator.normal(size=(300, 40)))
    assert recall(blind, 10) == pytest.approx([k / 10 for k in range(1, 11)], abs=0.03)


def test_more_candidates_than_references_is_no_set_of_them() -> None:
    with pytest.raises(ValueError, match="expected 1 to 7 candidates, found 8"):
        recall(drawn(7, 1.0), 8)


def test_the_best_survive_and_all_that_noise_cannot_tell_from_it() -> None:
    accuracies = {"a": 0.50, "b": 0.48, "c": 0.40, "d": 0.49}
    assert survivors(accuracies, 1, None) == ["a"]
    assert survivors(accuracies, 3, None) == ["a", "d", "b"]
    within = make_noise(0.005, 10_000)  # 1.96 x sqrt(2) x 0.5 points
    assert survivors(accuracies, 1, within) == ["a", "d"]
    assert survivors({}, 3, within) == []
    assert math.sqrt(2) * 1.96 * 0.005 == pytest.approx(0.0139, abs=1e-4)
