"""One training loop for every task: AdamW, linear warm-up, decay to 0, clipped gradients.

It runs inside the isolated worker and needs nothing of the judge's side. What a step does depends
on the step's number and on the state alone, so that a run that was interrupted and restored gives
the same numbers as one that was not. A batch is computed in parts of about one length where that
pays (`trainers.micro_batches`), and in smaller ones where memory is short; their gradients add up
to that of the whole. No step waits for the device: what was measured is read at a call's end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design.records import TrainConfig
from tasks.task import UNLABELLED
from trainers.average import in_place_of, update_average
from trainers.batches import Sequences
from trainers.compiled import CompiledNetwork
from trainers.feed import Feed, Part
from trainers.host import Host
from trainers.micro_batches import MAX_TOKENS
from trainers.optimizer import is_marked, make_optimizer, set_learning_rate
from trainers.random_state import random_state, same_random_state, set_random_state
from trainers.statistics import block_statistics

T = TypeVar("T")
SETTINGS = ("max_tokens", "compiled")
"""What of the state says how steps are computed: one for all steps of a call, that of its end."""


class TrainingLoop:
    """A network, its optimiser and its data, at some step."""

    def __init__(
        self,
        network: Host,
        sequences: Sequences,
        labels: Tensor,
        config: TrainConfig,
        seed: int,
        compiler: str | None = None,
    ) -> None:
        """compiler: a backend of torch.compile; None leaves the network as it is."""
        self.network = network
        self.step = 0
        self._config = config
        self._device = next(network.parameters()).device
        self.feed = Feed(sequences, labels, network.shape, config, seed, self._device)
        self._max_tokens = MAX_TOKENS[self._device.type]
        one_shape = self.feed.one_shape(self._max_tokens)
        self._logits = CompiledNetwork(network, compiler, one_shape=one_shape)
        trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self.trained, self._parameters = list(trained), list(trained.values())
        self.undecayed = [name for name, p in trained.items() if is_marked(p)]
        self._optimizer = make_optimizer(self._parameters, config)
        self._averages: list[Tensor] = []
        if config.ema_decay is not None:
            self._averages = [p.detach().clone() for p in self._parameters]

    @property
    def compiled(self) -> str:
        """Whether the network is compiled, as `trainers.compiled.CompileState`."""
        return self._logits.state

    def run(self, until: int) -> Tensor:
        """Train up to step `until`; (steps, 2) float64: loss and gradient norm of each.

        Raises MemoryError when not even one example fits.
        """
        self.network.train()
        return self._whatever_it_takes(lambda: self._run(until))

    def gradients(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The gradient of the next step's loss at these weights, both by the parameter's number.

        A parameter that the loss does not reach has none. The loop is then one step further.
        """
        self.network.train()
        with torch.no_grad():
            for i, parameter in enumerate(self._parameters):
                parameter.copy_(weights[str(i)])
        self._whatever_it_takes(self._backward)
        self.step += 1
        numbered = enumerate(parameter.grad for parameter in self._parameters)
        return {str(i): gradient for i, gradient in numbered if gradient is not None}

    def averaged(self) -> AbstractContextManager[None]:
        """Meanwhile the network has the weights that are to be scored."""
        if not self._averages:
            return nullcontext()
        return in_place_of(self._parameters, self._averages)

    def statistics(self) -> Tensor:
        """The `block_statistics` of a part of the next step's batch; the loop stays as it is."""
        self.network.eval()
        batch = self.feed.parts(self.step, self._max_tokens)[0].batch
        with same_random_state(self._device), self.averaged():
            return block_statistics(self.network, batch)

    def state(self) -> dict[str, Tensor]:
        """Everything the next step depends on, as plain tensors."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        for i, parameter in enumerate(self._parameters):
            for key, value in self._optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{i}.{key}"] = value
        if self._averages:
            with self.averaged():
                weights = self.network.state_dict()
                tensors |= {f"average.{k}": v.clone() for k, v in weights.items()}
        tensors |= random_state(self._device) | self._settings()
        tensors["step"] = torch.tensor(self.step)
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a state that `state` gave."""
        self.network.load_state_dict(below("network.", tensors), strict=True)
        for i, parameter in enumerate(self._parameters):
            parameter.grad = None
            moments = below(f"optimizer.{i}.", tensors)
            self._optimizer.state[parameter] = {k: v.to(self._device) for k, v in moments.items()}
        if self._averages:
            kept = below("average.", tensors)
            self._averages = [kept[name].to(self._device) for name in self.trained]
        set_random_state(tensors, self._device)
        self._max_tokens = int(tensors["max_tokens"])
        if self._logits.state == "on" and not bool(tensors["compiled"]):
            self._logits.give_up()
        self.step = int(tensors["step"])

    def _settings(self) -> dict[str, Tensor]:
        values = (self._max_tokens, int(self._logits.state == "on"))
        return {name: torch.tensor(value) for name, value in zip(SETTINGS, values, strict=True)}

    def _run(self, until: int) -> Tensor:
        log = []
        while self.step < until:
            log.append(self._train_step())
            self.step += 1
        return torch.stack(log).double() if log else torch.empty(0, 2, dtype=torch.float64)

    def _train_step(self) -> Tensor:
        set_learning_rate(self._optimizer, self.step, self._config)
        loss = self._backward()
        norm = nn.utils.clip_grad_norm_(self._parameters, self._config.clip_norm)
        self._optimizer.step()
        if self._config.ema_decay is not None:
            update_average(self._averages, self._parameters, self.step, self._config.ema_decay)
        return torch.stack([loss, norm])

    def _backward(self) -> Tensor:
        """The mean loss over the labels of the step's batch; its gradient is in the parameters."""
        for parameter in self._parameters:
            parameter.grad = None
        losses = [self._accumulate(part) for part in self.feed.parts(self.step, self._max_tokens)]
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _accumulate(self, part: Part) -> Tensor:
        """The part's loss, whose gradient is added to that of the parts before."""
        loss = self._loss(part)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _loss(self, part: Part) -> Tensor:
        """What the part adds to the mean loss of the batch, in float32 at least."""
        batch = part.batch
        bfloat16 = self._config.precision == "bfloat16"
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=bfloat16):
            logits = self._logits(batch.tokens_BL, batch.key_padding_mask_BL)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32)).flatten(0, -2)
        total = F.cross_entropy(logits, part.labels, ignore_index=UNLABELLED, reduction="sum")
        return total / part.num_labels

    def _whatever_it_takes(self, compute: Callable[[], T]) -> T:
        """What `compute` gives, if need be in smaller parts or uncompiled, from the same state."""
        before = {name: tensor.clone() for name, tensor in self.state().items()}
        while True:
            try:
                return compute()
            except torch.OutOfMemoryError:
                retry = self._take_smaller_parts
            except Exception:
                if self._logits.state != "on":
                    raise
                retry = self._logits.give_up
            retry()
            self.restore(before | self._settings())

    def _take_smaller_parts(self) -> None:
        """Halve the parts of the step that is being computed. Raises MemoryError."""
        batches = [part.batch for part in self.feed.parts(self.step, self._max_tokens)]
        several = [batch.tokens_BL.numel() for batch in batches if len(batch.index) > 1]
        if not several:
            longest = max(batch.tokens_BL.numel() for batch in batches)
            raise MemoryError(f"one example of {longest} tokens needs more memory than there is")
        self._max_tokens = max(several) // 2
        self._logits.expect_parts()


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of the tensors whose names begin with `prefix`, by the rest of the name."""
    return {k.removeprefix(prefix): v.clone() for k, v in tensors.items() if k.startswith(prefix)}
