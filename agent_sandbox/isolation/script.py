"""Any script, run as a candidate would be: for those who want to attack the sandbox."""

from __future__ import annotations

import os
import runpy
import socket
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from agent_sandbox.isolation.forked import ForkedIsolation
from agent_sandbox.isolation.protocol import Message
from lra_design.records import Limits

_CHANNEL = 3
"""The descriptor that a program gets in place of the judge's questions: none."""


class Script:
    """The program that becomes the script; neither of its operations ever answers."""

    def execute(self, message: Message) -> Message:
        """Replace the worker by another program, in profile `train`."""
        os.set_inheritable(_CHANNEL, False)
        command = message.values["command"]
        try:
            os.execve(command[0], command, {**os.environ, **message.values["environment"]})
        except OSError as error:
            print(f"cannot execute {command[0]}: {error.strerror}", file=sys.stderr)
            raise SystemExit(126) from None

    def run(self, message: Message) -> Message:
        """Run a Python file inside the worker's own interpreter, as candidates are run."""
        os.close(_CHANNEL)
        script, *arguments = message.values["command"]
        sys.argv = [script, *arguments]
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit:
            raise
        except BaseException:
            traceback.print_exc()
            raise SystemExit(1) from None
        raise SystemExit(0)


@dataclass(frozen=True, kw_only=True)
class Errand:
    """One script to run."""

    python: str
    """The interpreter to execute, in profile `train`."""
    script: Path
    arguments: Sequence[str]
    executes: bool
    """In a process image of its own; else inside the worker's interpreter."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables beside the worker's own, for one that executes; shown on no command line."""


def run_script(
    isolation: ForkedIsolation,
    errand: Errand,
    limits: Limits,
    scratch: Path | None,
    on_output: Callable[[bytes], None],
    beside: Callable[[socket.socket | None], AbstractContextManager[object]] = nullcontext,
) -> int:
    """Exit code of the script, or minus the number of the signal that ended it.

    `beside` is entered with the door of the workers' own network before the script starts, and left
    when it has ended. Whatever it started is killed. Raises CandidateFault when a limit ended it,
    HarnessError.
    """
    words = [str(errand.script), *errand.arguments]
    program = f"{__name__}:Script"
    with (
        isolation.start_program(program, limits, labels=False, scratch=scratch) as worker,
        beside(worker.server.door),
    ):
        if errand.executes:
            command = [errand.python, *words]
            worker.tell("execute", {"command": command, "environment": dict(errand.environment)})
        else:
            worker.tell("run", {"command": words})
        return worker.run_to_end(on_output)
