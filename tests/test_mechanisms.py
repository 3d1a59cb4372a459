"""Every reference mechanism against a naive twin written from its equation, and the contract.

The twins loop over positions, one unpadded example at a time. Both run in float64, where the only
difference left is the order of the sums: 1e-9 is far above it and far below any mistake.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lra_design import Mechanism, MechanismConfig
from mechanisms.linear import CHUNK, EPSILON, LinearAttention
from mechanisms.local_window import LocalWindowAttention
from mechanisms.long_convolution import LongConvolution
from mechanisms.mean import Mean
from mechanisms.softmax import SoftmaxAttention

MECHANISMS = [SoftmaxAttention, LinearAttention, LocalWindowAttention, LongConvolution, Mean]
every_mechanism = pytest.mark.parametrize("cls", MECHANISMS, ids=lambda cls: cls.__name__)
both_modes = pytest.mark.parametrize("causal", [True, False], ids=["causal", "bidirectional"])


def build(
    cls: type[Mechanism], *, causal: bool, H: int = 3, K: int = 5, L: int = 37, **kwargs: object
) -> Mechanism:
    """A float64 mechanism in eval mode with the same weights each time."""
    dropout = kwargs.pop("dropout", 0.0)
    torch.manual_seed(7)
    config = MechanismConfig(
        d_model=H * K, num_heads=H, max_seq_len=L, causal=causal, dropout=dropout
    )
    return cls(config, **kwargs).double().eval()


def draw(*shape: int, seed: int = 11) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def padding(lengths: list[int], L: int) -> Tensor:
    """`(B, L)`, True = padding."""
    return torch.arange(L)[None] >= torch.tensor(lengths)[:, None]


# Naive twins: x (L, D), one example without padding.


def project(mechanism: Mechanism, x_LD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v, each `(L, H, K)`."""
    shape = (len(x_LD), mechanism.config.num_heads, -1)
    q_LD, k_LD, v_LD = (x_LD @ mechanism.qkv.weight.T).tensor_split(3, dim=1)
    return q_LD.reshape(shape), k_LD.reshape(shape), v_LD.reshape(shape)


def attend(
    mechanism: Mechanism,
    x_LD: Tensor,
    sees: Callable[[int, int], bool],
    weigh: Callable[[Tensor], Tensor],
) -> Tensor:
    q_LHK, k_LHK, v_LHK = project(mechanism, x_LD)
    rows = []
    for t in range(len(x_LD)):
        seen = [s for s in range(len(x_LD)) if sees(t, s)]
        weights_SH = weigh((q_LHK[t] * k_LHK[seen]).sum(-1) / math.sqrt(q_LHK.shape[2]))
        rows.append((weights_SH[:, :, None] * v_LHK[seen]).sum(0).flatten())
    return torch.stack(rows) @ mechanism.out.weight.T


