"""The peers' loops and arithmetic in `benchmarks/`: our mathematics, on the same weights."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from twin_case import load

from lra_design import Mechanism, MechanismConfig
from lra_design.records import HostConfig, TrainConfig
from tasks.registry import get_task
from trainers.batches import Sequences
from trainers.host import Host
from trainers.job import task_shape
from trainers.loop import TrainingLoop

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
ARITHMETICS = [
    ("softmax", "ExplicitSoftmax"),
    pytest.param("softmax", "PublishedSoftmax", marks=pytest.mark.slow),
    ("linear", "MaskedLinear"),
    ("s4d", "NaiveS4D"),
]
HOST = HostConfig(d_model=14, num_heads=2, num_layers=2, d_mlp=19, causal=False, positions="none")
TRAIN = TrainConfig(
    num_steps=7,
    batch_size=4,
    learning_rate=3e-3,
    weight_decay=0.01,
    evaluate_every=7,
    order="random",
)


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the loops, which imports its neighbour as a script does."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("peer_loops")


def gradients_of(mechanism: Mechanism, x_BLD: Tensor, padding_BL: Tensor) -> list[Tensor]:
    """The output at real positions, and the gradient of the sum of its squares."""
    y = mechanism(x_BLD, padding_BL)[~padding_BL]
    y.square().sum().backward()
    return [y.detach(), *(p.grad for p in mechanism.parameters() if p.grad is not None)]


@pytest.mark.parametrize(("ours", "theirs"), ARITHMETICS)
def test_a_peers_arithmetic_gives_our_output_and_gradient(
    peers: Any, ours: str, theirs: str
) -> None:
    config = MechanismConfig(d_model=14, num_heads=2, max_seq_len=37, causal=False)
    torch.manual_seed(3)
    mine = load(ours)(config).double()
    peer = getattr(import_module("peer_mechanisms"), theirs)(config).double()
    peer.load_state_dict(mine.state_dict())
    x_BLD = torch.randn(3, 37, 14, dtype=torch.float64, requires_grad=True)
    padding_BL = torch.arange(37) >= torch.tensor([[37], [5], [23]])
    expected = gradients_of(mine, x_BLD, padding_BL)
    found = gradients_of(peer, x_BLD, padding_BL)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def loop_of(mechanism: str, documents: Literal[1, 2]) -> TrainingLoop:
    """Our loop on 13 examples of random tokens."""
    torch.manual_seed(5)
    lengths = torch.randint(2, 27, (13 * documents,))
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    tokens = torch.randint(0, 7, (int(offsets[-1]),), dtype=torch.uint8)
    sequences = Sequences(tokens, offsets, documents=documents)
    labels = torch.randint(0, 2, (13,), dtype=torch.int16)
    shape = dataclasses.replace(task_shape(get_task("listops-mini")), documents=documents)
    network = Host(load(mechanism), {}, HOST, shape).double()
    return TrainingLoop(network, sequences, labels, TRAIN, seed=0)


@pytest.mark.parametrize("documents", [1, 2])
@pytest.mark.parametrize("mechanism", ["softmax", "linear", "s4d"])
def test_a_peers_loop_goes_through_our_losses(
    peers: Any, mechanism: str, documents: Literal[1, 2], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "MAX_SCORES", 2 * 2 * 32**2)  # two rows at a time
    ours = loop_of(mechanism, documents)
    peer = peers.PeerLoop(peers.PEERS[mechanism], ours, published=False)
    peer.network.double()
    losses = torch.tensor(peer.run(5), dtype=torch.float64)
    torch.testing.assert_close(losses, ours.run(5)[:, 0], rtol=1e-6, atol=1e-6)


def test_a_peer_pads_to_a_power_of_two_or_to_the_longest_of_the_batch(peers: Any) -> None:
    ours = loop_of("s4d", 1)
    batch = peers.gather(ours.feed.sequences, torch.arange(4))
    longest = int(ours.feed.sequences.lengths[:4].max())
    for name, length in {"softmax": 32, "linear": 32, "s4d": longest}.items():
        loop = peers.PeerLoop(peers.PEERS[name], loop_of(name, 1), published=False)
        tokens_BL, padding_BL = loop._pad(batch)
        assert tokens_BL.shape == padding_BL.shape == (4, length)
        assert (~padding_BL).sum(1).tolist() == ours.feed.sequences.lengths[:4].tolist()


def test_what_is_given_to_their_code_is_padded_as_their_files_are(peers: Any) -> None:
    ours = loop_of("softmax", 2)
    examples = peers.padded_examples(ours, 32)
    assert len(examples) == 13
    assert examples[0].keys() == {"input_ids_0", "input_ids_1", "label"}
    first = peers.gather(ours.feed.sequences, torch.tensor([0]))
    for row, tokens_L in enumerate(first.tokens_BL):
        ids = examples[0][f"input_ids_{row}"]
        assert ids.shape == (32,)
        assert ids[: len(tokens_L)].tolist() == tokens_L.tolist()
        assert not ids[len(tokens_L) :].any()
