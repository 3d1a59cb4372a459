"""Features of outputs: how they answer to a changed order, start, scale or length of the input."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from agent_sandbox.fingerprint.features import SCALES
from agent_sandbox.fingerprint.measures import change, growth, ratio, slope, turn
from agent_sandbox.validator.draw import Draw

EXAMPLES = 3
EDGE = 8
"""Positions at either end that are watched where the other half is cut off."""
STEP = 0.1
SHARP = 10.0
"""Inputs times this: what weighs its inputs by their content, weighs few of them."""
Forward = Callable[[Tensor], Tensor]


def response_features(forward: Forward, draw: Draw, length: int, width: int) -> dict[str, float]:
    """Of one mechanism, at an even `length`; all but two features, which take another build."""
    x_BLD = draw.normal(EXAMPLES, length, width)
    order_L = torch.tensor(draw.order(length))[torch.tensor(_shuffled(draw, length))]
    inputs = _inputs(x_BLD, draw, order_L)
    outputs_BLD = forward(torch.cat(list(inputs.values())))
    y = dict(zip(inputs, outputs_BLD.chunk(len(inputs)), strict=True))
    half = length // 2
    end_BLD, start_BLD = forward(torch.cat([x_BLD[:, half:], x_BLD[:, :half]])).chunk(2)
    return {
        **_order(y, order_L),
        "cut_start": change(y["x"][:, -EDGE:], end_BLD[:, -EDGE:]),
        "zero_start": change(y["zero_start"][:, -EDGE:], end_BLD[:, -EDGE:]),
        "cut_end": change(y["x"][:, :EDGE], start_BLD[:, :EDGE]),
        "zero_end": change(y["zero_end"][:, :EDGE], start_BLD[:, :EDGE]),
        **_scale(y),
        **_single_inputs(y),
        **_over_time(y),
    }


def _shuffled(draw: Draw, count: int) -> list[int]:
    return draw.normal(count).argsort().tolist()


def _inputs(x_BLD: Tensor, draw: Draw, order_L: Tensor) -> dict[str, Tensor]:
    """What is put in, by the name under which its output is compared."""
    other_BLD, new_BLD = (draw.normal(*x_BLD.shape) for _ in range(2))
    length = x_BLD.shape[1]
    half, past, far = length // 2, length - 1, length - EDGE
    past_order, far_order = (torch.tensor(_shuffled(draw, count)) for count in (past, far))
    scaled = {f"scaled_{scale:g}": scale * x_BLD for scale in SCALES}
    orders = {
        "permuted_past": torch.cat([x_BLD[:, past_order], x_BLD[:, past:]], 1),
        "new_past": torch.cat([new_BLD[:, :past], x_BLD[:, past:]], 1),
        "swapped": torch.cat([x_BLD[:, :-3], x_BLD[:, [-2, -3]], x_BLD[:, -1:]], 1),
        "new_near": torch.cat([x_BLD[:, :-3], new_BLD[:, -3:-1], x_BLD[:, -1:]], 1),
    }
    return {
        "x": x_BLD,
        "sharp": SHARP * x_BLD,
        **orders,
        **{f"{name}_sharp": SHARP * order_BLD for name, order_BLD in orders.items()},
        "other": other_BLD,
        "sum": x_BLD + other_BLD,
        "minus": -x_BLD,
        "zeros": torch.zeros_like(x_BLD),
        "equal": x_BLD[:, :1].expand_as(x_BLD),
        **scaled,
        "permuted_far": torch.cat([x_BLD[:, far_order], x_BLD[:, far:]], 1),
        "new_far": torch.cat([new_BLD[:, :far], x_BLD[:, far:]], 1),
        "permuted": x_BLD[:, order_L],
        "zero_start": _times(x_BLD, slice(0, half), 0.0),
        "zero_end": _times(x_BLD, slice(half, length), 0.0),
        "ahead": x_BLD + STEP * other_BLD,
        "back": x_BLD - STEP * other_BLD,
        "token_10": _times(x_BLD, slice(-4, -3), 10.0),
        "token_100": _times(x_BLD, slice(-4, -3), 100.0),
        "own_2": _times(x_BLD, slice(-1, None), 2.0),
        "own_100": _times(x_BLD, slice(-1, None), 100.0),
        "others_2": _times(x_BLD, slice(0, -1), 2.0),
    }


def _times(x_BLD: Tensor, where: slice, factor: float) -> Tensor:
    """A copy with the positions `where` multiplied."""
    copy_BLD = x_BLD.clone()
    copy_BLD[:, where] *= factor
    return copy_BLD


def _order(y: dict[str, Tensor], order_L: Tensor) -> dict[str, float]:
    last = {name: output_BLD[:, -1] for name, output_BLD in y.items()}

    def moved(permuted: str, new: str, base: str = "x") -> float:
        return ratio(change(last[permuted], last[base]), change(last[new], last[base]))

    return {
        "permute_past": moved("permuted_past", "new_past"),
        "permute_far": moved("permuted_far", "new_far"),
        "swap_near": moved("swapped", "new_near"),
        "permute_sharp": moved("permuted_past_sharp", "new_past_sharp", "sharp"),
        "swap_sharp": moved("swapped_sharp", "new_near_sharp", "sharp"),
        "permute_all": change(y["permuted"], y["x"][:, order_L]),
    }


def _scale(y: dict[str, Tensor]) -> dict[str, float]:
    scaled = {scale: y[f"scaled_{scale:g}"] for scale in SCALES}
    first, second = y["ahead"] - y["back"], y["ahead"] + y["back"] - 2 * y["x"]
    return {
        **{f"degree_{scale:g}": growth(y["x"], out, scale) for scale, out in scaled.items()},
        **{f"turn_{scale:g}": turn(y["x"], out) for scale, out in scaled.items()},
        "oddness": change(y["minus"], -y["x"]),
        "evenness": change(y["minus"], y["x"]),
        "additivity": change(y["sum"], y["x"] + y["other"]),
        "curvature": ratio(second.norm().item(), first.norm().item()),
        "zero_output": ratio(y["zeros"].norm().item(), y["x"].norm().item()),
    }


def _single_inputs(y: dict[str, Tensor]) -> dict[str, float]:
    """One input earlier, the position's own, and all others, made larger."""
    later = {name: output_BLD[:, -3:] for name, output_BLD in y.items()}
    last = {name: output_BLD[:, -1] for name, output_BLD in y.items()}
    by_10, by_100 = (later[name] - later["x"] for name in ("token_10", "token_100"))
    return {
        "token_degree": growth(by_10, by_100, 10.0),
        "token_capture": change(later["token_100"], later["x"]),
        "own_degree": growth(last["x"], last["own_2"], 2.0),
        "own_degree_large": growth(last["x"], last["own_100"], 100.0),
        "others_degree": growth(last["x"], last["others_2"], 2.0),
    }


def _over_time(y: dict[str, Tensor]) -> dict[str, float]:
    equal_BLD, noise_BLD = y["equal"], y["x"]
    size_L = {name: y[name].square().mean((0, 2)).sqrt() for name in ("equal", "x")}
    deviation = (equal_BLD - equal_BLD.mean(1, keepdim=True)).norm().item()
    return {
        "drift": ratio(deviation, equal_BLD.norm().item()),
        "growth_equal": slope(size_L["equal"]),
        "growth_noise": slope(size_L["x"]),
        "memory_1": 1.0 - turn(noise_BLD[:, 1:], noise_BLD[:, :-1]),
        "memory_8": 1.0 - turn(noise_BLD[:, 8:], noise_BLD[:, :-8]),
    }
