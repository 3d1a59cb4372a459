"""One training loop for every task: AdamW, linear warm-up, decay to 0, clipped gradients.

It runs inside the isolated worker and needs nothing of the judge's side. What a step does depends
on the step's number and on the state alone, so that a run that was interrupted and restored gives
the same numbers as one that was not. A batch is computed in parts of about one length where that
pays (`trainers.micro_batches`); their gradients add up to that of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design.records import TrainConfig
from tasks.task import UNLABELLED
from trainers.batches import Sequences
from trainers.feed import Feed, Part
from trainers.host import Host
from trainers.micro_batches import MAX_TOKENS
from trainers.optimizer import make_optimizer, set_learning_rate


class TrainingLoop:
    """A network, its optimiser and its data, at some step."""

    def __init__(
        self, network: Host, sequences: Sequences, labels: Tensor, config: TrainConfig, seed: int
    ) -> None:
        self.network = network
        self.step = 0
        self._config = config
        device = next(network.parameters()).device
        self.feed = Feed(sequences, labels, network.shape, config, seed, device)
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
        for parameter in self._parameters:
            parameter.grad = None
        losses = [self._accumulate(part) for part in self.feed.parts(self.step, MAX_TOKENS)]
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _accumulate(self, part: Part) -> Tensor:
        """The part's loss, whose gradient is added to that of the parts before."""
        loss = self._loss(part)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _loss(self, part: Part) -> Tensor:
        """What the part adds to the mean loss of the batch."""
        batch = part.batch
        logits = self.network(batch.tokens_BL, batch.key_padding_mask_BL).flatten(0, -2)
        total = F.cross_entropy(logits, part.labels, ignore_index=UNLABELLED, reduction="sum")
        return total / part.num_labels

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
