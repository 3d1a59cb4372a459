"""Every reference mechanism against a naive twin written from its equation.

`tests/twins/NAME.py` holds the twin of `mechanisms/NAME.py`: `forward(mechanism, x_LD)`, which
loops over positions, one unpadded example at a time, and `CASES`, the sizes to compare at. It may
hold `REFUSED`, hyperparameters with the message that refuses them, and `BFLOAT16_TOLERANCE`. What
every valid mechanism keeps (causality, padding, decoding, ...) is asked by the validator, in
`test_validator.py`.
"""

from __future__ import annotations

import ast
import importlib
import math
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from twin_case import Case, load

from agent_sandbox.validator.counting import count_cost
from lra_design import Mechanism, MechanismConfig
from mechanisms import FEW, REFERENCES, reference_source
from mechanisms.long_convolution import LongConvolution
from mechanisms.softmax import SoftmaxAttention

HERE = Path(__file__).parent
TWINS = {name: importlib.import_module(f"twins.{name}") for name in REFERENCES}
WITH_TABLES: dict[str, str] = {
    "linformer": "256 numbers for each position, which mix the keys along the length",
    "attention_free": "256 numbers for each position, of which its position biases are products",
}
"""References that have more parameters than the bound allows at full length, and why."""


CLASSES = {name: load(name) for name in REFERENCES}


def modes(cls: type[Mechanism]) -> list[bool]:
    """The values of `config.causal` that it supports."""
    supported = {True: cls.supports_causal, False: cls.supports_bidirectional}
    return [causal for causal, yes in supported.items() if yes]


def param(name: str, causal: bool, *values: object, slow: bool = False) -> object:
    """Of a test; what is said of a mechanism in its second mode, or again, waits for `-m slow`."""
    mode = "causal" if causal else "bidirectional"
    ids = [name, mode, *(value.id for value in values if isinstance(value, Case))]
    return pytest.param(name, causal, *values, id="-".join(ids), marks=SLOW if slow else [])


SLOW = [pytest.mark.slow]
EVERY = [
    param(name, causal, slow=i > 0)
    for name, cls in CLASSES.items()
    for i, causal in enumerate(modes(cls))
]
CASES = [
    param(name, causal, case, slow=i + j > 0 or max(case.lengths) > 131)
    for name, cls in CLASSES.items()
    for i, causal in enumerate(modes(cls))
    for j, case in enumerate(TWINS[name].CASES)
]
DECODING = [name for name, cls in CLASSES.items() if cls.step is not Mechanism.step]
every_mode = pytest.mark.parametrize(("name", "causal"), EVERY)
every_mechanism = pytest.mark.parametrize("name", REFERENCES)
every_decoding = pytest.mark.parametrize("name", DECODING)


def build(
    name: str, causal: bool, case: Case | None = None, *, L: int = 37, dropout: float = 0.0
) -> Mechanism:
    """A float64 mechanism in eval mode with the same weights each time."""
    case = case or Case(lengths=(L,))
    torch.manual_seed(7)
    config = MechanismConfig(
        d_model=case.H * case.K,
        num_heads=case.H,
        max_seq_len=case.max_seq_len or max(case.lengths),
        causal=causal,
        dropout=dropout,
        layer_index=case.layer[0],
        num_layers=case.layer[1],
    )
    return CLASSES[name](config, **case.hyperparameters).double().eval()


def draw(*shape: int, seed: int = 11) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def padding(lengths: tuple[int, ...], L: int) -> Tensor:
    """`(B, L)`, True = padding."""
    return torch.arange(L)[None] >= torch.tensor(lengths)[:, None]


@pytest.mark.parametrize(("name", "causal", "case"), CASES)
def test_forward_and_gradients_equal_the_naive_twin(name: str, causal: bool, case: Case) -> None:
    twin, lengths, L, D = TWINS[name], case.lengths, max(case.lengths), case.H * case.K
    mechanism = build(name, causal, case)
    x_BLD = draw(len(lengths), L, D).requires_grad_()
    cotangent_BLD = draw(len(lengths), L, D, seed=13)
    wanted = torch.cat(
        [
            twin.forward(mechanism, x_LD[:length], **case.hyperparameters)
            for x_LD, length in zip(x_BLD, lengths, strict=True)
        ]
    )
    real_BL = ~padding(lengths, L)
    # Without padding the mask is left out, so that both paths are seen.
    found = mechanism(x_BLD, None if real_BL.all() else ~real_BL)[real_BL]

    torch.testing.assert_close(found, wanted, rtol=0, atol=case.tolerance)
    inputs = [x_BLD, *mechanism.parameters()]
    gradients = [
        torch.autograd.grad(output, inputs, cotangent_BLD[real_BL], allow_unused=True)
        for output in (found, wanted)
    ]
    for leaf, mine, naive in zip(inputs, *gradients, strict=True):
        found_gradient = torch.zeros_like(leaf) if mine is None else mine
        wanted_gradient = torch.zeros_like(leaf) if naive is None else naive
        torch.testing.assert_close(found_gradient, wanted_gradient, rtol=1e-9, atol=case.tolerance)


