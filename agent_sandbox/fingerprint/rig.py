"""The isolated worker that a fingerprint is taken in, and the mechanisms built in it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from agent_sandbox.isolation.protocol import Isolation, Message
from agent_sandbox.validator.built import Broken, Built, Setup, not_finite
from agent_sandbox.validator.draw import Draw
from agent_sandbox.validator.examination import moved
from lra_design.errors import CandidateFault
from lra_design.interface import MechanismConfig
from lra_design.records import Limits

PROGRAM = "agent_sandbox.fingerprint.probes:Prober"
CALL_SECONDS = 20.0
TOTAL_SECONDS = 120.0
D_MODEL, NUM_HEADS, MAX_SEQ_LEN = 16, 2, 96
"""The sizes of all fingerprints: chunks of 64 are seen, and heads of an even width."""
LARGEST = 1e60
"""Of an output or a derivative: features are made of fourth powers, which float64 has room for."""


class Rig:
    """One worker with one candidate."""

    def __init__(self, isolation: Isolation, source: str, *, causal: bool) -> None:
        self._source = source
        self._config = MechanismConfig(
            d_model=D_MODEL, num_heads=NUM_HEADS, max_seq_len=MAX_SEQ_LEN, causal=causal
        )
        self._deadline = time.monotonic() + TOTAL_SECONDS
        self._worker = isolation.start(PROGRAM, Limits(wall_seconds=TOTAL_SECONDS + CALL_SECONDS))
        self._num_built = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._worker.close()

    def call(
        self,
        operation: str,
        values: Mapping[str, Any] | None = None,
        tensors: Mapping[str, Tensor] | None = None,
    ) -> Message:
        """Ask the worker. Raises CandidateFault."""
        seconds = min(CALL_SECONDS, self._deadline - time.monotonic())
        if seconds <= 0:
            raise CandidateFault("timeout", f"the probes took more than {TOTAL_SECONDS:g} s in all")
        return self._worker.call(operation, values, tensors, seconds=seconds)

    def build(self, seed: int) -> Built:
        """The mechanism with the weights of this seed, moved a little as the validator does."""
        built = self._built(Setup(self._config, seed=seed))
        built.set_parameters(moved(built.parameters(), Draw(seed, "jitter")))
        return built

    def rebuild(self, like: Built, config: MechanismConfig) -> Built:
        """Another size of it, with the same weights wherever these have the same shape.

        The others are drawn anew: in which order a mechanism draws its weights is no behaviour.
        """
        setup = replace(like.setup, config=config, seed=like.setup.seed + 1)
        built, weights = self._built(setup), like.parameters()
        own = built.parameters()
        built.set_parameters(
            {n: w for n, w in weights.items() if n in own and own[n].shape == w.shape}
        )
        return built

    def long(self, seed: int, max_seq_len: int) -> Built:
        """The float32 mechanism that its cost is counted with."""
        config = replace(self._config, max_seq_len=max_seq_len)
        return self._built(Setup(config, dtype="float32", seed=seed))

    def _built(self, setup: Setup) -> Built:
        self._num_built += 1
        built = Built(self.call, setup, key=f"{self._num_built}")
        order = {"source": self._source, "config": asdict(setup.config), "hyperparameters": {}}
        built.build({**order, "dtype": setup.dtype, "seed": setup.seed, "import_seed": 0})
        return built


def output(built: Built, x: Tensor) -> Tensor:
    """`built.forward(x)`, not too large to be compared."""
    return _comparable(built.forward(x))


def derivative(built: Built, x: Tensor, cotangent: Tensor) -> Tensor:
    """Of `(y * cotangent).sum()` by `x`, both `(B, L, D)`; zeros where there is none."""
    gradient = built.vjp(x, cotangent).get("input", x.new_zeros(x.shape))
    if not gradient.isfinite().all():
        raise Broken("LRA211", not_finite(gradient, "the gradient of the input"))
    return _comparable(gradient)


def _comparable(tensor: Tensor) -> Tensor:
    largest = float(tensor.abs().max())
    if largest > LARGEST:
        raise CandidateFault(
            "raised", f"a number of size {largest:.1g}: the probes compare those up to {LARGEST:g}"
        )
    return tensor
