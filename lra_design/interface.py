"""The contract between a mechanism and the benchmark: everything a mechanism's author needs.

A *mechanism* mixes information along a sequence. The author writes one Python file that defines
exactly one concrete subclass of `Mechanism`; the benchmark owns the rest of the network (the
*host*: embedding, residual blocks, normalisation, feed-forward layers, pooling and head), the
data, the training and the judging.

Shape letters, used in all of the code, the documentation and the agents' prompts
--------------------------------------------------------------------------------
    B  batch                     F  feed-forward width
    L  length (of the queries)   N  state size of a recurrent mechanism
    S  length of the keys        V  vocabulary
    D  d_model, the width        C  classes
    H  heads
    K  width of one head

The name of a local tensor ends in its letters (`x_BLD`, `q_BHLK`); arguments of the contract do
not. In some papers `D` is the width of a head; here `D` is always `d_model`.

What a valid mechanism keeps
----------------------------
1.  Shape and device: `(B, L, D)` in, `(B, L, D)` out, for any `B >= 1` and any
    `1 <= L <= config.max_seq_len`. The dtype is that of `x`, or the autocast dtype under autocast.
2.  Causality, when `config.causal`: the output at `t` depends on the inputs `0..t` alone. A prefix
    run alone gives the prefix of the full run; nothing of the future, not even its length,
    reaches back.
3.  Padding: `key_padding_mask` is `(B, L)` bool, **True = padding** (as in
    `torch.nn.MultiheadAttention`; `scaled_dot_product_attention` has it the other way round).
    Padding stands on the right. Outputs at real positions depend neither on what stands under the
    padding nor on how much of it there is.
4.  Each example is independent of the rest of its batch.
5.  Nothing is remembered between calls, and in eval mode the same input gives the same output,
    whether gradients are recorded or not.
6.  Outputs are finite for large, zero and fully padded inputs; the inputs are left unchanged.
7.  A gradient reaches the input and every parameter (asked after a small random move of the
    weights, so that zero-initialised projections are fine).
8.  All parameters are made in `__init__` and are visible to `parameters()`.
9.  No side effect on the process: global random state, default dtype, threads, hooks, patched
    functions, files, processes, network.
10. It imports torch, einops, math, typing, dataclasses, functools and this contract (to which
    `load_kernel` of `lra_design.kernels` belongs); nothing else.

All of it holds in float32, float64 and under bfloat16 autocast, on CPU and on CUDA.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

CONTRACT_VERSION = "1"
"""Changes whenever a mechanism valid under the old contract may be invalid under the new one."""


@dataclass(frozen=True, kw_only=True)
class MechanismConfig:
    """What the host tells a mechanism; built by the host, read by the mechanism.

    Raises ValueError when the values contradict each other.
    """

    d_model: int
    """D, width of the residual stream."""
    num_heads: int
    """H, divides `d_model`."""
    max_seq_len: int
    """The longest L the mechanism will ever be given."""
    causal: bool
    """True: the output at t may depend on the inputs 0..t only."""
    dropout: float = 0.0
    """Probability in [0, 1), applied in training mode only."""
    layer_index: int = 0
    """Which of the host's layers this is, from 0."""
    num_layers: int = 1
    """How many layers the host has."""

    def __post_init__(self) -> None:
        if min(self.d_model, self.num_heads, self.max_seq_len, self.num_layers) < 1:
            raise ValueError(f"every size must be at least 1, found {self}")
        if self.d_model % self.num_heads:
            raise ValueError(
                f"num_heads must divide d_model, found {self.num_heads} and {self.d_model}"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must lie in [0, 1), found {self.dropout}")
        if not 0 <= self.layer_index < self.num_layers:
            raise ValueError(
                f"layer_index must lie in [0, {self.num_layers}), found {self.layer_index}"
            )


class Mechanism(nn.Module, ABC):
    """A sequence mixer. A candidate's file defines exactly one concrete subclass.

    Optional, and checked against `forward` when present, is constant-memory decoding of a causal
    mechanism: `init_state(batch_size, device, dtype)` returns a state, and `step(x_t, state)` maps
    `x_t` `(B, D)` and the state to the output `(B, D)` at this position and the next state.

    A parameter with the attribute `no_weight_decay = True`, set in `__init__`, is trained without
    weight decay, as vectors (norms, biases) are anyway.
    """

    supports_causal: ClassVar[bool] = True
    """The mechanism can be built with `config.causal` True. At least one of the two is True."""
    supports_bidirectional: ClassVar[bool] = True
    """The mechanism can be built with `config.causal` False."""
    search_space: ClassVar[dict[str, dict[str, Any]]] = {}
    """Hyperparameters a study may tune, by the name of the `__init__` argument they fill. A
    literal, read from the syntax tree without running the file. Three kinds of entry:

        {"type": "int", "low": 4, "high": 64, "log": True}
        {"type": "float", "low": 1e-3, "high": 0.1, "log": True}
        {"type": "categorical", "choices": ["elu", "relu"]}

    `log` may be left out and is then False.
    """
    claimed_cost: ClassVar[float | None] = None
    """The power of L with which the author says its FLOPs grow: 1.0 for linear (or L log L), 2.0
    for quadratic. A literal; None claims nothing. The certificate has the measured one beside it.
    """

    def __init__(self, config: MechanismConfig) -> None:
        """Subclasses take `(self, config, **hyperparameters)`, the latter with defaults."""
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """Mix `x` along its length.

        x: `(B, L, D)`. key_padding_mask: `(B, L)` bool, True = padding, on the right; None means
        that there is no padding. Returns `(B, L, D)`.
        """

    def init_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> Any:
        """The state before the first position; see the class docstring."""
        raise NotImplementedError(f"{type(self).__name__} has no constant-memory decoding")

    def step(self, x_t: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One position of constant-memory decoding; see the class docstring."""
        raise NotImplementedError(f"{type(self).__name__} has no constant-memory decoding")