@every_decoding
@pytest.mark.parametrize("L", [1, 37, pytest.param(131, marks=pytest.mark.slow)])
def test_step_equals_forward(name: str, L: int) -> None:
    mechanism = build(name, True, L=L)
    x_BLD = draw(3, L, 12)
    state = mechanism.init_state(3, x_BLD.device, x_BLD.dtype)
    rows = []
    for t in range(L):
        row_BD, state = mechanism.step(x_BLD[:, t], state)
        rows.append(row_BD)
    torch.testing.assert_close(torch.stack(rows, 1), mechanism(x_BLD), rtol=0, atol=1e-9)


@every_decoding
def test_step_leaves_its_state_as_it_was(name: str) -> None:
    mechanism = build(name, True)
    x_BLD = draw(3, 2, 12)
    _, state = mechanism.step(x_BLD[:, 0], mechanism.init_state(3, x_BLD.device, x_BLD.dtype))
    first_BD, _ = mechanism.step(x_BLD[:, 1], state)
    again_BD, _ = mechanism.step(x_BLD[:, 1], state)
    assert torch.equal(first_BD, again_BD)


@pytest.mark.parametrize("name", [n for n in DECODING if CLASSES[n].supports_bidirectional])
def test_decoding_without_causality_is_refused(name: str) -> None:
    with pytest.raises(NotImplementedError, match="needs a causal mechanism"):
        build(name, False).init_state(3, torch.device("cpu"), torch.float64)


@every_mechanism
def test_an_unsupported_mode_is_refused_when_built(name: str) -> None:
    unsupported = {True, False} - set(modes(CLASSES[name]))
    for causal in unsupported:
        with pytest.raises(ValueError, match="causal" if causal else "bidirectional"):
            build(name, causal)


