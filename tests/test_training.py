"""Training in isolation: it learns, it counts, it resumes exactly, and it refuses cheats."""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path

import pytest
import torch

from agent_sandbox.isolation import Isolation
from lra_design.errors import CandidateFault, CandidateRefused
from lra_design.records import HostConfig, TrainConfig
from mechanisms import reference_source
from mechanisms.softmax import SoftmaxAttention
from tasks.registry import get_task
from tasks.task import UNLABELLED
from trainers.accuracy import labelled_split, measure_accuracy
from trainers.batches import (
    Sequences,
    TrainingOrder,
    evaluation_batches,
    gather,
    gather_position_labels,
)
from trainers.checkpoint import read_checkpoint
from trainers.host import Host
from trainers.job import Job, run_id, task_shape
from trainers.loop import TrainingLoop
from trainers.network_checks import check_parameter_cap, softmax_parameters
from trainers.referee import referee, run_job, score_run
from trainers.schedule import learning_rate
from trainers.tensor_files import read_tensors
from trainers.training import Progress, train

HOST = HostConfig(d_model=14, num_heads=2, num_layers=2, d_mlp=19, causal=True, positions="none")
TRAIN = TrainConfig(
    num_steps=23, batch_size=7, learning_rate=3e-3, weight_decay=0.01, evaluate_every=11
)

LEARNS = {"num_steps": 220, "evaluate_every": 110, "batch_size": 31, "learning_rate": 2e-2}
"""Enough for softmax attention to be far above chance on recall."""

TEMPLATE = """
import torch
from torch import nn
from lra_design import Mechanism

class Candidate(Mechanism):
    def __init__(self, config):
        super().__init__(config)
        self.out = nn.Linear(config.d_model, config.d_model)
        {init}
    def forward(self, x, key_padding_mask=None):
        {body}
"""


def candidate(body: str, init: str = "pass") -> str:
    return TEMPLATE.format(body=body, init=init)


def job(source: str, task: str = "recall-probe", *, seed: int = 0, **train: object) -> Job:
    return Job(
        name="candidate",
        origin="candidate",
        agent=None,
        source=source,
        task=task,
        scale="smoke",
        setting="fixed",
        host=HOST,
        train=dataclasses.replace(TRAIN, **train),
        hyperparameters={},
        seed=seed,
    )


def ignore(progress: Progress) -> None:
    pass


def sequences(lengths: list[int]) -> Sequences:
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    return Sequences(torch.arange(1, int(offsets[-1]) + 1, dtype=torch.int16), offsets)


def test_a_batch_pads_on_the_right() -> None:
    batch = gather(sequences([2, 5, 3]), torch.tensor([2, 0]))
    assert batch.tokens_BL.tolist() == [[8, 9, 10], [1, 2, 0]]
    assert batch.key_padding_mask_BL is not None
    assert batch.key_padding_mask_BL.tolist() == [[False] * 3, [False, False, True]]
    assert gather(sequences([3, 3]), torch.tensor([1])).key_padding_mask_BL is None


def test_position_labels_are_unlabelled_under_padding() -> None:
    split = sequences([2, 5, 3])
    batch = gather(split, torch.tensor([0, 2]))
    labels_BL = gather_position_labels(split.tokens.long(), split, batch, UNLABELLED)
    assert labels_BL.tolist() == [[1, 2, UNLABELLED], [8, 9, 10]]


def test_an_epoch_holds_each_example_once_and_is_another_each_time() -> None:
    lengths = torch.arange(1, 71)
    order = TrainingOrder(lengths, batch_size=7, seed=5)
    epochs = [[order.index(10 * epoch + i).tolist() for i in range(10)] for epoch in range(2)]
    assert [sorted(i for batch in epoch for i in batch) for epoch in epochs] == [
        list(range(70))
    ] * 2
    assert epochs[0] != epochs[1]
    assert [order.index(i).tolist() for i in (17, 3)] == [epochs[1][7], epochs[0][3]]


def test_batches_of_one_pool_hold_examples_of_about_one_length() -> None:
    generator = torch.Generator().manual_seed(3)
    lengths = torch.randint(5, 500, (896,), generator=generator)
    order = TrainingOrder(lengths, batch_size=8, seed=1)
    padded = sum(int(lengths[order.index(i)].max()) * 8 for i in range(112))
    assert padded < 1.1 * int(lengths.sum())


