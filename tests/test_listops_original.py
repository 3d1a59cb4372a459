"""The ListOps generator against the Long Range Arena's own: nothing tells their examples apart."""

from __future__ import annotations

import dataclasses
import json
import runpy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import listops
from tasks.listops import LRA, draw
from tasks.task import Examples

ROOT = Path(__file__).parent.parent
ORIGINAL = ROOT / "tests" / "data" / "listops_original.json"
TREES_GROWN = json.loads(ORIGINAL.read_text())["about"]["trees_grown"]
NUM_CHANGED = 2003
PLAUSIBLE = 0.001


@pytest.fixture(scope="module")
def benchmark() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "listops_generator.py"))


@pytest.fixture(scope="module")
def two_samples() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "listops_statistics.py"))


def measure(two_samples: dict[str, Any], examples: Examples) -> Any:
    return two_samples["measure"](examples.tokens, examples.offsets, examples.labels)


@pytest.fixture(scope="module")
def original(two_samples: dict[str, Any]) -> Any:
    return two_samples["load"](ORIGINAL)


def within(found: float, expected: float, sizes: tuple[int, ...]) -> bool:
    """Whether two shares differ by no more than the sampling error of both samples."""
    error = np.sqrt(expected * (1 - expected) * sum(1 / size for size in sizes))
    return bool(abs(found - expected) <= 4 * error)


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_ours_cannot_be_told_from_the_originals(
    two_samples: Any, original: Any, count: int
) -> None:
    """With this threshold the nine tests together would fail for one seed in a hundred."""
    p_values = two_samples["compare"](measure(two_samples, draw(LRA, 0, 0, count)), original)
    assert {statistic: p for statistic, p in p_values.items() if p < PLAUSIBLE} == {}


def with_constant(**changes: Any) -> Examples:
    return draw(dataclasses.replace(LRA, **changes), 0, 0, NUM_CHANGED)


def with_token(old: str, new: str) -> Examples:
    """The examples of LRA's grammar with one token in ten of a kind replaced by another."""
    examples = draw(LRA, 0, 0, NUM_CHANGED)
    changed = np.flatnonzero(examples.tokens == listops.VOCABULARY.index(old))[::10]
    examples.tokens[changed] = listops.VOCABULARY.index(new)
    return examples


def with_median_of_root_raised() -> Examples:
    """The examples of LRA's grammar, where a median at the root is one more, if a digit still."""
    examples = draw(LRA, 0, 0, NUM_CHANGED)
    is_median = examples.tokens[examples.offsets[:-1]] == listops.VOCABULARY.index("[MED")
    examples.labels[is_median & (examples.labels < 9)] += 1
    return examples


