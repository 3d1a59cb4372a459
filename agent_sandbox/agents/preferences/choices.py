"""A genome as a sequence of choices, each made from a slot that the choices before lead to.

Slots of the same meaning are one in every branch, so that what is learnt of a kernel in one branch
holds in the next. The probabilities in `SLOTS` are those of `draw_genome` with a number of branches
drawn evenly: an untrained writer draws from the grammar as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from agent_sandbox.agents.grammar import (
    JOINS,
    KERNELS,
    MAX_BRANCHES,
    NORMS,
    Branch,
    Genome,
    Join,
    Kernel,
    Norm,
)
from agent_sandbox.agents.operators.grammar import propose_genome
from lra_design.records import Proposal

Slots = Mapping[str, Mapping[str, float]]
"""What can be chosen in each slot, and how likely each option is before anything is learnt."""
Choose = Callable[[str], str]
"""One option of the slot with this name."""
Choices = tuple[tuple[str, str], ...]
"""Slot and option, in the order in which they were chosen."""


class Language(Protocol):
    """Programs that are written choice by choice."""

    @property
    def slots(self) -> Slots:
        """Every slot that `write` may ask for."""

    def write(self, choose: Choose) -> Proposal:
        """The draft that these choices come to. Which slot is next follows from the choices."""


def evenly(options: Sequence[str]) -> dict[str, float]:
    """Each as likely as the others."""
    return dict.fromkeys(options, 1 / len(options))


def mostly_plain(options: Sequence[str]) -> dict[str, float]:
    """The plainest, which is the first, half of the time, else any; as `draw_kernel` draws."""
    any_one = 0.5 / len(options)
    return {option: any_one + 0.5 * (option == options[0]) for option in options}


EXTRA = {"no": 0.75, "yes": 0.25}

SLOTS: Slots = {
    "branches": evenly([str(number) for number in range(1, MAX_BRANCHES + 1)]),
    "kernel": evenly(list(KERNELS)),
    **{
        f"{name}: {option}": mostly_plain(values)
        for name, options in KERNELS.items()
        for option, values in options.items()
    },
    "short convolution": EXTRA,
    "output gate": EXTRA,
    "join": evenly(JOINS),
    "norm": evenly(NORMS),
}


def write_genome(choose: Choose) -> Genome:
    """The genome that these choices come to, branch by branch, then the join, then the norm."""
    branches = tuple(_write_branch(choose) for _ in range(int(choose("branches"))))
    joins: dict[str, Join] = {name: name for name in JOINS}
    norms: dict[str, Norm] = {name: name for name in NORMS}
    return Genome(
        branches=branches,
        join=None if len(branches) == 1 else joins[choose("join")],
        norm=norms[choose("norm")],
    )


def _write_branch(choose: Choose) -> Branch:
    name = choose("kernel")
    return Branch(
        kernel=Kernel(
            name=name, choices=tuple(choose(f"{name}: {option}") for option in KERNELS[name])
        ),
        short_convolution=choose("short convolution") == "yes",
        output_gate=choose("output gate") == "yes",
    )


class GenomeLanguage:
    """The grammar of known parts; every program is a valid mechanism. A `Language`."""

    slots = SLOTS

    def write(self, choose: Choose) -> Proposal:
        """See `Language`."""
        genome = write_genome(choose)
        return propose_genome(genome, f"draw: {genome}", "draft")
