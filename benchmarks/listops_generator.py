"""Speed of the compiled ListOps generator against its plain twin.

    python benchmarks/listops_generator.py

The twin follows the generator of the Long Range Arena step by step: it builds the whole tree by
recursion, measures it, evaluates it and only then decides. The tests compare the distributions of
the two.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

OPERATORS = ("MIN", "MAX", "MED", "SM")
MAX_DEPTH = 10
MAX_ARGUMENTS = 10
OPERATOR_PROBABILITY = 0.25
NUM_TWIN = 1_000
NUM_COMPILED = 20_000
IMPORT_AND_COMPILE = """
import time
from tasks import listops
began = time.perf_counter()
listops.draw(listops.LRA, 0, 0, 1)
print(time.perf_counter() - began)
"""


@dataclass(frozen=True)
class Tree:
    operator: str
    arguments: list[Tree | int]


@dataclass(frozen=True)
class TwinSample:
    lengths: list[int]
    labels: list[int]
    num_trees: int
    """How many trees were grown for them."""


def twin_sample(seed: int, count: int) -> TwinSample:
    """`count` examples that pass LRA's filter on the length."""
    source = random.Random(seed)
    lengths: list[int] = []
    labels: list[int] = []
    num_trees = 0
    while len(lengths) < count:
        tree, length = _grow(source, depth=1)
        num_trees += 1
        if 500 < length < 2000:
            lengths.append(length)
            labels.append(_evaluate(tree))
    return TwinSample(lengths, labels, num_trees)


def _grow(source: random.Random, depth: int) -> tuple[Tree | int, int]:
    if depth == MAX_DEPTH or source.random() > OPERATOR_PROBABILITY:
        return source.randrange(10), 1
    arguments, length = [], 2
    for _ in range(source.randint(2, MAX_ARGUMENTS)):
        argument, argument_length = _grow(source, depth + 1)
        arguments.append(argument)
        length += argument_length
    return Tree(source.choice(OPERATORS), arguments), length


def _evaluate(tree: Tree | int) -> int:
    if isinstance(tree, int):
        return tree
    values = [_evaluate(argument) for argument in tree.arguments]
    if tree.operator == "MED":
        return int(statistics.median(values))
    if tree.operator == "SM":
        return sum(values) % 10
    return min(values) if tree.operator == "MIN" else max(values)


def main() -> None:
    from tasks import listops

    with tempfile.TemporaryDirectory() as cache:
        for state in ("cold", "with cache"):
            run = subprocess.run(
                [sys.executable, "-c", IMPORT_AND_COMPILE],
                env={"NUMBA_CACHE_DIR": cache},
                capture_output=True,
                check=True,
                text=True,
            )
            print(f"import numba and compile, {state}: {float(run.stdout):.2f} s")

    began = time.process_time()
    twin_sample(1, NUM_TWIN)
    twin_rate = NUM_TWIN / (time.process_time() - began)
    listops.draw(listops.LRA, 0, 0, 1)
    began = time.process_time()
    listops.draw(listops.LRA, 1, 0, NUM_COMPILED)
    rate = NUM_COMPILED / (time.process_time() - began)
    print(f"plain twin: {twin_rate:,.0f} examples per second of one core")
    print(f"compiled: {rate:,.0f} examples per second, {rate / twin_rate:.0f} times the twin")


if __name__ == "__main__":
    main()
