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
from agent_sandbox.validator.text_findings import text_findings
from lra_design.errors import CandidateFault, CandidateRefused, DataError
from lra_design.records import Run, Scalar
from trainers.job import Job, run_id
from trainers.recipes import recipe_space
from trainers.training import OnProgress, Progress, read_run, train

if TYPE_CHECKING:
    import optuna

RECIPE_PREFIX = "recipe."
FAULT = "fault"
"""User attribute of a trial that ended by the candidate's fault."""


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
    recipe: dict[str, Any] = {
        name: suggest(trial, RECIPE_PREFIX + name, entry)
        for name, entry in recipe_space(job.task, job.scale).items()
    }
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
    watch: Callable[[int], OnProgress],
) -> Run:
    """Run trials of `job` until `num_trials` have ended, and return the best one's run.

    watch: given a trial's number, what its training calls as it goes. Raises CandidateFault when
    no trial gave a score, CandidateRefused when the text breaks a rule. Trials of other jobs in
    the same folder are left alone.
    """
    if findings := text_findings(job.source.encode()):
        raise CandidateRefused(findings)  # its search space must not be handed to a sampler
    study = _open_study(folder, job)
    _requeue_interrupted(study)
    while _num_ended(study) < num_trials:
        _run_trial(study, job, isolation, folder, watch)
    best = max(_completed(study), key=lambda trial: trial.value or 0.0, default=None)
    if best is None:
        raise CandidateFault("raised", f"none of {num_trials} trials gave a score")
    return read_run(folder / best.user_attrs["folder"])


def _open_study(folder: Path, job: Job) -> optuna.Study:
    """The study of `job` in the journal of `folder`, made when it is not there yet."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(folder / "study.log")))
    except OSError as error:
        raise DataError(
            f"cannot keep a study in {folder}: {error.strerror}. Choose a folder you may write to."
        ) from None
    name = run_id(job)[:16]
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )
    # Reseeded by what is there, so that a resumed study does not draw its first values again.
    study.sampler = optuna.samplers.TPESampler(seed=job.seed + 1_000 * len(study.trials))
    return study


def _requeue_interrupted(study: optuna.Study) -> None:
    """Fail trials that a killed process left running, and ask for the same values again."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)


def _num_ended(study: optuna.Study) -> int:
    """Trials that came to their own end; one that failed without a fault was interrupted."""
    from optuna.trial import TrialState

    return sum(
        trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or FAULT in trial.user_attrs
        for trial in study.get_trials(deepcopy=False)
    )


def _run_trial(
    study: optuna.Study,
    job: Job,
    isolation: Isolation,
    folder: Path,
    watch: Callable[[int], OnProgress],
) -> None:
    import optuna
    from optuna.trial import TrialState

    trial = study.ask()
    show = watch(trial.number)

    def on_progress(progress: Progress) -> None:
        show(progress)
        if progress.evaluated and progress.accuracy is not None:
            trial.report(progress.accuracy, progress.step)
            if trial.should_prune():
                raise optuna.TrialPruned

    asked = trial_job(trial, job)
    name = f"trials/{run_id(asked)[:16]}"
    trial.set_user_attr("folder", name)
    try:
        run = train(asked, isolation, folder / name, on_progress)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except (CandidateFault, CandidateRefused) as fault:
        trial.set_user_attr(FAULT, str(fault))
        study.tell(trial, state=TrialState.FAIL)
    else:
        assert run.validation is not None, "a run that has ended has a validation score"
        study.tell(trial, run.validation.accuracy)


def _completed(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE,))
