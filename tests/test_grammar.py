"""The grammar of the offline agent: every genome renders to a mechanism that keeps the contract."""

from __future__ import annotations

import ast
import functools
import itertools
import random
from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agent_sandbox.agents.grammar import (
    JOINS,
    KERNELS,
    NORMS,
    Branch,
    Genome,
    Kernel,
    draw_genome,
    genome_from_notes,
    genome_to_notes,
)
from agent_sandbox.agents.render import render
from agent_sandbox.agents.variation import cross, mutate
from lra_design.errors import RecordError
from lra_design.interface import Mechanism, MechanismConfig

B, L, MAX_L, D, H = 5, 17, 19, 21, 3
LENGTHS = (L, 11, 2, 1, 0)

genomes = st.builds(
    lambda seed, num_branches: draw_genome(random.Random(seed), num_branches),
    st.integers(0, 2**32),
    st.integers(1, 3),
)
modes = pytest.mark.parametrize("causal", [True, False], ids=["causal", "bidirectional"])
few = settings(max_examples=20, deadline=None, derandomize=True)


def every_kernel() -> list[Genome]:
    """One genome per kernel and choice of its options, with both extras."""
    return [
        Genome(
            branches=(
                Branch(
                    kernel=Kernel(name=name, choices=choices),
                    short_convolution=True,
                    output_gate=True,
                ),
            )
        )
        for name, options in KERNELS.items()
        for choices in itertools.product(*options.values())
    ]


@functools.cache
def mechanism_class(source: str) -> type[Mechanism]:
    namespace: dict[str, object] = {}
    exec(compile(source, "<rendered>", "exec"), namespace)
    classes = [
        value
        for value in namespace.values()
        if isinstance(value, type) and issubclass(value, Mechanism) and value is not Mechanism
    ]
    assert len(classes) == 1
    return classes[0]


def build(
    genome: Genome,
    causal: bool,
    *,
    dtype: torch.dtype = torch.float64,
    max_seq_len: int = MAX_L,
    d_model: int = D,
    num_heads: int = H,
    hyperparameters: dict[str, int] | None = None,
) -> Mechanism:
    torch.manual_seed(0)
    config = MechanismConfig(
        d_model=d_model, num_heads=num_heads, max_seq_len=max_seq_len, causal=causal
    )
    mechanism = mechanism_class(render(genome))(config, **(hyperparameters or {})).to(dtype)
    with torch.no_grad():
        for parameter in mechanism.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return mechanism


def random_input(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(B, L, D, dtype=dtype, generator=torch.Generator().manual_seed(1))


def assert_close(found: Tensor, expected: Tensor) -> None:
    """Equal to 1e-9 of the size of what was expected."""
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-9 * float(expected.abs().max()))


