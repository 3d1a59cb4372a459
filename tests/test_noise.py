"""What a number means: noise floors, comparisons, the best of many."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import variance
from typing import Any

import numpy as np
import pytest

from leaderboards import repeats as repeats_file
from leaderboards.comparison import compare, detectable_difference, planned_difference
from leaderboards.noise import Noise, Variance, common_variance, noise_floor, split_sources
from leaderboards.repeats import Conditions, Repeats, Training, read_repeats
from leaderboards.selection import correct, expected_maximum, selection_bias
from lra_design.records import Hardware, TrainConfig, Versions, from_json, to_json
from mechanisms import REFERENCES, reference_hash
from trainers.fidelity import shortened
from trainers.recipes import get_recipe

ROOT = Path(__file__).parent.parent
CONDITIONS = Conditions("listops-mini", "smoke", "fixed", "causal")
RECIPE = get_recipe("listops-mini", "smoke")


def make_training(seed: int, accuracy: float, **changes: Any) -> Training:
    values: dict[str, Any] = {"order_seed": seed, "test": None, "seconds": 2.0}
    return Training(seed=seed, validation=accuracy, **(values | changes))


def make_row(name: str, accuracies: Sequence[float], **changes: Any) -> Repeats:
    values: dict[str, Any] = {
        **CONDITIONS._asdict(),
        "share": 1.0,
        "mechanism": name,
        "source_hash": reference_hash(name),
        "host": RECIPE.host,
        "train": RECIPE.train,
        "trainings": tuple(make_training(seed, a) for seed, a in enumerate(accuracies)),
        "hardware": Hardware(
            machine="x86_64", processor="cpu", num_cpus=2, device="cpu", num_threads=1
        ),
        "versions": Versions(lra_design="0.1.0", contract="1", python="3.11", torch="2.13"),
    }
    return Repeats(**(values | changes))


def make_noise(sd: float, df: int, common_df: float | None = None) -> Noise:
    return Noise(
        **CONDITIONS._asdict(),
        split="validation",
        share=1.0,
        sd=sd,
        df=df,
        common_sd=sd,
        common_df=df if common_df is None else common_df,
        equal_p=None,
        mechanisms=(),
        sources=None,
    )


# What was measured ----------------------------------------------------------------------------


def test_lines_come_back_and_are_of_this_recipe_and_these_sources() -> None:
    rows = read_repeats()
    assert rows
    assert [from_json(Repeats, to_json(row)) for row in rows] == rows
    out_of_date = sorted({row.stale for row in rows if row.stale})
    assert not out_of_date, f"run benchmarks/noise.py again: {out_of_date}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"source_hash": "0" * 64}, "mean.py was changed"),
        ({"train": shortened(RECIPE.train, 0.5)}, "recipe of listops-mini"),
        ({"task": "no-such-task"}, "recipe of no-such-task"),
        ({"mechanism": "no_such"}, "no reference no_such"),
    ],
    ids=["current", "source", "recipe", "task", "reference"],
)
def test_a_line_is_stale_when_what_it_was_measured_with_is_not_here(
    changes: dict[str, Any], reason: str | None
) -> None:
    row = make_row("mean", [0.4, 0.5], **changes)
    assert row.stale == reason if reason is None else reason in (row.stale or "")
    conditions = row.conditions
    assert (noise_floor(conditions, rows=[row]) is None) == (reason is not None)


def test_an_older_line_is_read_when_a_recipe_gets_a_new_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a line does not know of has its default, so that it is stale only where that differs."""
    text = to_json(make_row("mean", [0.4])).replace('"order": "pools", ', "")
    path = tmp_path / "repeats.jsonl"
    path.write_text(text + "\n")
    monkeypatch.setattr(repeats_file, "PATH", path)
    (row,) = read_repeats(path)
    assert row.stale is None
    assert row.recipe_version == RECIPE.version


# The noise floor ------------------------------------------------------------------------------


def test_the_floor_pools_the_variances_by_their_degrees_of_freedom() -> None:
    groups = {"mean": [0.40, 0.42], "softmax": [0.50, 0.51, 0.55], "linear": [0.3]}
    rows = [make_row(name, accuracies) for name, accuracies in groups.items()]
    rows.append(make_row("mean", [0.1, 0.9], share=0.1))  # another share
    rows.append(make_row("mean", [0.1, 0.9], scale="small"))  # other conditions
    noise = noise_floor(CONDITIONS, rows=rows)
    assert noise is not None
    pooled = (variance(groups["mean"]) + 2 * variance(groups["softmax"])) / 3
    assert (noise.sd**2, noise.df) == (pytest.approx(pooled), 3)
    assert [(m.name, m.num_seeds) for m in noise.mechanisms] == [("mean", 2), ("softmax", 3)]
    assert noise_floor(CONDITIONS, "test", rows=rows) is None


def test_the_order_of_the_data_alone_is_no_seed() -> None:
    other_order = make_training(0, 0.9, order_seed=1)
    row = make_row("mean", [0.40, 0.42])
    crossed = make_row("mean", [], trainings=(*row.trainings, other_order))
    assert noise_floor(CONDITIONS, rows=[crossed]) == noise_floor(CONDITIONS, rows=[row])


