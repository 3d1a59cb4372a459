"""LRA215, LRA301-304 and LRA309: gradients, after a small random move of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from agent_sandbox.validator.behaviour_checks import describe, in_training, padded
from agent_sandbox.validator.built import Setup
from agent_sandbox.validator.compare import (
    FLOAT64,
    difference,
    difference_of_whole,
    least_size,
    size,
)
from agent_sandbox.validator.draw import Draw, right_padding
from agent_sandbox.validator.examination import Examination
from agent_sandbox.validator.violation import Violation

STEP = 1e-6
"""Of the finite difference: its own error is about 1e-9 in float64."""
GRADIENT_TOLERANCE = 1e-4
SMALLEST_GAIN, LARGEST_GAIN = 1e-7, 1e5
"""Of the input's gradient, relative to that of the output."""
FLOAT64_ROUNDING = 1e-16


def check_same_with_gradient(exam: Examination) -> Iterator[Violation]:
    """A call that records a gradient computes what one without computes, in either mode."""
    draw, built = exam.draw("with gradient"), exam.built(exam.main)
    for circumstances in ({}, in_training(draw)):
        x, mask = padded(draw, exam.main, 3)
        recorded = built.ask_vjp(x, draw.normal(*x.shape), mask, **circumstances)["y"]
        gap = difference(built.forward(x, mask, **circumstances), recorded, FLOAT64)
        if gap.relative > exam.tolerance():
            yield Violation(
                expected="the same output whether a gradient is recorded or not",
                found=describe(gap),
                likely_cause="a branch on torch.is_grad_enabled() or on x.requires_grad",
                hint="Compute the same in training and in evaluation; tell them apart by "
                "self.training, and only for dropout.",
                where=built.where(x, mask, **circumstances),
            )
            return


def check_gradient_reaches(exam: Examination) -> Iterator[Violation]:
    """A gradient reaches the input and every parameter, in training mode."""
    draw, built = exam.draw("gradient"), exam.built(exam.main)
    names = {"input", *(f"parameter:{name}" for name in built.parameters())}
    full, D = exam.main.config.max_seq_len, exam.main.config.d_model
    x, mask = padded(draw, exam.main, 3)
    inputs: list[tuple[Tensor, Tensor | None]] = [(draw.normal(2, full, D), None), (x, mask)]
    for given, given_mask in inputs:
        cotangent = draw.normal(*given.shape)
        gradients = built.vjp(given, cotangent, given_mask, training=True)
        names -= {name for name, gradient in gradients.items() if size(gradient) != 0.0}
    if names:
        yield Violation(
            expected="a gradient to the input and to every parameter",
            found=f"none to {', '.join(sorted(name.removeprefix('parameter:') for name in names))}",
            likely_cause="a parameter that forward does not use, a detach, no_grad or rounding on "
            "the way, or a branch that this mode never takes",
            hint="Make only the parameters that this config uses; remove detach() and .data.",
            where=built.where(x, training=True),
        )


def check_gradient_finite(exam: Examination) -> Iterator[Violation]:
    """Gradients are finite for ordinary, zero and padded inputs."""
    draw, built = exam.draw("finite gradient"), exam.built(exam.main)
    full, D = exam.main.config.max_seq_len, exam.main.config.d_model
    x = draw.normal(3, full, D)
    mask = right_padding(torch.tensor([0, draw.integer(1, full - 1), full]), full)
    cases = {"ordinary": (x, None), "zero": (0 * x, None), "padded": (x, mask)}
    for name, (given, given_mask) in cases.items():
        gradients = built.vjp(given, draw.normal(*x.shape), given_mask)
        bad = sorted(key for key, gradient in gradients.items() if not gradient.isfinite().all())
        if bad:
            yield Violation(
                expected="finite gradients",
                found=f"NaN or infinity in {', '.join(bad)} for {name} inputs",
                likely_cause="a square root, norm, logarithm or division at zero, or torch.where "
                "round a branch that is not finite",
                hint="Add an epsilon inside the root; make both branches of torch.where finite.",
                where=built.where(given, given_mask),
            )
            return


def check_gradient_correct(exam: Examination) -> Iterator[Violation]:
    """The gradient agrees with a finite difference along a random direction (a warning)."""
    draw = exam.draw("gradient correct")
    # One input may lie at a kink, as a rectifier has them, and not the next.
    slopes = [_slope_along(exam, draw, *padded(draw, exam.main, 3)) for _ in range(2)]
    if all(slope.wrong for slope in slopes):
        yield Violation(
            tier="warning",
            expected=f"the gradient's own slope, {slopes[0].claimed:.6g}, along a random direction",
            found=f"{slopes[0].measured:.6g} by finite differences",
            likely_cause="a detach, a straight-through estimator or a wrong custom backward",
            hint="Intended? Then ignore this. Otherwise let autograd see the whole computation.",
            where=slopes[0].where,
        )


