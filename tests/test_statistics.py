"""Aggregates, ties, fronts and readings: closed forms, published tables and small boards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, variance
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_records import make_dossier, make_run, make_score

from agent_sandbox.validator.cost_checks import _fit
from leaderboards.aggregates import aggregates, mean_over_tasks, satterthwaite_df
from leaderboards.intervals import student_t_interval
from leaderboards.pareto import costs, front
from leaderboards.reading import readings
from leaderboards.scores import Entry, rank
from leaderboards.ties import critical_difference, nemenyi_difference, ranks, tie_groups
from lra_design.records import GroupScore, Run, Scaling, ScalingPoint
from tasks.listops_depth import LADDER, equivalent_depth

CHANCE = {"listops-v1": 0.17, "listops-mini": 0.107, "text-v1": 0.5, "image-v1": 0.1}
accuracies = st.lists(st.floats(0.01, 0.99), min_size=2, max_size=6)


def seeds(name: str, values: Sequence[float], **changes: Any) -> list[Run]:
    task = changes.get("task", "listops-mini")
    return [
        make_run(name, seed, value, run_id=f"{name}-{task}-{seed}", **changes)
        for seed, value in enumerate(values)
    ]


def board(*groups: list[Run]) -> tuple[list[Entry], list[Run]]:
    runs = [run for group in groups for run in group]
    return rank(runs, chance=CHANCE), runs


@given(st.lists(st.tuples(st.floats(1e-12, 1), st.integers(1, 30)), min_size=1, max_size=6))
def test_satterthwaites_df_lies_between_the_smallest_and_the_sum(
    terms: list[tuple[float, int]],
) -> None:
    dfs = [df for _, df in terms]
    found = satterthwaite_df([error for error, _ in terms], dfs)
    assert min(dfs) * (1 - 1e-9) <= found <= sum(dfs) * (1 + 1e-9)


def test_satterthwaites_df_is_welchs() -> None:
    one, other = [0.1, 0.3, 0.35, 0.5], [0.61, 0.62, 0.64]
    v, w = variance(one) / 4, variance(other) / 3
    welch = (v + w) ** 2 / (v**2 / 3 + w**2 / 2)
    assert mean_over_tasks([one, other]).df == pytest.approx(welch)
    assert satterthwaite_df([0.5, 0.5], [4, 4]) == pytest.approx(8)
    assert satterthwaite_df([1.0, 0.0], [4, 9]) == pytest.approx(4)
    assert satterthwaite_df([0.0, 0.0], [4, 9]) == 13


@given(accuracies)
def test_the_mean_over_one_task_is_its_interval_over_seeds(values: list[float]) -> None:
    found = mean_over_tasks([values])
    low, high = student_t_interval(values)
    assert found.mean == pytest.approx(fmean(values))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_one_seed_has_no_interval_and_no_seed_is_refused() -> None:
    assert mean_over_tasks([[0.2], [0.4, 0.5]]).low is None
    for empty in ([], [[0.3], []]):
        with pytest.raises(ValueError, match="at least one seed"):
            mean_over_tasks(empty)


def test_an_aggregate_is_over_what_there_is_and_says_whether_that_is_all() -> None:
    entries, runs = board(
        seeds("a", [0.4, 0.5], task="listops-v1"),
        seeds("a", [0.7, 0.8], task="text-v1"),
        seeds("b", [0.9], task="listops-v1"),
        seeds("b", [0.9], task="listops-mini"),
    )
    tests = {run.run_id: run.test.accuracy for run in runs if run.test}
    (found,) = aggregates(entries, tests)
    assert (found.name, found.families, found.complete) == ("a", ("listops", "text"), False)
    assert found.accuracy.mean == pytest.approx(0.6)
    assert found.normalised == pytest.approx(
        fmean(e.normalised_capped or 0 for e in entries if e.name == "a")
    )


def test_nemenyis_difference_is_that_of_the_paper() -> None:
    """Demšar 2006, table 5 (q) and section 3.2.2: CD for 4 classifiers on 14 data sets is 1.25."""
    for k, q in [(2, 1.960), (5, 2.728), (10, 3.164)]:
        assert nemenyi_difference(k, 1) == pytest.approx(q * math.sqrt(k * (k + 1) / 6), rel=1e-3)
    assert nemenyi_difference(4, 14) == pytest.approx(1.25, abs=0.005)


@given(accuracies)
def test_ranks_sum_to_what_ranks_sum_to(values: list[float]) -> None:
    assert sum(ranks(values)) == pytest.approx(len(values) * (len(values) + 1) / 2)
    assert ranks(values)[values.index(max(values))] == min(ranks(values))


def test_mean_ranks_further_apart_than_the_difference_are_no_group() -> None:
    table = {name: [0.9 - i / 10 + t / 100 for t in range(12)] for i, name in enumerate("abcd")}
    found = critical_difference(table)
    assert found.names == tuple("abcd")
    assert found.mean_ranks == (1.0, 2.0, 3.0, 4.0)
    assert 1 < found.difference < 2
    assert found.groups == ((0, 1), (1, 2), (2, 3))
    for bad in ({"a": [0.1, 0.2]}, {"a": [0.1], "b": [0.2]}, {"a": [0.1, 0.2], "b": [0.3]}):
        with pytest.raises(ValueError, match="at least two"):
            critical_difference(bad)


def test_a_group_is_a_stretch_in_which_nobody_is_better() -> None:
    def entry(mean: float) -> dict[int, float]:
        return {seed: mean + (seed % 2) / 100 * (1 if seed < 3 else -1) for seed in range(5)}

    noisy = {0: 0.9, 1: 0.2, 2: 0.8, 3: 0.1, 4: 0.7}
    assert tie_groups([entry(0.9), entry(0.7), entry(0.5)], None) == ()
    assert tie_groups([entry(0.9), entry(0.9), entry(0.5)], None) == ((0, 1),)
    assert tie_groups([entry(0.6), noisy, entry(0.3)], None) == ((0, 1), (1, 2))
    assert tie_groups([{0: 0.9}, {1: 0.1}], None) == ((0, 1),)
    assert tie_groups([], None) == ()


points = st.tuples(st.one_of(st.none(), st.integers(0, 5)), st.one_of(st.none(), st.integers(0, 5)))


@given(st.lists(points, max_size=12))
def test_a_front_is_what_nobody_beats(values: list[tuple[float | None, float | None]]) -> None:
    def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
        return one != other and one[0] <= other[0] and one[1] >= other[1]

    known = {
        i: (cost, accuracy)
        for i, (cost, accuracy) in enumerate(values)
        if cost is not None and accuracy is not None
    }
    expected = {
        i for i, own in known.items() if not any(beats(other, own) for other in known.values())
    }
    assert set(front(values)) == expected


def test_costs_are_those_of_the_certificate_at_its_length() -> None:
    entries, runs = board(seeds("a", [0.4, 0.5]))
    (entry,) = entries
    sizes = (
        ScalingPoint(seq_len=n, flops=n * 2.0, peak_memory_bytes=None, seconds=1.0)
        for n in (1024, 4096)
    )
    dossier = make_dossier("a", scaling=Scaling(points=tuple(sizes), exponents=(), claimed=None))
    found = costs(entry, runs, dossier)
    assert (found.device_seconds, found.num_parameters) == (1.5, 1009)
    assert (found.flops, found.peak_memory_bytes) == (8192.0, None)
    assert costs(entry, [], None).device_seconds is None


@pytest.mark.parametrize(
    ("accuracy", "depth"),
    [(0.1, -1.0), (0.17, -1.0), (LADDER[0], 0.0), (LADDER[1], 1.0), (0.6385, 1.276), (1.0, 9.0)],
)
def test_the_depth_of_an_accuracy(accuracy: float, depth: float) -> None:
    assert equivalent_depth(LADDER, accuracy, 0.17) == pytest.approx(depth, abs=1e-3)


def test_what_explains_a_score_is_read_from_other_runs_of_the_same_mechanism() -> None:
    groups = tuple(
        GroupScore(group=distance, accuracy=accuracy, num_labels=9)
        for distance, accuracy in [(1, 1.0), (2, 0.9), (4, 0.7), (8, 0.2), (16, 0.9)]
    )
    probe = replace(make_score("reach-probe", "test", 0.7), groups=groups)
    entries, runs = board(
        seeds("a", [0.507], task="listops-mini"),
        seeds("a", [0.207], task="listops-mini-window8"),
        seeds("a", [0.7], task="reach-probe", test=probe),
        seeds("b", [0.10], task="listops-mini"),
    )
    found = {
        (entry.name, entry.board.task): reading
        for entry, reading in zip(entries, readings(entries, runs), strict=True)
    }
    own = found["a", "listops-mini"]
    (twin,) = own.windowed
    assert (twin.window, twin.share) == (8, pytest.approx(0.25))
    assert own.reach == 4
    assert own.depth == pytest.approx(1 + (0.507 - 0.438) / (1 - 0.438))
    other = found["b", "listops-mini"]
    assert (other.depth, other.windowed, other.reach) == (-1.0, (), None)


def test_a_copy_under_other_names_stands_under_the_first() -> None:
    first = "class A:\n    def go(self, x):\n        return x + 1\n"
    renamed = "class B:\n    # mine\n    def walk(self, y):\n        return y + 1\n"
    other = "class A:\n    def go(self, x):\n        return x + 2\n"
    entries, runs = board(
        seeds("late", [0.4], source=renamed, created_at="2026-03-01T00:00:00+00:00"),
        seeds("early", [0.4], source=first, created_at="2026-02-01T00:00:00+00:00"),
        seeds("other", [0.4], source=other),
        seeds("bare", [0.4], source=""),
        seeds("bare too", [0.4], source=""),
        seeds("broken", [0.4], source="class"),
    )
    found = zip(entries, readings(entries, runs), strict=True)
    copies = {entry.name: reading.copy_of for entry, reading in found if reading.copy_of}
    assert copies == {"late": "hash-of-early"}


def test_an_exponent_is_the_slope_of_the_logarithms_with_its_interval() -> None:
    """Against scipy's regression, which takes a second to import."""
    from scipy import stats

    measured = [(256, 3.1), (487, 7.3), (1013, 13.9), (2027, 31.7), (4096, 61.3)]
    line = stats.linregress(
        *(([math.log(x) for x in column]) for column in zip(*measured, strict=True))
    )
    half = stats.t.ppf(0.975, len(measured) - 2) * line.stderr
    found = _fit("seconds", measured)
    assert (found.value, found.low, found.high) == pytest.approx(
        (line.slope, line.slope - half, line.slope + half), rel=1e-9
    )