@pytest.mark.parametrize("df", [3.0, 12.0])
def test_how_far_variances_differ_is_found_again(df: float) -> None:
    """The degrees of freedom that variances were drawn with, from 5,000 of them."""
    generator = np.random.default_rng(0)
    around = 2.5 * df / generator.chisquare(df, 5_000)
    found = around * generator.chisquare(4, 5_000) / 4
    common = common_variance([(float(value), 4) for value in found])
    assert common.df == pytest.approx(df, rel=0.2)
    assert common.value == pytest.approx(2.5, rel=0.05)


def test_variances_that_are_alike_are_known_as_well_as_can_be() -> None:
    assert common_variance([(1.0, 4), (1.1, 4), (0.9, 4)]) == Variance(pytest.approx(1.0), math.inf)
    rows = [make_row("mean", [0.40, 0.42]), make_row("linear", [0.50, 0.52])]
    noise = noise_floor(CONDITIONS, rows=rows)
    assert noise is not None
    assert noise.common_df == noise.df == 2


def test_references_that_answer_alike_in_every_seed_make_no_noise() -> None:
    noise = noise_floor(CONDITIONS, rows=[make_row("identity", [0.5, 0.5])])
    assert noise is not None
    assert noise.sd == 0.0
    mixed = noise_floor(
        CONDITIONS, rows=[make_row("identity", [0.5, 0.5]), make_row("mean", [0.4, 0.5])]
    )
    assert mixed is not None
    assert mixed.common_df < 2


def test_weights_and_order_are_told_apart() -> None:
    generator = np.random.default_rng(0)
    size, sds = 3, {"weights": 0.02, "order": 0.01, "both": 0.005}
    tables = [
        generator.normal(0.4, sds["both"], (size, size))
        + generator.normal(0, sds["weights"], (size, 1))
        + generator.normal(0, sds["order"], (1, size))
        for _ in range(500)
    ]
    found = split_sources([table.tolist() for table in tables])
    whole = sum(sd**2 for sd in sds.values())
    for name, sd in sds.items():
        assert getattr(found, name) == pytest.approx(sd**2 / whole, abs=0.05)
    assert found.weights_p < 1e-6
    assert found.order_p < 1e-6


def test_squares_of_seeds_are_found_among_the_trainings() -> None:
    cells = [(0, 0, 0.1), (0, 1, 0.2), (1, 0, 0.4), (1, 1, 0.5), (2, 2, 0.9), (0, 2, 0.3)]
    trainings = tuple(make_training(i, a, order_seed=j) for i, j, a in cells)
    noise = noise_floor(CONDITIONS, rows=[make_row("mean", [], trainings=trainings)])
    assert noise is not None
    assert noise.sources is not None
    assert (noise.sources.num_mechanisms, noise.sources.num_trainings) == (1, 4)
    parts = noise.sources.weights + noise.sources.order + noise.sources.both
    assert parts == pytest.approx(1)


# Comparing ------------------------------------------------------------------------------------


def seeds(*accuracies: float) -> dict[int, float]:
    return dict(enumerate(accuracies))


def test_with_enough_seeds_it_is_the_paired_t_interval() -> None:
    from scipy import stats  # takes a second

    one, other = seeds(0.50, 0.53, 0.51, 0.56, 0.54), seeds(0.48, 0.50, 0.51, 0.52, 0.49)
    found = compare(one, other, make_noise(0.5, 100))
    expected = stats.ttest_rel(list(one.values()), list(other.values())).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.verdict, found.floor_df) == ("better", 0)
    assert compare(other, one, None).verdict == "worse"


def test_with_few_seeds_the_floor_helps_and_its_degrees_of_freedom_count() -> None:
    from scipy import stats  # takes a second

    one, other = seeds(0.500, 0.512), seeds(0.480, 0.480)
    assert compare(one, other, None).verdict == "within noise"
    noise = make_noise(0.003, 12)
    found = compare(one, other, noise)
    assert found.verdict == "better"
    spread = (12 * 2 * 0.003**2 + variance([0.020, 0.032])) / 13
    half = stats.t.ppf(0.975, 13) * math.sqrt(spread / 2)
    assert (found.low, found.high) == pytest.approx((0.026 - half, 0.026 + half))
    assert compare(one, other, make_noise(0.03, 12)).verdict == "within noise"


def test_only_common_seeds_count() -> None:
    found = compare({0: 0.5, 1: 0.6, 7: 0.9}, {1: 0.5, 0: 0.5, 3: 0.1}, None)
    assert found.seeds == (0, 1)
    assert found.differences == pytest.approx((0.0, 0.1))


@pytest.mark.parametrize(
    ("one", "other", "noise", "verdict"),
    [
        (seeds(0.5), {7: 0.4}, make_noise(0.001, 50), "too few seeds"),
        (seeds(0.5), seeds(0.4), None, "too few seeds"),
        (seeds(0.5), seeds(0.4), make_noise(0.001, 50), "better"),
        (seeds(0.5, 0.5), seeds(0.5, 0.5), None, "within noise"),
    ],
    ids=["no-common-seed", "one-seed-no-floor", "one-seed", "no-spread"],
)
def test_what_can_be_said_of_few_seeds(
    one: dict[int, float], other: dict[int, float], noise: Noise | None, verdict: str
) -> None:
    assert compare(one, other, noise).verdict == verdict


