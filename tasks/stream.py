"""Random words that depend on a seed, an index and a position alone, the same on every machine.

Word `p` (from 1) of example `index` is `mix(mix(seed) + index + p * GAMMA)`, which is splitmix64
(Steele, Lea and Flood 2014, doi:10.1145/2714064.2660195) with one starting point per example.
NumPy's own generators are not used because their streams may change from release to release, and
a split must not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GAMMA = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB

Words = NDArray[np.uint64]


def words(seed: int, start: int, count: int, width: int) -> Words:
    """The first `width` words of the examples start..start+count, `(count, width)`.

    seed: any integer, taken modulo 2**64.
    """
    seed_1 = np.array([seed % 2**64], dtype=np.uint64)
    index_B1 = np.arange(start, start + count, dtype=np.uint64)[:, None]
    position_L = np.arange(1, width + 1, dtype=np.uint64)
    return _mix(_mix(seed_1) + index_B1 + position_L * np.uint64(GAMMA))


def below(limit: int, drawn: Words) -> NDArray[np.int64]:
    """Integers in [0, limit), one per word, uniform to within limit / 2**32."""
    return (((drawn >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32)).astype(np.int64)


def shuffled(drawn: Words) -> NDArray[np.int64]:
    """A random order of 0..width for each row of words, shape as `drawn`."""
    return np.argsort(drawn, axis=1, kind="stable")


def _mix(z: Words) -> Words:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_2)
    return z ^ (z >> np.uint64(31))
