"""One training loop for every task: AdamW, linear warm-up, decay to 0, clipped gradients.

It runs inside the isolated worker and needs nothing of the judge's side. What a step does depends
on the step's number and on the state alone, so that a run that was interrupted and restored gives
the same numbers as one that was not. A batch is computed in parts of about one length where that
pays (`trainers.micro_batches`); their gradients add up to that of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design.records import TrainConfig
from tasks.task import UNLABELLED
from trainers.batches import Batch, Sequences, TrainingOrder, gather, gather_position_labels
from trainers.host import Host
from trainers.micro_batches import CALL_TOKENS, micro_batches


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of step `step`, from 0: linear rise over the warm-up, then half a cosine or a line
    to 0."""
    num_warmup = max(1, round(config.warmup_fraction * config.num_steps))
    if step < num_warmup:
        return config.learning_rate * (step + 1) / num_warmup
    progress = (step - num_warmup) / max(1, config.num_steps - num_warmup)
    if config.schedule == "linear":
        return config.learning_rate * (1.0 - progress)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def make_optimizer(parameters: Sequence[nn.Parameter], config: TrainConfig) -> torch.optim.AdamW:
    """AdamW with weight decay for matrices and larger; none for norms, biases, other vectors."""
    matrices = [p for p in parameters if p.ndim >= 2]
    vectors = [p for p in parameters if p.ndim < 2]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        fused=not any(p.is_complex() for p in parameters),
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, step: int, config: TrainConfig) -> None:
    """Give all groups the rate of step `step`."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, config)


class TrainingLoop:
    """A network, its optimiser and its data, at some step."""

    def __init__(
        self, network: Host, sequences: Sequences, labels: Tensor, config: TrainConfig, seed: int
    ) -> None:
        self.network = network
        self.step = 0
        self._device = next(network.parameters()).device
        self._sequences = sequences.near(self._device)
        self._labels = labels.to(self._device)
        self._config = config
        self._padded = sequences.longest * sequences.documents
        self._order = TrainingOrder(sequences.longest, config.batch_size, seed, config.order)
        self.trained = [name for name, p in network.named_parameters() if p.requires_grad]
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._optimizer = make_optimizer(self._parameters, config)

    def run(self, until: int) -> Tensor:
        """Train up to step `until`; (steps, 2) float64: loss and gradient norm of each."""
        self.network.train()
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
        return torch.stack([loss, norm])

    def gradients(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The gradient of the next step's loss at these weights, both by the parameter's number.

        A parameter that the loss does not reach has none. The loop is then one step further.
        """
        self.network.train()
        with torch.no_grad():
            for i, parameter in enumerate(self._parameters):
                parameter.copy_(weights[str(i)])
        self._backward()
        self.step += 1
        numbered = enumerate(parameter.grad for parameter in self._parameters)
        return {str(i): gradient for i, gradient in numbered if gradient is not None}

    def _backward(self) -> Tensor:
        """The mean loss over the labels of the step's batch; its gradient is in the parameters."""
        batches = [batch.to(self._device) for batch in self._parts()]
        labels = [self._labels_of(batch) for batch in batches]
        num_labels = sum((part != UNLABELLED).sum() for part in labels)
        self._optimizer.zero_grad(set_to_none=True)
        losses = []
        for batch, targets in zip(batches, labels, strict=True):
            loss = self._summed_loss(batch, targets) / num_labels
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _parts(self) -> list[Batch]:
        """The step's batch, whole or in parts of about one length."""
        index = self._order.index(self.step)
        parts = micro_batches(self._padded[index], CALL_TOKENS[self._device.type])
        return [gather(self._sequences, index[part]) for part in parts]

    def _labels_of(self, batch: Batch) -> Tensor:
        if self.network.shape.labels == "example":
            return self._labels[batch.index].long()
        labels_BL = gather_position_labels(self._labels, self._sequences, batch, UNLABELLED)
        return labels_BL.flatten().long()

    def _summed_loss(self, batch: Batch, labels: Tensor) -> Tensor:
        logits = self.network(batch.tokens_BL, batch.key_padding_mask_BL).flatten(0, -2)
        return F.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="sum")

    def state(self) -> dict[str, Tensor]:
        """Everything the next step depends on, as plain tensors."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        for i, parameter in enumerate(self._parameters):
            for key, value in self._optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{i}.{key}"] = value
        tensors["rng"] = torch.get_rng_state()
        tensors["step"] = torch.tensor(self.step)
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a state that `state` gave."""
        self.network.load_state_dict(below("network.", tensors), strict=True)
        for i, parameter in enumerate(self._parameters):
            self._optimizer.state[parameter] = below(f"optimizer.{i}.", tensors)
        torch.set_rng_state(tensors["rng"])
        self.step = int(tensors["step"])


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of the tensors whose names begin with `prefix`, by the rest of the name."""
    return {k.removeprefix(prefix): v.clone() for k, v in tensors.items() if k.startswith(prefix)}
