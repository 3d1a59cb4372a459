"""One mechanism in the worker, as the judge calls it, and what an answer must be at least."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from agent_sandbox.isolation.protocol import Message
from agent_sandbox.validator.violation import Violation
from lra_design.errors import CandidateFault
from lra_design.interface import MechanismConfig

WEIGHT_DTYPES = frozenset(
    (torch.float64, torch.float32, torch.complex64, torch.complex128, torch.int64, torch.bool)
)
"""What a parameter can be after `float()` or `double()`."""
LARGEST_COUNT = 2**80
"""Of operations or bytes; a whole number may come with more digits than a float has room for."""
Call = Callable[[str, Mapping[str, Any], Mapping[str, Tensor]], Message]
"""Asks the worker for an operation, with values and tensors."""


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


class Built:
    """One mechanism in the worker, as the judge calls it."""

    def __init__(self, call: Call, setup: Setup, key: str) -> None:
        self.setup = setup
        self.key = key
        self._call = call
        self.decodes = False
        """It has a `step` of its own, as the worker says."""
        self._leaves: dict[str, tuple[torch.Size, torch.dtype]] = {}
        self._dtype = torch.float64 if setup.dtype == "float64" else torch.float32

    def build(self, order: Mapping[str, Any]) -> dict[str, Tensor]:
        """Make it in the worker; its parameters by name."""
        answer = self._ask("build", {}, **order)
        self.decodes = bool(answer.values.get("decodes"))
        return self._leaves_of(answer)

    def _ask(self, operation: str, tensors: Mapping[str, Tensor], **values: Any) -> Message:
        return self._call(operation, {"key": self.key, **values}, tensors)

    def parameters(self) -> dict[str, Tensor]:
        """Every parameter by name."""
        return self._leaves_of(self._ask("parameters", {}))

    def _leaves_of(self, answer: Message) -> dict[str, Tensor]:
        found = dict(sorted(answer.tensors.items()))
        odd = [name for name, tensor in found.items() if tensor.dtype not in WEIGHT_DTYPES]
        if odd:
            raise CandidateFault("protocol", f"parameter {odd[0]} is {_brief(found[odd[0]])}")
        self._leaves = {f"parameter:{name}": _kind(tensor) for name, tensor in found.items()}
        return found

    def set_parameters(self, tensors: Mapping[str, Tensor]) -> None:
        """Write these parameters."""
        self._ask("set_parameters", tensors)

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the state dictionary."""
        return dict(self._ask("state", {}).tensors)

    def set_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Load a state dictionary, strictly."""
        self._ask("set_state", tensors)

    def environment(self, seed: int | None = None) -> Mapping[str, Any]:
        """Facts about the worker's process now; first puts its generators into a state."""
        return self._call("environment", {"seed": seed}, {}).values

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
        inference: bool = False,
        recorded: bool = False,
        seed: int | None = None,
    ) -> Tensor:
        """The output for `x` `(B, L, D)`. Raises Broken when it is no finite `(B, L, D)` tensor."""
        circumstances = {"training": training, "autocast": autocast}
        circumstances |= {"inference": inference, "recorded": recorded}
        return self.ask_forward(x, mask, seed=seed, **circumstances)["y"]

    def ask_forward(
        self, x: Tensor, mask: Tensor | None = None, *, autocast: bool = False, **values: Any
    ) -> Mapping[str, Tensor]:
        """The output `y`, with `echo` also `x` and `mask` after the call. Raises Broken."""
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
        found = self.ask_vjp(x, cotangent, mask, training=training)
        return {name: tensor for name, tensor in found.items() if name != "y"}

    def ask_vjp(
        self, x: Tensor, cotangent: Tensor, mask: Tensor | None = None, **values: Any
    ) -> dict[str, Tensor]:
        """The same gradients with the output `y` of the call that recorded them. Raises Broken.

        Only what was asked for comes back: a gradient is of the shape and dtype of its leaf.
        """
        x = self.input(x)
        answer = self._ask("vjp", self._pulled(x, cotangent, mask), **values)
        self._require_output(answer, x, False, self.where(x, mask, **values))
        found = {"y": answer.tensors["y"]}
        for name, kind in {**self._leaves, "input": _kind(x)}.items():
            gradient = answer.tensors.get(name)
            if gradient is None:
                continue
            if _kind(gradient) != kind or not _has_slope(gradient):
                raise CandidateFault("protocol", f"the gradient of {name} is {_brief(gradient)}")
            found[name] = gradient
        return found

    def learn(
        self, x: Tensor, cotangent: Tensor, mask: Tensor | None = None, *, keep: bool = False
    ) -> None:
        """A backward as in training: it fills `.grad`, fires its hooks, and empties it again.

        keep: leave the gradients where they are, as a training does between its steps.
        """
        self._ask("learn", self._pulled(self.input(x), cotangent, mask), training=True, keep=keep)

    def call_often(self, x: Tensor, times: int) -> None:
        """Call it on `x` many times in a row."""
        self._ask("forward", {"x": self.input(x)}, times=times)

    def _pulled(self, x: Tensor, cotangent: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        tensors = {"x": x, "cotangent": self.input(cotangent)}
        return tensors if mask is None else {**tensors, "mask": mask}

    def decode(self, x: Tensor) -> Tensor:
        """The output for `x` `(B, L, D)`, made position by position. Raises Broken.

        The rows are two batches, whose positions take turns.
        """
        x = self.input(x)
        answer = self._ask("decode", {"x": x})
        self._require_output(answer, x, False, self.where(x) + ", by step")
        return answer.tensors["y"]

    def toss(
        self,
        x: Tensor,
        other: Tensor,
        mask: Tensor | None,
        coins: Sequence[int],
        *,
        numbers: Sequence[float],
        training: bool,
    ) -> list[tuple[Tensor, Tensor]]:
        """The outputs for `x` and `other` under each of the coins that decide alike for both.

        Coins that the two calls tossed a different number of times decide nothing: left out.
        """
        x = self.input(x)
        tensors = {"x": x, "other": self.input(other)} | ({} if mask is None else {"mask": mask})
        answer = self._ask(
            "toss", tensors, coins=list(coins), numbers=list(numbers), training=training
        )
        y, counts = answer.tensors.get("y"), answer.values.get("tosses")
        if y is None or y.shape != (len(coins), 2, *x.shape) or not isinstance(counts, list):
            raise CandidateFault("protocol", "the outputs under coins are none")
        pairs = zip(counts[::2], counts[1::2], y.double(), strict=True)
        return [(both[0], both[1]) for a, b, both in pairs if a == b and a != -1]

    def methods(self, x: Tensor) -> Mapping[str, Tensor]:
        """What its methods give, in pairs; see `own_methods.compare_methods`."""
        found = self._ask("methods", {"x": self.input(x)}).tensors
        outputs = {f"{whose}:{what}" for whose in ("own", "base") for what in ("output", "flags")}
        self._require(found.keys(), outputs | {f"base:{leaf}" for leaf in self._leaves}, "methods")
        return found

    def storages(self) -> list[tuple[str, int, int, int]]:
        """Of each parameter: name, address of its storage, its bytes, the storage's bytes."""
        rows = self._ask("storages", {}).values.get("storages")
        kinds = (str, int, int, int)
        if not isinstance(rows, list) or not all(_is_row(row, kinds) for row in rows):
            raise CandidateFault("protocol", "the list of storages is none")
        named = {f"parameter:{row[0]}" for row in rows}
        self._require(named, self._leaves.keys(), "storages")
        return [tuple(row) for row in rows]

    def _require(self, found: Set[str], wanted: Set[str], what: str) -> None:
        """An answer that leaves out what there must be would leave it unjudged."""
        if missing := sorted(wanted - found):
            raise CandidateFault("protocol", f"the {what} say nothing of {', '.join(missing[:5])}")

    def cost(self, seq_len: int) -> tuple[float, float]:
        """Operations and peak bytes of one forward of one example, as its process counts them."""
        values = self._ask("cost", {}, seq_len=seq_len).values
        return _number(values.get("flops")), _number(values.get("peak_memory_bytes"))

    def random_state(self) -> object:
        """A digest of the state of the random generators in the worker's process."""
        return self._call("random_state", {}, {}).values.get("state")

    def _require_output(self, answer: Message, x: Tensor, autocast: bool, where: str) -> None:
        dtypes = [self.setup.dtype] + (["bfloat16"] if autocast else [])
        values, y = answer.values, answer.tensors.get("y")
        expected = f"Tensor {list(x.shape)} {' or '.join(dtypes)} cpu strided"
        found = str(values.get("type"))
        if found == "Tensor":
            layout = " ".join(str(values.get(key)) for key in ("dtype", "device", "layout"))
            found = f"Tensor {values.get('shape')} {layout}"
        dtype = str(y.dtype).removeprefix("torch.") if y is not None else None
        if y is None or y.shape != x.shape or dtype not in dtypes:
            raise Broken("LRA201", _wrong_shape(expected, found, where))
        if not y.isfinite().all():
            raise Broken("LRA211", not_finite(y, where))

    def where(self, x: Tensor, mask: Tensor | None = None, **circumstances: Any) -> str:
        """The circumstances of a call, for a finding."""
        parts = [self.setup.dtype, f"B={x.shape[0]}", f"L={x.shape[1]}", self.setup.mode]
        parts += [f"dropout={self.setup.config.dropout:g}"] if self.setup.config.dropout else []
        parts += ["with padding"] if mask is not None and mask.any() else []
        parts += [
            name
            for name in ("training", "autocast", "inference", "recorded")
            if circumstances.get(name)
        ]
        return ", ".join(parts)


def _number(value: object) -> float:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if not plain or not 0 <= value <= LARGEST_COUNT:  # type: ignore[operator]
        raise CandidateFault("protocol", f"expected a number from 0 to 2**80, found {value!a:.50}")
    return float(value)  # type: ignore[arg-type]


def _is_row(row: object, kinds: tuple[type, ...]) -> bool:
    return (
        isinstance(row, list)
        and len(row) == len(kinds)
        and all(type(value) is kind for value, kind in zip(row, kinds, strict=True))
    )


def _kind(tensor: Tensor) -> tuple[torch.Size, torch.dtype]:
    return tensor.shape, tensor.dtype


def _has_slope(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _brief(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {tensor.dtype}"


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
