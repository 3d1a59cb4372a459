"""Tuning: one space for everybody, pruning, and studies that survive an interruption."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import optuna
import pytest
from tiny_tasks import TINY_JOB

from agent_sandbox.isolation import Isolation
from lra_design.errors import CandidateFault, CandidateRefused
from trainers.recipes import recipe_space
from trainers.training import OnProgress, Progress
from trainers.tuning.space import trial_job
from trainers.tuning.study import tune

JOB = dataclasses.replace(TINY_JOB, seed=0)


def ignore(number: int) -> OnProgress:
    return lambda progress: None


def trials_of(folder: Path) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(folder / "study.log"))
    )
    (summary,) = optuna.get_all_study_summaries(storage)
    return optuna.load_study(study_name=summary.study_name, storage=storage).trials


def test_a_trial_tunes_the_recipe_and_the_mechanism() -> None:
    values = {"recipe.learning_rate": 1e-3, "recipe.weight_decay": 1e-2, "window": 7}
    asked = trial_job(optuna.trial.FixedTrial(values), JOB)
    assert asked.setting == "tuned"
    assert asked.hyperparameters == {"window": 7}
    assert (asked.train.learning_rate, asked.train.weight_decay) == (1e-3, 1e-2)
    unchanged = dataclasses.replace(JOB.train, learning_rate=1e-3, weight_decay=1e-2)
    assert asked.train == unchanged


def test_a_study_returns_its_best_trial_and_is_not_repeated(
    isolation: Isolation, tmp_path: Path
) -> None:
    best = tune(JOB, isolation, tmp_path, num_trials=3, watch=ignore)
    trials = trials_of(tmp_path)
    assert len(trials) == 3
    assert best.validation is not None
    assert best.validation.accuracy == max(t.value for t in trials if t.value is not None)
    for name, entry in recipe_space(JOB.task, JOB.scale).items():
        assert entry["low"] <= getattr(best.train, name) <= entry["high"]
    assert len({trial.params["recipe.learning_rate"] for trial in trials}) == 3
    assert trials[0].params["recipe.learning_rate"] == JOB.train.learning_rate
    assert best.tuning is not None
    assert [trial.origin for trial in best.tuning.trials] == ["default"] + 2 * ["quasi-random"]
    assert best.tuning.tuned_accuracy == best.validation.accuracy

    assert tune(JOB, isolation, tmp_path, num_trials=3, watch=pytest.fail) == best
    tune(JOB, isolation, tmp_path, num_trials=4, watch=ignore)
    assert len(trials_of(tmp_path)) == 4


class Interrupted(Exception):
    pass


@pytest.mark.slow
def test_an_interrupted_trial_is_run_again_with_the_same_values(
    isolation: Isolation, tmp_path: Path
) -> None:
    def stop(number: int) -> OnProgress:
        def on_progress(progress: Progress) -> None:
            if number == 1 and progress.step == 4:
                raise Interrupted

        return on_progress

    with pytest.raises(Interrupted):
        tune(JOB, isolation, tmp_path, num_trials=3, watch=stop)
    assert [trial.state.name for trial in trials_of(tmp_path)] == [
        "COMPLETE",
        "FAIL",
        "WAITING",
    ]

    tune(JOB, isolation, tmp_path, num_trials=3, watch=ignore)
    trials = trials_of(tmp_path)
    assert trials[2].params == trials[1].params
    assert trials[2].user_attrs["folder"] == trials[1].user_attrs["folder"]
    completed = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert len(completed) == 3


def test_a_candidate_that_never_trains_has_no_best_trial(
    isolation: Isolation, tmp_path: Path
) -> None:
    fails = "        raise RuntimeError\n"
    start = "    def __init__(self, config: MechanismConfig, window: int = 16) -> None:\n"
    assert start in JOB.source
    broken = dataclasses.replace(JOB, source=JOB.source.replace(start, start + fails))
    with pytest.raises(CandidateFault, match="none of 2 trials"):
        tune(broken, isolation, tmp_path, num_trials=2, watch=ignore)
    assert [trial.state.name for trial in trials_of(tmp_path)] == ["FAIL", "FAIL"]
    assert "RuntimeError" in trials_of(tmp_path)[0].user_attrs["note"]


@pytest.mark.parametrize(
    "entry",
    [
        '{"type": "int", "low": 64, "high": 4}',
        '{"type": "float", "low": 0.0, "high": 1.0, "log": True}',
        '{"type": "categorical", "choices": []}',
    ],
)
def test_a_search_space_that_no_sampler_takes_is_refused(
    isolation: Isolation, tmp_path: Path, entry: str
) -> None:
    good = '{"type": "int", "low": 4, "high": 64, "log": True}'
    assert good in JOB.source
    wrong = dataclasses.replace(JOB, source=JOB.source.replace(good, entry))
    with pytest.raises(CandidateRefused, match="LRA105"):
        tune(wrong, isolation, tmp_path, num_trials=2, watch=ignore)
    assert not (tmp_path / "study.log").exists()
