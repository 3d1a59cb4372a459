"""What a fingerprint says of a mechanism: every feature, in one line.

*Influence* of position s upon t is the size of the derivative of output t by input s. *Change*
between two outputs is 0 when they are equal, 1 when they are unrelated, 1.41 when opposite.
A *degree* is the power of a factor with which the output grows when inputs grow by the factor.
"""

from __future__ import annotations

BEHIND = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32), (33, 64), (65, 96))
AHEAD = ((1, 1), (2, 4), (5, 16), (17, 64))
FAR = ((1, 128), (129, 256), (257, 512), (513, 768))
"""Bins of lags, both ends included; `FAR` is seen from within a long input."""
SCALES = (0.01, 0.5, 2.0, 100.0)
PERIODS = (2, 4, 8)
STEPS = (1, 4, 16)
REGIONS = ("before", "itself", "between", "query", "after")
"""Inputs that are drawn anew, as seen from an influence of s upon t > s: before s, at s, between s
and t, at t, after t."""


def _lags(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low}-{high}"


INFLUENCE = {
    "self_share": "share of a position's own input in all influence upon it",
    "ahead_share": "share of later inputs in all influence upon a position",
    **{
        f"behind_{_lags(low, high)}": f"log10 influence from {_lags(low, high)} back, 0 = average"
        for low, high in BEHIND
    },
    **{
        f"ahead_{_lags(low, high)}": f"log10 influence from {_lags(low, high)} ahead, 0 = average"
        for low, high in AHEAD
    },
    **{
        f"far_{_lags(low, high)}": f"log10 influence from {_lags(low, high)} back over 1,024"
        for low, high in FAR
    },
    "far_none": "share of the positions in sight over 1,024 without any influence",
    "far_ahead": "log10 influence of the last quarter of 1,024, seen from before it",
    "first": "log10 influence of the first position, 0 = average",
    "first_four": "log10 influence of the first four positions, 0 = average",
    "none": "share of the positions in sight without any influence",
    "breadth": "share of the positions in sight that the influence is spread over",
    "stationarity": "share of the variation of log influence that the lag alone explains",
    "stripes": "share of its remaining variation that the position it comes from explains",
    **{
        f"period_{period}": f"autocorrelation over {period} lags of the profile's steps"
        for period in PERIODS
    },
    "map_rank": "effective rank of the map of influences, as a share of its rows",
    "map_change": "1 - correlation of the maps of two inputs: 0 = content does not count",
    "turn_of_others": "1 - cosine of the derivatives by other positions at two inputs",
    "turn_of_self": "1 - cosine of the derivatives by the own position at two inputs",
}
BLOCKS = {
    **{f"likeness_{step}": f"cosine of the derivatives by inputs {step} apart" for step in STEPS},
    "patterns": "log10 of how many patterns the derivatives by single positions mix",
    "rank_out": "effective rank of the derivative over output channels, as a share of them",
    "rank_in": "effective rank of the derivative over input channels, as a share of them",
    "rank_of_pair": "effective rank of the derivative by one position, as a share of the channels",
    "own_channel": "log10 influence of other positions within a channel, 0 = as across channels",
    "own_channel_self": "log10 influence of the own position within a channel, 0 = as across",
    **{
        f"change_{region}": f"change of a derivative when inputs {region} change"
        for region in REGIONS
    },
    **{
        f"turn_{region}": f"its change of direction when inputs {region} change"
        for region in REGIONS
    },
}
RESPONSES = {
    "permute_past": "change of the last output when all before are permuted, 1 = as drawn anew",
    "permute_far": "the same, permuting all but the last eight",
    "swap_near": "the same, exchanging two of the last three positions, 1 = as drawn anew",
    "permute_sharp": "permute_past where all inputs are ten times as large",
    "swap_sharp": "swap_near where all inputs are ten times as large",
    "permute_all": "change between the output of a permuted input and the permuted output",
    "cut_start": "change of the last outputs when the first half is cut off",
    "zero_start": "change between a first half of zeros and none",
    "cut_end": "change of the first outputs when the second half is cut off",
    "zero_end": "change between a second half of zeros and none",
    **{
        f"degree_{scale:g}": f"degree of the output when all inputs grow by {scale:g}"
        for scale in SCALES
    },
    **{
        f"turn_{scale:g}": f"its change of direction when all inputs grow by {scale:g}"
        for scale in SCALES
    },
    "oddness": "change between the output of -x and minus the output of x",
    "evenness": "change between the outputs of -x and x",
    "additivity": "change between the output of a sum and the sum of outputs",
    "curvature": "second difference of the output over a small step, as a share of the first",
    "zero_output": "size of the output of zeros, as a share of that of noise",
    "token_degree": "degree of an output in one earlier input, from factor 10 to 100",
    "token_capture": "change of an output when one earlier input grows by 100",
    "own_degree": "degree of an output in its own input, at factor 2",
    "own_degree_large": "degree of an output in its own input, at factor 100",
    "others_degree": "degree of an output in all other inputs, at factor 2",
    "drift": "variation of the output over positions when all inputs are equal",
    "growth_equal": "power of t with which the output grows when all inputs are equal",
    "growth_noise": "power of t with which the output grows when the input is noise",
    "memory_1": "correlation of an output with the one before when the input is noise",
    "memory_8": "correlation of an output with that eight before when the input is noise",
    "head_change": "change of the output when the same weights are read with twice the heads",
    "limit_change": "change of the output when it is built for half the length",
}
FEATURES: dict[str, str] = {**INFLUENCE, **BLOCKS, **RESPONSES}
