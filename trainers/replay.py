"""LRA505: a stretch of a training again, with an optimiser that the candidate cannot reach.

The candidate shares a process with its training and could have it take more steps than it reports,
larger ones, or steps of another kind. So the judge asks for the state after every few steps and
keeps some of these stretches, drawn in secret. A fresh worker gives gradients at weights that the
judge sends it, the judge alone applies them, and the replay must arrive where the training did.

What a replay cannot tell is whether the gradients are those of the loss. A candidate that bends
them, in the training and in the replay alike, moves its weights within what AdamW allows in the
steps that everybody has. Nor does it see a stretch that was not drawn: of a training that cheats in
a share f of its stretches, (1 - f)^n escape n replays.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agent_sandbox.validator.registry import ENTRIES
from agent_sandbox.validator.violation import plain
from lra_design.errors import CandidateFault
from lra_design.records import Finding, TrainConfig
from trainers.average import update_average
from trainers.loop import SETTINGS, below
from trainers.network_checks import same_tensor
from trainers.optimizer import MARK, make_optimizer, set_learning_rate
from trainers.session import NetworkSession, Trained

State = Mapping[str, Tensor]
TOLERANCE = 1e-2
"""Largest honest distance of the replay from the training, relative to the way they went. On one
machine the two agree bit by bit; this leaves room for threads that add up in another order."""
NORM_TOLERANCE = 1e-4
"""The same of a gradient's norm, relative to it."""


@dataclass(frozen=True)
class Stretch:
    """Some steps of a training, as its worker reported them."""

    start: int
    before: State
    after: State
    norms: Tensor
    """(steps,) float64, norm of each step's gradient before clipping."""


class DrawnStretches:
    """A few stretches of all there have been, each as likely as the other."""

    def __init__(self, count: int) -> None:
        self.kept: list[Stretch] = []
        self._count = count
        self._num_seen = 0

    def add(self, stretch: Stretch) -> None:
        """Keep this one or not, as a draw has it."""
        self._num_seen += 1
        place = secrets.randbelow(self._num_seen)
        if len(self.kept) < self._count:
            self.kept.append(stretch)
        elif place < self._count:
            self.kept[place] = stretch


def check_trained(trained: Trained, again: Trained) -> list[Finding]:
    """LRA505: a fresh worker trains or decays other parameters than the training did."""
    if trained == again:
        return []
    changed = set(trained.names) ^ set(again.names) | trained.undecayed ^ again.undecayed
    found = f"{', '.join(sorted(changed)[:5]) or 'another order'}: not the same in another worker"
    return [_finding(f"trained or marked no_weight_decay: {found}", "the start of the training")]


def scored_weights(state: State, config: TrainConfig) -> dict[str, Tensor]:
    """The weights of a state that are to be scored, those that a replay verifies."""
    return below("network." if config.ema_decay is None else "average.", state)


def check_optimizer(
    session: NetworkSession, stretch: Stretch, trained: Trained, config: TrainConfig
) -> list[Finding]:
    """LRA505: the stretch is no run of honest optimiser steps.

    session: a fresh one, after `start_training`, which said that it trains `trained`.
    """
    # Smaller parts draw other dropout masks: those that the stretch ended with were in all of it.
    settings = {name: stretch.after[name] for name in SETTINGS if name in stretch.after}
    session.restore({**stretch.before, **settings})
    start, end = (below("network.", state) for state in (stretch.before, stretch.after))
    parameters = _parameters(start, trained)
    averages = _averages(stretch.before, trained, config)
    optimizer = make_optimizer(parameters, config)
    for i, parameter in enumerate(parameters):
        optimizer.state[parameter] = below(f"optimizer.{i}.", stretch.before)
    for offset, norm in enumerate(stretch.norms):
        gradients = session.gradients({str(i): p.detach() for i, p in enumerate(parameters)})
        for i, parameter in enumerate(parameters):
            parameter.grad = gradients.get(str(i))
        own = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if abs(float(own) - float(norm)) > NORM_TOLERANCE * float(own):
            found = f"a gradient of norm {norm:.3g}, replayed {own:.3g}"
            return [_finding(found, _where(stretch, offset))]
        nn.utils.clip_grads_with_norm_(parameters, config.clip_norm, norm.to(own.dtype))
        set_learning_rate(optimizer, stretch.start + offset, config)
        optimizer.step()
        if config.ema_decay is not None:
            update_average(averages, parameters, stretch.start + offset, config.ema_decay)
    replayed = {name: p.detach() for name, p in zip(trained.names, parameters, strict=True)}
    found = _gap(replayed, start, end)
    if not found and config.ema_decay is not None:
        start, end = (scored_weights(state, config) for state in (stretch.before, stretch.after))
        found = _gap(dict(zip(trained.names, averages, strict=True)), start, end)
    return [_finding(found, _where(stretch, len(stretch.norms)))] if found else []


def _parameters(weights: State, trained: Trained) -> list[nn.Parameter]:
    """The judge's own copies of the trained parameters, marked as in the worker."""
    if len(set(trained.names)) < len(trained.names) or not weights.keys() >= set(trained.names):
        raise CandidateFault("protocol", "the list of trained parameters fits no checkpoint")
    parameters = []
    for name in trained.names:
        parameter = nn.Parameter(weights[name].clone())
        setattr(parameter, MARK, name in trained.undecayed)
        parameters.append(parameter)
    return parameters


def _averages(state: State, trained: Trained, config: TrainConfig) -> list[Tensor]:
    """The averages of the trained parameters in a state; none where none are asked for."""
    if config.ema_decay is None:
        return []
    kept = scored_weights(state, config)
    if not kept.keys() >= set(trained.names):
        raise CandidateFault("protocol", "averages of weights that fit no checkpoint")
    return [kept[name] for name in trained.names]


def _gap(replayed: State, start: State, end: State) -> str:
    """Where the training ended elsewhere than the replay, in words; empty when nowhere."""
    for name in start.keys() | end.keys():
        before, after = start.get(name), end.get(name)
        if before is None or after is None or not same_tensor(before, after, values=False):
            return f"{name} is of another kind than before"
        if name not in replayed:
            if not same_tensor(before, after) and not _tied(name, replayed, start, end):
                return f"{name} changed, and is not trained"
            continue
        gap, way = _norm(after - replayed[name]), _norm(replayed[name] - before)
        if not gap <= TOLERANCE * way:
            return f"{name} is {gap:.2g} away from the replay, which moved it by {way:.2g}"
    return ""


def _tied(name: str, replayed: State, start: State, end: State) -> bool:
    """Whether this is another name of a tensor that was trained."""
    return any(
        same_tensor(start[name], start[other]) and same_tensor(end[name], end[other])
        for other in replayed
    )


def _norm(tensor: Tensor) -> float:
    wide = tensor.to(torch.promote_types(tensor.dtype, torch.float64))
    return float(torch.linalg.vector_norm(wide))


def _where(stretch: Stretch, offset: int) -> str:
    return f"steps {stretch.start} to {stretch.start + offset}"


def _finding(found: str, where: str) -> Finding:
    return Finding(
        check="LRA505",
        name=ENTRIES["LRA505"].name,
        tier="error",
        expected="weights that AdamW reaches from the gradients, in as many steps as were asked",
        found=plain(found),
        likely_cause="the optimiser or its settings were changed from inside the candidate",
        hint="Leave the training alone: every mechanism is trained by the same recipe.",
        where=where,
    )