def assert_shapes_and_gradients(genome: Genome, causal: bool) -> None:
    mechanism = build(genome, causal)
    x = random_input().requires_grad_()
    y = mechanism(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    y.square().sum().backward()
    for name, tensor in [("x", x), *mechanism.named_parameters()]:
        assert tensor.grad is not None, name
        assert tensor.grad.abs().max() > 0, name


@torch.no_grad()
def assert_contract(
    genome: Genome, causal: bool, hyperparameters: dict[str, int] | None = None
) -> None:
    mechanism, x = build(genome, causal, hyperparameters=hyperparameters), random_input()
    y = mechanism(x)
    assert torch.equal(y, mechanism(x))
    assert_close(mechanism(x[1:2]), y[1:2])
    for length in (1, 2, 7):
        if causal:
            assert_close(mechanism(x[:, :length]), y[:, :length])
        else:
            assert mechanism(x[:, :length]).isfinite().all()

    mask = torch.arange(L) >= torch.tensor(LENGTHS)[:, None]
    padded = mechanism(x, mask)
    assert padded.isfinite().all()
    other = mechanism(x.masked_fill(mask[:, :, None], torch.nan), mask)
    for row, length in enumerate(LENGTHS[:-1]):
        assert torch.equal(other[row, :length], padded[row, :length])
        assert_close(mechanism(x[row : row + 1, :length])[0], padded[row, :length])


@torch.no_grad()
def assert_finite(genome: Genome, causal: bool) -> None:
    mechanism, x = build(genome, causal, dtype=torch.float32), random_input(torch.float32)
    for scale in (0.0, 1.0, 1e4):
        y = mechanism(scale * x)
        assert y.isfinite().all()
        with torch.autocast("cpu", torch.bfloat16):
            y = mechanism(scale * x)
        assert y.isfinite().all()
        assert y.dtype == torch.bfloat16


@modes
@pytest.mark.parametrize("genome", every_kernel(), ids=lambda genome: str(genome.branches[0]))
def test_every_kernel_keeps_the_contract(genome: Genome, causal: bool) -> None:
    assert_shapes_and_gradients(genome, causal)
    assert_contract(genome, causal)
    assert_finite(genome, causal)


@few
@given(genome=genomes, causal=st.booleans())
def test_every_genome_keeps_the_contract(genome: Genome, causal: bool) -> None:
    assert_shapes_and_gradients(genome, causal)
    assert_contract(genome, causal)
    assert_finite(genome, causal)


@few
@given(genome=genomes, causal=st.booleans())
def test_longest_length_of_one(genome: Genome, causal: bool) -> None:
    mechanism = build(genome, causal, max_seq_len=1, num_heads=1)
    assert mechanism(random_input()[:, :1]).isfinite().all()


@modes
@pytest.mark.parametrize("filter_name", KERNELS["long convolution"]["filter"])
@torch.no_grad()
def test_long_convolution_by_fft_equals_that_by_matrix(filter_name: str, causal: bool) -> None:
    """Above 256 positions the FFT takes over; padding to there must change nothing."""
    kernel = Kernel(name="long convolution", choices=(filter_name,))
    mechanism = build(Genome(branches=(Branch(kernel=kernel),)), causal, max_seq_len=307)
    x = torch.randn(2, 307, D, dtype=torch.float64)
    mask = (torch.arange(307) >= 251).expand(2, -1)
    assert_close(mechanism(x, mask)[:, :251], mechanism(x[:, :251]))


@few
@given(genome=genomes)
def test_parameters_stay_near_those_of_softmax_attention(genome: Genome) -> None:
    """The parts beside the projections are small, so a genome cannot buy its score by size."""
    mechanism = build(genome, True, max_seq_len=64, d_model=64, num_heads=2)
    assert sum(parameter.numel() for parameter in mechanism.parameters()) <= 1.2 * 4 * 64 * 64


@settings(max_examples=50, deadline=None, derandomize=True)
@given(genome=genomes)
def test_rendering(genome: Genome) -> None:
    source = render(genome)
    assert source == render(genome_from_notes(genome_to_notes(genome)))
    tree = ast.parse(source)
    assert ast.get_docstring(tree)
    assert all(branch.kernel.name in source.lower() for branch in genome.branches)
    assert max(map(len, source.splitlines())) <= 100
    assert source.endswith("\n")
    assert not source.endswith("\n\n")


@modes
@pytest.mark.parametrize("genome", every_kernel(), ids=lambda genome: str(genome.branches[0]))
def test_the_edges_of_the_search_space(genome: Genome, causal: bool) -> None:
    """The lowest values lie below L, so that windows and filters end within the sequence."""
    space = mechanism_class(render(genome)).search_space
    assert "conv_width" in space
    assert_contract(genome, causal, {name: entry["low"] for name, entry in space.items()})
    assert_contract(genome, causal, {name: entry["high"] for name, entry in space.items()})


def test_equal_parts_have_hyperparameters_of_their_own() -> None:
    free = Branch(kernel=Kernel(name="long convolution", choices=("free",)))
    source = render(Genome(branches=(free, free), join="sum"))
    assert set(mechanism_class(source).search_space) == {
        *("num_filters_1", "filter_length_1"),
        *("num_filters_2", "filter_length_2"),
    }


def test_notes_that_hold_no_genome() -> None:
    notes = genome_to_notes(draw_genome(random.Random(0), 2))
    with pytest.raises(RecordError, match=r"did you mean 'join'"):
        genome_from_notes({**notes, "joint": None})
    with pytest.raises(RecordError, match=r"expected a join"):
        genome_from_notes({**notes, "join": None})
    notes["branches"][0]["kernel"]["name"] = "sofmax attention"
    with pytest.raises(RecordError, match=r"expected a kernel"):
        genome_from_notes(notes)


def num_changes(old: Genome, new: Genome) -> int:
    """Changed things: norm, join, number of branches, and each field or option of each branch.

    The join of a single branch says nothing, so that gaining or losing it is no change of its own.
    """
    changes = int(old.norm != new.norm)
    changes += bool(old.join and new.join and old.join != new.join)
    if len(old.branches) != len(new.branches):
        longer, shorter = sorted((old.branches, new.branches), key=len, reverse=True)
        removals = [longer[:i] + longer[i + 1 :] for i in range(len(longer))]
        return changes + (1 if shorter in removals else 2)
    for old_branch, new_branch in zip(old.branches, new.branches, strict=True):
        for name in ("short_convolution", "output_gate"):
            changes += getattr(old_branch, name) != getattr(new_branch, name)
        if old_branch.kernel.name != new_branch.kernel.name:
            changes += 1
        else:
            pairs = zip(old_branch.kernel.choices, new_branch.kernel.choices, strict=True)
            changes += sum(a != b for a, b in pairs)
    return changes


@settings(max_examples=100, deadline=None, derandomize=True)
@given(genome=genomes, seed=st.integers(0, 2**32))
def test_a_mutation_changes_one_thing(genome: Genome, seed: int) -> None:
    variation = mutate(random.Random(seed), genome)
    assert num_changes(genome, variation.genome) == 1
    assert variation.change
    assert "\n" not in variation.change


@settings(max_examples=100, deadline=None, derandomize=True)
@given(genome=genomes, other=genomes, seed=st.integers(0, 2**32))
def test_a_crossover_takes_one_branch(genome: Genome, other: Genome, seed: int) -> None:
    variation = cross(random.Random(seed), genome, other)
    child = variation.genome
    assert child.norm == genome.norm
    if len(child.branches) > len(genome.branches):
        assert child.branches[:-1] == genome.branches
        assert child.branches[-1] in other.branches
    else:
        pairs = list(zip(genome.branches, child.branches, strict=True))
        changed = [new for old, new in pairs if old != new]
        assert len(changed) <= 1
        assert all(new in other.branches for new in changed)


def test_mutation_reaches_everything() -> None:
    """From one genome, a walk by mutations meets every kernel, choice, join, norm and size."""
    rng, genome = random.Random(0), draw_genome(random.Random(0), 1)
    met: set[object] = set()
    for _ in range(2000):
        genome = mutate(rng, genome).genome
        met.update({genome.join, genome.norm, len(genome.branches)})
        met.update(choice for branch in genome.branches for choice in branch.kernel.choices)
    choices = {c for options in KERNELS.values() for values in options.values() for c in values}
    assert met == {None, *JOINS, *NORMS, 1, 2, 3} | choices
    assert {field.name for field in fields(Branch)} == {
        "kernel",
        "short_convolution",
        "output_gate",
    }


@pytest.mark.slow
def test_the_validator_finds_nothing() -> None:
    from agent_sandbox.isolation import open_isolation
    from agent_sandbox.validator.validate import validate

    with open_isolation() as isolation:
        for seed in range(30):
            genome = draw_genome(random.Random(seed), 1 + seed % 3)
            report = validate(render(genome).encode(), isolation)
            assert not [finding for finding in report.findings if finding.tier != "info"], genome
