"""A training killed anywhere ends as one that was not; one that diverges ends in order."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from test_training import Interrupted, candidate, ignore, job

from agent_sandbox.isolation import Isolation
from lra_design.records import Point, Run, from_json, to_json
from mechanisms import reference_source
from tasks.registry import get_task
from trainers import course
from trainers.accuracy import chance_bound, labelled_split
from trainers.batches import TrainingOrder
from trainers.checkpoint import read_checkpoint
from trainers.course import Progress
from trainers.curve import Curve
from trainers.divergence import end_of, spiked
from trainers.micro_batches import CALL_TOKENS, micro_batches
from trainers.referee import score_run
from trainers.tensor_files import read_tensors
from trainers.training import train


def resumed(
    isolation: Isolation,
    folder: Path,
    kills: list[int],
    *,
    beside: bool,
    **changes: object,
) -> tuple[Run, dict[int, float | None]]:
    """A training that is stopped at each of these steps, and the accuracy of each evaluation."""
    asked = job(reference_source("long_convolution"), **changes)
    accuracies: dict[int, float | None] = {}

    def watch(progress: Progress, kill: int = 99) -> None:
        if progress.evaluated:
            accuracies[progress.step] = progress.accuracy
        if progress.step >= kill:
            raise Interrupted

    for kill in kills:
        with pytest.raises(Interrupted):
            train(asked, isolation, folder, partial(watch, kill=kill), beside=beside)
    return train(asked, isolation, folder, watch, beside=beside), accuracies


def check_kills(
    isolation: Isolation,
    folder: Path,
    kills: list[int],
    monkeypatch: pytest.MonkeyPatch,
    *,
    beside: bool = False,
) -> None:
    monkeypatch.setattr(course, "STEPS_PER_CALL", 4)
    changes = {"num_steps": 19, "evaluate_every": 9}
    whole = resumed(isolation, folder / "whole", [], beside=False, **changes)
    monkeypatch.setattr(course, "STEPS_PER_CALL", 1)
    monkeypatch.setattr(course, "CHECKPOINT_SECONDS", 0.0)
    parts = resumed(isolation, folder / "parts", kills, beside=beside, **changes)
    assert parts[0].validation == whole[0].validation
    assert parts[1] == whole[1]
    assert list(whole[1]) == [9, 18, 19]
    a, b = (read_tensors(folder / f / "best.safetensors")[0] for f in ("whole", "parts"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_training_killed_at_some_step_ends_as_one_that_was_not(
    isolation: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_kills(isolation, tmp_path, [14], monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_training_killed_at_any_steps_ends_as_one_that_was_not(
    isolation: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    kills = sorted(random.Random(seed).sample(range(1, 20), 4))
    check_kills(isolation, tmp_path, kills, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [[14], [3, 9, 10, 18, 19]])
def test_evaluated_beside_it_is_the_same_training(
    isolation: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: list[int]
) -> None:
    """Killed while a score is pending, too; the whole one is evaluated in place."""
    check_kills(isolation, tmp_path, kills, monkeypatch, beside=True)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from functools import partial
from pathlib import Path
from test_training import job
from agent_sandbox.isolation import open_isolation
from mechanisms import reference_source
from trainers import course
from trainers.training import train
course.CHECKPOINT_SECONDS = 0.0
def kill(progress):
    if progress.step == 10:
        os.kill(os.getpid(), signal.SIGKILL)
with open_isolation() as isolation:
    train(job(reference_source("long_convolution")), isolation, Path(sys.argv[1]), kill)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_loses_nothing_it_kept(
    isolation: Isolation, tmp_path: Path
) -> None:
    tests = str(Path(__file__).parent)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), tests]
    ended = subprocess.run(command, env=os.environ, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    kept = read_checkpoint(tmp_path / "killed")
    assert kept is not None
    assert (kept[1].step, kept[1].curve) == (10, Curve())
    asked = job(reference_source("long_convolution"))
    train(asked, isolation, tmp_path / "killed", ignore)
    train(asked, isolation, tmp_path / "whole", ignore)
    a, b = (read_tensors(tmp_path / f / "best.safetensors")[0] for f in ("whole", "killed"))
    assert all(torch.equal(a[name], b[name]) for name in a)


EXPLODES = """
        self.__dict__["calls"] = self.__dict__.get("calls", 0) + self.training
        return self.out(x) * (float("inf") if self.calls > {calls} else 1.0)
