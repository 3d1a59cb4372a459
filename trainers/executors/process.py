"""A job's process on this machine: how it is started, and how it is ended.

It runs `trainers.executors.work` in a session of its own and holds the reading end of a pipe. Who
started it holds the other end: when that process dies, by whatever means, the job ends too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lra_design.errors import DataError
from lra_design.home import HOME_VARIABLE
from trainers.executors.folder import LOG

PATIENCE_SECONDS = 10.0
"""What a job has to let go of its trial before it is killed."""
NUM_THREADS = {"OMP_NUM_THREADS": "1"}
"""The judge compares small tensors, on which a second thread only spins."""


def start(
    folder: Path, ticket: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start the job in `folder` for a submission; what it writes goes to the job's log.

    environment: variables besides those of this process. Raises DataError.
    """
    try:
        with (folder / LOG).open("ab") as log:
            return subprocess.Popen(
                command(folder, ticket),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **NUM_THREADS, **(environment or {})},
                start_new_session=True,
            )
    except OSError as error:
        raise DataError(f"cannot start a job in {folder}: {error.strerror}.") from None


def run(folder: str, ticket: str, environment: Mapping[str, str]) -> int:
    """Run the job in `folder` to its end, on this machine, and return its exit code."""
    job = start(Path(folder), ticket, environment)
    try:
        return job.wait()
    finally:
        end([job])


def command(folder: Path, ticket: str) -> list[str]:
    """The command line of a job; what lies in the working folder is not imported."""
    return [sys.executable, "-P", "-m", "trainers.executors.work", str(folder), ticket]


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask processes to end, wait a while, then kill them with all that they started.

    Of those that have ended only the pipe is closed.
    """
    running = [process for process in processes if process.poll() is None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + PATIENCE_SECONDS
    for process in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
    for process in running:
        with contextlib.suppress(ProcessLookupError):  # nobody of its group is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for process in processes:
        if process.stdin:
            process.stdin.close()


def passed_on() -> dict[str, str]:
    """The variables of this process that a job on another machine gets: where the data lies."""
    return {name: os.environ[name] for name in (HOME_VARIABLE,) if name in os.environ}
