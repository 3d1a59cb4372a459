"""The probes: each is solved by its stated oracle and by nothing that knows less."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks import copying, delay, recall, stream
from tasks.copying import COPYING
from tasks.delay import DELAY_PROBE
from tasks.recall import RECALL
from tasks.task import UNLABELLED, Examples, Task

PROBES = {task.id: task for task in (RECALL, COPYING, DELAY_PROBE)}
every_probe = pytest.mark.parametrize("task", PROBES.values(), ids=PROBES)


def rows(examples: Examples, values: NDArray[np.generic]) -> list[list[int]]:
    return [part.tolist() for part in np.split(values, examples.offsets[1:-1])]


def recall_oracle(tokens: list[int]) -> list[int]:
    symbols = [RECALL.vocabulary[token] for token in tokens]
    pairs = dict(symbol.split("=") for symbol in symbols if "=" in symbol)
    return [int(pairs[symbol[0]]) if symbol.endswith("?") else UNLABELLED for symbol in symbols]


def copying_oracle(tokens: list[int]) -> list[int]:
    symbols = [token - 1 for token in tokens if COPYING.vocabulary[token] not in ".>"]
    return [UNLABELLED] * (len(tokens) - len(symbols)) + symbols


def delay_oracle(tokens: list[int]) -> list[int]:
    return [UNLABELLED] * 11 + [token - 1 for token in tokens[:-11]]


ORACLES = {
    "recall-probe": recall_oracle,
    "copying-probe": copying_oracle,
    "delay-probe": delay_oracle,
}


@every_probe
def test_the_oracle_is_exact(task: Task) -> None:
    examples = task.draw(137, 0, 1009)
    found = rows(examples, examples.labels)
    assert found == [ORACLES[task.id](tokens) for tokens in rows(examples, examples.tokens)]


@every_probe
def test_every_class_is_as_frequent(task: Task) -> None:
    labels = task.draw(139, 0, 4001).labels
    counts = np.bincount(labels[labels != UNLABELLED], minlength=task.num_classes)
    expected = counts.sum() * task.chance
    assert len(counts) == task.num_classes
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


@every_probe
def test_an_example_depends_on_seed_and_index_alone(task: Task) -> None:
    whole, part = task.draw(149, 0, 43), task.draw(149, 17, 5)
    assert rows(part, part.tokens) == rows(whole, whole.tokens)[17:22]
    assert rows(part, part.labels) == rows(whole, whole.labels)[17:22]
    other = task.draw(151, 17, 5)
    assert rows(other, other.tokens) != rows(part, part.tokens)


@every_probe
def test_the_example_in_the_docstring(task: Task) -> None:
    example = task.draw(0, 0, 1)
    symbols = [task.vocabulary[token] for token in example.tokens]
    names = [str(label) for label in range(16)] if task is RECALL else task.vocabulary[1:]
    labels = ["_" if label == UNLABELLED else names[label] for label in example.labels]
    lines = (sys.modules[task.draw.__module__].__doc__ or "").split("\n")
    shown = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("    ")}
    if task is RECALL:
        assert shown == {"tokens": symbols, "labels": labels}
    else:
        assert shown == {"tokens": ["".join(symbols)], "labels": ["".join(labels)]}


def test_recall_has_every_key_once_then_different_queries() -> None:
    num_queries = set()
    examples = RECALL.draw(157, 0, 1009)
    for tokens in rows(examples, examples.tokens):
        symbols = [RECALL.vocabulary[token] for token in tokens]
        queries = symbols[recall.NUM_KEYS :]
        assert sorted(symbol[0] for symbol in symbols[: recall.NUM_KEYS]) == list("abcdefgh")
        assert len(set(queries)) == len(queries)
        num_queries.add(len(queries))
    assert num_queries == {4, 5, 6, 7, 8}


def test_recall_asks_for_every_place_alike() -> None:
    """A shortcut that always answers with the pair at one place stays at 1/8 + 7/8 of chance."""
    examples = RECALL.draw(163, 0, 4001)
    tokens = examples.tokens[examples.offsets[:-1, None] + np.arange(9)].astype(int)
    keys = (tokens[:, :8] - 1) // recall.NUM_VALUES
    asked = tokens[:, 8:] - 1 - recall.NUM_KEYS * recall.NUM_VALUES
    counts = (keys == asked).sum(axis=0)
    assert np.abs(counts - 4001 / 8).max() < 5 * np.sqrt(4001 / 8)


def test_copying_places_symbols_everywhere() -> None:
    tokens = COPYING.draw(167, 0, 4001).tokens.reshape(-1, copying.LENGTH)
    is_symbol = tokens <= copying.NUM_SYMBOLS
    assert (is_symbol.sum(axis=1) == copying.NUM_COPIED).all()
    shares = is_symbol.mean(axis=0)
    assert not is_symbol[:, 34:].any()
    assert np.abs(shares[:34] - 6 / 34).max() < 5 * np.sqrt(6 / 34 / 4001)


def test_delay_has_37_labels() -> None:
    labels = DELAY_PROBE.draw(173, 0, 11).labels.reshape(-1, delay.LENGTH)
    assert ((labels != UNLABELLED).sum(axis=1) == 37).all()


def test_the_stream_is_splitmix64() -> None:
    """The published first outputs of splitmix64 from state 0, which example 0 of seed 0 has."""
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert stream.words(0, 0, 1, 3).tolist() == [expected]
