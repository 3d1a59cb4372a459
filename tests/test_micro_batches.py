"""Batches in parts of about one length: the gradient of the whole for fewer computed tokens."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_tasks import KINDS, PAIRS
from torch import Tensor

from lra_design.records import HostConfig, TrainConfig
from mechanisms.softmax import SoftmaxAttention
from tasks.registry import TASKS, get_task
from trainers.accuracy import labelled_split
from trainers.batches import TrainingOrder
from trainers.host import Host
from trainers.job import task_shape
from trainers.loop import TrainingLoop
from trainers.micro_batches import CALL_TOKENS, MAX_TOKENS, micro_batches

SLOW = [pytest.param(t, marks=pytest.mark.slow) for t in ("listops-mini", "tiny-windows")]
HOST = HostConfig(d_model=14, num_heads=2, num_layers=2, d_mlp=19, causal=True, positions="none")
TRAIN = TrainConfig(
    num_steps=9,
    batch_size=13,
    learning_rate=3e-3,
    weight_decay=0.01,
    evaluate_every=9,
    order="random",
)


def computed_tokens(lengths: Tensor, parts: list[Tensor]) -> int:
    return sum(len(part) * int(lengths[part].max()) for part in parts)


@given(
    st.lists(st.integers(1, 97), min_size=1, max_size=23), st.integers(0, 89), st.integers(1, 400)
)
def test_parts_hold_each_example_once_within_the_budget(
    lengths: list[int], call_tokens: int, max_tokens: int
) -> None:
    sizes = torch.tensor(lengths)
    parts = micro_batches(sizes, call_tokens, max_tokens)
    assert sorted(torch.cat(parts).tolist()) == list(range(len(lengths)))
    for part in parts:
        assert len(part) == 1 or len(part) * int(sizes[part].max()) <= max_tokens


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(0, 13))
def test_no_other_cut_of_the_sorted_batch_is_cheaper(lengths: list[int], call_tokens: int) -> None:
    sizes = torch.tensor(sorted(lengths))
    parts = micro_batches(sizes, call_tokens)
    cheapest = min(
        computed_tokens(sizes, cut) + call_tokens * len(cut)
        for mask in range(2 ** (len(sizes) - 1))
        for cut in [torch.arange(len(sizes)).tensor_split(places(mask, len(sizes)))]
    )
    # A batch stays whole where its padding is worth no more than one call.
    assert computed_tokens(sizes, parts) + call_tokens * len(parts) == cheapest


def places(mask: int, length: int) -> list[int]:
    return [place for place in range(1, length) if mask >> (place - 1) & 1]


def test_a_batch_that_gains_nothing_stays_whole_and_in_its_order() -> None:
    assert [part.tolist() for part in micro_batches(torch.tensor([9, 7, 8]), 3)] == [[0, 1, 2]]
    assert [part.tolist() for part in micro_batches(torch.tensor([9, 1, 8]), 3)] == [[1], [2, 0]]


@pytest.mark.parametrize(("device", "bound"), [("cpu", 1.1), ("cuda", 1.3)])
@pytest.mark.parametrize("batch_size", [16, 32])
def test_random_batches_of_text_lengths_cost_little_more_than_their_tokens(
    batch_size: int, device: str, bound: float
) -> None:
    """The logarithms of the lengths of the 25,000 reviews have mean 6.97 and deviation 0.66."""
    generator = torch.Generator().manual_seed(7)
    drawn = torch.exp(6.97 + 0.66 * torch.randn(4096, generator=generator))
    lengths = drawn.long().clamp(52, 4096)
    order = TrainingOrder(lengths, batch_size, seed=3, order="random")
    batches = [lengths[order.index(i)] for i in range(4096 // batch_size)]
    parts = [micro_batches(batch, CALL_TOKENS[device]) for batch in batches]
    computed = sum(map(computed_tokens, batches, parts))
    assert computed < bound * int(lengths.sum())
    assert sum(batch_size * int(batch.max()) for batch in batches) > 2 * int(lengths.sum())


def step_of(task: str, call_tokens: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Tensor]:
    """How many parts a step's batch had, and its loss and gradient in one vector."""
    monkeypatch.setitem(CALL_TOKENS, "cpu", call_tokens)
    torch.manual_seed(5)
    network = Host(SoftmaxAttention, {}, HOST, task_shape(get_task(task))).double()
    split = labelled_split(get_task(task), "train")
    loop = TrainingLoop(network, split.sequences, split.labels, TRAIN, seed=2)
    parameters = {str(i): p.detach().clone() for i, p in enumerate(network.parameters())}
    num_parts = len(loop.feed.parts(0, MAX_TOKENS["cpu"]))
    gradients = loop.gradients(parameters)
    loop.step = 0
    loss = loop._backward()
    return num_parts, torch.cat([loss.flatten(), *(g.flatten() for g in gradients.values())])


@pytest.mark.parametrize("task", ["recall-probe", "tiny-pairs", "tiny-values", *SLOW])
def test_parts_give_the_gradient_of_the_whole_batch(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tiny in KINDS.values():
        monkeypatch.setitem(TASKS, tiny.id, tiny)
    whole, expected = step_of(task, 10**6, monkeypatch)
    parts, found = step_of(task, 0, monkeypatch)
    assert whole == 1
    assert parts > 1 or task == "tiny-values"  # of which all sequences have one length
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_random_order_is_that_of_the_permutation() -> None:
    order = TrainingOrder(torch.arange(1, 71), batch_size=7, seed=5, order="random")
    epoch = torch.cat([order.index(step) for step in range(10)])
    assert sorted(epoch.tolist()) == list(range(70))
    generator = torch.Generator().manual_seed(5 * 1_000_003)
    assert torch.equal(epoch, torch.randperm(70, generator=generator))


def test_a_pair_counts_twice_its_longer_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, PAIRS.id, PAIRS)
    split = labelled_split(PAIRS, "train")
    network = Host(SoftmaxAttention, {}, HOST, task_shape(PAIRS))
    loop = TrainingLoop(network, split.sequences, split.labels, TRAIN, seed=2)
    (part,) = loop.feed.parts(0, MAX_TOKENS["cpu"])
    batch = part.batch
    assert int(loop.feed.padded[batch.index].max()) == 2 * batch.tokens_BL.shape[1]
