"""The ListOps generator: its grammar, its shortcuts and what does and does not change it."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lra_design.home import HOME_VARIABLE
from tasks import listops, listops_depth
from tasks.listops import LRA, MINI, Grammar, draw
from tasks.splits.storage import split_hash
from tasks.stream import below, words
from tasks.task import Examples

ROOT = Path(__file__).parent.parent
NUM_EXAMPLES = 3001
PUBLISHED_EXAMPLES = 6000  # the published figures are measured on a sample, too


@pytest.fixture(scope="module")
def examples() -> Examples:
    return draw(LRA, 101, 0, NUM_EXAMPLES)


def sequences(examples: Examples, count: int | None = None) -> list[list[int]]:
    """The first `count` of them, or all."""
    borders = pairwise(examples.offsets[: (count or len(examples)) + 1])
    return [examples.tokens[begin:end].tolist() for begin, end in borders]


def evaluate(symbols: list[str]) -> int:
    """The value of an expression, read by recursive descent; fails unless it is exactly one."""
    rest = iter(symbols)
    value = evaluate_from(next(rest), rest)
    assert list(rest) == []
    return value


def evaluate_from(head: str, rest: Iterator[str]) -> int:
    if head.isdigit():
        return int(head)
    values = []
    while (symbol := next(rest)) != "]":
        values.append(evaluate_from(symbol, rest))
    assert len(values) >= 2
    if head == "[MED":
        return int(statistics.median(values))
    if head == "[SM":
        return sum(values) % 10
    return {"[MIN": min, "[MAX": max}[head](values)


def within(found: float, expected: float, sizes: tuple[int, ...], sigmas: float = 4.0) -> bool:
    """Whether two shares differ by no more than the sampling error of both samples."""
    error = np.sqrt(expected * (1 - expected) * sum(1 / size for size in sizes))
    return bool(abs(found - expected) <= sigmas * error)


@pytest.mark.parametrize(
    ("levels", "accuracy"),
    [(0, 0.365), (1, 0.589), (2, 0.739), (3, 0.836), (5, 0.936)],
    ids=lambda value: str(value),
)
def test_shortcut_ladder(examples: Examples, levels: int, accuracy: float) -> None:
    """The rungs of the ladder that published accuracies line up with.

    A shortcut with k levels evaluates the first k levels of operators; every operator below is
    taken for one digit: MIN for 0, MAX for 9, MED for 4, SM for 4. With k = 0 it reads the root
    operator alone; one level is the root operator and its direct arguments.
    """
    size = 1009
    answers = [
        listops_depth.shortcut_answer(tokens, levels) for tokens in sequences(examples, size)
    ]
    found = float((np.array(answers) == examples.labels[:size]).mean())
    assert within(found, accuracy, (size, PUBLISHED_EXAMPLES))
    assert within(found, listops_depth.LADDER[levels], (size, 20_000))


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_shortcut_ladder_of_the_mini(levels: int) -> None:
    size = 2003
    examples = listops.draw(listops.MINI, 7, 0, size)
    answers = [
        listops_depth.shortcut_answer(tokens, levels) for tokens in sequences(examples, size)
    ]
    found = float((np.array(answers) == examples.labels).mean())
    assert within(found, listops_depth.MINI_LADDER[levels], (size, 20_000))


def test_majority_class(examples: Examples) -> None:
    found = np.bincount(examples.labels).max() / len(examples)
    assert within(found, listops.LISTOPS.chance, (NUM_EXAMPLES, PUBLISHED_EXAMPLES))


def test_the_shortcut_through_all_levels_is_exact(examples: Examples) -> None:
    some = sequences(examples, 101)
    answers = [listops_depth.shortcut_answer(tokens, LRA.levels) for tokens in some]
    assert answers == examples.labels[:101].tolist()


def test_the_shortcut_refuses_half_an_expression() -> None:
    with pytest.raises(ValueError, match="complete"):
        listops_depth.shortcut_answer([1, 7, 8], 1)


@pytest.mark.parametrize("grammar", [LRA, MINI], ids=["v1", "mini"])
def test_labels_are_the_values(grammar: Grammar) -> None:
    examples = draw(grammar, 109, 0, 701)
    for tokens, label in zip(sequences(examples), examples.labels, strict=True):
        assert evaluate([listops.VOCABULARY[token] for token in tokens]) == label


@pytest.mark.parametrize("grammar", [LRA, MINI], ids=["v1", "mini"])
def test_the_grammar_is_kept_and_used_up(grammar: Grammar) -> None:
    examples = draw(grammar, 113, 0, 701)
    deepest, counts = 0, set()
    for tokens in sequences(examples):
        open_counts: list[int] = []
        for token in tokens:
            symbol = listops.VOCABULARY[token]
            if symbol == "]":
                counts.add(open_counts.pop())
            elif open_counts:
                open_counts[-1] += 1
            if symbol.startswith("["):
                open_counts.append(0)
            deepest = max(deepest, len(open_counts))
    assert deepest == grammar.levels
    assert counts == set(range(2, grammar.max_arguments + 1))
    assert grammar.min_length <= examples.lengths.min()
    assert examples.lengths.max() <= grammar.max_length


def plain_tree(stream: Any, levels: int, max_arguments: int) -> list[int]:
    """The tokens a tree has when its decisions follow `stream`, a generator of words."""
    word = next(stream)
    if levels == 0 or int(word) >> 32 >= round(0.5 * 2**32):
        return [6 + ((int(word) % 2**32) * 10 >> 32)]
    choice = next(stream)
    count = 2 + int(below(max_arguments - 1, choice))
    operator = 1 + ((int(choice) % 2**32) * 4 >> 32)
    arguments = [plain_tree(stream, levels - 1, max_arguments) for _ in range(count)]
    return [operator, *(token for argument in arguments for token in argument), 5]


def test_the_kernel_decides_by_the_words_of_the_stream() -> None:
    grammar = Grammar(
        levels=3, max_arguments=5, operator_probability=0.5, min_length=11, max_length=251
    )
    seed = 2**64 - 59  # no room for signed arithmetic
    for index, tokens in enumerate(sequences(draw(grammar, seed, 0, 31))):
        stream = iter(words(seed, index, 1, 10_007)[0])
        expected: list[int] = []
        while len(expected) < grammar.min_length:
            expected = plain_tree(stream, grammar.levels, grammar.max_arguments)
        assert tokens == expected


@pytest.mark.parametrize("grammar", [LRA, MINI], ids=["v1", "mini"])
def test_an_example_depends_on_seed_and_index_alone(grammar: Grammar) -> None:
    whole = draw(grammar, 127, 0, 43)
    part = draw(grammar, 127, 17, 5)
    assert sequences(part) == sequences(whole)[17:22]
    assert part.labels.tolist() == whole.labels[17:22].tolist()
    assert sequences(draw(grammar, 131, 17, 5)) != sequences(part)


def test_the_example_in_the_docstring() -> None:
    example = draw(MINI, 0, 0, 1)
    text = " ".join(listops.VOCABULARY[token] for token in example.tokens)
    assert f"    {text}  ->  {example.labels[0]}\n" in (listops.__doc__ or "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": 0}, "at least 1 level"),
        ({"max_arguments": 1}, "at least 2 arguments"),
        ({"operator_probability": 0.0}, "operator probability"),
        ({"min_length": 33}, "min_length <= max_length"),
        ({"min_length": 107, "max_length": 109}, "106 tokens of the largest tree"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_a_grammar_without_examples_is_refused(change: dict[str, Any], message: str) -> None:
    constants = {
        "levels": 3,
        "max_arguments": 4,
        "operator_probability": 0.35,
        "min_length": 6,
        "max_length": 32,
    }
    with pytest.raises(ValueError, match=message):
        Grammar(**(constants | change))


@pytest.mark.slow
def test_the_training_split_is_what_is_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    assert split_hash(listops.LISTOPS, "train") == listops.LISTOPS.hashes["train"]


@pytest.mark.slow
def test_without_a_cache_folder_it_compiles_all_the_same() -> None:
    code = "from tasks import listops; print(*listops.draw(listops.MINI, 0, 0, 3).labels)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"NUMBA_CACHE_DIR": "/dev/null/no-folder"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [str(label) for label in draw(MINI, 0, 0, 3).labels]
