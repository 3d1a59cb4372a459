"""A job that is a command of `lra-design`: a process of its own, which ends with the job's.

The command line is what is run, not a function of it: nothing here knows what it does.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent_sandbox.isolation import kernel

LOOK_SECONDS = 0.2
"""Between two looks at a command that runs."""
GRACE_SECONDS = 6.0
"""For a command that is interrupted to end by itself; less than a job has."""


def run(arguments: Sequence[str], working_folder: Path, check: Callable[[], None]) -> int:
    """Run `lra-design ARGUMENTS` and return its exit code; what it prints goes where ours does.

    check: called often and may raise; the command is then interrupted as by Ctrl-C. When this
    process dies, the command is ended.
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "lra_design", *arguments],
        cwd=working_folder,
        stdin=subprocess.DEVNULL,
        preexec_fn=_end_with_job,  # our one other thread waits in a read and holds no lock
    ) as child:
        try:
            while child.poll() is None:
                check()
                time.sleep(LOOK_SECONDS)
        except BaseException:
            _interrupt(child)
            raise
    return child.returncode


def _end_with_job() -> None:
    """Between fork and exec: end when the job does, and heed an interruption, which a job that was
    started in the background would not."""
    kernel.process_control(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _interrupt(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGINT)
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
