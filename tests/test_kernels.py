"""Kernels of other packages: found by name or refused, and equal to what they stand for."""

from __future__ import annotations

import sys
from itertools import accumulate
from types import ModuleType

import pytest
import torch
from torch import Tensor
from twin_case import load

from lra_design import Mechanism, MechanismConfig
from lra_design.kernels import KERNELS, load_kernel
from mechanisms.softmax import BACKENDS, SoftmaxAttention

CONFIG = MechanismConfig(d_model=12, num_heads=3, max_seq_len=37, causal=True)


def test_an_unknown_kernel_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no kernel 'flash': there are flash-attn, "):
        load_kernel("flash")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("name", KERNELS)
def test_without_cuda_a_kernel_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"kernel '{name}' needs CUDA"):
        load_kernel(name)


def test_a_package_that_is_missing_or_lacks_the_function_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for module in (None, ModuleType("flash_attn")):
        monkeypatch.setitem(sys.modules, "flash_attn", module)
        with pytest.raises(ValueError, match=r"not installed .*: pip install .*flash-attn>=2.8"):
            load_kernel("flash-attn")


def attention(q_BLHK: Tensor, k_BSHK: Tensor, v_BSHK: Tensor, causal: bool = False) -> Tensor:
    """What the package computes, in its layout."""
    parts = (part.transpose(1, 2) for part in (q_BLHK, k_BSHK, v_BSHK))
    y = torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=causal)
    return y.transpose(1, 2)


def ragged(
    q: Tensor, k: Tensor, v: Tensor, q_offsets: Tensor, k_offsets: Tensor, *longest: int
) -> Tensor:
    assert q_offsets.dtype == torch.int32
    assert torch.equal(q_offsets, k_offsets)
    lengths = q_offsets.diff().tolist()
    rows = zip(*(part.split(lengths) for part in (q, k, v)), strict=True)
    return torch.cat([attention(*(part[None] for part in row))[0] for row in rows])


@pytest.fixture
def flash_attn(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in with the package's two functions and their layout."""
    module = ModuleType("flash_attn")
    module.flash_attn_func = attention  # type: ignore[attr-defined]
    module.flash_attn_varlen_func = ragged  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flash_attn", module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return module


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "bidirectional"])
def test_softmax_hands_flash_attn_what_it_documents(flash_attn: ModuleType, causal: bool) -> None:
    config = MechanismConfig(d_model=12, num_heads=3, max_seq_len=37, causal=causal)
    torch.manual_seed(3)
    plain = SoftmaxAttention(config).double()
    fast = SoftmaxAttention(config, kernel="flash-attn").double()
    fast.load_state_dict(plain.state_dict())
    x_BLD = torch.randn(3, 37, 12, dtype=torch.float64)
    mask_BL = torch.arange(37) >= torch.tensor([37, 23, 1])[:, None]
    torch.testing.assert_close(fast(x_BLD), plain(x_BLD))
    real_BL = ~mask_BL
    torch.testing.assert_close(fast(x_BLD, mask_BL)[real_BL], plain(x_BLD, mask_BL)[real_BL])
    assert fast(x_BLD, torch.ones(3, 37, dtype=torch.bool)).isfinite().all()


def chunk_gla(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, scale: float | None = None
) -> tuple[Tensor, None]:
    """What flash-linear-attention documents, `[B, T, H, K]`, position by position."""
    state = q.new_zeros(*q.shape[::2], q.shape[3], v.shape[3])
    rows = []
    for t in range(q.shape[1]):
        state = g[:, t, :, :, None].exp() * state + k[:, t, :, :, None] * v[:, t, :, None]
        rows.append(scale * (q[:, t, :, None] @ state)[:, :, 0])
    return torch.stack(rows, 1), None


def chunk_retention(
    q: Tensor, k: Tensor, v: Tensor, scale: float | None = None
) -> tuple[Tensor, None]:
    head = torch.arange(q.shape[2], dtype=q.dtype)
    log_gamma = (1 - 2 ** (-5 - head)).log()[:, None]
    return chunk_gla(q, k, v, log_gamma.expand_as(q), scale)


def chunk_delta_rule(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, scale: float | None = None
) -> tuple[Tensor, None]:
    state = q.new_zeros(*q.shape[::2], q.shape[3], v.shape[3])
    rows = []
    for t in range(q.shape[1]):
        recalled = (k[:, t, :, None] @ state)[:, :, 0]
        change = beta[:, t, :, None] * (v[:, t] - recalled)
        state = state + k[:, t, :, :, None] * change[:, :, None]
        rows.append(scale * (q[:, t, :, None] @ state)[:, :, 0])
    return torch.stack(rows, 1), None


def selective_scan_fn(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, delta_softplus: bool = False
) -> Tensor:
    """What mamba-ssm documents: u and delta `(B D L)`, A `(D N)`, B and C `(B N L)`."""
    assert delta_softplus
    delta, state, rows = torch.nn.functional.softplus(delta), 0.0, []
    for t in range(u.shape[2]):
        add = (delta * u)[:, :, t, None] * B[:, None, :, t]
        state = (delta[:, :, t, None] * A).exp() * state + add
        rows.append((state * C[:, None, :, t]).sum(-1))
    return torch.stack(rows, 2)


