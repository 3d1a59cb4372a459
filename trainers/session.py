"""The judge's side of one network in an isolated worker: each method is one question to it.

Tensors that come back are checked for what can be known beforehand (names, shapes, dtypes) before
anything else looks at them; a wrong one is a CandidateFault of kind `protocol`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Literal, Self

import torch
from torch import Tensor

from agent_sandbox.isolation.protocol import Isolation, Message
from lra_design.errors import CandidateFault
from lra_design.records import Limits, TrainConfig, Usage
from trainers.batches import Batch, Sequences
from trainers.device import HOST_BYTES, device_of
from trainers.host import TaskShape
from trainers.job import Job
from trainers.statistics import STATISTICS

NETWORK_PROGRAM = "trainers.program:NetworkProgram"
"""What workers run; the judge itself never needs it, and its imports take seconds."""
CALL_SECONDS = 120.0
"""For one batch, one export or a handful of steps: far more than any honest one takes."""
TRAIN_SECONDS = 600.0
"""For a few steps, and for what a compiler takes before the first of them."""
WALL_SECONDS = 7 * 24 * 3600.0
"""For a whole training; each call has its own limit besides."""
FLOATS = (torch.float32, torch.float64, torch.bfloat16)
"""What logits and features may come in."""
CHUNK_TOKENS = 64 * 1024**2
"""Tokens of the training split in one message; whole splits are larger than messages may be."""
MARKABLE = re.compile(r"blocks\.\d+\.mechanism\.")
"""How the names of a mechanism's parameters begin, which it may take out of the weight decay."""
MAX_NAMES = 20_000
"""Parameters a network may have: tensors, not elements."""


class NotFinite(CandidateFault):
    """A loss, a gradient's norm, or an answer that is no finite number: a training diverged."""

    def __init__(self, detail: str) -> None:
        super().__init__("raised", detail)


@dataclass(frozen=True)
class Answer:
    """What the network says of one batch, finite, in float64."""

    logits: Tensor
    """(B, C), or (B, L, C) where the task labels positions."""
    features_BLD: Tensor
    """The representation before pooling."""


@dataclass(frozen=True)
class Trained:
    """Which parameters a worker says it trains."""

    names: tuple[str, ...]
    """In the optimiser's order."""
    undecayed: frozenset[str]
    """Those that a mechanism took out of the weight decay."""