@dataclass(frozen=True)
class _Slope:
    """Of a random projection of the output, along one direction of the input and the weights."""

    measured: float
    claimed: float
    """What the gradient says."""
    tolerance: float
    where: str

    @property
    def wrong(self) -> bool:
        return abs(self.measured - self.claimed) > self.tolerance


def _slope_along(exam: Examination, draw: Draw, x: Tensor, mask: Tensor | None) -> _Slope:
    built = exam.built(exam.main)
    weights = built.parameters()
    cotangent, direction = draw.normal(*x.shape), draw.normal(*x.shape)
    moves = {name: draw.normal_like(weight) for name, weight in weights.items()}
    gradients = built.vjp(x, cotangent, mask)
    terms = [_dot(gradients.get("input"), direction)]
    y, ends, places = built.forward(x, mask), [], []
    for step in (STEP, -STEP):
        built.set_parameters({name: w + step * moves[name] for name, w in weights.items()})
        places.append(built.parameters())  # complex64 cannot go exactly where it is sent
        ends.append((built.forward(x + step * direction, mask) * cotangent).sum().item())
    built.set_parameters(weights)
    for name in weights:
        move = (places[0][name] - places[1][name]) / (2 * STEP)
        terms.append(_dot(gradients.get(f"parameter:{name}"), move))
    measured, claimed = (ends[0] - ends[1]) / (2 * STEP), sum(terms)
    noise = max(exam.noise(), FLOAT64_ROUNDING)
    rounding = noise * (y * cotangent).abs().sum().item() / STEP
    scale = max(sum(map(abs, terms)), abs(measured))
    tolerance = GRADIENT_TOLERANCE * scale + 64 * rounding
    return _Slope(measured, claimed, tolerance, built.where(x, mask))


def _dot(gradient: Tensor | None, direction: Tensor) -> float:
    """The inner product over real numbers; a complex gradient counts both its parts."""
    if gradient is None:
        return 0.0
    return (gradient.conj() * direction).real.sum().item()


def check_gradient_causal(exam: Examination) -> Iterator[Violation]:
    """What is asked of outputs up to t (when causal) of one example sends no gradient to later
    inputs, to other examples or to padding.
    """
    draw = exam.draw("gradient causal")
    for setup, training, masked in _asked_gradients(exam):
        built, L = exam.built(setup), setup.config.max_seq_len
        x, cotangent = (draw.normal(3, L, setup.config.d_model) for _ in range(2))
        n = draw.integer(L // 2, L - 1) if masked else L
        mask = right_padding(torch.tensor([n, L, n]), L) if masked else None
        t = draw.integer(0, n - 2) if setup.config.causal else n - 1
        cotangent[1:], cotangent[:, t + 1 :] = 0, 0
        gradient = built.vjp(x, cotangent, mask, training=training).get("input")
        if gradient is None:
            return  # told by the check that asks for a gradient at all
        elsewhere = gradient.clone()
        elsewhere[0, : t + 1] = 0
        least = least_size(gradient, FLOAT64)
        gap = difference_of_whole(gradient, gradient - elsewhere, least)
        if gap.relative > exam.tolerance():
            yield Violation(
                expected=f"no gradient from outputs 0..{t} of one example to anything but its "
                f"inputs 0..{t}",
                found=describe(gap).replace("output", "gradient"),
                likely_cause="a backward that looks elsewhere though forward does not: a custom "
                "autograd function, or x + (leak - leak.detach())",
                hint="Let autograd derive the backward; apply the mask before any detach.",
                where=built.where(x, mask, training=training),
            )
            return


def _asked_gradients(exam: Examination) -> Iterator[tuple[Setup, bool, bool]]:
    """Setup, training mode, with padding."""
    yield exam.main, True, False
    yield exam.main, False, True
    yield exam.long, True, True
    yield from ((setup, True, True) for setup in exam.both_modes()[1:])


def check_gradient_scale(exam: Examination) -> Iterator[Violation]:
    """The gradient neither vanishes nor explodes over a few hundred positions (a warning)."""
    draw, built = exam.draw("gradient scale"), exam.built(exam.long)
    x = draw.normal(2, exam.long.config.max_seq_len, exam.long.config.d_model)
    cotangent = draw.normal(*x.shape)
    gradient = built.vjp(x, cotangent, training=True).get("input")
    gain = 0.0 if gradient is None else (gradient.norm() / cotangent.norm()).item()
    if not SMALLEST_GAIN < gain < LARGEST_GAIN:
        yield Violation(
            tier="warning",
            expected=f"a gradient of {SMALLEST_GAIN:g} to {LARGEST_GAIN:g} times the size of what "
            "it comes from",
            found=f"{gain:.1e} times",
            likely_cause="a product of factors over the length, or sums over it without a scale",
            hint="Bound recurrent factors by 1, normalise sums by their number of terms.",
            where=built.where(x, training=True),
        )
