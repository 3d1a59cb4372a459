"""The program that runs inside the isolated worker: build, train, export, load, predict.

The judge asks for each operation and gives each batch to predict; nothing this program answers is
believed beyond "these are the tensors it returned".
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch._dynamo  # optimisers import it on their first step: 1.3 s, here paid once a server
from torch import Tensor

from agent_sandbox.candidate import load_mechanism
from agent_sandbox.isolation.protocol import Message
from lra_design.records import HostConfig, TrainConfig
from trainers.batches import Sequences
from trainers.device import settle_arithmetic
from trainers.host import Host, TaskShape
from trainers.loop import TrainingLoop


class NetworkProgram:
    """One network around one mechanism."""

    def __init__(self) -> None:
        self._device: torch.device
        self._network: Host
        self._tokens: Tensor
        self._loop: TrainingLoop | None = None

    def build(self, message: Message) -> Message:
        """Make the network from the candidate's source, with initial weights drawn from `seed`.

        They are drawn on the processor, so that they are the same on every `device`.
        """
        values = message.values
        self._device = torch.device(values["device"])
        settle_arithmetic(values["device"])
        mechanism_class = load_mechanism(values["source"])
        torch.manual_seed(values["seed"])
        self._network = Host(
            mechanism_class,
            values["hyperparameters"],
            HostConfig(**values["host"]),
            TaskShape(**values["shape"]),
        ).to(self._device)
        named = self._network.named_parameters(remove_duplicate=False)  # as the weights are named
        return Message({"parameters": [name for name, _ in named]})

    def take_tokens(self, message: Message) -> Message:
        """Take a part of the training split's tokens: `begin` is its place among `num_tokens`."""
        part, begin = message.tensors["tokens"], message.values["begin"]
        if begin == 0:
            self._tokens = torch.empty(message.values["num_tokens"], dtype=part.dtype)
        self._tokens[begin : begin + len(part)] = part
        return Message()

    def start_training(self, message: Message) -> Message:
        """Take the rest of it: `offsets` and `labels` as in `tasks.task.Examples`.

        Returns `trained`: the names of the parameters that are trained, in the optimiser's order;
        and `undecayed`: those of them that a mechanism marked. `compile` asks for `torch.compile`
        where there is a CUDA device.
        """
        tensors, values = message.tensors, message.values
        documents = self._network.shape.documents
        on_cuda = next(self._network.parameters()).is_cuda
        loop = TrainingLoop(
            self._network,
            Sequences(self._tokens, tensors["offsets"], values["first_id"], documents),
            tensors["labels"],
            TrainConfig(**values["train"]),
            values["seed"],
            "inductor" if values["compile"] and on_cuda else None,
        )
        self._loop = loop
        return Message({"trained": loop.trained, "undecayed": loop.undecayed})

    def train(self, message: Message) -> Message:
        """Train until step `until`; `log` is (steps, 2): loss and gradient norm. `compiled` says
        whether the network is."""
        log = self._training.run(message.values["until"])
        return Message({"compiled": self._training.compiled}, {"log": log})

    def gradients(self, message: Message) -> Message:
        """The gradient of the next step's loss at given weights, as `TrainingLoop.gradients`."""
        return Message({}, self._training.gradients(message.tensors))

    def checkpoint(self, message: Message) -> Message:
        """The state of the training, as `TrainingLoop.state` gives it."""
        return Message({}, self._training.state())

    def statistics(self, message: Message) -> Message:
        """`blocks`: (layers, 3), as `TrainingLoop.statistics`."""
        return Message({}, {"blocks": self._training.statistics()})

    def restore(self, message: Message) -> Message:
        """Go back to a checkpoint."""
        self._training.restore(message.tensors)
        return Message()

    def export(self, message: Message) -> Message:
        """The network's weights by name, as it predicts with them: those that are to be scored."""
        self._network.eval()
        with self._scored():
            weights = {name: value.clone() for name, value in self._network.state_dict().items()}
        return Message({}, weights)

    def load(self, message: Message) -> Message:
        """Take weights: same names, same shapes, same dtypes, nothing more and nothing less."""
        self._network.load_state_dict(dict(message.tensors), strict=True)
        return Message()

    def double(self, message: Message) -> Message:
        """Continue in float64, where honest round-off is far below any leak."""
        self._network.double()
        return Message()

    def predict(self, message: Message) -> Message:
        """Logits of one batch, and the (B, L, D) representation they were computed from.

        `tokens` (B, L), optional `mask` (B, L) bool, True = padding. One operation answers both, so
        that a candidate cannot tell from the call which of them is going to be judged.
        """
        tensors = {name: tensor.to(self._device) for name, tensor in message.tensors.items()}
        tokens_BL, mask_BL = tensors["tokens"].long(), tensors.get("mask")
        self._network.eval()
        with torch.no_grad(), self._scored():
            features_BLD = self._network.features(tokens_BL, mask_BL)
            logits = self._network.classify(features_BLD, mask_BL)
        return Message({}, {"logits": logits, "features": features_BLD})

    @property
    def _training(self) -> TrainingLoop:
        assert self._loop is not None, "asked before start_training"
        return self._loop

    def _scored(self) -> AbstractContextManager[None]:
        """Meanwhile the network has the weights that are to be scored: an average has its turn."""
        return nullcontext() if self._loop is None else self._loop.averaged()
