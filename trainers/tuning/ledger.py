"""What a study's trials count for, and the ledger that is written down of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lra_design.records import Trial, Tuning, TuningProtocol
from trainers.job import Job
from trainers.tuning.reaper import RETRY_OF
from trainers.tuning.sampling import PRUNER, SAMPLER
from trainers.tuning.space import ORIGIN, content_hash, recipe_part, search_space

if TYPE_CHECKING:
    import optuna

FOLDER = "folder"
"""User attribute of a trial: where its training lies, below the study's folder."""
SECONDS = "seconds"
"""User attribute of a trial: the device-seconds that it took so far."""
NOTE = "note"
"""User attribute of a trial: see `lra_design.records.Trial`."""


def charged(trials: Sequence[optuna.trial.FrozenTrial]) -> list[optuna.trial.FrozenTrial]:
    """The trials that count against the number and the seconds that a study has.

    Not those that wait, and not those whose values another trial took over.
    """
    from optuna.trial import TrialState

    taken_over = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    return [
        trial
        for trial in trials
        if trial.state != TrialState.WAITING and trial.number not in taken_over
    ]


def seconds_spent(trials: Sequence[optuna.trial.FrozenTrial]) -> float:
    """Device-seconds that the charged ones of `trials` took so far."""
    return sum(float(trial.user_attrs.get(SECONDS, 0.0)) for trial in charged(trials))


def protocol(job: Job, num_trials: int, max_seconds: float | None) -> TuningProtocol:
    """What a study of `job` has in common with every other that it is compared with.

    But for the device of its seconds, which is known when one has worked on it.
    """
    return TuningProtocol(
        sampler=SAMPLER,
        pruner=PRUNER,
        recipe_hash=content_hash([dataclasses.asdict(job.train), recipe_part(job)]),
        num_trials=num_trials,
        max_seconds=max_seconds,
    )


def ledger(study: optuna.Study, job: Job, asked: TuningProtocol) -> Tuning:
    """The ledger of a study whose trials have all ended; those that never began are left out."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    counted = {trial.number for trial in charged(trials)}
    return Tuning(
        study=study.study_name,
        protocol=asked,
        space_hash=content_hash(search_space(job)),
        trials=tuple(
            _row(trial, is_charged=trial.number in counted)
            for trial in trials
            if trial.state != TrialState.WAITING
        ),
    )


def _row(trial: optuna.trial.FrozenTrial, *, is_charged: bool) -> Trial:
    from optuna.trial import TrialState

    outcome = {TrialState.COMPLETE: "completed", TrialState.PRUNED: "pruned"}.get(
        trial.state, "failed" if is_charged else "requeued"
    )
    attributes = trial.user_attrs
    return Trial(
        number=trial.number,
        origin=attributes.get(ORIGIN, "sampler"),
        outcome=outcome,  # type: ignore[arg-type]
        accuracy=trial.value if outcome == "completed" else None,
        seconds=float(attributes.get(SECONDS, 0.0)) if is_charged else 0.0,
        values=trial.params,
        run=attributes.get(FOLDER),
        retry_of=attributes.get(RETRY_OF),
        note=attributes.get(NOTE, ""),
    )
