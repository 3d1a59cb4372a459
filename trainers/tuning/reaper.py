"""Trials whose process died: each is failed, and its values are tried once more.

Every running trial names its owner. An owner on this machine is dead when no process has its id, or
another one that began later. Of an owner elsewhere nothing is known but when it was last heard of:
it is left alone until that is SILENCE_SECONDS ago, unless an executor ran it and knows that it is
gone. Machines that share a storage need host names of their own.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.tuning.space import ORIGIN

if TYPE_CHECKING:
    import optuna

OWNER = "owner"
"""User attribute of a trial: the process that runs it."""
HEARD = "heard"
"""User attribute of a trial: when its owner last wrote, in seconds since 1970."""
RETRY_OF = "retry_of"
"""User attribute of a trial: the number of the one whose values it tries again."""
DEATHS = "deaths"
"""User attribute of a trial: how many owners its values have outlived."""
MAX_DEATHS = 1
"""With more, the values are taken to be what kills."""
SILENCE_SECONDS = 3600.0
"""No owner that lives is silent for so long: a worker has two minutes for an answer."""
UNOWNED_SECONDS = 60.0
"""For a trial without an owner: it gets one at once, or was left in that very moment."""


def this_process(ticket: str | None = None) -> dict[str, Any]:
    """The owner that this process is: enough to tell whether it still lives, from anywhere.

    ticket: of the submission it works for, where an executor runs it and knows when it is gone.
    """
    process = {"pid": os.getpid(), "started": _start_time(os.getpid()), "ticket": ticket}
    return {**_this_machine(), **process}


def is_dead(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether nobody runs the trial any more, as far as can be known from here."""
    owner = trial.user_attrs.get(OWNER)
    if owner is None:
        return _silence(trial) > UNOWNED_SECONDS
    here = _this_machine()
    if any(owner[name] != here[name] for name in ("host", "pids")):
        return _silence(trial) > SILENCE_SECONDS
    rebooted = owner["boot"] != here["boot"]
    return bool(rebooted or owner["started"] != _start_time(owner["pid"]))


def reap(study: optuna.Study) -> None:
    """Fail every trial whose owner is dead, and ask for its values again the first time."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if is_dead(trial):
            deaths = trial.user_attrs.get(DEATHS, 0) + 1
            requeue(study, trial, deaths)


def bury(study: optuna.Study, ticket: str, *, is_death: bool) -> None:
    """Fail every running trial of a submission whose executor knows that it is gone."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get(OWNER, {}).get("ticket") == ticket:
            requeue(study, trial, trial.user_attrs.get(DEATHS, 0) + is_death)


def requeue(study: optuna.Study, trial: optuna.trial.FrozenTrial, deaths: int) -> None:
    """Fail a running trial and, unless too many owners died of it, ask for its values again.

    Of several callers at once only one succeeds; the others do nothing.
    """
    from optuna.trial import TrialState

    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, RuntimeError):
        return  # it has been told by somebody else
    if deaths <= MAX_DEATHS:
        attributes = {ORIGIN: trial.user_attrs.get(ORIGIN, "sampler"), RETRY_OF: trial.number}
        values = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        study.enqueue_trial(values, user_attrs={**attributes, DEATHS: deaths})


def _silence(trial: optuna.trial.FrozenTrial) -> float:
    """Seconds since the trial's owner was last heard of."""
    begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return time.time() - float(trial.user_attrs.get(HEARD, begun))


def _this_machine() -> dict[str, str]:
    return {
        "host": socket.gethostname(),
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "pids": str(Path("/proc/self/ns/pid").readlink()),  # a container has process ids of its own
    }


def _start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since the machine did; None when it is dead."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()  # its name may have blanks and brackets
    return None if state in "ZX" else int(fields[18])
