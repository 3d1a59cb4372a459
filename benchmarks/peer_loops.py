"""The training loops of the peers: a batch is padded as a whole, and computed whole.

`PeerLoop` is written after them and trains our network; `CheckoutLoop` runs the code of
mlpen/Nystromformer itself, from a folder that holds a copy, and trains theirs.
"""

from __future__ import annotations

import importlib
import pickle
import sys
import tempfile
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from peer_mechanisms import ExplicitSoftmax, MaskedLinear, NaiveS4D, PublishedSoftmax
from torch import Tensor
from torch.utils.data import DataLoader

from lra_design import Mechanism
from lra_design.records import HostConfig
from tasks.task import Task
from trainers.batches import Batch, TrainingOrder, gather
from trainers.host import Host, TaskShape
from trainers.loop import TrainingLoop
from trainers.optimizer import make_optimizer, set_learning_rate

MAX_SCORES = 2**26
"""Scores of a layer that stand in memory at a time: 256 MiB. What is more goes through the network
one after the other, as theirs does on a GPU that is too small (`accumu_steps`)."""


@dataclass(frozen=True)
class Peer:
    """How a peer trains a mechanism."""

    mechanism: type[Mechanism]
    published: type[Mechanism]
    """With dropout, as its configuration has it."""
    pads_to_longest: bool
    """True: to the longest of the batch; False: to the task's longest, and on to a power of two."""
    keeps_scores: bool = False


PEERS = {
    "softmax": Peer(ExplicitSoftmax, PublishedSoftmax, pads_to_longest=False, keeps_scores=True),
    "linear": Peer(MaskedLinear, MaskedLinear, pads_to_longest=False),
    "s4d": Peer(NaiveS4D, NaiveS4D, pads_to_longest=True),
}
"""mlpen/Nystromformer, LRA/code and LRA/datasets, commit 5689313; state-spaces/s4,
src/dataloaders/lra.py, commit e757cef."""


