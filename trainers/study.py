"""Tuning: an Optuna study over the recipe and the mechanism's own search space.

Everybody gets the same: the same space for the recipe, the same number of trials, the same steps a
trial, the same pruner. Trials are told apart on the validation split alone. The study lives in a
journal file; a study that was interrupted goes on where it stopped, and a trial that was running
then is run again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_sandbox.candidate import read_search_space
from agent_sandbox.isolation.protocol import Isolation
from lra_design.errors import CandidateFault, DataError
from lra_design.records import Run, Scalar, TrainConfig
from trainers.job import Job, run_id
from trainers.training import Progress, TrainingRefused, train

if TYPE_CHECKING:
    import optuna

RECIPE_SPACE: dict[str, dict[str, Any]] = {
    "learning_rate": {"type": "float", "low": 3e-4, "high": 1e-2, "log": True},
    "weight_decay": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
}
"""What is tuned of the recipe, the same for candidates and references."""
RECIPE_PREFIX = "recipe."


def suggest(trial: optuna.Trial, name: str, entry: dict[str, Any]) -> Scalar:
    """A value for one entry of a search space, in the form `Mechanism.search_space` documents."""
    value: Scalar
    if entry["type"] == "categorical":
        value = trial.suggest_categorical(name, entry["choices"])
    elif entry["type"] == "int":
        value = trial.suggest_int(name, entry["low"], entry["high"], log=entry.get("log", False))
    else:
        value = trial.suggest_float(name, entry["low"], entry["high"], log=entry.get("log", False))
    return value


def trial_job(trial: optuna.Trial, job: Job) -> Job:
    """`job` with the trial's hyperparameters in the recipe and in the mechanism."""
    recipe = {name: suggest(trial, RECIPE_PREFIX + name, e) for name, e in RECIPE_SPACE.items()}
    space = read_search_space(job.source)
    return dataclasses.replace(
        job,
        setting="tuned",
        train=dataclasses.replace(job.train, **recipe),
        hyperparameters={name: suggest(trial, name, entry) for name, entry in space.items()},
    )


def tune(
    job: Job,
    isolation: Isolation,
    folder: Path,
    *,
    num_trials: int,
    on_progress: Callable[[int, Progress], None],
) -> Run:
    """Run trials of `job` until `num_trials` have ended, and return the best one's run.

    The first trial is the untuned recipe with the mechanism's defaults as far as they lie in the
    space. on_progress: called with the trial's number and its progress. Raises CandidateFault when
    no trial gave a score.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _open_study(folder, job)
    _requeue_interrupted(study)
    while sum(trial.state.is_finished() for trial in study.trials) < num_trials:
        _run_trial(study, study.ask(), job, isolation, folder, on_progress)
    best = _best_trial(study)
    if best is None:
        raise CandidateFault("raised", f"none of {num_trials} trials gave a score")
    return _read_trial(best, folder)
