"""What the offline agent can build: mechanisms made of known parts, as small immutable values.

A *genome* is one to three *branches* that read the same input side by side, the way their outputs
are joined, and a normaliser. A branch is a *kernel* (the part that mixes along the length), with
an optional short causal convolution before it and an optional SiLU gate after it. Every genome of
the grammar is a valid mechanism by construction; `render` turns one into source.

The parts and where they come from:

    softmax attention   Vaswani et al. 2017 (arXiv 1706.03762); learnt bias: Raffel et al. 2020
                        (1910.10683); linear decay: Press et al. 2022 (2108.12409)
    linear attention    Katharopoulos et al. 2020 (2006.16236); decay: Sun et al. 2023 (2307.08621)
    long convolution    Fu et al. 2023 (2302.06646); damped waves: Poli et al. 2023 (2302.10866);
                        diagonal state space: Gu et al. 2022 (2206.11893)
    gated recurrence    per head: Dao and Gu 2024 (2405.21060); per channel: Feng et al. 2024
                        (2410.01201)
    delays, mean        Peng et al. 2023 (2305.13048); Zhai et al. 2021 (2105.14103)

Differences from the papers: projections have no bias, and widths are chosen so that every genome
holds about as many parameters as softmax attention of the same `d_model`.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any, Literal

from lra_design.records import from_json, record, to_json

KERNELS: dict[str, dict[str, tuple[str, ...]]] = {
    "softmax attention": {
        "position": ("content only", "learnt relative bias", "linear decay"),
        "reach": ("all positions", "local window"),
    },
    "linear attention": {
        "features": ("elu+1", "relu", "softmax", "square"),
        "decay": ("no decay", "learnt decay"),
    },
    "long convolution": {
        "filter": ("free", "exponential decays", "damped waves", "diagonal state space"),
    },
    "gated recurrence": {"gate": ("per head", "per channel")},
    "delays": {"taps": ("one step", "powers of two")},
    "mean": {"weights": ("uniform", "input-dependent")},
}
"""Each kernel and, for each of its options, the values to choose from, the plainest first."""

Join = Literal["sum", "channel mix", "input gate", "concatenation"]
JOINS: tuple[Join, ...] = ("sum", "channel mix", "input gate", "concatenation")
Norm = Literal["none", "rms", "layer"]
NORMS: tuple[Norm, ...] = ("none", "rms", "layer")
MAX_BRANCHES = 3


@record
class Kernel:
    """A part that mixes along the length."""

    name: str
    """A key of `KERNELS`."""
    choices: tuple[str, ...]
    """One value per option, in the order of `KERNELS[name]`."""

    def __post_init__(self) -> None:
        if self.name not in KERNELS:
            raise ValueError(f"expected a kernel of {sorted(KERNELS)}, found {self.name!r}")
        options = KERNELS[self.name]
        if len(self.choices) != len(options) or any(
            choice not in values
            for choice, values in zip(self.choices, options.values(), strict=True)
        ):
            raise ValueError(f"expected choices of {options}, found {self.choices}")

    def choice(self, option: str) -> str:
        """The value chosen for `option`."""
        return self.choices[list(KERNELS[self.name]).index(option)]

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.choices)})"


@record
class Branch:
    """A kernel with what stands around it."""

    kernel: Kernel
    short_convolution: bool = False
    """A depthwise causal convolution of a few positions on the kernel's projections."""
    output_gate: bool = False
    """The kernel's output is multiplied by SiLU of a projection of the input."""

    def __str__(self) -> str:
        extras = ["short convolution"] * self.short_convolution + ["gated"] * self.output_gate
        return " + ".join([str(self.kernel), *extras])


@record
class Genome:
    """One mechanism of the grammar."""

    branches: tuple[Branch, ...]
    join: Join | None = None
    """How the branches' outputs become one; None exactly when there is one branch."""
    norm: Norm = "none"
    """Of the joined output, before the output projection."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.branches) <= MAX_BRANCHES:
            raise ValueError(f"expected 1 to {MAX_BRANCHES} branches, found {len(self.branches)}")
        if (self.join is None) != (len(self.branches) == 1):
            raise ValueError(
                f"expected a join for several branches and none for one, found {self.join!r} "
                f"for {len(self.branches)}"
            )

    def __str__(self) -> str:
        branches = f" | {self.join} | ".join(map(str, self.branches))
        return branches if self.norm == "none" else f"{branches} -> {self.norm} norm"


def genome_to_notes(genome: Genome) -> dict[str, Any]:
    """The genome as plain JSON values."""
    notes: dict[str, Any] = json.loads(to_json(genome))
    return notes


def genome_from_notes(notes: object) -> Genome:
    """The genome that `genome_to_notes` wrote. Raises RecordError when it is none."""
    return from_json(Genome, json.dumps(notes))


def plainest_kernel(name: str) -> Kernel:
    """The kernel `name` with the plainest of each option."""
    return Kernel(name=name, choices=tuple(values[0] for values in KERNELS[name].values()))


def draw_kernel(rng: random.Random, name: str) -> Kernel:
    """The kernel `name`: each option is the plainest half of the time, else any."""
    choices = tuple(
        values[0] if rng.random() < 0.5 else rng.choice(values) for values in KERNELS[name].values()
    )
    return Kernel(name=name, choices=choices)


def draw_branch(rng: random.Random, kernel_name: str) -> Branch:
    """A branch around the kernel `kernel_name`; each extra is there one time in four."""
    return Branch(
        kernel=draw_kernel(rng, kernel_name),
        short_convolution=rng.random() < 0.25,
        output_gate=rng.random() < 0.25,
    )


def draw_genome(rng: random.Random, num_branches: int) -> Genome:
    """A genome of `num_branches` branches, drawn without looking at any score."""
    names = list(KERNELS)
    return Genome(
        branches=tuple(draw_branch(rng, rng.choice(names)) for _ in range(num_branches)),
        join=None if num_branches == 1 else rng.choice(JOINS),
        norm=rng.choice(NORMS),
    )


def with_branch(genome: Genome, branch: Branch) -> Genome:
    """The genome with one branch more; a first neighbour is joined by the sum."""
    return replace(genome, branches=(*genome.branches, branch), join=genome.join or "sum")


def without_branch(genome: Genome, index: int) -> Genome:
    """The genome with one branch less; the join goes with the last neighbour."""
    branches = genome.branches[:index] + genome.branches[index + 1 :]
    return replace(genome, branches=branches, join=genome.join if len(branches) > 1 else None)


def with_changed_branch(genome: Genome, index: int, branch: Branch) -> Genome:
    """The genome with another branch at `index`."""
    branches = (*genome.branches[:index], branch, *genome.branches[index + 1 :])
    return replace(genome, branches=branches)
