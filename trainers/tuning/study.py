"""The trials of a study: asked for and told by the judge, each trained in a worker of its own.

Everybody gets the same: the same space for the recipe, the same number of trials, the same steps a
trial, the same device-seconds, the same sampler and pruner. Trials are told apart on the validation
split alone. A study is resumed by its name, which its job determines: one that was interrupted goes
on where it stopped, several processes may work on it, and a trial whose process died is run again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_sandbox.isolation.protocol import Isolation
from lra_design.errors import CandidateFault, CandidateRefused
from lra_design.records import Run
from trainers.device import seconds_of
from trainers.job import Job, run_id
from trainers.training import OnProgress, Progress, train
from trainers.tuning import ledger
from trainers.tuning.opened import OpenStudy
from trainers.tuning.reaper import DEATHS, HEARD, OWNER, reap, requeue, this_process
from trainers.tuning.sampling import make_sampler, quasi_random_values
from trainers.tuning.space import ORIGIN, default_values, search_space, trial_job
from trainers.tuning.storage import alone, storage_faults

if TYPE_CHECKING:
    import optuna

HEARD_EVERY_SECONDS = 60.0
"""How often a trial's owner writes that it lives."""
START = "start"
"""User attribute of a trial whose values no sampler had to choose: its place among those."""


def tune(
    job: Job,
    isolation: Isolation,
    folder: Path,
    *,
    num_trials: int,
    watch: Callable[[int], OnProgress],
    max_seconds: float | None = None,
    storage: str | None = None,
) -> Run:
    """Run trials of `job` one after the other; the best one's run, with the ledger of the study.

    See `Search`, which takes the same.
    """
    search = Search(
        job,
        isolation,
        folder,
        num_trials=num_trials,
        watch=watch,
        max_seconds=max_seconds,
        storage=storage,
    )
    search.work()
    return search.best()