@pytest.mark.slow
def test_no_difference_is_found_more_often_than_it_should() -> None:
    """Comparisons of equals, with a floor that is itself only estimated, and without one."""
    generator = np.random.default_rng(0)
    for num_seeds in (1, 2, 5):
        wrong = 0
        for _ in range(1500):
            floor = math.sqrt(generator.chisquare(12) / 12)
            one, other = generator.normal(size=(2, num_seeds))
            found = compare(seeds(*one), seeds(*other), make_noise(floor, 12))
            wrong += found.verdict != "within noise"
        assert wrong / 1500 == pytest.approx(0.05, abs=0.017)  # three standard errors


def test_the_detectable_difference_is_seen_four_times_in_five() -> None:
    from scipy import stats  # takes a second

    generator = np.random.default_rng(0)
    effect = detectable_difference(Variance(2.0, 4), 5)
    differences = generator.normal(effect, math.sqrt(2), (20_000, 5))
    seen = stats.ttest_1samp(differences, 0, axis=1, alternative="two-sided").pvalue < 0.05
    assert seen.mean() == pytest.approx(0.8, abs=0.01)


def test_more_seeds_show_smaller_differences() -> None:
    noise = make_noise(0.01, 20)
    visible = [planned_difference(noise, n) for n in (1, 2, 3, 5, 10, 100)]
    assert visible == sorted(visible, reverse=True)
    # Known variance: (1.96 + 0.84) standard errors.
    assert visible[-1] == pytest.approx(2.8 * 0.01 * math.sqrt(2 / 100), rel=0.02)


# The best of many -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_draws", "expected"),
    [(1, 0.0), (2, 1 / math.sqrt(math.pi)), (3, 1.5 / math.sqrt(math.pi)), (100, 2.50759)],
)
def test_the_expected_maximum_is_the_normal_order_statistic(
    num_draws: int, expected: float
) -> None:
    assert expected_maximum(num_draws) == pytest.approx(expected, abs=1e-5)


def test_no_draw_has_no_maximum() -> None:
    with pytest.raises(ValueError, match="at least 1 draw, found 0"):
        expected_maximum(0)


def test_choosing_adds_what_is_taken_off_again() -> None:
    """Equals, of which the best is chosen: the corrected accuracy is right in the mean; where they
    are no equals it is too low, never too high."""
    generator = np.random.default_rng(0)
    noise = make_noise(0.01, 40)
    measured = generator.normal(0.5, 0.01, (20_000, 7)).max(axis=1).mean()
    found = correct(float(measured), 7, noise)
    assert found.corrected == pytest.approx(0.5, abs=2e-4)
    truth = np.linspace(0.45, 0.5, 7)
    draws = truth + generator.normal(0, 0.01, (20_000, 7))
    chosen = draws.argmax(axis=1)
    bias = (draws.max(axis=1) - truth[chosen]).mean()
    assert 0 < bias < selection_bias(7, noise)


# Short trainings ------------------------------------------------------------------------------


def test_a_short_training_has_a_whole_schedule_of_its_own() -> None:
    train = TrainConfig(
        num_steps=250, batch_size=64, learning_rate=1e-3, weight_decay=0.0, evaluate_every=125
    )
    short = shortened(train, 0.1)
    assert (short.num_steps, short.evaluate_every) == (25, 12)
    assert short.warmup_fraction == train.warmup_fraction
    assert shortened(train, 1.0) == train
    least = shortened(train, 1e-9)
    assert (least.num_steps, least.evaluate_every) == (1, 1)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, math.nan])
def test_a_share_is_between_nothing_and_everything(share: float) -> None:
    with pytest.raises(ValueError, match="share of the steps"):
        shortened(RECIPE.train, share)


def test_every_reference_that_was_measured_is_one() -> None:
    assert {row.mechanism for row in read_repeats()} <= set(REFERENCES)


@pytest.mark.slow
def test_what_the_sandbox_trains_is_trained_here_too_and_nothing_twice(tmp_path: Path) -> None:
    """The benchmark from end to end: the same accuracy in the sandbox, which keeps one training,
    and in its own process, which compares its own with that; a second call finds all done."""
    file = tmp_path / "lines.jsonl"
    command = [sys.executable, str(ROOT / "benchmarks" / "noise.py"), "delay-probe"]
    command += ["--mechanisms", "mean", "--shares", "1", "--seeds", "1", "--crossed", "2"]
    command += ["--out", str(tmp_path / "runs"), "--file", str(file)]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(first.stdout.splitlines()) == 5
    (row,) = read_repeats(file)
    seeds = [(t.seed, t.order_seed) for t in row.trainings]
    assert seeds == [(0, 0), (0, 1), (1, 0), (1, 1)]
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(again.stdout.splitlines()) == 1  # the comparison, once more
    assert read_repeats(file) == [row]
