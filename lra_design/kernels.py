"""Kernels of other packages, by name: the one place where they are looked for and imported.

Part of the contract: a mechanism with a fast form on CUDA takes the name of a kernel in a
hyperparameter, by convention `kernel`, and asks `load_kernel` for it when it is built. So the
kernel stands in the record of every run that used it, and nobody has it who did not ask for it.
What cannot be had is an error; nothing falls back to something else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kernel:
    """A function of a package that is installed apart."""

    module: str
    function: str
    requirement: str
    """What to install, with the range whose signature our mechanisms call."""


FLASH_ATTENTION = "flash-attn>=2.8,<3"
FLASH_LINEAR_ATTENTION = "flash-linear-attention>=0.5,<0.7"
MAMBA = "mamba-ssm>=2.2,<3"

KERNELS: dict[str, Kernel] = {
    "flash-attn": Kernel("flash_attn", "flash_attn_func", FLASH_ATTENTION),
    "flash-attn-varlen": Kernel("flash_attn", "flash_attn_varlen_func", FLASH_ATTENTION),
    "fla-gla": Kernel("fla.ops.gla", "chunk_gla", FLASH_LINEAR_ATTENTION),
    "fla-retention": Kernel("fla.ops.retention", "chunk_retention", FLASH_LINEAR_ATTENTION),
    "fla-delta-rule": Kernel("fla.ops.delta_rule", "chunk_delta_rule", FLASH_LINEAR_ATTENTION),
    "mamba-selective-scan": Kernel(
        "mamba_ssm.ops.selective_scan_interface", "selective_scan_fn", MAMBA
    ),
    "mamba-ssd": Kernel("mamba_ssm.ops.triton.ssd_combined", "mamba_chunk_scan_combined", MAMBA),
}


def load_kernel(name: str) -> Callable[..., Any]:
    """The function of that name, to be called on CUDA tensors as its package documents.

    Raises ValueError for a name that is none, a package that is not installed, or a machine
    without CUDA.
    """
    from importlib import import_module

    import torch

    kernel = KERNELS.get(name)
    if kernel is None:
        raise ValueError(f"no kernel '{name}': there are {', '.join(KERNELS)}")
    if not torch.cuda.is_available():
        raise ValueError(f"kernel '{name}' needs CUDA, which PyTorch does not see on this machine")
    try:
        function: Callable[..., Any] = getattr(import_module(kernel.module), kernel.function)
    except (ImportError, AttributeError) as error:
        install = f"pip install --no-build-isolation '{kernel.requirement}'"
        raise ValueError(f"kernel '{name}' is not installed ({error}): {install}") from None
    return function