class Search(OpenStudy):
    """The study of one job: as many threads as one likes call `work`, then one asks for `best`."""

    def __init__(
        self,
        job: Job,
        isolation: Isolation,
        folder: Path,
        *,
        num_trials: int,
        watch: Callable[[int], OnProgress],
        max_seconds: float | None = None,
        storage: str | None = None,
        ticket: str | None = None,
    ) -> None:
        """See `OpenStudy`, which takes the same.

        watch: given a trial's number, what its training calls as it goes. ticket: of the submission
        that this process works for, where an executor runs it.
        """
        super().__init__(
            job,
            folder,
            num_trials=num_trials,
            max_seconds=max_seconds,
            storage=storage,
            device=seconds_of(isolation.card),
        )
        self._isolation = isolation
        self._watch = watch
        self._ticket = ticket
        self._starts = _starts(job)

    def work(self, check: Callable[[], None] = lambda: None) -> None:
        """Run trials until there is none to begin; `check` is called often and may raise.

        When it does, or when we are at fault, the trial is asked for again. One that somebody who
        took us for dead has asked for again already is left to whoever has it now.
        """
        from optuna.exceptions import UpdateFinishedTrialError

        with storage_faults():
            while (trial := self._claim()) is not None:
                with suppress(UpdateFinishedTrialError):
                    self._run(trial, check)
                check()

    def _claim(self) -> optuna.Trial | None:
        """The next trial, its values chosen; None when none may begin."""
        with alone(self._folder):
            reap(self._study)
            trials = self._study.get_trials(deepcopy=False)
            if self.is_over():
                return None
            self._lay_out(trials)
            # Seeded by what is there, so that a resumed study does not draw the same again.
            self._study.sampler = make_sampler(self._job.seed + 1_000 * len(trials))
            trial = self._study.ask()
            trial.set_user_attr(OWNER, this_process(self._ticket))
            trial_job(trial, self._job)
            return trial

    def _lay_out(self, trials: list[optuna.trial.FrozenTrial]) -> None:
        """Have the next start asked for, unless there are none left or some trial waits already."""
        from optuna.trial import TrialState

        there = {trial.user_attrs.get(START) for trial in trials}
        left = [place for place in range(len(self._starts)) if place not in there]
        if left and all(trial.state != TrialState.WAITING for trial in trials):
            origin, values = self._starts[left[0]]
            self._study.enqueue_trial(values, user_attrs={ORIGIN: origin, START: left[0]})

    def _release(self, trial: optuna.Trial) -> None:
        """Let somebody else run the trial's values: an interruption is nobody's death."""
        frozen = self._study.get_trials(deepcopy=False)[trial.number]
        requeue(self._study, frozen, frozen.user_attrs.get(DEATHS, 0))

    def _run(self, trial: optuna.Trial, check: Callable[[], None]) -> None:
        """Train a trial and tell its outcome."""
        import optuna
        from optuna.trial import TrialState

        job = trial_job(trial, self._job)
        place = f"trials/{run_id(job)[:16]}"
        trial.set_user_attr(ledger.FOLDER, place)
        reporter = _Reporter(trial, self._watch(trial.number), check, self._is_over)
        try:
            run = train(job, self._isolation, self._folder / place, reporter)
        except optuna.TrialPruned:
            self._study.tell(trial, state=TrialState.PRUNED)
        except (CandidateFault, CandidateRefused) as fault:
            trial.set_user_attr(ledger.SECONDS, reporter.seconds)
            trial.set_user_attr(ledger.NOTE, str(fault)[:1_000])
            self._study.tell(trial, state=TrialState.FAIL)
        except BaseException:
            self._release(trial)
            raise
        else:
            assert run.validation is not None, "a run that has ended has a validation score"
            trial.set_user_attr(ledger.SECONDS, run.usage.seconds)
            self._study.tell(trial, run.validation.accuracy)

    def _is_over(self, trial: optuna.Trial) -> bool:
        """Whether the seconds are spent and another trial is the one that may still end."""
        from optuna.trial import TrialState

        if not self._is_spent():
            return False
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return trial.number != min(other.number for other in running)


class _Reporter:
    """What the training of a trial calls as it goes; ends one that is pruned."""

    def __init__(
        self,
        trial: optuna.Trial,
        show: OnProgress,
        check: Callable[[], None],
        is_over: Callable[[optuna.Trial], bool],
    ) -> None:
        self._trial = trial
        self._show = show
        self._check = check
        self._is_over = is_over
        self._last_heard = time.monotonic()
        self.seconds = 0.0
        """Device-seconds that the training took so far."""

    def __call__(self, progress: Progress) -> None:
        self.seconds = progress.seconds
        self._check()
        self._show(progress)
        if progress.evaluated and progress.accuracy is not None:
            self._trial.set_user_attr(ledger.SECONDS, progress.seconds)
            self._trial.report(progress.accuracy, progress.step)
            if progress.step < progress.num_steps:
                self._prune()
        if time.monotonic() - self._last_heard > HEARD_EVERY_SECONDS:
            self._last_heard = time.monotonic()
            self._trial.set_user_attr(HEARD, time.time())

    def _prune(self) -> None:
        """Raise TrialPruned when the trial is to end here; the defaults are never pruned."""
        import optuna

        is_behind = self._trial.should_prune()  # asked of the defaults too: others race them
        if is_behind and self._trial.user_attrs.get(ORIGIN) != "default":
            raise optuna.TrialPruned
        if self._is_over(self._trial):
            self._trial.set_user_attr(ledger.NOTE, "the device-seconds of the study were spent")
            raise optuna.TrialPruned


def _starts(job: Job) -> list[tuple[str, dict[str, Any]]]:
    """The origin and the values of the trials that no sampler has to choose, in their order."""
    points = quasi_random_values(search_space(job), job.seed)
    return [("default", default_values(job)), *(("quasi-random", values) for values in points)]