"""


@pytest.mark.parametrize(("calls", "points"), [(3, 0), pytest.param(15, 1, marks=pytest.mark.slow)])
def test_a_training_that_is_no_longer_finite_ends_with_what_it_had(
    isolation: Isolation,
    tmp_path: Path,
    calls: int,
    points: int,
) -> None:
    source = candidate(EXPLODES.format(calls=calls))
    seen: list[Progress] = []
    run = train(job(source), isolation, tmp_path, seen.append)
    assert run.divergence == "not finite"
    assert run.validation is not None
    assert sum(progress.evaluated for progress in seen) == points
    assert from_json(Run, to_json(run)) == run
    assert score_run(run, tmp_path, isolation).divergence == "not finite"
    assert not (tmp_path / "checkpoint.safetensors").exists()
    assert train(job(source), isolation, tmp_path, ignore) == run


def curve(*points: tuple[float, float]) -> Curve:
    """Of (loss, accuracy) at each evaluation."""
    return Curve(
        points=tuple(
            Point(
                step=10 * (i + 1),
                loss=loss,
                gradient_norm=1.0,
                learning_rate=0.1,
                accuracy=accuracy,
                seconds=1.0,
            )
            for i, (loss, accuracy) in enumerate(points)
        )
    )


BOUND = chance_bound(0.1, 1000)


def test_a_loss_that_comes_back_is_no_spike() -> None:
    """Of ten classes a uniform guess has the loss 2.30, and the level is 3.45."""
    learns, high = (2.0, 0.3), (9.0, 0.1)
    assert spiked(curve(learns, high), 10, BOUND)
    assert not spiked(curve(learns, high, learns), 10, BOUND)
    assert not spiked(curve(learns, (9.0, 0.3)), 10, BOUND)
    assert not spiked(curve((2.4, 0.1), (2.5, 0.1)), 10, BOUND)
    assert not spiked(curve(high, high), 10, BOUND)  # it never came down: a bad start
    assert not spiked(Curve(), 10, BOUND)


def test_a_training_without_one_evaluation_above_chance_is_stuck() -> None:
    assert end_of(curve((2.3, 0.1), (2.3, BOUND)), BOUND) == "stuck at chance"
    assert end_of(curve((2.3, 0.1), (2.0, 0.3), (2.3, 0.1)), BOUND) is None


@pytest.mark.slow
@pytest.mark.parametrize(("beside", "points"), [(False, [4]), (True, [4, 8])])
def test_a_training_whose_loss_spikes_ends_there(
    isolation: Isolation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    beside: bool,
    points: list[int],
) -> None:
    """Or an evaluation later, where it is evaluated beside the training."""
    monkeypatch.setattr(course, "spiked", lambda curve, *_: curve.step >= 4)
    seen: list[Progress] = []
    asked = job(reference_source("linear"), evaluate_every=4, num_steps=12)
    run = train(asked, isolation, tmp_path, seen.append, beside=beside)
    assert run.divergence == "loss spike"
    assert [progress.step for progress in seen if progress.evaluated] == points


def test_tensorboard_is_written_as_the_training_goes(isolation: Isolation, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    asked = job(reference_source("linear"))

    def stop(progress: Progress) -> None:
        if progress.step == 22:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(asked, isolation, tmp_path, stop)
    train(asked, isolation, tmp_path, ignore)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    steps = {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    for tag in ("loss/train", "gradient_norm/train", "learning_rate", "speed/tokens_per_second"):
        assert steps[tag] == [10, 11, 21, 22, 23], tag
    assert steps["accuracy/validation"] == steps["memory/peak_bytes"] == [11, 22, 23]
    assert steps["activations/layer0_mean"] == steps["activations/layer1_largest"] == [11, 22, 23]
    assert {"final/accuracy_validation", "final/seconds"} <= steps.keys()
    plugin = events.SummaryMetadata("_hparams_/session_start_info").plugin_data
    assert b"train.learning_rate" in plugin.content
    assert json.loads((tmp_path / "run.json").read_text())["divergence"] == "stuck at chance"


@pytest.mark.slow
def test_a_training_in_parts_is_replayed(isolation: Isolation, tmp_path: Path) -> None:
    """`train` replays some of its stretches, and refuses what arrives elsewhere."""
    changes = {"order": "random", "batch_size": 211, "num_steps": 12, "evaluate_every": 6}
    asked = job(reference_source("linear"), "listops-mini", **changes)
    lengths = labelled_split(get_task(asked.task), "train").sequences.longest
    batch = TrainingOrder(lengths, 211, asked.seed, "random").index(0)
    assert len(micro_batches(lengths[batch], CALL_TOKENS["cpu"])) > 1
    assert train(asked, isolation, tmp_path, ignore).validation is not None