NODES = ("length", "operators per example", "operators per level", "arguments", "operators")
CHANGES: dict[str, tuple[Callable[[], Examples], tuple[str, ...]]] = {
    "operator probability 0.26": (partial(with_constant, operator_probability=0.26), NODES),
    "9 arguments": (partial(with_constant, max_arguments=9), NODES),
    "8 levels": (partial(with_constant, levels=8), (*NODES, "depth", "digits")),
    "length from 561": (partial(with_constant, min_length=561), ("length",)),
    "operators": (partial(with_token, "[MIN", "[MAX"), ("operators",)),
    "digits": (partial(with_token, "9", "8"), ("digits",)),
    "values": (with_median_of_root_raised, ("label", "label by root")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_told_apart(two_samples: Any, original: Any, change: str) -> None:
    make, statistics_that_show = CHANGES[change]
    p_values = two_samples["compare"](measure(two_samples, make()), original)
    assert max(p_values[statistic] for statistic in statistics_that_show) < 1e-6


def test_every_statistic_can_tell_some_change_apart(original: Any, two_samples: Any) -> None:
    shown = {
        statistic
        for _, statistics_that_show in CHANGES.values()
        for statistic in statistics_that_show
    }
    assert shown == set(two_samples["compare"](original, original))


def test_statistics_of_two_small_trees(two_samples: Any) -> None:
    texts = ("[MAX 3 [SM 7 7 ] 1 ]", "[MED [MIN 4 [MIN 5 6 ] ] 7 8 ]")
    parts = [[listops.VOCABULARY.index(symbol) for symbol in text.split()] for text in texts]
    found = two_samples["measure"](
        np.array(parts[0] + parts[1], np.uint8),
        np.array([0, len(parts[0]), len(parts[0]) + len(parts[1])]),
        np.array([4, 7], np.int16),
    )
    values = {key: np.flatnonzero(found.histograms[key]).tolist() for key in found.histograms}
    assert values == {
        "length": [8, 11],
        "depth": [2, 3],
        "operators per example": [2, 3],
        "label": [4, 7],
    }
    assert np.argwhere(found.labels_by_root).tolist() == [[1, 4], [2, 7]]
    sums = {key: moments.sum for key, moments in found.moments.items()}
    assert sums["operators"] == [2, 1, 1, 1]
    assert sums["digits"] == [0, 1, 0, 1, 1, 1, 1, 3, 1, 0]
    assert sums["arguments"] == [3, 2, 0, 0, 0, 0, 0, 0, 0]
    assert sums["operators per level"] == [2, 1, 0, 0, 0, 0, 0, 0]
    assert found.moments["operators"].products[0] == [4, 0, 2, 0]  # MIN with MIN, MAX, MED, SM


def test_as_many_trees_pass_the_filter_as_of_the_original(original: Any) -> None:
    """About one in twelve; trees beyond 10,000 tokens hardly exist."""
    everything = dataclasses.replace(LRA, min_length=1, max_length=10_000)
    lengths = draw(everything, 107, 0, 20_011).lengths
    kept = ((lengths > 500) & (lengths < 2000)).mean()
    assert within(float(kept), original.num_examples / TREES_GROWN, (len(lengths), TREES_GROWN))


def test_the_twin_is_as_the_original(benchmark: Any, original: Any) -> None:
    from scipy import stats  # takes a second

    twin = benchmark["twin_sample"](103, 251)
    kept = len(twin.labels) / twin.num_trees
    lengths = np.repeat(np.arange(2000), original.histograms["length"])
    labels = [np.bincount(twin.labels, minlength=10), original.histograms["label"]]
    assert within(kept, original.num_examples / TREES_GROWN, (twin.num_trees, TREES_GROWN))
    assert stats.ks_2samp(twin.lengths, lengths).pvalue > PLAUSIBLE
    assert stats.chi2_contingency(labels).pvalue > PLAUSIBLE


STAND_IN = """
from absl import flags
import tensorflow.compat.v1 as tf

flags.DEFINE_integer('max_depth', default=2, help='')
flags.DEFINE_integer('max_args', default=3, help='')
flags.DEFINE_integer('min_length', default=3, help='')
flags.DEFINE_integer('max_length', default=5, help='')
lengths = iter([5, 4, 3, 4])

def generate_tree(depth, max_depth, max_args):
    assert (depth, max_depth, max_args) == (1, 2, 3)
    return 'tree', next(lengths)

def to_string(tree):
    return '( ( ( [MAX 3 ) 4 ) ] )'

def to_value(tree):
    return 4
"""


def test_the_original_is_used_as_its_main_uses_it(
    benchmark: Any, two_samples: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    path, output = tmp_path / "listops.py", tmp_path / "summary.json"
    path.write_text(STAND_IN)
    generator = benchmark["load_original"](path)
    benchmark["summarise"](generator, path, output, 2)
    found = two_samples["load"](output)
    assert generator.num_trees == 4
    assert found.histograms["length"][4] == found.num_examples == 2
    assert found.labels_by_root[1][4] == 2


def test_another_file_is_not_taken_for_the_original(benchmark: Any) -> None:
    with pytest.raises(ValueError, match="no generate_tree, to_string, to_value"):
        benchmark["load_original"](ROOT / "tasks" / "stream.py")
