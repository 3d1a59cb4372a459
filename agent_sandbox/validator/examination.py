"""One candidate under examination: what is built, how it is called, what its faults become."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from agent_sandbox.isolation.protocol import Isolation, Message, Worker
from agent_sandbox.validator.compare import FLOAT64, difference
from agent_sandbox.validator.draw import Draw
from agent_sandbox.validator.violation import Violation
from lra_design.errors import CandidateFault
from lra_design.interface import MechanismConfig
from lra_design.records import Limits, Scalar

PROGRAM = "agent_sandbox.validator.subject:Subject"
SIZES = ((12, 2), (12, 3), (20, 2), (24, 3))
"""D and H; the width of a head is even, as rotary embeddings need."""
LENGTHS = (59, 61, 67, 71, 73)
EXACT_NOISE = 1e-10
"""Above what float64 arithmetic leaves in a second difference, far below what float32 does."""
JITTER = 0.01
"""Standard deviation of the random move of each weight, besides `RELATIVE_JITTER` of its size."""
RELATIVE_JITTER = 0.02


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a candidate may take before the rest of the checks is given up."""

    call_seconds: float = 4.0
    """For one operation of the worker."""
    total_seconds: float = 60.0
    """For all checks together."""
    max_deaths: int = 3
    """How many workers it may bring down; a module that hangs in every call costs this many calls."""
    memory_bytes: int = 1024**3
    """For each worker, beyond what torch itself takes."""


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What the syntax tree says about a candidate without running it."""

    mechanism: str
    search_space: dict[str, dict[str, Any]]
    supports_causal: bool
    supports_bidirectional: bool
    decodes: bool
    """It defines `init_state` and `step`."""


@dataclass(frozen=True)
class Setup:
    """One mechanism to build: its config, its arithmetic, and the seed of its weights."""

    config: MechanismConfig
    dtype: Literal["float64", "float32"] = "float64"
    seed: int = 0
    jitter: bool = True
    """Move the weights a little first: what hides behind a zero-initialised projection shows."""

    @property
    def mode(self) -> str:
        """`causal` or `bidirectional`."""
        return "causal" if self.config.causal else "bidirectional"


class Broken(Exception):
    """An answer that is no valid output: the check it belongs to, whichever check met it."""

    def __init__(self, check: str, violation: Violation) -> None:
        super().__init__(violation.found)
        self.check = check
        self.violation = violation


class Examination:
    """The worker that runs the candidate, replaced when it dies, and what is known so far."""

    def __init__(
        self,
        isolation: Isolation,
        source: str,
        outline: Outline,
        *,
        causal: bool,
        hyperparameters: Mapping[str, Scalar],
        seed: int,
        patience: Patience,
        max_parameters: int | None,
    ) -> None:
        self.outline = outline
        self.max_parameters = max_parameters
        self.num_cases = 0
        self.num_parameters: int | None = None
        self.printed = b""
        self.leaks = False
        """Something of the future, or its length, was seen to reach back."""
        self.pristine: Mapping[str, Any] = {}
        """Facts about the current worker before the candidate was loaded into it."""
        self._isolation = isolation
        self._source = source
        self._hyperparameters = dict(hyperparameters)
        self._seed = seed
        self._patience = patience
        self._deadline = time.monotonic() + patience.total_seconds
        self._num_deaths = 0
        self._num_workers = 0
        self._worker: Worker | None = None
        self._built: dict[tuple[Setup, bool], Built] = {}
        self._noise: float | None = None
        draw = self.draw("setups")
        self.main = _setup(draw, draw.choice(LENGTHS), causal)
        self.single = replace(self.main, dtype="float32")
        self.long = _setup(draw, draw.odd(151, 311), causal)
        other = outline.supports_bidirectional if causal else outline.supports_causal
        self.other = _setup(draw, draw.choice(LENGTHS), not causal) if other else None

    def draw(self, label: str) -> Draw:
        """The random choices of one check."""
        return Draw(self._seed, label)

    def padding_setups(self) -> list[Setup]:
        """Both modes, without a causal one that is known to leak: it reads the padding, too."""
        return [s for s in self.both_modes() if not (self.leaks and s.config.causal)]

    def both_modes(self) -> list[Setup]:
        """The setup of the asked mode, and that of the other one when it is supported."""
        return [self.main] + ([self.other] if self.other else [])

    def noise(self) -> float:
        """Rounding of the float64 mechanism, relative to its output.

        The second difference of outputs over steps of 1e-9: a smooth function in float64 has none
        to speak of, while a step that rounds to float32 on the way jumps by 1e-7.
        """
        if self._noise is None:
            draw, built = self.draw("noise"), self.built(self.main)
            x = draw.normal(2, self.main.config.max_seq_len, self.main.config.d_model)
            step = 1e-9 * draw.normal(*x.shape)
            y, y1, y2 = (built.forward(x + count * step) for count in range(3))
            self._noise = difference(y2 - y1 + y, y1, FLOAT64).relative
        return self._noise

    @property
    def rounds(self) -> bool:
        """Whether it computes in less than float64 when it is given float64."""
        return self.noise() > EXACT_NOISE

    def tolerance(self) -> float:
        """Largest honest difference of float64 outputs that should be equal.

        A mechanism that rounds to float32 inside is not accused of leaks that may be rounding; it
        is warned that leaks as small as that cannot be seen.
        """
        return min(max(FLOAT64.tolerance, 64 * self.noise()), 1e-3)

    @property
    def exhausted(self) -> bool:
        """Whether patience is spent."""
        return self._num_deaths >= self._patience.max_deaths or self._seconds_left() <= 0

    def _seconds_left(self) -> float:
        return self._deadline - time.monotonic()

    def built(self, setup: Setup, *, twin: bool = False) -> Built:
        """The mechanism of this setup, in the current worker; or a second one just like it."""
        if (setup, twin) not in self._built:
            built = Built(self, setup, key=f"{len(self._built)}")
            self.call("build", self._order(setup, built.key))
            if setup.jitter:
                built.set_parameters(moved(built.parameters(), Draw(self._seed, "jitter")))
            self._built[setup, twin] = built
        return self._built[setup, twin]

    def _order(self, setup: Setup, key: str) -> dict[str, Any]:
        return {
            "key": key,
            "source": self._source,
            "config": asdict(setup.config),
            "hyperparameters": self._hyperparameters,
            "dtype": setup.dtype,
            "seed": setup.seed,
            "import_seed": setup.seed + self._num_workers,
        }

    def call(
        self,
        operation: str,
        values: Mapping[str, Any] | None = None,
        tensors: Mapping[str, Tensor] | None = None,
    ) -> Message:
        """Ask the worker. Raises CandidateFault; a worker that died of it is forgotten."""
        seconds = min(self._patience.call_seconds, self._seconds_left())
        if seconds <= 0:
            total = self._patience.total_seconds
            raise CandidateFault("timeout", f"the checks took more than {total:g} s in all")
        try:
            return self._started().call(operation, values, tensors, seconds=seconds)
        except CandidateFault as fault:
            if fault.kind != "raised":
                self._num_deaths += 1
                self.restart()
            raise

    def _started(self) -> Worker:
        if self._worker is None:
            limits = Limits(
                memory_bytes=self._patience.memory_bytes,
                wall_seconds=self._patience.total_seconds + self._patience.call_seconds,
            )
            self._worker = self._isolation.start(PROGRAM, limits)
            self._num_workers += 1
            seconds = max(self._patience.call_seconds, 1.0)  # our own code, not the candidate's
            self.pristine = self._worker.call("environment", seconds=seconds).values
        return self._worker

    def restart(self) -> None:
        """End the worker; the next call starts a fresh one, which remembers nothing."""
        if self._worker is not None:
            self.printed += self._worker.output
            self._worker.close()
        self._worker = None
        self._built = {}


def _setup(draw: Draw, max_seq_len: int, causal: bool) -> Setup:
    d_model, num_heads = draw.choice(SIZES)
    num_layers = draw.integer(1, 6)
    config = MechanismConfig(
        d_model=d_model,
        num_heads=num_heads,
        max_seq_len=max_seq_len,
        causal=causal,
        layer_index=draw.integer(0, num_layers - 1),
        num_layers=num_layers,
    )
    return Setup(config, seed=draw.integer(0, 2**31))


def moved(weights: Mapping[str, Tensor], draw: Draw) -> dict[str, Tensor]:
    """The weights after a small random move, by name."""
    out = {}
    for name, weight in weights.items():
        rms = weight.abs().double().square().mean().sqrt().item() if weight.numel() else 0.0
        out[name] = weight + (JITTER + RELATIVE_JITTER * rms) * draw.normal_like(weight)
    return out


class Built:
    """One mechanism in the worker, as the judge calls it."""

    def __init__(self, examination: Examination, setup: Setup, key: str) -> None:
        self.setup = setup
        self.key = key
        self._examination = examination
        self._dtype = torch.float64 if setup.dtype == "float64" else torch.float32

    def _ask(self, operation: str, tensors: Mapping[str, Tensor], **values: Any) -> Message:
        return self._examination.call(operation, {"key": self.key, **values}, tensors)

    def parameters(self) -> dict[str, Tensor]:
        """Every parameter by name."""
        return dict(sorted(self._ask("parameters", {}).tensors.items()))

    def set_parameters(self, tensors: Mapping[str, Tensor]) -> None:
        """Write these parameters."""
        self._ask("set_parameters", tensors)

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the state dictionary."""
        return dict(self._ask("state", {}).tensors)

    def set_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Load a state dictionary, strictly."""
        self._ask("set_state", tensors)

    def environment(self) -> Mapping[str, Any]:
        """Facts about the worker's process now."""
        return self._examination.call("environment").values

    def input(self, x: Tensor) -> Tensor:
        """`x` in this setup's dtype."""
        return x.to(self._dtype)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        training: bool = False,
        autocast: bool = False,
        seed: int | None = None,
    ) -> Tensor:
        """The output for `x` `(B, L, D)`. Raises Broken when it is no finite `(B, L, D)` tensor."""
        return self.ask_forward(x, mask, training=training, autocast=autocast, seed=seed)["y"]

    def ask_forward(
        self, x: Tensor, mask: Tensor | None = None, *, autocast: bool = False, **values: Any
    ) -> Mapping[str, Tensor]:
        """The output `y`, and `x` and `mask` as they are after the call. Raises Broken."""
        x = self.input(x)
        tensors = {"x": x} if mask is None else {"x": x, "mask": mask}
        answer = self._ask("forward", tensors, autocast=autocast, **values)
        where = self.where(x, mask, autocast=autocast, **values)
        self._require_output(answer, x, autocast, where)
        return answer.tensors

    def vjp(
        self, x: Tensor, cotangent: Tensor, mask: Tensor | None = None, *, training: bool = False
    ) -> dict[str, Tensor]:
        """Gradients of `(y * cotangent).sum()`: `input` and `parameter:NAME`. Raises Broken."""
        x = self.input(x)
        tensors = {"x": x, "cotangent": self.input(cotangent)}
        tensors |= {} if mask is None else {"mask": mask}
        answer = self._ask("vjp", tensors, training=training)
        self._require_output(answer, x, False, self.where(x, mask, training=training))
        return {name: tensor for name, tensor in answer.tensors.items() if name != "y"}

    def decode(self, x: Tensor) -> Tensor:
        """The output for `x` `(B, L, D)`, made position by position. Raises Broken."""
        x = self.input(x)
        answer = self._ask("decode", {"x": x})
        self._require_output(answer, x, False, self.where(x) + ", by step")
        return answer.tensors["y"]

    def _require_output(self, answer: Message, x: Tensor, autocast: bool, where: str) -> None:
        self._examination.num_cases += 1
        dtypes = [self.setup.dtype] + (["bfloat16"] if autocast else [])
        values, y = answer.values, answer.tensors.get("y")
        expected = f"Tensor {tuple(x.shape)} {' or '.join(dtypes)} on cpu, strided"
        found = str(values.get("type"))
        if found == "Tensor":
            found = f"Tensor {tuple(values['shape'])} {values['dtype']} on {values['device']}"
        dtype = str(y.dtype).removeprefix("torch.") if y is not None else None
        if y is None or y.shape != x.shape or dtype not in dtypes:
            raise Broken("LRA201", _wrong_shape(expected, found, where))
        if not y.isfinite().all():
            raise Broken("LRA211", not_finite(y, where))

    def where(self, x: Tensor, mask: Tensor | None = None, **circumstances: Any) -> str:
        """The circumstances of a call, for a finding."""
        parts = [self.setup.dtype, f"B={x.shape[0]}", f"L={x.shape[1]}", self.setup.mode]
        parts += ["with padding"] if mask is not None and mask.any() else []
        parts += [name for name in ("training", "autocast") if circumstances.get(name)]
        return ", ".join(parts)


def _wrong_shape(expected: str, found: str, where: str) -> Violation:
    return Violation(
        expected=expected,
        found=found,
        likely_cause="a reshape that mixes up axes, or a tensor made with a fixed dtype or device",
        hint="Return (B, L, D) like x; make new tensors with x.new_zeros or dtype=x.dtype.",
        where=where,
    )


def not_finite(y: Tensor, where: str) -> Violation:
    """That an output holds NaN or infinity, and where the first of them stands."""
    row, position = (~y.isfinite()).any(-1).nonzero()[0].tolist()
    return Violation(
        expected="finite numbers at every position, padding included",
        found=f"{y[row, position][~y[row, position].isfinite()][0].item()} at row {row}, "
        f"position {position}",
        likely_cause="an exponential without its maximum subtracted, a division by a sum that can "
        "be zero, or a softmax over nothing but padding",
        hint="Subtract the maximum, add an epsilon to denominators, keep one key visible per row.",
        where=where,
    )
