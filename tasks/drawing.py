"""Draws many examples from a task's stream, no two alike, on several processes when that pays."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from itertools import pairwise, repeat

import numpy as np
from numpy.typing import NDArray

from lra_design.errors import DataError
from tasks.task import Examples, Task

CHUNK = 500
"""Examples drawn in one piece."""
POOL_PAYS_SECONDS = 15.0
"""Work that one process does in less is not worth starting others, which takes seconds each."""
MAX_DRAWN = 100
"""Indices tried per example wanted, before the generator is taken to have no more examples."""

DrawParts = Callable[[int, int, int], Iterable[Examples]]
"""`(seed, start, count)` -> the examples start..start+count, in parts, in order."""


def draw_distinct(
    task: Task,
    seed: int,
    count: int,
    seen: set[bytes],
    progress: Callable[[int, int], None] | None = None,
    num_workers: int | None = None,
) -> Examples:
    """The first `count` examples of a stream that are neither alike nor in `seen`.

    seen: fingerprints; those of the examples drawn are added. num_workers: processes to draw with,
    None to find out; the examples do not depend on it. Raises DataError when the generator has too
    few different examples.
    """
    parts: list[Examples] = []
    start = num_found = 0
    with _drawing(task, seed, count, num_workers) as draw_parts:
        while num_found < count:
            if start > MAX_DRAWN * count:
                raise DataError(
                    f"'{task.generator}' has too few different examples for {task.id}: expected "
                    f"{count}, found {num_found} in {start}. Ask for fewer, or widen its constants."
                )
            missing = count - num_found
            for part in draw_parts(seed, start, missing):
                parts.append(_select(part, _mark_new(part, seen), task.labels == "position"))
                num_found += len(parts[-1])
                if progress:
                    progress(num_found, count)
            start += missing
    return _join(parts)


def fingerprints(examples: Examples) -> Iterator[bytes]:
    """A 128-bit hash of each token sequence."""
    tokens = np.asarray(examples.tokens)  # slices of a memory map are slow
    for begin, end in pairwise(examples.offsets.tolist()):
        yield hashlib.blake2b(tokens[begin:end].tobytes(), digest_size=16).digest()


@contextmanager
def _drawing(task: Task, seed: int, count: int, num_workers: int | None) -> Iterator[DrawParts]:
    """How to draw: in this process, or in a pool of others."""
    num_workers = num_workers or _count_workers(task, seed, count)
    if num_workers == 1:
        yield partial(_draw_parts, map, task.draw)
        return
    # A forked process would inherit the threads of numba and torch in the middle of their work.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context) as pool:
        try:
            yield partial(_draw_parts, pool.map, task.draw)
        except BrokenProcessPool as error:
            raise DataError(
                f"a process that draws examples of {task.id} died: {error}. "
                "Free some memory; a script that loads a split needs `if __name__ == '__main__':`."
            ) from error


def _draw_parts(
    apply: Callable[..., Iterable[Examples]],
    draw: Callable[[int, int, int], Examples],
    seed: int,
    start: int,
    count: int,
) -> Iterable[Examples]:
    starts = range(start, start + count, CHUNK)
    counts = [min(CHUNK, start + count - begin) for begin in starts]
    return apply(draw, repeat(seed), starts, counts)


def _count_workers(task: Task, seed: int, count: int) -> int:
    """1, or the number of processors when the work, judged by a few examples, is long enough."""
    sample = min(count, 20)
    seconds = []
    for _ in range(4):  # the first call compiles what is compiled on first use
        began = time.process_time()  # what else runs on the machine must not start a pool
        task.draw(seed, 0, sample)
        seconds.append(time.process_time() - began)
    return (os.cpu_count() or 1) if min(seconds) * count / sample > POOL_PAYS_SECONDS else 1


def _mark_new(examples: Examples, seen: set[bytes]) -> NDArray[np.bool_]:
    """Which examples are not in `seen`, `(number of examples,)`; adds them."""
    new = np.zeros(len(examples), np.bool_)
    for i, fingerprint in enumerate(fingerprints(examples)):
        new[i] = fingerprint not in seen
        seen.add(fingerprint)
    return new


def _select(examples: Examples, chosen: NDArray[np.bool_], label_per_token: bool) -> Examples:
    if chosen.all():
        return examples
    chosen_tokens = np.repeat(chosen, examples.lengths)
    return Examples(
        tokens=examples.tokens[chosen_tokens],
        offsets=_offsets(examples.lengths[chosen]),
        labels=examples.labels[chosen_tokens if label_per_token else chosen],
    )


def _join(parts: list[Examples]) -> Examples:
    return Examples(
        tokens=np.concatenate([part.tokens for part in parts]),
        offsets=_offsets(np.concatenate([part.lengths for part in parts])),
        labels=np.concatenate([part.labels for part in parts]),
    )


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
