"""A study in its storage: what whoever works on it and whoever watches it have in common."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from agent_sandbox.validator.text_findings import text_findings
from lra_design.errors import CandidateFault, CandidateRefused, UsageError
from lra_design.records import Run
from trainers.job import Job, run_id
from trainers.training import read_run
from trainers.tuning import ledger
from trainers.tuning.reaper import OWNER, bury
from trainers.tuning.sampling import make_pruner
from trainers.tuning.space import content_hash, search_space
from trainers.tuning.storage import alone, open_storage, storage_faults

if TYPE_CHECKING:
    import optuna

ASKED = "asked"
"""User attribute of a study: the most trials and device-seconds that were asked of it."""

DEVICE = "device"
"""User attribute of a study: name of what its device-seconds are those of."""


class OpenStudy:
    """The study of one job, for who watches it; `trainers.tuning.study.Search` works on it too."""

    def __init__(
        self,
        job: Job,
        folder: Path,
        *,
        num_trials: int,
        max_seconds: float | None = None,
        storage: str | None = None,
        device: str | None = None,
    ) -> None:
        """folder: of the trainings, and of the study itself unless `storage` is an Optuna URL.

        num_trials, max_seconds: no trial begins once so many have begun, or so many device-seconds
        are spent. device: name of what they are spent on, by who spends them. Raises
        CandidateRefused when the text breaks a rule, UsageError when the study was asked for more
        before, or counts seconds of another device. Trials of other jobs are left alone.
        """
        if findings := text_findings(job.source.encode()):
            raise CandidateRefused(findings)  # its search space must not be handed to a sampler
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every new study
        self._job = job
        self._folder = folder
        self._protocol = ledger.protocol(job, num_trials, max_seconds)
        opened = open_storage(folder, storage)
        with alone(folder):
            self._study = _open_study(job, opened)
            _refuse_smaller(self._study, num_trials, max_seconds)
            if device is not None and max_seconds is not None:
                _refuse_other_device(self._study, device)

    @property
    def name(self) -> str:
        """The study's name in its storage."""
        return str(self._study.study_name)

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """All trials as they stand, those that wait and those that were taken over among them."""
        with storage_faults():
            return self._study.get_trials(deepcopy=False)

    def is_over(self) -> bool:
        """Whether no trial may begin: all of them have, or the seconds are spent."""
        return len(ledger.charged(self.trials())) >= self._protocol.num_trials or self._is_spent()

    def is_complete(self) -> bool:
        """Whether no trial may begin and none runs: workers have nothing left to do."""
        from optuna.trial import TrialState

        return self.is_over() and all(t.state != TrialState.RUNNING for t in self.trials())

    def bury(self, ticket: str, *, is_death: bool) -> None:
        """Have the running trials of a submission that is gone tried again, without waiting.

        is_death: it died, possibly of the values; else it was ended by others.
        """
        with storage_faults(), alone(self._folder):
            bury(self._study, ticket, is_death=is_death)

    def best(self) -> Run:
        """The best trial's run, with the ledger of the study.

        Raises CandidateFault when no trial gave a score, UsageError while another process is still
        busy with one.
        """
        self._refuse_running()
        counted = self._protocol.max_seconds is not None
        device = self._study.user_attrs.get(DEVICE) if counted else None
        protocol = dataclasses.replace(self._protocol, device=device)
        written = ledger.ledger(self._study, self._job, protocol)
        if written.best is None or written.best.run is None:
            raise CandidateFault("raised", f"none of {len(written.trials)} trials gave a score")
        return dataclasses.replace(read_run(self._folder / written.best.run), tuning=written)

    def _is_spent(self) -> bool:
        limit = self._protocol.max_seconds
        return limit is not None and ledger.seconds_spent(self.trials()) >= limit

    def _refuse_running(self) -> None:
        from optuna.trial import TrialState

        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if running:
            owners = {
                f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
                for owner in (trial.user_attrs.get(OWNER, {}) for trial in running)
            }
            raise UsageError(
                f"study {self.name} is still busy elsewhere, with {len(running)} of its trials: "
                f"{', '.join(sorted(owners))}; expected every trial to have "
                "ended. Run the same command again when they have."
            )


def _open_study(job: Job, storage: optuna.storages.BaseStorage) -> optuna.Study:
    """The study of `job`, made when it is not there yet."""
    import optuna

    return optuna.create_study(
        storage=storage,
        study_name=study_name(job),
        direction="maximize",
        load_if_exists=True,
        pruner=make_pruner(job.train.num_steps),
    )


def _refuse_smaller(study: optuna.Study, num_trials: int, max_seconds: float | None) -> None:
    """Keep what was asked of the study, and raise UsageError when it was asked for more before.

    Else the winner of many trials could pass for that of a few.
    """
    trials_before, seconds_before = study.user_attrs.get(ASKED, (0, 0.0))
    fewer_seconds = max_seconds is not None and (
        seconds_before is None or max_seconds < seconds_before
    )
    if num_trials < trials_before or fewer_seconds:
        raise UsageError(
            f"study {study.study_name} was asked for {_budget(trials_before, seconds_before)} "
            f"before: expected no less, found {_budget(num_trials, max_seconds)}. Ask for at least "
            "as much, or begin another study in another folder or storage."
        )
    study.set_user_attr(ASKED, (num_trials, max_seconds))


def _refuse_other_device(study: optuna.Study, device: str) -> None:
    """Keep what the study's device-seconds are those of, and raise UsageError when it is another.

    Where they are not bounded any device may take part.
    """
    before = study.user_attrs.get(DEVICE)
    if before not in (None, device):
        raise UsageError(
            f"study {study.study_name} counts seconds of {before}: expected to go on there, found "
            f"{device}. Go on there, ask without --seconds, or begin another study in another "
            "folder or storage."
        )
    study.set_user_attr(DEVICE, device)


def _budget(num_trials: int, max_seconds: float | None) -> str:
    bound = "no bound on" if max_seconds is None else f"{max_seconds:g}"
    return f"{num_trials} trials and {bound} device-seconds"


def study_name(job: Job) -> str:
    """The name of the study of `job`: another space or another job is another study."""
    asked = f"{run_id(job)[:8]}{content_hash(search_space(job))[:8]}"
    return f"{job.name[:40]}-{job.task}-{asked}"