def mamba_chunk_scan_combined(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, chunk_size: int
) -> Tensor:
    """x `(batch, seqlen, nheads, headdim)`, dt `(batch, seqlen, nheads)`, A `(nheads)`,
    B and C `(batch, seqlen, ngroups, dstate)`."""
    state, rows = 0.0, []
    for t in range(x.shape[1]):
        add = (dt[:, t, :, None] * x[:, t])[..., None] * B[:, t, :, None]
        state = (dt[:, t] * A).exp()[..., None, None] * state + add
        rows.append((state * C[:, t, :, None]).sum(-1))
    return torch.stack(rows, 1)


STAND_INS = (
    chunk_gla,
    chunk_retention,
    chunk_delta_rule,
    selective_scan_fn,
    mamba_chunk_scan_combined,
)
FAST = {
    "gla": "fla-gla",
    "hgrn2": "fla-gla",
    "retnet": "fla-retention",
    "deltanet": "fla-delta-rule",
    "mamba": "mamba-selective-scan",
    "mamba2": "mamba-ssd",
}


def pair(name: str, causal: bool, d_model: int, length: int) -> tuple[Mechanism, Mechanism]:
    """The plain one and the fast one, with the same weights."""
    config = MechanismConfig(d_model=d_model, num_heads=2, max_seq_len=length, causal=causal)
    cls = load(name)
    torch.manual_seed(3)
    plain, fast = cls(config), cls(config, kernel=FAST[name])
    fast.load_state_dict(plain.state_dict())
    return plain, fast


@pytest.mark.parametrize("name", FAST)
def test_a_recurrence_hands_its_kernel_what_the_package_documents(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    kernel = KERNELS[FAST[name]]
    module = ModuleType(kernel.module)
    for function in STAND_INS:
        setattr(module, function.__name__, function)
    for parent in accumulate(kernel.module.split("."), "{}.{}".format):
        monkeypatch.setitem(sys.modules, parent, module)
    for causal in (True, False) if name == "hgrn2" else (True,):
        plain, fast = pair(name, causal, 12, 37)
        x_BLD = torch.randn(3, 37, 12)
        mask_BL = torch.arange(37) >= torch.tensor([37, 23, 1])[:, None]
        real_BL = ~mask_BL
        found, wanted = fast(x_BLD, mask_BL)[real_BL], plain(x_BLD, mask_BL)[real_BL]
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FAST)
def test_a_kernel_of_another_operator_is_refused(name: str) -> None:
    config = MechanismConfig(d_model=12, num_heads=2, max_seq_len=37, causal=True)
    with pytest.raises(ValueError, match=f"kernel must be torch or {FAST[name]}, found 'fast'"):
        load(name)(config, kernel="fast")


@pytest.mark.gpu
@pytest.mark.parametrize("name", FAST)
def test_every_kernel_of_a_recurrence_equals_the_plain_one(name: str) -> None:
    pytest.importorskip(KERNELS[FAST[name]].module)
    plain, fast = (mechanism.cuda() for mechanism in pair(name, True, 128, 131))
    x_BLD = torch.randn(3, 131, 128, device="cuda", requires_grad=True)
    found, wanted = fast(x_BLD), plain(x_BLD)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-2)  # products in TF32
    gradients = [
        torch.autograd.grad(y.sum(), [x_BLD, *mechanism.parameters()])
        for y, mechanism in ((found, fast), (wanted, plain))
    ]
    torch.testing.assert_close(*gradients, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("kernel", ["cudnn", "efficient"])
@pytest.mark.filterwarnings("ignore")  # PyTorch says of each kernel why it would not do
def test_a_kernel_that_cannot_compute_the_call_is_an_error(kernel: str) -> None:
    with pytest.raises(RuntimeError, match=r"No (available kernel|viable backend)"):
        SoftmaxAttention(CONFIG, kernel=kernel)(torch.randn(2, 37, 12))


@pytest.mark.gpu
@pytest.mark.parametrize("causal", [True, False], ids=["causal", "bidirectional"])
@pytest.mark.parametrize("kernel", [*BACKENDS, "flash-attn"])
def test_every_kernel_of_softmax_equals_the_plain_one(kernel: str, causal: bool) -> None:
    if kernel == "flash-attn":
        pytest.importorskip("flash_attn")
    config = MechanismConfig(d_model=64, num_heads=2, max_seq_len=131, causal=causal)
    torch.manual_seed(3)
    plain = SoftmaxAttention(config, kernel="math").cuda()
    fast = SoftmaxAttention(config, kernel=kernel).cuda()
    fast.load_state_dict(plain.state_dict())
    x_BLD = torch.randn(3, 131, 64, device="cuda", requires_grad=True)
    mask_BL = torch.arange(131, device="cuda") >= torch.tensor([131, 67, 1]).cuda()[:, None]
    if kernel == "flash" and not causal:
        mask_BL = None  # PyTorch's flash kernel takes no mask
    with torch.autocast("cuda", torch.bfloat16):
        found, wanted = fast(x_BLD, mask_BL), plain(x_BLD, mask_BL)
    real_BL = torch.ones(3, 131, dtype=torch.bool) if mask_BL is None else ~mask_BL
    torch.testing.assert_close(found[real_BL], wanted[real_BL], rtol=0, atol=2e-2)
    gradients = [
        torch.autograd.grad(y[real_BL].float().sum(), [x_BLD, *mechanism.parameters()])
        for y, mechanism in ((found, fast), (wanted, plain))
    ]
    torch.testing.assert_close(*gradients, rtol=5e-2, atol=5e-2)