@every_mode
def test_bfloat16_autocast_gives_bfloat16_near_float32(name: str, causal: bool) -> None:
    mechanism = build(name, causal, L=131).float()
    x_BLD, mask_BL = draw(2, 131, 12).float().requires_grad_(), padding((131, 67), 131)
    real_BL = ~mask_BL
    wanted = mechanism(x_BLD, mask_BL)[real_BL]
    with torch.autocast("cpu", torch.bfloat16):
        found = mechanism(x_BLD, mask_BL)[real_BL]
    assert found.dtype == torch.bfloat16
    # Three roundings to 8 bits in a row, on values of about 1.
    tolerance = getattr(TWINS[name], "BFLOAT16_TOLERANCE", 2e-2)
    torch.testing.assert_close(found.float(), wanted, rtol=0, atol=tolerance)
    gradients = torch.autograd.grad(found.float().sum(), [x_BLD, *mechanism.parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", [n for n, cls in CLASSES.items() if cls.supports_bidirectional])
def test_without_causality_the_future_reaches_back(name: str) -> None:
    if name == "identity":
        pytest.skip("it mixes nothing")
    mechanism = build(name, False, L=11)
    x_BLD = draw(2, 11, 12).requires_grad_()
    (gradient_BLD,) = torch.autograd.grad(mechanism(x_BLD)[:, 0].square().sum(), x_BLD)
    assert gradient_BLD[:, 1:].abs().sum() > 1e-6


@every_mechanism
def test_dropout_acts_in_training_only(name: str) -> None:
    causal = modes(CLASSES[name])[0]
    mechanism = build(name, causal, dropout=0.5)
    x_BLD = draw(2, 37, 12)
    assert torch.equal(mechanism(x_BLD), build(name, causal)(x_BLD))
    dropped = mechanism.train()(x_BLD) == 0
    assert 0.3 < dropped.double().mean() < 0.7


@every_mechanism
def test_no_randomness_is_drawn_without_dropout(name: str) -> None:
    mechanism = build(name, modes(CLASSES[name])[0]).train()
    state = torch.get_rng_state()
    mechanism(draw(2, 37, 12))
    assert torch.equal(torch.get_rng_state(), state)


class _Count(TorchDispatchMode):
    """Counts the operations that are dispatched while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.number += 1
        return func(*args, **(kwargs or {}))


@every_mode
def test_no_loop_over_the_length(name: str, causal: bool) -> None:
    """Four times the length takes the same operations, or those of two more levels of a scan."""
    mechanism = build(name, causal, L=2048)
    counts = []
    for L in (512, 2048):
        with torch.no_grad(), _Count() as count:
            mechanism(draw(1, L, 12))
        counts.append(count.number)
    assert counts[1] <= 1.35 * counts[0] + 8, counts


@pytest.mark.slow
@every_mode
def test_operations_grow_as_claimed(name: str, causal: bool) -> None:
    mechanism = build(name, causal, Case(lengths=(16384,), K=8)).float()
    claimed = CLASSES[name].claimed_cost
    assert claimed is not None
    short, middle, long = (count_cost(mechanism, L, 24)[0] for L in (4096, 8192, 16384))
    # A logarithm beside L shows as 0.1; what does not grow at all hides the rest, but cancels in
    # differences, where terms of lower order still weigh.
    overall, of_growth = math.log2(long / short) / 2, math.log2((long - middle) / (middle - short))
    assert overall - 0.2 <= claimed <= of_growth + 0.3


@every_mechanism
def test_a_block_stays_within_the_parameter_bound_at_full_length(name: str) -> None:
    config = MechanismConfig(
        d_model=64, num_heads=2, max_seq_len=4096, causal=modes(CLASSES[name])[0]
    )
    feed_forward = 2 * 64 * 128  # of the host at the small scale
    sizes = [
        feed_forward + sum(parameter.numel() for parameter in kind(config).parameters())
        for kind in (CLASSES[name], SoftmaxAttention)
    ]
    assert (sizes[0] <= 1.1 * sizes[1]) == (name not in WITH_TABLES)


@pytest.mark.slow
@every_mode
def test_it_compiles_without_a_graph_break(name: str, causal: bool) -> None:
    mechanism = build(name, causal)
    torch._dynamo.reset()
    compiled = torch.compile(mechanism, backend="eager", fullgraph=True)
    x_BLD, mask_BL = draw(2, 37, 12), padding((37, 23), 37)
    torch.testing.assert_close(compiled(x_BLD, mask_BL), mechanism(x_BLD, mask_BL))


@pytest.mark.parametrize(
    ("name", "hyperparameters", "message"),
    [
        pytest.param(name, *refused, id=f"{name}-{'-'.join(refused[0])}")
        for name, twin in TWINS.items()
        for refused in getattr(twin, "REFUSED", ())
    ],
)
def test_a_senseless_hyperparameter_is_refused(
    name: str, hyperparameters: dict[str, object], message: str
) -> None:
    case = Case(hyperparameters=hyperparameters)
    with pytest.raises(ValueError, match=message):
        build(name, modes(CLASSES[name])[0], case)


def test_the_shelf_is_the_folder_and_each_has_a_twin() -> None:
    files = {path.stem for path in (HERE.parent / "mechanisms").glob("[!_]*.py")}
    assert set(REFERENCES) == files
    assert len(REFERENCES) == len(files)
    assert {path.stem for path in (HERE / "twins").glob("*.py")} == files
    assert set(FEW) <= files


@every_mechanism
def test_a_reference_cites_its_paper_and_says_how_it_differs(name: str) -> None:
    docstring = ast.get_docstring(ast.parse(reference_source(name))) or ""
    first, citation, *rest = docstring.split("\n\n")
    assert re.fullmatch(r"[A-Z].+: .+\.", " ".join(first.split()))
    assert re.search(
        r"\"[^\"]+\",? (\([^)]+\), )?(19|20)\d\d \(arXiv:\d{4}\.\d{4,5}\)",
        " ".join(citation.split()),
    )
    assert any(part.startswith("Difference") for part in rest)


@pytest.mark.parametrize("kernel_width", [4, 5, 16])
@pytest.mark.parametrize("L", [1, 3, 48, 71])
def test_no_kernel_parameter_is_dead(kernel_width: int, L: int) -> None:
    config = MechanismConfig(d_model=15, num_heads=3, max_seq_len=L, causal=True)
    mechanism = LongConvolution(config, kernel_width=kernel_width).double()
    out_BLD = mechanism(draw(2, L, 15))
    (gradient_TD,) = torch.autograd.grad(out_BLD.square().sum(), [mechanism.taps_TD])
    assert (gradient_TD != 0).all()
