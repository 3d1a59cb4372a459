"""Pairs of documents, numbers as inputs and local windows, from the split to the referee."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_tasks import KINDS, PAIRS, VALUES, WINDOWS

from agent_sandbox.isolation import Isolation
from lra_design.cli.breakdown import breakdown
from lra_design.records import HostConfig, TrainConfig
from mechanisms import reference_source
from mechanisms.mean import Mean
from mechanisms.softmax import SoftmaxAttention
from tasks.registry import TASKS, get_task
from tasks.task import Task
from trainers.accuracy import labelled_split, measure_accuracy
from trainers.batches import Batch, Sequences, evaluation_batches, gather, gather_position_labels
from trainers.host import Host
from trainers.job import Job, task_shape
from trainers.referee import score_run
from trainers.training import train

HOST = HostConfig(d_model=14, num_heads=2, num_layers=2, d_mlp=19, causal=True, positions="none")
LEARNS = TrainConfig(
    num_steps=120, batch_size=31, learning_rate=2e-2, weight_decay=0.01, evaluate_every=60
)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    for id, task in KINDS.items():
        monkeypatch.setitem(TASKS, id, task)


def job(task: Task, reference: str) -> Job:
    return Job(
        name=reference,
        origin="reference",
        agent=None,
        source=reference_source(reference),
        task=task.id,
        scale="smoke",
        setting="fixed",
        host=HOST,
        train=LEARNS,
        hyperparameters={},
        seed=3,
    )


@pytest.mark.parametrize(
    "task",
    [PAIRS, *(pytest.param(task, marks=pytest.mark.slow) for task in (VALUES, WINDOWS))],
    ids=lambda task: task.id,
)
def test_every_kind_is_trained_and_scored(task: Task, isolation: Isolation, tmp_path: Path) -> None:
    run = train(job(task, "softmax"), isolation, tmp_path, lambda progress: None)
    scored = score_run(run, tmp_path, isolation)
    assert scored.findings == ()
    assert scored.test is not None
    assert scored.test.num_examples == task.sizes["test"]
    if task is VALUES:
        assert scored.test.accuracy > 0.8


def network(task: Task, **host: object) -> Host:
    torch.manual_seed(5)
    config = dataclasses.replace(HOST, **host)
    return Host(SoftmaxAttention, {}, config, task_shape(task)).eval()


def test_the_rows_of_a_pair_stay_together() -> None:
    split = labelled_split(PAIRS, "validation")
    sequences = split.sequences
    index = torch.tensor([7, 2, 11])
    batch = gather(sequences, index)
    for place, example in enumerate(index.tolist()):
        for document in range(2):
            begin, end = sequences.offsets[2 * example + document :][:2].tolist()
            row = batch.tokens_BL[2 * place + document, : end - begin]
            assert row.tolist() == (sequences.tokens[begin:end] + 1).tolist()
    batches = list(evaluation_batches(sequences, 101))
    assert torch.cat([b.index for b in batches]).sort().values.tolist() == list(range(199))


@pytest.mark.parametrize(("head", "width"), [("nli", 4), ("concat", 2)])
def test_the_head_gets_both_documents(head: str, width: int) -> None:
    host = network(PAIRS, head=head)
    batch = gather(labelled_split(PAIRS, "validation").sequences, torch.arange(5))
    assert host.head[0].in_features == width * HOST.d_model
    logits = host(batch.tokens_BL, batch.key_padding_mask_BL)
    assert logits.shape == (5, 2)
    swapped = torch.arange(10).view(5, 2).flip(1).flatten()
    mask = batch.key_padding_mask_BL
    assert mask is not None
    other = host(batch.tokens_BL[swapped], mask[swapped])
    assert not torch.allclose(logits, other)


def test_documents_meet_in_the_head_alone() -> None:
    host = network(PAIRS)
    sequences = labelled_split(PAIRS, "validation").sequences
    batch = gather(sequences, torch.tensor([3]))
    mask = batch.key_padding_mask_BL
    features = host.features(batch.tokens_BL, mask)
    changed = batch.tokens_BL.clone()
    changed[1] = 1 + changed[1] % 5
    assert torch.equal(host.features(changed, mask)[0], features[0])


def test_numbers_are_fed_as_numbers() -> None:
    """Embedded values lie on a line: the vector of the mean of two is the mean of theirs."""
    host = network(VALUES)
    low, middle, high = host.embedding(torch.tensor([[0, 100, 200]]))[0]
    assert torch.allclose(middle, (low + high) / 2, atol=1e-6)
    assert not torch.allclose(low, high)


def test_windows_end_the_mixing() -> None:
    host = network(WINDOWS)
    tokens = torch.randint(1, 16, (3, 13), generator=torch.Generator().manual_seed(1))
    changed = tokens.clone()
    changed[:, 7] = 1 + changed[:, 7] % 15
    mask = torch.arange(13) >= torch.tensor([[13], [12], [6]])
    a, b = (host.features(t, mask) for t in (tokens, changed))
    assert torch.equal(a[:, :5], b[:, :5])
    assert not torch.allclose(a[0, 7:10], b[0, 7:10])
    assert torch.equal(a[:, 10:], b[:, 10:])


def test_a_window_is_mixed_as_if_it_stood_alone() -> None:
    """The middle one of a sequence, with running means that show what came before."""
    torch.manual_seed(5)
    host = Host(Mean, {}, HOST, task_shape(WINDOWS)).eval()
    tokens = torch.randint(1, 16, (2, 15), generator=torch.Generator().manual_seed(1))
    alone = host.features(tokens[:, 5:10], None)
    assert torch.allclose(host.features(tokens, None)[:, 5:10], alone, atol=1e-6)


def test_a_score_is_broken_down_by_the_groups_of_its_task() -> None:
    """Answers that know the flag up to distance 4, and say 0 beyond."""
    task = get_task("reach-probe-16")
    split = labelled_split(task, "validation")
    assert split.groups is not None
    near = split.groups <= 4
    answers = split.labels.where(near & (split.labels >= 0), 0)
    truth = Sequences(answers, split.sequences.offsets)

    def predict(batch: Batch) -> torch.Tensor:
        labels = gather_position_labels(answers, truth, batch, 0).long()
        return torch.nn.functional.one_hot(labels, task.num_classes).double()

    batches = evaluation_batches(split.sequences, 701)
    score = measure_accuracy(split, "validation", batches, predict)
    assert [part.group for part in score.groups] == [1, 2, 4, 8, 16]
    assert [part.accuracy for part in score.groups[:3]] == [1.0, 1.0, 1.0]
    assert all(part.accuracy < 0.15 for part in score.groups[3:])
    assert sum(part.num_labels for part in score.groups) == score.num_labels
    assert breakdown(score).startswith("by distance, in positions:\n   1  100.0 %\n")
    assert breakdown(score).endswith("\nreach: 4 positions")
    assert breakdown(dataclasses.replace(score, groups=())) == ""
