"""How one genome becomes another: each operator changes exactly one thing and says which.

`mutate` draws one of seven changes; `cross` takes one branch of another genome; `simplify` takes
something away. Each returns the new genome with a description of the change in one line, for the
journal and its reader.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from agent_sandbox.agents.grammar import (
    JOINS,
    KERNELS,
    MAX_BRANCHES,
    NORMS,
    Genome,
    draw_branch,
    draw_kernel,
    plainest_kernel,
    with_branch,
    with_changed_branch,
    without_branch,
)


@dataclass(frozen=True)
class Variation:
    """A genome and what was changed to reach it."""

    genome: Genome
    change: str


def mutate(rng: random.Random, genome: Genome) -> Variation:
    """The genome with one thing changed, drawn from the changes that it allows."""
    operators = [operator for operator, allows in _MUTATIONS.items() if allows(genome)]
    weights = [_WEIGHTS.get(operator, 1.0) for operator in operators]
    return rng.choices(operators, weights)[0](rng, genome)


def cross(rng: random.Random, genome: Genome, other: Genome) -> Variation:
    """The genome with one branch of `other`: beside its own while there is room, else in place."""
    own = {branch.kernel for branch in genome.branches}
    news = [branch for branch in other.branches if branch.kernel not in own]
    branch = rng.choice(news or other.branches)
    if len(genome.branches) < MAX_BRANCHES and rng.random() < _BESIDE:
        return Variation(with_branch(genome, branch), f"added a branch of the other: {branch}")
    index = rng.randrange(len(genome.branches))
    change = f"branch {index + 1}: {genome.branches[index]} -> {branch}, of the other"
    return Variation(with_changed_branch(genome, index, branch), change)


def simplify(rng: random.Random, genome: Genome) -> Variation:
    """The genome without one thing: a branch, an extra, a norm, or what an option adds.

    The plainest genome comes back as it was.
    """
    simpler = list(_simpler(genome))
    return rng.choice(simpler) if simpler else Variation(genome, "nothing to take away")


def _simpler(genome: Genome) -> Iterator[Variation]:
    """Every genome that has one thing less."""
    if genome.norm != "none":
        yield Variation(replace(genome, norm="none"), f"norm: {genome.norm} -> none")
    for index, branch in enumerate(genome.branches):
        place = f"branch {index + 1}"
        if len(genome.branches) > 1:
            yield Variation(without_branch(genome, index), f"removed {place}: {branch}")
        if branch.short_convolution:
            bare = with_changed_branch(genome, index, replace(branch, short_convolution=False))
            yield Variation(bare, f"removed the short convolution of {place}")
        if branch.output_gate:
            bare = with_changed_branch(genome, index, replace(branch, output_gate=False))
            yield Variation(bare, f"removed the output gate of {place}")
        plain = replace(branch, kernel=plainest_kernel(branch.kernel.name))
        if plain != branch:
            change = f"{place}: {branch.kernel} -> {plain.kernel}"
            yield Variation(with_changed_branch(genome, index, plain), change)


def _swap_kernel(rng: random.Random, genome: Genome) -> Variation:
    index = rng.randrange(len(genome.branches))
    branch = genome.branches[index]
    name = rng.choice([name for name in KERNELS if name != branch.kernel.name])
    kernel = draw_kernel(rng, name)
    return Variation(
        with_changed_branch(genome, index, replace(branch, kernel=kernel)),
        f"branch {index + 1}: {branch.kernel} -> {kernel}",
    )


def _change_option(rng: random.Random, genome: Genome) -> Variation:
    index = rng.randrange(len(genome.branches))
    branch = genome.branches[index]
    options = KERNELS[branch.kernel.name]
    place, option = rng.choice(list(enumerate(options)))
    old = branch.kernel.choices[place]
    new = rng.choice([value for value in options[option] if value != old])
    choices = (*branch.kernel.choices[:place], new, *branch.kernel.choices[place + 1 :])
    kernel = replace(branch.kernel, choices=choices)
    return Variation(
        with_changed_branch(genome, index, replace(branch, kernel=kernel)),
        f"branch {index + 1}, {branch.kernel.name}, {option}: {old} -> {new}",
    )


def _toggle_extra(rng: random.Random, genome: Genome) -> Variation:
    index = rng.randrange(len(genome.branches))
    branch = genome.branches[index]
    if rng.random() < 0.5:
        name, had = "short convolution", branch.short_convolution
        changed = replace(branch, short_convolution=not had)
    else:
        name, had = "output gate", branch.output_gate
        changed = replace(branch, output_gate=not had)
    verb = "removed the {} of" if had else "added a {} to"
    return Variation(
        with_changed_branch(genome, index, changed), f"{verb.format(name)} branch {index + 1}"
    )


def _add_branch(rng: random.Random, genome: Genome) -> Variation:
    present = {branch.kernel.name for branch in genome.branches}
    branch = draw_branch(rng, rng.choice([name for name in KERNELS if name not in present]))
    return Variation(with_branch(genome, branch), f"added a branch: {branch}")


def _remove_branch(rng: random.Random, genome: Genome) -> Variation:
    index = rng.randrange(len(genome.branches))
    change = f"removed branch {index + 1}: {genome.branches[index]}"
    return Variation(without_branch(genome, index), change)


def _change_join(rng: random.Random, genome: Genome) -> Variation:
    new = rng.choice([join for join in JOINS if join != genome.join])
    return Variation(replace(genome, join=new), f"join: {genome.join} -> {new}")


def _change_norm(rng: random.Random, genome: Genome) -> Variation:
    new = rng.choice([norm for norm in NORMS if norm != genome.norm])
    return Variation(replace(genome, norm=new), f"norm: {genome.norm} -> {new}")


_BESIDE = 0.75
"""How often a crossover adds the other's branch rather than putting it in place of its own."""

_Operator = Callable[[random.Random, Genome], Variation]

_MUTATIONS: dict[_Operator, Callable[[Genome], bool]] = {
    _swap_kernel: lambda genome: True,
    _change_option: lambda genome: True,
    _toggle_extra: lambda genome: True,
    _add_branch: lambda genome: len(genome.branches) < MAX_BRANCHES,
    _remove_branch: lambda genome: len(genome.branches) > 1,
    _change_join: lambda genome: len(genome.branches) > 1,
    _change_norm: lambda genome: True,
}
"""Each mutation and the genomes it applies to."""

_WEIGHTS: dict[_Operator, float] = {_swap_kernel: 2.0, _change_option: 3.0, _add_branch: 4.0}
"""Changes of structure come first in a short search; everything else weighs 1."""
