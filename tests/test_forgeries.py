"""Mechanisms that know every random label when a trainer grades itself stand at chance here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from agent_sandbox.isolation import Isolation, open_isolation
from lra_design.errors import CandidateFault, CandidateRefused
from lra_design.records import HostConfig, Score, TrainConfig
from mechanisms import reference_source
from tasks.registry import TASKS, get_task
from tasks.task import UNLABELLED, Examples, Task
from trainers import twin
from trainers.accuracy import chance_bound, labelled_split, most_frequent
from trainers.job import Job
from trainers.training import Progress
from trainers.twin import check_random_labels, score_twin, shuffled

FORGERIES = sorted((Path(__file__).parent / "forgeries").glob("*.py"))
NUM_CLASSES = 10
LENGTH = 11


@pytest.fixture(scope="module")
def isolation() -> Iterator[Isolation]:
    with open_isolation(program_folders=[Path(__file__).parent]) as opened:
        yield opened


def draw_random_labels(seed: int, start: int, count: int) -> Examples:
    rows = [np.random.default_rng([seed, start + i]) for i in range(count)]
    return Examples(
        np.concatenate([row.integers(1, 16, LENGTH, dtype=np.uint8) for row in rows]),
        np.arange(count + 1, dtype=np.int64) * LENGTH,
        np.array([row.integers(NUM_CLASSES) for row in rows], dtype=np.int16),
    )


TINY = Task(
    id="tiny",
    title="labels that mean nothing",
    vocabulary=tuple(f"t{i}" for i in range(16)),
    num_classes=NUM_CLASSES,
    labels="example",
    max_seq_len=LENGTH + 5,
    sizes={"train": 101, "validation": 53, "test": 211},
    chance=1 / NUM_CLASSES,
    generator="random labels",
    draw=draw_random_labels,
    source="here",
    licence="none",
    citation="none",
)


@pytest.fixture(autouse=True)
def _tiny_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, TINY.id, TINY)


def naive_accuracy(source: str, isolation: Isolation) -> float:
    """What a trainer says that grades itself in the candidate's process."""
    generator = torch.Generator().manual_seed(7)
    tensors = {}
    for split, count in (("train", 100), ("test", 200)):
        tokens = torch.randint(1, 16, (count, LENGTH), generator=generator)
        labels = torch.randint(NUM_CLASSES, (count,), generator=generator)
        tensors |= {f"{split}_tokens": tokens, f"{split}_labels": labels}
    with isolation.start("naive_trainer:NaiveTrainer") as worker:
        values = {"source": source, "num_classes": NUM_CLASSES}
        accuracy = worker.call("grade", values, tensors, seconds=30.0).values["accuracy"]
    assert isinstance(accuracy, float)
    return accuracy


def job(source: str, task: str = TINY.id) -> Job:
    return Job(
        name="forger",
        origin="candidate",
        agent=None,
        source=source,
        task=task,
        scale="smoke",
        setting="fixed",
        host=HostConfig(
            d_model=8, num_heads=2, num_layers=1, d_mlp=8, causal=True, positions="none"
        ),
        train=TrainConfig(
            num_steps=4, batch_size=25, learning_rate=1e-2, weight_decay=0.0, evaluate_every=4
        ),
        hyperparameters={},
        seed=0,
    )


def ignore(progress: Progress) -> None:
    pass


def judged(source: str, isolation: Isolation) -> Score | str:
    """The twin's score; or, when the candidate was refused or found out, by which check."""
    try:
        score, findings = score_twin(job(source), isolation, ignore)
    except CandidateRefused as refusal:
        return refusal.findings[0].check
    except CandidateFault as fault:
        return fault.kind
    return findings[0].check if findings else score


@pytest.mark.slow
def test_an_honest_mechanism_guesses_in_both(isolation: Isolation) -> None:
    source = reference_source("softmax")
    assert naive_accuracy(source, isolation) < 0.25
    assert isinstance(judged(source, isolation), Score)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.slow] if i % 3 else [], id=path.stem)
        for i, path in enumerate(FORGERIES)
    ],
)
def test_a_forger_is_perfect_when_it_grades_itself_and_at_chance_here(
    path: Path, isolation: Isolation
) -> None:
    source = path.read_text()
    assert naive_accuracy(source, isolation) > 0.99
    verdict = judged(source, isolation)
    print(verdict if isinstance(verdict, str) else f"{verdict.accuracy:.3f}")
    if isinstance(verdict, Score):
        chance = most_frequent(labelled_split(TINY, "test"))
        assert verdict.accuracy <= chance_bound(chance, verdict.num_labels) < 0.25
    else:
        assert verdict != "LRA504", "it would have had to know the labels"


def test_there_are_enough_forgeries() -> None:
    assert len(FORGERIES) >= 12


def test_shuffled_labels_are_the_same_labels_elsewhere() -> None:
    split = labelled_split(get_task("recall-probe"), "validation")
    once, again, other = shuffled(split, 3), shuffled(split, 3), shuffled(split, 4)
    assert torch.equal(once.labels, again.labels)
    assert not torch.equal(once.labels, other.labels)
    assert torch.equal(once.labels.sort().values, split.labels.sort().values)
    assert torch.equal(once.labels == UNLABELLED, split.labels == UNLABELLED)
    assert most_frequent(once) == most_frequent(split)


def test_guessing_stays_under_the_bound_and_knowing_little_does_not() -> None:
    generator = torch.Generator().manual_seed(1)
    split = labelled_split(TINY, "test")
    bound = chance_bound(most_frequent(split), len(split.labels))
    guesses = torch.randint(NUM_CLASSES, split.labels.shape, generator=generator)
    accuracies = [
        float((shuffled(split, seed).labels == guesses).float().mean()) for seed in range(400)
    ]
    assert max(accuracies) <= bound
    chance, count = most_frequent(split), len(split.labels)
    score = Score(
        task=TINY.id,
        split="test",
        split_hash="",
        accuracy=bound,
        num_examples=count,
        num_labels=count,
    )
    assert check_random_labels(score, chance) == []
    above = dataclasses.replace(score, accuracy=bound + 1 / count)
    assert [finding.check for finding in check_random_labels(above, chance)] == ["LRA504"]


def test_a_judge_that_gives_labels_away_is_found_out(
    isolation: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power: held-out labels that travel as tokens are learnt, whoever shuffled them."""

    def leaky(split: twin.LabelledSplit, seed: int) -> twin.LabelledSplit:
        fair = shuffled(split, seed)
        tokens = (1 + fair.labels).repeat_interleave(LENGTH).to(torch.uint8)
        sequences = dataclasses.replace(fair.sequences, tokens=tokens)
        return dataclasses.replace(fair, sequences=sequences)

    monkeypatch.setattr(twin, "shuffled", leaky)
    asked = job(reference_source("mean"))
    asked = dataclasses.replace(
        asked,
        train=dataclasses.replace(asked.train, num_steps=60, evaluate_every=60, learning_rate=3e-2),
    )
    score, findings = score_twin(asked, isolation, ignore)
    assert "LRA504" in {finding.check for finding in findings}
    assert score.accuracy > 0.5
