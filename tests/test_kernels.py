"""Kernels of other packages: found by name or refused, and equal to what they stand for."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor

from lra_design import MechanismConfig
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
