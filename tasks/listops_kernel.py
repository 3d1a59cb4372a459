"""The compiled part of the ListOps generator; imported on first use, because numba takes a second.

Trees are grown depth first with an explicit stack, written in prefix order as they grow and
evaluated as their brackets close. A tree is dropped as soon as it cannot fit any more. The random
words are those of `tasks.stream`, written out again here: numba's cache notices changes of this
file alone, so the kernel must not depend on the source of another one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
# numba turns uint64 combined with int64 into a float: every constant of the stream is uint64.
_U27, _U30, _U31, _U32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_LOW_HALF = np.uint64(0xFFFFFFFF)

# Token ids, in the order of the vocabulary in tasks/listops.py.
_MIN, _MAX, _MED = 1, 2, 3
_CLOSE = 5
_ZERO = 6
_NUM_OPERATORS = np.uint64(4)
_NUM_DIGITS = np.uint64(10)

_FILL_SIGNATURE = (
    "void(uint64, uint64, int64, int64, int64, uint64, int64, int64,"
    "uint8[::1], int64[::1], int16[::1])"
)


@functools.cache
def compiled_fill() -> Callable[..., None]:
    """The compiled `_fill`, from the cache on disk when there is one that can be used."""
    try:
        return _compile(cache=True)
    except (OSError, RuntimeError):  # numba finds no folder that it may write its cache to
        return _compile(cache=False)


def _compile(*, cache: bool) -> Callable[..., None]:
    fill: Callable[..., None] = numba.njit(_FILL_SIGNATURE, cache=cache)(_fill)
    return fill


def _mix_source(z: Any) -> Any:
    z = (z ^ (z >> _U30)) * _MIX_1
    z = (z ^ (z >> _U27)) * _MIX_2
    return z ^ (z >> _U31)


def _middle_source(values: NDArray[np.int64], row: int, count: int) -> Any:
    """Integer part of the median of the first `count` values of a row, which it sorts."""
    for i in range(1, count):
        value, j = values[row, i], i
        while j > 0 and values[row, j - 1] > value:
            values[row, j] = values[row, j - 1]
            j -= 1
        values[row, j] = value
    return (values[row, (count - 1) // 2] + values[row, count // 2]) // 2


def _evaluate_source(operator: int, values: NDArray[np.int64], row: int, count: int) -> Any:
    """The digit an operator makes of the first `count` values of a row.

    Slices and array methods would make the whole generator half as fast.
    """
    if operator == _MED:
        return _middle(values, row, count)
    result = values[row, 0]
    for i in range(1, count):
        if operator == _MIN:
            result = min(result, values[row, i])
        elif operator == _MAX:
            result = max(result, values[row, i])
        else:
            result += values[row, i]
    return result % 10  # the sum; the others are digits already


_mix: Any = numba.njit(_mix_source)
_middle: Any = numba.njit(_middle_source)
_evaluate: Any = numba.njit(_evaluate_source)


def _grow_source(
    state: Any,
    levels: int,
    max_arguments: int,
    operator_threshold: Any,
    max_length: int,
    tokens: NDArray[np.uint8],
    operators: NDArray[np.int64],
    wanted: NDArray[np.int64],
    found: NDArray[np.int64],
    values: NDArray[np.int64],
) -> Any:
    """One tree, written to `tokens`: (state of the stream, length or 0 when too long, value)."""
    length, level, owed = 0, 0, 1  # owed: the fewest tokens that are still to come
    while True:
        state += _GAMMA
        word = _mix(state)
        if level < levels and (word >> _U32) < operator_threshold:
            state += _GAMMA
            choice = _mix(state)
            operator = 1 + int(np.int64(((choice & _LOW_HALF) * _NUM_OPERATORS) >> _U32))
            count = 2 + int(np.int64(((choice >> _U32) * np.uint64(max_arguments - 1)) >> _U32))
            tokens[length] = operator
            length += 1
            owed += count
            if length + owed > max_length:
                return state, 0, 0
            operators[level], wanted[level], found[level] = operator, count, 0
            level += 1
            continue
        value = int(np.int64(((word & _LOW_HALF) * _NUM_DIGITS) >> _U32))
        tokens[length] = _ZERO + value
        length += 1
        owed -= 1
        while level > 0:
            top = level - 1
            values[top, found[top]] = value
            found[top] += 1
            if found[top] < wanted[top]:
                break
            value = _evaluate(operators[top], values, top, wanted[top])
            tokens[length] = _CLOSE
            length += 1
            owed -= 1
            level = top
        if level == 0:
            return state, length, value


_grow: Any = numba.njit(_grow_source)


def _fill(
    seed: Any,
    start: Any,
    count: int,
    levels: int,
    max_arguments: int,
    operator_threshold: Any,
    min_length: int,
    max_length: int,
    tokens: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    labels: NDArray[np.int16],
) -> None:
    """Write the examples start..start+count; `tokens` has room for count * max_length."""
    operators = np.empty(levels, np.int64)
    wanted = np.empty(levels, np.int64)
    found = np.empty(levels, np.int64)
    values = np.empty((levels, max_arguments), np.int64)
    offsets[0] = 0
    for i in range(count):
        state = _mix(seed) + start + np.uint64(i)
        room = tokens[offsets[i] :]
        length, value = 0, 0
        while length < min_length:
            state, length, value = _grow(
                state,
                levels,
                max_arguments,
                operator_threshold,
                max_length,
                room,
                operators,
                wanted,
                found,
                values,
            )
        offsets[i + 1] = offsets[i] + length
        labels[i] = value