class NetworkSession:
    """One network in one worker; closing it ends the worker."""

    def __init__(
        self, isolation: Isolation, job: Job, shape: TaskShape, data_bytes: int = 0
    ) -> None:
        """data_bytes: of the split that it will be given to train on, for which it gets memory
        beyond what a candidate may use."""
        self._shape = shape
        self._job = job
        self._width = job.host.d_model
        room = data_bytes + 3 * min(data_bytes, CHUNK_TOKENS)  # as sent, as received, as decoded
        self._device = device_of(isolation.card)
        room += HOST_BYTES if isolation.card else 0
        limits = Limits(memory_bytes=Limits().memory_bytes + room, wall_seconds=WALL_SECONDS)
        self._compile = isolation.record.profile == "train"  # else it may not start a compiler
        self.compiled: Literal["off", "on", "failed"] = "off"
        """What the worker says of `torch.compile`."""
        self._worker = isolation.start(NETWORK_PROGRAM, limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._worker.close()

    def build(self, seed: int) -> frozenset[str]:
        """Make the network; the names of what it says are its parameters."""
        values = {
            "source": self._job.source,
            "hyperparameters": self._job.hyperparameters,
            "host": asdict(self._job.host),
            "shape": asdict(self._shape),
            "seed": seed,
            "device": self._device,
        }
        return frozenset(_names(self._call("build", values).values.get("parameters")))

    def start_training(
        self, sequences: Sequences, labels: Tensor, train: TrainConfig, seed: int
    ) -> Trained:
        """Hand over the training split; which parameters it says it trains."""
        for begin in range(0, len(sequences.tokens), CHUNK_TOKENS):
            chunk = sequences.tokens[begin : begin + CHUNK_TOKENS]
            place = {"begin": begin, "num_tokens": len(sequences.tokens)}
            self._call("take_tokens", place, {"tokens": chunk})
        tensors = {"offsets": sequences.offsets, "labels": labels}
        values = {
            "train": asdict(train),
            "seed": seed,
            "first_id": sequences.first_id,
            "compile": self._compile,
        }
        return _trained(self._call("start_training", values, tensors).values)

    def train(self, until: int, num_steps: int) -> Tensor:
        """Train `num_steps` steps, up to step `until`; (num_steps, 2): loss and gradient norm.

        Raises NotFinite when one of them is no finite number.
        """
        answer = self._call("train", {"until": until}, seconds=TRAIN_SECONDS)
        self.compiled = _compiled(answer.values.get("compiled"))
        log = _checked(answer.tensors, "log", (num_steps, 2))
        if not bool(log.isfinite().all()):
            step = until - num_steps + int((~log.isfinite()).any(dim=1).nonzero()[0])
            raise NotFinite(f"loss or gradient at step {step} are not finite")
        return log

    def gradients(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The gradient of the next step's loss at `weights`, as the worker says."""
        gradients = self._call("gradients", tensors=weights, seconds=TRAIN_SECONDS).tensors
        for name, gradient in gradients.items():
            like = weights.get(name)
            if like is None or (like.shape, like.dtype) != (gradient.shape, gradient.dtype):
                raise CandidateFault("protocol", "a gradient that fits no parameter")
        return gradients

    def checkpoint(self) -> Mapping[str, Tensor]:
        """The state of the training. Opaque to the judge: it only ever goes back into a worker."""
        return self._call("checkpoint").tensors

    def statistics(self) -> Tensor:
        """(layers, 3) of the outputs of the blocks, as `trainers.statistics`; for display alone."""
        shape = (self._job.host.num_layers, len(STATISTICS))
        return _checked(self._call("statistics").tensors, "blocks", shape)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a checkpoint."""
        self._call("restore", tensors=tensors)

    def export(self) -> Mapping[str, Tensor]:
        """The weights by name."""
        return self._call("export").tensors

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights, strictly."""
        self._call("load", tensors=weights)

    def double(self) -> None:
        """Continue in float64."""
        self._call("double")

    def predict(self, batch: Batch) -> Tensor:
        """Logits (B, C) or (B, L, C) of a batch. Raises NotFinite when they are not."""
        return self.answer(batch).logits

    def usage(self) -> Usage:
        """What the worker took so far, measured from outside."""
        return self._worker.usage()

    def answer(self, batch: Batch) -> Answer:
        """Logits and features of a batch."""
        tensors = {"tokens": batch.tokens_BL}
        if batch.key_padding_mask_BL is not None:
            tensors["mask"] = batch.key_padding_mask_BL
        answer = self._call("predict", {}, tensors).tensors
        B, L = batch.tokens_BL.shape
        positions = (L,) if self._shape.labels == "position" else ()
        num_examples = B // self._shape.documents
        logits = _checked(answer, "logits", (num_examples, *positions, self._shape.num_classes))
        features_BLD = _checked(answer, "features", (B, L, self._width))
        for name, tensor in (("logits", logits), ("features", features_BLD)):
            if not bool(tensor.isfinite().all()):
                raise NotFinite(f"the {name} are not finite")
        return Answer(logits, features_BLD)

    def _call(
        self,
        operation: str,
        values: Mapping[str, object] | None = None,
        tensors: Mapping[str, Tensor] | None = None,
        *,
        seconds: float = CALL_SECONDS,
    ) -> Message:
        return self._worker.call(operation, values, tensors, seconds=seconds)


def _names(names: object) -> list[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CandidateFault("protocol", "the list of parameters is no list of names")
    if len(names) > MAX_NAMES:
        raise CandidateFault("protocol", f"{len(names)} parameters, allowed {MAX_NAMES}")
    return names


def _trained(values: Mapping[str, object]) -> Trained:
    """What it says it trains; only a mechanism's own parameters may be marked."""
    names, undecayed = _names(values.get("trained")), _names(values.get("undecayed"))
    others = [name for name in undecayed if name not in names or not MARKABLE.match(name)]
    if others:
        raise CandidateFault("protocol", f"no_weight_decay on what is not its own: {others[:5]}")
    return Trained(tuple(names), frozenset(undecayed))


def _compiled(value: object) -> Literal["off", "on", "failed"]:
    if value not in ("off", "on", "failed"):
        raise CandidateFault("protocol", "no word on whether the network is compiled")
    return value


def _checked(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    """The tensor of that name in float64; CandidateFault when it is not of that shape."""
    tensor = tensors.get(name)
    if tensor is None or tuple(tensor.shape) != shape or tensor.dtype not in FLOATS:
        found = "nothing" if tensor is None else f"{tuple(tensor.shape)} {tensor.dtype}"
        raise CandidateFault("protocol", f"expected {name} {shape}, found {found}")
    return tensor.to(torch.float64)
