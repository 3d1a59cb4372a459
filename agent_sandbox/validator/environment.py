"""What a mechanism must leave as it found it: the global state of the process it runs in."""

from __future__ import annotations

import functools
import gc
import hashlib
import math
import random
import sys
from typing import Any

import einops
import torch
from torch import nn

import lra_design.interface as contract

OWNERS: dict[str, object] = {
    "torch": torch,
    "torch.Tensor": torch.Tensor,
    "torch.nn.functional": torch.nn.functional,
    "torch.nn.init": nn.init,
    "torch.nn.Module": nn.Module,
    "torch.nn.Linear": nn.Linear,
    "torch.nn.LayerNorm": nn.LayerNorm,
    "torch.nn.Embedding": nn.Embedding,
    "torch.nn.Dropout": nn.Dropout,
    "torch.nn.Parameter": nn.Parameter,
    "torch.autograd": torch.autograd,
    "torch.fft": torch.fft,
    "torch.linalg": torch.linalg,
    "torch.special": torch.special,
    "torch.optim": torch.optim,
    "torch.optim.AdamW": torch.optim.AdamW,
    "torch.autograd.Function": torch.autograd.Function,
    "einops": einops,
    "math": math,
    "functools": functools,
    "lra_design.Mechanism": contract.Mechanism,
    "lra_design.MechanismConfig": contract.MechanismConfig,
}
"""Namespaces whose members a candidate could replace to change what the host computes."""


class Environment:
    """A snapshot taken before the candidate is loaded, to compare later states with."""

    def __init__(self) -> None:
        self._members = {owner: dict(vars(value)) for owner, value in OWNERS.items()}

    def facts(self) -> dict[str, Any]:
        """The state now, and the members that are not what they were at the snapshot."""
        state = torch.get_rng_state().numpy().tobytes() + repr(random.getstate()).encode()
        return {
            "patched": sorted(self._patched()),
            "default dtype": str(torch.get_default_dtype()),
            "default device": str(torch.get_default_device()),
            "grad mode": torch.is_grad_enabled(),
            "inference mode": torch.is_inference_mode_enabled(),
            "autocast": torch.is_autocast_enabled("cpu"),
            "anomaly mode": torch.is_anomaly_enabled(),
            "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
            "matmul precision": torch.get_float32_matmul_precision(),
            "flush denormal": bool(torch.tensor(1e-310, dtype=torch.float64) * 1 == 0),
            "threads": torch.get_num_threads(),
            "interop threads": torch.get_num_interop_threads(),
            "global hooks": sum(len(vars(nn.modules.module)[name]) for name in _HOOKS),
            "tracing": sys.gettrace() is not None or sys.getprofile() is not None,
            "garbage collection": gc.isenabled(),
            "recursion limit": sys.getrecursionlimit(),
            "random state": hashlib.sha256(state).hexdigest(),
        }

    def _patched(self) -> list[str]:
        """Members replaced or removed; new ones may be torch's own lazy imports."""
        return [
            f"{owner}.{name}"
            for owner, members in self._members.items()
            for name, value in members.items()
            if name not in _VOLATILE and vars(OWNERS[owner]).get(name) is not value
        ]


_HOOKS = (
    "_global_forward_hooks",
    "_global_forward_pre_hooks",
    "_global_backward_hooks",
    "_global_backward_pre_hooks",
    "_global_module_registration_hooks",
    "_global_buffer_registration_hooks",
    "_global_parameter_registration_hooks",
)
_VOLATILE = frozenset(("__warningregistry__", "__abstractmethods__", "_abc_impl"))