def test_evaluation_batches_hold_each_example_once() -> None:
    split = sequences([5, 2, 11, 3, 2, 7])
    batches = list(evaluation_batches(split, tokens_per_batch=8))
    assert sorted(i for batch in batches for i in batch.index.tolist()) == list(range(6))
    assert len(batches) > 1


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    config = dataclasses.replace(TRAIN, num_steps=100)
    rates = [learning_rate(step, config) for step in range(100)]
    assert max(rates) == rates[10] == config.learning_rate
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.01 * config.learning_rate


def test_accuracy_counts_scored_positions_alone() -> None:
    task = get_task("recall-probe")
    validation = labelled_split(task, "validation")

    def oracle(batch: object) -> torch.Tensor:
        labels = gather_position_labels(validation.labels, validation.sequences, batch, UNLABELLED)
        return torch.nn.functional.one_hot(labels.clamp(min=0).long(), task.num_classes).float()

    batches = list(evaluation_batches(validation.sequences, 4096))
    score = measure_accuracy(validation, "validation", batches, oracle)
    assert score.accuracy == 1.0
    assert score.num_labels == int((validation.labels != UNLABELLED).sum())
    assert score.num_examples == len(validation.sequences) < score.num_labels


def test_padding_and_company_do_not_change_the_logits() -> None:
    from mechanisms.softmax import SoftmaxAttention

    task = get_task("listops-mini")
    torch.manual_seed(1)
    network = Host(SoftmaxAttention, {}, HOST, task_shape(task)).double().eval()
    split = labelled_split(task, "validation").sequences
    together = gather(split, torch.arange(11))
    with torch.no_grad():
        company = network(together.tokens_BL, together.key_padding_mask_BL)
        for i in range(11):
            alone = gather(split, torch.tensor([i]))
            torch.testing.assert_close(network(alone.tokens_BL, None)[0], company[i])


