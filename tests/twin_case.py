"""What the naive twins of the reference mechanisms share; see `test_mechanisms.py`."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lra_design import Mechanism


@dataclass(frozen=True, kw_only=True)
class Case:
    """Sizes and hyperparameters at which a mechanism is compared with its twin."""

    lengths: tuple[int, ...] = (37, 23)
    """Real positions of each row; L is the largest."""
    H: int = 3
    K: int = 4
    max_seq_len: int | None = None
    """None: L."""
    layer: tuple[int, int] = (0, 1)
    """Its index and how many there are."""
    hyperparameters: dict[str, object] = field(default_factory=dict)
    tolerance: float = 1e-9
    """Absolute, in float64: far above the order of the sums, far below any mistake."""

    @property
    def id(self) -> str:
        """`B2-L37-H3-K4-window7`, for pytest."""
        sizes = f"B{len(self.lengths)}-L{max(self.lengths)}-H{self.H}-K{self.K}"
        return "-".join(
            [sizes, *(f"{name}{value}" for name, value in self.hyperparameters.items())]
        )


def load(name: str) -> type[Mechanism]:
    """The one concrete mechanism of a reference's file."""
    members = vars(importlib.import_module(f"mechanisms.{name}")).values()
    (cls,) = [
        member
        for member in members
        if inspect.isclass(member)
        and issubclass(member, Mechanism)
        and not inspect.isabstract(member)
    ]
    return cls


def project(mechanism: Mechanism, x_LD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v, each `(L, H, K)`, of a mechanism with the one projection `qkv`."""
    shape = (len(x_LD), mechanism.config.num_heads, -1)
    q_LD, k_LD, v_LD = (x_LD @ mechanism.qkv.weight.T).tensor_split(3, dim=1)
    return q_LD.reshape(shape), k_LD.reshape(shape), v_LD.reshape(shape)


def attend(
    mechanism: Mechanism,
    x_LD: Tensor,
    sees: Callable[[int, int], bool],
    weigh: Callable[[Tensor], Tensor] = lambda scores_SH: scores_SH.softmax(0),
) -> Tensor:
    """Attention of each position t to the positions s that it sees, `(L, D)`."""
    q_LHK, k_LHK, v_LHK = project(mechanism, x_LD)
    rows = []
    for t in range(len(x_LD)):
        seen = [s for s in range(len(x_LD)) if sees(t, s)]
        weights_SH = weigh((q_LHK[t] * k_LHK[seen]).sum(-1) / math.sqrt(q_LHK.shape[2]))
        rows.append((weights_SH[:, :, None] * v_LHK[seen]).sum(0).flatten())
    return torch.stack(rows) @ mechanism.out.weight.T