class PeerLoop:
    """A peer's loop around our network, from the weights and in the order of one of ours."""

    def __init__(self, peer: Peer, ours: TrainingLoop, *, published: bool) -> None:
        """published: with the dropout that its configuration has."""
        self.step = 0
        self._peer, self._config = peer, ours._config
        self._sequences, self._labels = ours.feed.sequences, ours.feed.labels
        shape = replace(ours.network.shape, max_seq_len=self._padded(ours.network.shape))
        mechanism = peer.published if published else peer.mechanism
        self.network = Host(mechanism, {}, ours.network.config, shape)
        self.network.load_state_dict(ours.network.state_dict())
        config = self._config
        self._order = TrainingOrder(self._sequences.longest, config.batch_size, 0, config.order)
        self._parameters = list(self.network.parameters())
        self._optimizer = make_optimizer(self._parameters, config)

    def run(self, until: int) -> list[float]:
        """Train up to step `until`; the losses."""
        self.network.train()
        losses = []
        while self.step < until:
            losses.append(self._train_step())
            self.step += 1
        return losses

    @staticmethod
    def _padded(shape: TaskShape) -> int:
        """The task's longest sequence, and on to a power of two."""
        return 1 << (shape.max_seq_len - 1).bit_length()

    def _train_step(self) -> float:
        set_learning_rate(self._optimizer, self.step, self._config)
        batch = gather(self._sequences, self._order.index(self.step))
        tokens_BL, padding_BL = self._pad(batch)
        labels = self._labels[batch.index].long()
        count = self._examples_at_once(tokens_BL.shape[1])
        rows = count * self._sequences.documents
        self._optimizer.zero_grad()
        loss = torch.zeros(())
        parts = tokens_BL.split(rows), padding_BL.split(rows), labels.split(count)
        for tokens, padding, targets in zip(*parts, strict=True):
            total = F.cross_entropy(self.network(tokens, padding), targets, reduction="sum")
            part_loss = total / len(labels)
            part_loss.backward()  # type: ignore[no-untyped-call]
            loss += part_loss.detach()
        torch.nn.utils.clip_grad_norm_(self._parameters, self._config.clip_norm)
        self._optimizer.step()
        return loss.item()

    def _pad(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Tokens and padding, both (rows, L)."""
        padding_BL = batch.key_padding_mask_BL
        if padding_BL is None:
            padding_BL = torch.zeros_like(batch.tokens_BL, dtype=torch.bool)
        if self._peer.pads_to_longest:
            return batch.tokens_BL, padding_BL
        missing = self.network.shape.max_seq_len - batch.tokens_BL.shape[1]
        return F.pad(batch.tokens_BL, (0, missing)), F.pad(padding_BL, (0, missing), value=True)

    def _examples_at_once(self, length: int) -> int:
        if not self._peer.keeps_scores:
            return self._config.batch_size
        row = length**2 * self.network.config.num_heads
        return max(1, MAX_SCORES // (row * self._sequences.documents))


class CheckoutLoop:
    """mlpen/Nystromformer's own network, data set and optimiser, from a copy of the repository.

    `step` of LRA/code/run_tasks.py is a script for CUDA; this does what it does, in float32.
    """

    def __init__(self, folder: Path, mechanism: str, ours: TrainingLoop, task: Task) -> None:
        """folder: the copy. mechanism: `softmax` or `linear`. Raises ImportError."""
        sys.path.insert(0, str(folder / "LRA" / "code"))
        wrapper = importlib.import_module("model_wrapper")
        config = published_config(mechanism, ours.network.config, task)
        network = wrapper.ModelForSCDual if task.documents == 2 else wrapper.ModelForSC
        self.step = 0
        self.network = network(config).train()
        self._batch_size = ours._config.batch_size
        most = max(1, MAX_SCORES // (config["max_seq_len"] ** 2 * config["num_head"]))
        self._num_parts = -(-self._batch_size // most) if mechanism == "softmax" else 1
        self._optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-4, eps=1e-6)
        self._batches = self._load(ours, config["max_seq_len"])

    def _load(self, ours: TrainingLoop, length: int) -> Any:
        """Their loader over a file like theirs, of as many examples as we have ourselves."""
        data_set = importlib.import_module("dataset").LRADataset
        with tempfile.NamedTemporaryFile(suffix=".pickle") as file:
            pickle.dump(padded_examples(ours, length), file)
            file.flush()
            examples = data_set(file.name, True)
        return iter(DataLoader(examples, batch_size=self._batch_size, drop_last=True))

    def run(self, until: int) -> list[float]:
        """Train up to step `until`; the losses."""
        losses = []
        while self.step < until:
            losses.append(self._train_step())
            self.step += 1
        return losses

    def _train_step(self) -> float:
        self._optimizer.zero_grad()
        batch = next(self._batches)
        chunks = {key: value.chunk(self._num_parts) for key, value in batch.items()}
        loss = torch.zeros(())
        for i in range(self._num_parts):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of functions that PyTorch has renamed since
                outputs = self.network(**{key: parts[i] for key, parts in chunks.items()})
            part_loss = outputs["loss"].mean() / self._num_parts
            part_loss.backward()
            loss += part_loss.detach()
        self._optimizer.step()
        return loss.item()


def published_config(mechanism: str, host: HostConfig, task: Task) -> dict[str, Any]:
    """Their `model` of LRA/code/lra_config.py at the sizes of our network."""
    return {
        "attn_type": mechanism,
        "attention_grad_checkpointing": mechanism == "softmax",
        "mixed_precision": False,
        "tied_weights": False,
        "embedding_dim": host.d_model,
        "transformer_dim": host.d_model,
        "transformer_hidden_dim": host.d_mlp,
        "head_dim": host.d_model // host.num_heads,
        "num_head": host.num_heads,
        "num_layers": host.num_layers,
        "vocab_size": max(512, len(task.vocabulary)),
        "max_seq_len": 1 << (task.max_seq_len - 1).bit_length(),
        "dropout_prob": host.dropout,
        "attention_dropout": host.dropout,
        "pooling_mode": "MEAN",
        "num_classes": task.num_classes,
    }


def padded_examples(ours: TrainingLoop, length: int) -> list[dict[str, Any]]:
    """Our examples as their files have them: `input_ids_0`, of two documents `input_ids_1` too."""
    examples: list[dict[str, Any]] = []
    for i, label in enumerate(ours.feed.labels.tolist()):
        rows = gather(ours.feed.sequences, torch.tensor([i])).tokens_BL
        ids = F.pad(rows, (0, length - rows.shape[1])).to(torch.int32).numpy()
        names = (f"input_ids_{k}" for k in range(len(ids)))
        examples.append({**dict(zip(names, ids, strict=True)), "label": np.int64(label)})
    return examples