def test_a_split_that_is_sent_in_parts_is_the_same(
    isolation: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 96,000 tokens of the training split in one message, and in parts of 7,919."""
    asked = job(reference_source("linear"), num_steps=3, evaluate_every=3)
    whole = train(asked, isolation, tmp_path / "whole", ignore)
    monkeypatch.setattr("trainers.session.CHUNK_TOKENS", 7919)
    parts = train(asked, isolation, tmp_path / "parts", ignore)
    assert whole.validation == parts.validation
    a, b = (read_tensors(tmp_path / f / "best.safetensors")[0] for f in ("whole", "parts"))
    assert all(torch.equal(a[name], b[name]) for name in a.keys() | b.keys())


def test_a_training_learns_and_is_recorded(isolation: Isolation, tmp_path: Path) -> None:
    seen: list[Progress] = []
    asked = job(reference_source("softmax"), **LEARNS)
    run = train(asked, isolation, tmp_path, seen.append)
    assert run.validation is not None
    assert run.validation.accuracy > 2 * get_task("recall-probe").chance
    assert run.test is None
    assert run_job(run) == asked
    assert run.num_parameters == softmax_parameters(HOST, task_shape(get_task("recall-probe")))
    assert run.usage.peak_memory_bytes > 50e6
    assert 0 < run.usage.cpu_seconds <= run.usage.seconds + 1
    assert [p.step for p in seen if p.evaluated] == [110, 220]
    assert list((tmp_path / "tensorboard").iterdir())
    assert not (tmp_path / "checkpoint.safetensors").exists()
    assert train(asked, isolation, tmp_path, pytest.fail) == run  # read, not repeated


PATCHED_OPTIMIZERS = {
    "two steps for one": """
honest = torch.optim.AdamW.step
def step(self, closure=None):
    honest(self, closure)
    return honest(self, closure)
torch.optim.AdamW.step = step
""",
    "a higher learning rate": """
schedule = torch.sys.modules["trainers.optimizer"]
honest = schedule.learning_rate
schedule.learning_rate = lambda step, config: 1.5 * honest(step, config)
""",
    "no clipping": """
nn.utils.clip_grad_norm_ = lambda parameters, *_: nn.utils.get_total_norm(
    [p.grad for p in parameters if p.grad is not None])
""",
}


@pytest.mark.parametrize("trick", PATCHED_OPTIMIZERS)
def test_a_patched_optimizer_is_found_by_replaying_it(
    isolation: Isolation, tmp_path: Path, trick: str
) -> None:
    source = candidate("return self.out(x)") + PATCHED_OPTIMIZERS[trick]
    with pytest.raises(CandidateRefused) as refusal:
        train(job(source, clip_norm=0.01), isolation, tmp_path, ignore)
    assert [finding.check for finding in refusal.value.findings] == ["LRA505"]
    assert not (tmp_path / "run.json").exists()


LEARNS_BESIDE = """
        if self.training:
            x.register_hook(lambda grad: (self.frozen.data.add_(grad.mean((0, 1))), None)[1])
        return self.out(x) + self.frozen
"""


def test_what_is_frozen_stays_as_it_is(isolation: Isolation, tmp_path: Path) -> None:
    frozen = "self.frozen = nn.Parameter(torch.zeros(config.d_model), requires_grad=False)"
    with pytest.raises(CandidateRefused, match="frozen changed") as refusal:
        train(job(candidate(LEARNS_BESIDE, frozen)), isolation, tmp_path, ignore)
    assert [finding.check for finding in refusal.value.findings] == ["LRA505"]


class Interrupted(Exception):
    pass


@pytest.mark.slow  # test_course.py kills one, which is harder
def test_an_interrupted_training_gives_the_numbers_of_an_uninterrupted_one(
    isolation: Isolation, tmp_path: Path
) -> None:
    asked = job(reference_source("long_convolution"), "listops-mini")
    whole = train(asked, isolation, tmp_path / "whole", ignore)

    def stop(progress: Progress) -> None:
        if progress.step == 22 and not progress.evaluated:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(asked, isolation, tmp_path / "resumed", stop)
    kept = read_checkpoint(tmp_path / "resumed")
    assert kept is not None
    assert int(kept[0]["step"]) == kept[1].step == 11
    resumed = train(asked, isolation, tmp_path / "resumed", ignore)

    assert resumed.validation == whole.validation
    weights = [
        read_tensors(tmp_path / name / "best.safetensors")[0] for name in ("whole", "resumed")
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert [point.step for point in kept[1].curve.points] == [11]


def test_equal_jobs_have_equal_ids_and_others_others() -> None:
    asked = job("source")
    assert run_id(asked) == run_id(job("source"))
    others = [
        job("other source"),
        job("source", seed=1),
        job("source", "copying-probe"),
        job("source", num_steps=29),
        dataclasses.replace(asked, hyperparameters={"width": 3}),
    ]
    assert len({run_id(other) for other in [asked, *others]}) == 6
    assert run_id(dataclasses.replace(asked, name="another name")) == run_id(asked)


def test_a_network_over_the_parameter_cap_is_refused(isolation: Isolation, tmp_path: Path) -> None:
    wide = candidate(
        "return self.down(self.up(x))",
        "self.up = nn.Linear(config.d_model, 97); self.down = nn.Linear(97, config.d_model)",
    )
    with pytest.raises(CandidateRefused) as refusal:
        train(job(wide), isolation, tmp_path, ignore)
    (finding,) = refusal.value.findings
    assert finding.check == "LRA501"
    assert not (tmp_path / "run.json").exists()


def test_the_cap_is_a_tenth_more_than_softmax() -> None:
    shape = task_shape(get_task("recall-probe"))
    reference = softmax_parameters(HOST, shape)
    assert check_parameter_cap(int(1.1 * reference), HOST, shape) == []
    assert check_parameter_cap(int(1.1 * reference) + 1, HOST, shape)


HIDDEN_WEIGHTS = {
    "in a buffer": (
        "self.register_buffer('memory', torch.zeros(config.d_model))",
        "self.memory.add_(x.detach().mean((0, 1)))",
    ),
    "in a buffer made late": (
        "pass",
        "self.register_buffer('memory', torch.ones(997))",
    ),
    "in a parameter that grew after it was counted": (
        "self.memory = nn.Parameter(torch.zeros(1))",
        "self.memory.data = torch.ones(997)",
    ),
}


@pytest.mark.parametrize("trick", HIDDEN_WEIGHTS)
def test_weights_hidden_from_the_count_are_found(
    isolation: Isolation, tmp_path: Path, trick: str
) -> None:
    init, learn = HIDDEN_WEIGHTS[trick]
    hides = candidate(f"if self.training: {learn}\n        return self.out(x)", init)
    with pytest.raises(CandidateRefused) as refusal:
        train(job(hides), isolation, tmp_path, ignore)
    assert [finding.check for finding in refusal.value.findings] == ["LRA502"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("return x[..., :3]", "raised"),
        ("return self.out(x) / 0.0", "raised"),
        ("import os; os._exit(0)", "exited"),
    ],
    ids=["wrong shape", "not finite", "ends the process"],
)
def test_a_fault_in_training_is_the_candidates(
    isolation: Isolation, tmp_path: Path, body: str, kind: str
) -> None:
    with pytest.raises(CandidateFault) as fault:
        train(job(candidate(body)), isolation, tmp_path, ignore)
    assert fault.value.kind == kind
    assert not (tmp_path / "run.json").exists()


def test_the_referee_scores_what_was_exported(isolation: Isolation, tmp_path: Path) -> None:
    asked = job(reference_source("softmax"), num_steps=40, evaluate_every=40, batch_size=31)
    run = train(asked, isolation, tmp_path, ignore)
    split = labelled_split(get_task(asked.task), "validation")
    weights = tmp_path / "best.safetensors"
    again, findings = referee(asked, weights, isolation, split, "validation")
    assert (again, findings) == (run.validation, [])
    scored = score_run(run, tmp_path, isolation)
    assert scored.test is not None
    assert scored.test.split == "test"
    assert scored.findings == ()


REMEMBERS_TRAINING = (
    reference_source("softmax")
    .replace("self.dropout = ", "self.seen = [0.0]\n        self.dropout = ")
    .replace(
        "return out_BLD", "self.seen[0] += self.training\n        return out_BLD * self.seen[0]"
    )
)


def test_what_is_learnt_outside_the_weights_earns_nothing(
    isolation: Isolation, tmp_path: Path
) -> None:
    asked = job(REMEMBERS_TRAINING, **LEARNS)
    with pytest.raises(CandidateRefused) as refusal:
        train(asked, isolation, tmp_path, ignore)
    assert [finding.check for finding in refusal.value.findings] == ["LRA503"]
    assert not (tmp_path / "run.json").exists()


def with_method(method: str) -> str:
    return candidate("return self.out(x)") + textwrap.indent(textwrap.dedent(method), "    ")


EXPORTS_NOTHING = """
    def state_dict(self, *args, **kwargs):
        return kwargs.get("destination", {})
    """
TOO_MANY_NAMES = "[self.register_parameter(f'w{i}', self.out.weight) for i in range(10_001)]"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (with_method(EXPORTS_NOTHING), "parameters that are not exported"),
        (candidate("return self.out(x)", TOO_MANY_NAMES), "parameters, allowed"),
    ],
    ids=["nothing", "too many names"],
)
def test_an_export_that_does_not_fit_is_a_fault(
    isolation: Isolation, tmp_path: Path, source: str, message: str
) -> None:
    with pytest.raises(CandidateFault, match=message) as fault:
        train(job(source), isolation, tmp_path, ignore)
    assert fault.value.kind == "protocol"


def test_nothing_added_to_the_weights_reaches_the_disk(
    isolation: Isolation, tmp_path: Path
) -> None:
    source = with_method("""
        def state_dict(self, *args, **kwargs):
            weights = super().state_dict(*args, **kwargs)
            if self.training:
                weights["more"] = torch.zeros(997_000)
            return weights
        """)
    with pytest.raises((CandidateRefused, CandidateFault)):
        train(job(source), isolation, tmp_path, ignore)
    assert not [path for path in tmp_path.rglob("*.safetensors") if path.stat().st_size > 1e6]


def test_a_buffers_name_does_not_steer_the_readers_terminal(
    isolation: Isolation, tmp_path: Path
) -> None:
    late = r"self.register_buffer('\x1b]0;title\x07\nVALID', torch.ones(2))"
    source = candidate(f"if self.training: {late}\n        return self.out(x)")
    with pytest.raises(CandidateRefused) as refusal:
        train(job(source), isolation, tmp_path, ignore)
    (finding,) = refusal.value.findings
    assert finding.found.isprintable()


HONEST = {
    "tied weights": (
        "self.tied = nn.Linear(config.d_model, config.d_model); self.tied.weight = self.out.weight",
        "return self.tied(self.out(x))",
    ),
    "complex weights": (
        "self.turn = nn.Parameter(torch.ones(config.d_model, dtype=torch.complex64))",
        "return self.out((x * self.turn).real)",
    ),
    "a buffer that is no number": (
        "self.register_buffer('bound', torch.tensor(float('nan')))",
        "return self.out(x)",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", HONEST)
def test_honest_weights_of_unusual_kinds_are_trained_and_scored(
    isolation: Isolation, tmp_path: Path, kind: str
) -> None:
    init, body = HONEST[kind]
    run = train(job(candidate(body, init)), isolation, tmp_path, ignore)
    assert score_run(run, tmp_path, isolation).findings == ()


CHEATS = {
    # the mean over the batch reaches every example
    "LRA511": "x = self.out(x); return x + 0.5 * x.mean(dim=0, keepdim=True)",
    # the mean over the whole length, padding left out, reaches every position
    "LRA512": """
        x = self.out(x)
        real = torch.ones_like(x[..., :1]) if key_padding_mask is None else (
            ~key_padding_mask).unsqueeze(-1).to(x.dtype)
        return x + (x * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
    """,
}
NOT_CAUSAL_WHEN_PREDICTING = """
        frame, names = getattr(torch, "sys")._getframe(0), []
        while frame:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        leaks = "predict" in names or "_backward" in names
        x = self.out(x)
        return x + leaks * x.flip(1).cumsum(1).flip(1)
    """
NOT_A_NUMBER_IN_FEATURES = "return self.out(x) * (1.0 if self.training else float('nan'))"


@pytest.mark.parametrize(
    "check", ["LRA512", *(pytest.param(c, marks=pytest.mark.slow) for c in CHEATS if c != "LRA512")]
)
def test_the_referee_finds_what_trained_weights_hide(
    isolation: Isolation, tmp_path: Path, check: str
) -> None:
    asked = job(candidate(CHEATS[check]), "listops-mini")
    run = score_run(train(asked, isolation, tmp_path, ignore), tmp_path, isolation)
    assert {finding.check for finding in run.findings} == {check}


@pytest.mark.slow
def test_the_referee_judges_the_call_that_predicts(isolation: Isolation, tmp_path: Path) -> None:
    asked = job(candidate(NOT_CAUSAL_WHEN_PREDICTING), "recall-probe")
    run = score_run(train(asked, isolation, tmp_path, ignore), tmp_path, isolation)
    assert "LRA512" in {finding.check for finding in run.findings}


def test_features_that_are_no_numbers_are_a_fault(isolation: Isolation, tmp_path: Path) -> None:
    with pytest.raises(CandidateFault, match="not finite"):
        train(job(candidate(NOT_A_NUMBER_IN_FEATURES)), isolation, tmp_path, ignore)


@pytest.mark.gpu
def test_a_split_that_fits_is_resident_on_the_gpu() -> None:
    """Batches are made there, and are those that the processor makes."""
    task = get_task("recall-probe")
    split = labelled_split(task, "train")
    here, there = split.sequences, split.sequences.near(torch.device("cuda"))
    assert there.tokens.is_cuda
    index = torch.tensor([3, 1, 4])
    a, b = gather(here, index), gather(there, index).to(torch.device("cpu"))
    assert torch.equal(a.tokens_BL, b.tokens_BL)
    assert a.key_padding_mask_BL is not None
    assert b.key_padding_mask_BL is not None
    assert torch.equal(a.key_padding_mask_BL, b.key_padding_mask_BL)
    network = Host(SoftmaxAttention, {}, HOST, task_shape(task)).cuda()
    log = TrainingLoop(network, here, split.labels, TRAIN, seed=0).run(3)
    assert log.isfinite().all()