def naive_softmax(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    causal = mechanism.config.causal
    return attend(mechanism, x_LD, lambda t, s: s <= t or not causal, lambda a: a.softmax(0))


def naive_local(mechanism: Mechanism, x_LD: Tensor, window: int = 16) -> Tensor:
    causal = mechanism.config.causal

    def sees(t: int, s: int) -> bool:
        return 0 <= t - s < window if causal else abs(t - s) <= window // 2

    return attend(mechanism, x_LD, sees, lambda a: a.softmax(0))


def naive_linear(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    q_LHK, k_LHK, v_LHK = project(mechanism, x_LD)
    q_LHK, k_LHK = F.elu(q_LHK) + 1, F.elu(k_LHK) + 1
    rows = []
    for t in range(len(x_LD)):
        seen = slice(0, t + 1) if mechanism.config.causal else slice(None)
        weights_SH = (q_LHK[t] * k_LHK[seen]).sum(-1)
        sum_HK = (weights_SH[:, :, None] * v_LHK[seen]).sum(0)
        rows.append((sum_HK / (weights_SH.sum(0)[:, None] + EPSILON)).flatten())
    return torch.stack(rows) @ mechanism.out.weight.T


def naive_kernel(taps_TD: Tensor, L: int, width: int, decay: float) -> Tensor:
    """`(L, D)`: scale i is `width` points, each `stretch` apart, with straight lines between."""
    rows = []
    scale = first = 0
    while len(rows) < L:
        stretch = 2 ** max(scale - 1, 0)
        for j in range(min(width * stretch, L - len(rows))):
            place = min(max((j + 0.5) / stretch - 0.5, 0.0), width - 1.0)
            left = math.floor(place)
            right = min(left + 1, width - 1)
            value_D = (1 - (place - left)) * taps_TD[first + left]
            if place > left:
                value_D = value_D + (place - left) * taps_TD[first + right]
            rows.append(decay**scale * value_D)
        scale, first = scale + 1, first + width
    return torch.stack(rows)


def naive_convolution(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    L, D = x_LD.shape
    value_LD, gate_LD = (x_LD @ mechanism.into.weight.T).tensor_split(2, dim=1)
    kernel_LD = naive_kernel(mechanism.taps_TD, L, width=8, decay=0.5)
    looks_back_D = torch.arange(D) < (D if mechanism.config.causal else (D + 1) // 2)
    rows = []
    for t in range(L):
        back_D = sum(kernel_LD[t - s] * value_LD[s] for s in range(t + 1))
        ahead_D = sum(kernel_LD[s - t] * value_LD[s] for s in range(t, L))
        rows.append(torch.where(looks_back_D, back_D, ahead_D))
    return (F.silu(gate_LD) * torch.stack(rows)) @ mechanism.out.weight.T


def naive_mean(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    causal = mechanism.config.causal
    rows = [x_LD[: t + 1 if causal else None].mean(0) for t in range(len(x_LD))]
    return torch.stack(rows) @ mechanism.out.weight.T


@both_modes
@pytest.mark.parametrize(
    ("cls", "naive", "lengths", "H", "K", "kwargs"),
    [
        pytest.param(
            SoftmaxAttention, naive_softmax, [37, 23], 3, 5, {}, id="softmax-B2-L37-H3-K5"
        ),
        pytest.param(SoftmaxAttention, naive_softmax, [1], 2, 7, {}, id="softmax-B1-L1-H2-K7"),
        pytest.param(LinearAttention, naive_linear, [37, 23], 3, 5, {}, id="linear-B2-L37-H3-K5"),
        pytest.param(LinearAttention, naive_linear, [131, 67], 2, 3, {}, id="linear-B2-L131-H2-K3"),
        pytest.param(
            LinearAttention, naive_linear, [2 * CHUNK], 2, 3, {}, id="linear-B1-L128-H2-K3"
        ),
        pytest.param(
            LocalWindowAttention, naive_local, [37, 23], 3, 5, {"window": 7}, id="local-w7-B2-L37"
        ),
        pytest.param(
            LocalWindowAttention, naive_local, [131, 67], 1, 3, {"window": 4}, id="local-w4-B2-L131"
        ),
        pytest.param(
            LocalWindowAttention,
            naive_local,
            [149, 2],
            1,
            3,
            {"window": 71},
            id="local-w71-B2-L149",
        ),
        pytest.param(LocalWindowAttention, naive_local, [5, 3], 3, 2, {}, id="local-w16-B2-L5"),
        pytest.param(LongConvolution, naive_convolution, [37, 23], 3, 5, {}, id="conv-B2-L37-D15"),
        pytest.param(LongConvolution, naive_convolution, [19, 2], 1, 7, {}, id="conv-B2-L19-D7"),
        pytest.param(LongConvolution, naive_convolution, [1], 1, 2, {}, id="conv-B1-L1-D2"),
        pytest.param(Mean, naive_mean, [37, 23], 3, 5, {}, id="mean-B2-L37-D15"),
    ],
)
def test_forward_and_gradients_equal_the_naive_twin(
    cls: type[Mechanism],
    naive: Callable[..., Tensor],
    lengths: list[int],
    H: int,
    K: int,
    kwargs: dict[str, object],
    causal: bool,
) -> None:
    L = max(lengths)
    mechanism = build(cls, causal=causal, H=H, K=K, L=L, **kwargs)
    x_BLD = draw(len(lengths), L, H * K).requires_grad_()
    cotangent_BLD = draw(len(lengths), L, H * K, seed=13)
    pairs = zip(x_BLD, lengths, strict=True)
    wanted = torch.cat([naive(mechanism, x_LD[:length], **kwargs) for x_LD, length in pairs])
    real_BL = ~padding(lengths, L)
    # Without padding the mask is left out, so that both paths are seen.
    found = mechanism(x_BLD, None if real_BL.all() else ~real_BL)[real_BL]

    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)
    inputs = [x_BLD, *mechanism.parameters()]
    gradients = [
        torch.autograd.grad(output, inputs, cotangent_BLD[real_BL]) for output in (found, wanted)
    ]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-9)


@every_mechanism
def test_a_prefix_alone_gives_the_prefix_of_the_whole(cls: type[Mechanism]) -> None:
    mechanism = build(cls, causal=True, L=149)
    x_BLD = draw(2, 149, 15)
    whole_BLD = mechanism(x_BLD)
    for length in (1, 2, 31, 64, 67, 139):
        torch.testing.assert_close(
            mechanism(x_BLD[:, :length]), whole_BLD[:, :length], rtol=0, atol=1e-9
        )


@every_mechanism
def test_without_causality_the_future_reaches_back(cls: type[Mechanism]) -> None:
    mechanism = build(cls, causal=False, L=5)
    x_BLD = draw(2, 5, 15).requires_grad_()
    (gradient_BLD,) = torch.autograd.grad(mechanism(x_BLD)[:, 0].square().sum(), x_BLD)
    assert gradient_BLD.abs().sum((0, 2)).min() > 1e-6


@both_modes
@every_mechanism
def test_padding_changes_nothing(cls: type[Mechanism], causal: bool) -> None:
    mechanism = build(cls, causal=causal, L=149)
    lengths = [67, 3, 53]
    x_BLD = draw(3, 149, 15)
    garbage_BLD = torch.where(
        padding(lengths, 149)[:, :, None], 1e4 * draw(3, 149, 15, seed=5), x_BLD
    )
    wanted = [mechanism(x_BLD[b : b + 1, :length])[0] for b, length in enumerate(lengths)]
    for amount in (67, 71, 149):
        for inputs_BLD in (x_BLD, garbage_BLD):
            found_BLD = mechanism(inputs_BLD[:, :amount], padding(lengths, amount))
            found = [found_BLD[b, :length] for b, length in enumerate(lengths)]
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


@both_modes
@every_mechanism
def test_an_example_does_not_see_its_batch(cls: type[Mechanism], causal: bool) -> None:
    mechanism = build(cls, causal=causal)
    x_BLD, lengths = draw(5, 37, 15), [37, 0, 11, 29, 2]
    mask_BL = padding(lengths, 37)
    together_BLD = mechanism(x_BLD, mask_BL)
    order = [3, 1, 4, 0, 2]
    shuffled_BLD = mechanism(x_BLD[order], mask_BL[order])
    torch.testing.assert_close(shuffled_BLD, together_BLD[order], rtol=0, atol=1e-9)
    for b in range(5):
        alone_BLD = mechanism(x_BLD[b : b + 1], mask_BL[b : b + 1])
        torch.testing.assert_close(alone_BLD[0], together_BLD[b], rtol=0, atol=1e-9)


@pytest.mark.parametrize("L", [1, 37, 131])
@pytest.mark.parametrize("cls", [LinearAttention, Mean], ids=lambda cls: cls.__name__)
def test_step_equals_forward(cls: type[Mechanism], L: int) -> None:
    mechanism = build(cls, causal=True, L=L)
    x_BLD = draw(3, L, 15)
    state = mechanism.init_state(3, x_BLD.device, x_BLD.dtype)
    rows = []
    for t in range(L):
        row_BD, state = mechanism.step(x_BLD[:, t], state)
        rows.append(row_BD)
    torch.testing.assert_close(torch.stack(rows, 1), mechanism(x_BLD), rtol=0, atol=1e-9)


@pytest.mark.parametrize("cls", [LinearAttention, Mean], ids=lambda cls: cls.__name__)
def test_step_leaves_its_state_as_it_was(cls: type[Mechanism]) -> None:
    mechanism = build(cls, causal=True)
    x_BLD = draw(3, 2, 15)
    _, state = mechanism.step(x_BLD[:, 0], mechanism.init_state(3, x_BLD.device, x_BLD.dtype))
    first_BD, _ = mechanism.step(x_BLD[:, 1], state)
    again_BD, _ = mechanism.step(x_BLD[:, 1], state)
    assert torch.equal(first_BD, again_BD)


@pytest.mark.parametrize("cls", [LinearAttention, Mean], ids=lambda cls: cls.__name__)
def test_decoding_without_causality_is_refused(cls: type[Mechanism]) -> None:
    with pytest.raises(NotImplementedError, match="needs a causal mechanism"):
        build(cls, causal=False).init_state(3, torch.device("cpu"), torch.float64)


@both_modes
@every_mechanism
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4], ids=lambda scale: f"x{scale:g}")
def test_float32_is_finite_forward_and_backward(
    cls: type[Mechanism], scale: float, causal: bool
) -> None:
    mechanism = build(cls, causal=causal, L=71).float()
    x_BLD = (scale * draw(3, 71, 15)).float().requires_grad_()
    for lengths in ([71, 71, 71], [71, 0, 2], [0, 0, 0]):
        out_BLD = mechanism(x_BLD, padding(lengths, 71))
        gradients = torch.autograd.grad(out_BLD.sum(), [x_BLD, *mechanism.parameters()])
        for tensor in (out_BLD, *gradients):
            assert tensor.isfinite().all()


@both_modes
@every_mechanism
def test_bfloat16_autocast_gives_bfloat16_near_float32(cls: type[Mechanism], causal: bool) -> None:
    mechanism = build(cls, causal=causal, L=131).float()
    x_BLD, mask_BL = draw(2, 131, 15).float().requires_grad_(), padding([131, 67], 131)
    wanted_BLD = mechanism(x_BLD, mask_BL)
    with torch.autocast("cpu", torch.bfloat16):
        found_BLD = mechanism(x_BLD, mask_BL)
    assert found_BLD.dtype == torch.bfloat16
    # Three roundings to 8 bits in a row, on values of about 1.
    torch.testing.assert_close(found_BLD.float(), wanted_BLD, rtol=0, atol=2e-2)
    gradients = torch.autograd.grad(found_BLD.float().sum(), [x_BLD, *mechanism.parameters()])
    assert all(gradient.dtype == torch.float32 for gradient in gradients)


@both_modes
@every_mechanism
def test_every_parameter_and_the_input_get_a_gradient(cls: type[Mechanism], causal: bool) -> None:
    mechanism = build(cls, causal=causal)
    x_BLD = draw(2, 37, 15).requires_grad_()
    out_BLD = mechanism(x_BLD, padding([37, 29], 37))
    gradients = torch.autograd.grad(out_BLD.square().sum(), [x_BLD, *mechanism.parameters()])
    assert all((gradient != 0).any() for gradient in gradients)


@both_modes
@every_mechanism
def test_every_length_keeps_the_shape_and_no_call_is_remembered(
    cls: type[Mechanism], causal: bool
) -> None:
    mechanism = build(cls, causal=causal, L=67)
    x_BLD = draw(2, 67, 15)
    before_BLD = x_BLD.clone()
    first = [mechanism(x_BLD[:, :length]) for length in range(1, 68)]
    again = [mechanism(x_BLD[:, :length]) for length in reversed(range(1, 68))]
    assert [out.shape for out in first] == [(2, length, 15) for length in range(1, 68)]
    assert all(map(torch.equal, first, reversed(again)))
    assert torch.equal(x_BLD, before_BLD)


@every_mechanism
def test_dropout_acts_in_training_only(cls: type[Mechanism]) -> None:
    mechanism = build(cls, causal=True, dropout=0.5)
    x_BLD = draw(2, 37, 15)
    assert torch.equal(mechanism(x_BLD), build(cls, causal=True)(x_BLD))
    dropped = mechanism.train()(x_BLD) == 0
    assert 0.3 < dropped.double().mean() < 0.7


@both_modes
@every_mechanism
def test_no_randomness_is_drawn_without_dropout(cls: type[Mechanism], causal: bool) -> None:
    mechanism = build(cls, causal=causal).train()
    state = torch.get_rng_state()
    mechanism(draw(2, 37, 15))
    assert torch.equal(torch.get_rng_state(), state)


@every_mechanism
def test_a_block_stays_within_the_parameter_bound_at_full_length(cls: type[Mechanism]) -> None:
    config = MechanismConfig(d_model=64, num_heads=2, max_seq_len=4096, causal=True)
    feed_forward = 2 * 64 * 128  # of the host at the small scale
    sizes = [
        feed_forward + sum(parameter.numel() for parameter in kind(config).parameters())
        for kind in (cls, SoftmaxAttention)
    ]
    assert sizes[0] <= 1.1 * sizes[1]


def test_the_state_dict_does_not_hold_what_init_computes() -> None:
    state = build(LongConvolution, causal=True).state_dict()
    assert set(state) == {"into.weight", "taps_TD", "out.weight"}


@pytest.mark.parametrize(
    ("cls", "kwargs", "message"),
    [
        (LocalWindowAttention, {"window": 1}, "window must be at least 2, found 1"),
        (LongConvolution, {"kernel_width": 0}, "kernel_width must be at least 1, found 0"),
        (LongConvolution, {"decay": 1.5}, r"decay must lie in \(0, 1\], found 1.5"),
    ],
    ids=["window", "kernel_width", "decay"],
)
def test_a_senseless_hyperparameter_is_refused(
    cls: type[Mechanism], kwargs: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build(cls, causal=True, **kwargs)


@pytest.mark.parametrize("kernel_width", [4, 5, 16])
@pytest.mark.parametrize("L", [1, 3, 48, 71])
def test_no_kernel_parameter_is_dead(kernel_width: int, L: int) -> None:
    mechanism = build(LongConvolution, causal=True, L=L, kernel_width=kernel_width)
    out_BLD = mechanism(draw(2, L, 15))
    (gradient_TD,) = torch.autograd.grad(out_BLD.square().sum(), [mechanism.taps_TD])
    assert (gradient_TD != 0).all()
