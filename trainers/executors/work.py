"""The program that a job runs: `python -m trainers.executors.work FOLDER TICKET`.

It does what `spec.json` in FOLDER asks and says in `outcome.json` how that ended. Isolation is
opened here, on the machine that runs the candidate, at the level asked for, or the job fails. When
it is asked to end (SIGTERM), or its standard input is closed because whoever started it is gone, it
lets go of its trial and dies of the signal.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from agent_sandbox.isolation import Isolation, open_isolation
from agent_sandbox.isolation.cards import choose_card
from lra_design.errors import (
    CandidateFault,
    CandidateRefused,
    HarnessError,
    LraDesignError,
    UsageError,
)
from lra_design.files import write_atomically
from lra_design.records import to_json
from lra_design.versions import current_versions
from trainers.executors import command_line
from trainers.executors.folder import (
    PROCESS,
    PROGRESS,
    SCORED,
    Process,
    has_all,
    last_line,
    read_spec,
    write_outcome,
)
from trainers.executors.process import PATIENCE_SECONDS
from trainers.executors.protocol import (
    DONE,
    CommandSpec,
    Spec,
    State,
    TrainSpec,
    WorkSpec,
    command_id,
    title,
)
from trainers.faults import fault_finding
from trainers.job import run_id
from trainers.referee import score_run
from trainers.training import OnProgress, Progress, train
from trainers.tuning.study import Search

LOCK = ".job.lock"
PROGRESS_SECONDS = 2.0
"""Between two writings of `progress.json`."""
EXIT_CODES = {None: 0, "candidate": 1, "usage": 2, "harness": 3}


class Stopped(BaseException):
    """Ends a job that was asked to end; not an error of anybody's."""


Check = Callable[[], None]
"""Raises Stopped once the job is to end."""


def run_job(folder: Path, ticket: str, check: Check) -> State:
    """Do what is asked in `folder`; how it ended, which is written there too."""
    with _alone(folder):
        _write_process(folder, ticket)
        state = _attempt(folder, ticket, check)
        write_outcome(folder, ticket, state)
    return state


def _attempt(folder: Path, ticket: str, check: Check) -> State:
    try:
        spec = read_spec(folder)
        _require_same_installation(spec)
        if isinstance(spec, WorkSpec):
            _work(spec, ticket, check)
        elif has_all(spec, folder):
            return DONE
        elif isinstance(spec, CommandSpec):
            _run_command(spec, folder, check)
        else:
            _train(spec, folder, check)
    except CandidateRefused as refusal:
        return State(name="failed", why=str(refusal), error="candidate", findings=refusal.findings)
    except CandidateFault as fault:
        finding = fault_finding(fault, title(spec))
        return State(name="failed", why=str(fault), error="candidate", findings=(finding,))
    except UsageError as error:
        return State(name="failed", why=_on_host(str(error)), error="usage")
    except LraDesignError as error:
        return State(name="failed", why=_on_host(str(error)), error="harness")
    except Exception as error:
        traceback.print_exc()
        why = f"{type(error).__name__}: {error}; the traceback is in the job's log"
        return State(name="failed", why=_on_host(why), error="harness")
    return DONE


def _train(spec: TrainSpec, folder: Path, check: Check) -> None:
    with _opened(spec) as isolation:
        run = train(spec.job, isolation, folder, _reporter(folder, check))
        if spec.score:
            scored = score_run(run, folder, isolation)
            write_atomically(folder / SCORED, to_json(scored, indent=2).encode())


def _work(spec: WorkSpec, ticket: str, check: Check) -> None:
    with _opened(spec) as isolation:
        search = Search(
            spec.job,
            isolation,
            Path(spec.study_folder),
            num_trials=spec.num_trials,
            max_seconds=spec.max_seconds,
            storage=spec.storage,
            watch=lambda number: lambda progress: None,
            ticket=ticket,
        )
        search.work(check)


def _run_command(spec: CommandSpec, folder: Path, check: Check) -> None:
    """Run the command to its end. Raises UsageError or HarnessError as it ended."""
    exit_code = command_line.run(spec.arguments, Path(spec.working_folder), check)
    why = f"{title(spec)}: exit code {exit_code}: {last_line(folder)}"
    if exit_code == EXIT_CODES["usage"]:
        raise UsageError(why)
    if exit_code or not has_all(spec, folder):
        raise HarnessError(why)


def _opened(spec: TrainSpec | WorkSpec) -> Isolation:
    """The isolation of this machine at the level asked for, with a card where the job needs one.

    Raises IsolationUnavailable, and UsageError where there is no card.
    """
    card = choose_card(spec.job.device)
    return open_isolation(spec.level, profile="train" if card else "validate", card=card)


def _require_same_installation(spec: Spec) -> None:
    """Raise UsageError where the same job would be another: other versions, or other data."""
    if spec.run_id == _own_id(spec):
        return
    here = current_versions()
    splits = "" if isinstance(spec, CommandSpec) else f", or splits of {spec.job.task} that differ"
    raise UsageError(
        f"expected the versions and the data of whoever asks for the job, found others: torch "
        f"{here.torch}, lra-design {here.lra_design}, Python {here.python}{splits}. Install the "
        "same versions everywhere, and let all machines share LRA_DESIGN_HOME."
    )


def _own_id(spec: Spec) -> str:
    """The id of the job as this machine computes it."""
    if isinstance(spec, CommandSpec):
        return command_id(spec.arguments)
    return run_id(spec.job)


def _on_host(text: str) -> str:
    return f"on {socket.gethostname()}: {text}"


def _reporter(folder: Path, check: Check) -> OnProgress:
    """What a training calls as it goes: writes `progress.json`, and ends when it is to end."""
    written = -math.inf

    def report(progress: Progress) -> None:
        nonlocal written
        check()
        now = time.monotonic()
        is_due = now - written > PROGRESS_SECONDS or progress.step == progress.num_steps
        if is_due and math.isfinite(progress.loss):
            written = now
            write_atomically(folder / PROGRESS, to_json(progress).encode())

    return report


def _write_process(folder: Path, ticket: str) -> None:
    process = Process(
        ticket=ticket,
        host=socket.gethostname(),
        pid=os.getpid(),
        began_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_atomically(folder / PROCESS, to_json(process).encode())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait for any other process that works on the same job."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def main() -> None:
    """Run the job that the arguments name; exit as it ended."""
    folder, ticket = Path(sys.argv[1]), sys.argv[2]
    stopping = threading.Event()

    def check() -> None:
        if stopping.is_set():
            raise Stopped

    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    threading.Thread(target=_end_with_starter, daemon=True).start()
    try:
        state = run_job(folder, ticket, check)
    except Stopped:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        raise
    sys.exit(EXIT_CODES[state.error])


def _end_with_starter() -> None:
    """Once whoever started us is gone: end, and be killed if that takes long."""
    with contextlib.suppress(OSError):  # it is closed already
        while os.read(0, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
