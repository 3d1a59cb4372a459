"""The process of an external agent: behind the walls, or outside them where that was asked for."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from agent_sandbox.agents.external.network import Network
from agent_sandbox.isolation import open_isolation
from agent_sandbox.isolation.script import Errand, run_script
from lra_design.errors import CandidateFault, HarnessError, UsageError
from lra_design.records import Level, Limits

SHELL = "/bin/sh"
GRACE_SECONDS = 10.0
"""For a program to end by itself when nothing is answered any more."""
LIMITS = Limits(
    memory_bytes=8 * 1024**3,
    output_bytes=64 * 1024**2,
    num_threads=256,
    wall_seconds=48 * 3600.0,
    num_processes=256,
)
CERTIFICATES = (
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/openssl.cnf",
    "/etc/pki/ca-trust/extracted",
    "/etc/crypto-policies/back-ends",
)
"""What TLS takes besides the system's libraries: whom to trust. Private keys lie elsewhere."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SET_FOR_PROGRAMS = ("PATH", "HOME", "TMPDIR", "USER")
_OF_A_SHELL = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TERM", "TMPDIR", "TZ")


def words_of(command: str) -> list[str]:
    """The words of a shell command. Raises UsageError for one that no shell understands."""
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UsageError(
            f"expected a shell command after --agent, found {command!r}: {error}"
        ) from None


def readable_by(command: str, workspace: Path) -> list[Path]:
    """The files and folders that a command names: what it may read besides its workspace.

    Raises UsageError as `words_of`, and where a folder holds the run itself, whose results are
    sealed.
    """
    named = [path.resolve() for path in map(Path, words_of(command)) if path.exists()]
    for path in named:
        if workspace.resolve().is_relative_to(path):
            raise UsageError(
                f"the command of --agent names {path}, which holds the run itself and its sealed "
                "results: expected files and folders apart from it. Name them more closely, or "
                "put the run elsewhere with --out."
            )
    return named


def located(command: str) -> str:
    """`command` with the whole paths of the files and folders that it names from here.

    It runs in a workspace, from where they would not be found. The first word is a program, which
    the shell looks up unless it is a path. Raises UsageError as `words_of`.
    """
    for place, word in enumerate(words_of(command)):
        path = Path(word)
        if path.exists() and ("/" in word or (place > 0 and path.is_file())):
            spellings = "|".join(re.escape(text) for text in (shlex.quote(word), f'"{word}"', word))
            whole = shlex.quote(str(path.absolute())).replace("\\", r"\\")
            command = re.sub(rf"(?<!\S)(?:{spellings})(?!\S)", whole, command)
    return command


def passed_on(names: Sequence[str]) -> dict[str, str]:
    """The variables of the judge's environment that a program gets, by name.

    Raises UsageError for what is no name, is not set, or is set for the program anyway.
    """
    for name in names:
        if not _VARIABLE.fullmatch(name):
            raise UsageError(
                f"expected names of environment variables after --agent-env, as in "
                f"ANTHROPIC_API_KEY,OPENAI_API_KEY; found {name[:100]!r}."
            )
        if name in _SET_FOR_PROGRAMS or name.lower().endswith("_proxy"):
            raise UsageError(f"--agent-env names {name}, which is set for the program.")
        if name not in os.environ:
            raise UsageError(
                f"--agent-env names {name}: expected it in the environment, found it not set. Set "
                "it, or leave its name out."
            )
    return {name: os.environ[name] for name in names}


class WalledProgram:
    """A shell command in profile `train`: nothing is writable but its workspace, and there is no
    network but the way to the hosts of `network`."""

    def __init__(
        self,
        command: str,
        workspace: Path,
        level: Level,
        log: Path,
        *,
        network: Network | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """environment: variables beside those that every worker has.

        Raises UsageError as `readable_by`, HarnessError when there are no walls.
        """
        self._network = network
        self._isolation = open_isolation(
            level,
            profile="train",
            readable=[*readable_by(command, workspace), *(CERTIFICATES if network else ())],
            scratch=workspace.resolve(),
            own_network=network is not None,
        )
        self._errand = Errand(
            python=SHELL,
            script=Path("-c"),
            arguments=[command],
            executes=True,
            environment={
                **(environment or {}),
                **(network.environment if network else {}),
                "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            },
        )
        self._workspace = workspace.resolve()
        self._log = log.open("ab")
        self._end: str | None = None
        self._fault: HarnessError | None = None
        self._thread = threading.Thread(target=self._run, name="external-agent", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.join(0.0 if kind else GRACE_SECONDS)
        self._isolation.close()
        self._thread.join()
        self._log.close()

    def ended(self) -> str | None:
        """How it ended; None while it runs. Raises HarnessError when the walls failed."""
        if self._fault is not None:
            raise self._fault
        if self._network is not None:
            self._network.require_alive()
        return self._end

    def _run(self) -> None:
        try:
            code = run_script(
                self._isolation,
                self._errand,
                LIMITS,
                self._workspace,
                self._write,
                beside=self._network.serving if self._network else nullcontext,
            )
            self._end = _how(code)
        except CandidateFault as fault:
            self._end = f"the program was ended: {fault.kind}: {fault.detail}"
        except HarnessError as fault:
            self._fault = fault

    def _write(self, printed: bytes) -> None:
        self._log.write(printed)
        self._log.flush()


class OpenProgram:
    """A shell command with the user's own rights and network, in a process group of its own."""

    def __init__(
        self,
        command: str,
        workspace: Path,
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """environment: variables beside those of a bare shell, which it has from the user."""
        bare = {name: os.environ[name] for name in _OF_A_SHELL if name in os.environ}
        self._environment = {**bare, **(environment or {})}
        self._command = command
        self._workspace = workspace
        self._log: IO[bytes] = log.open("ab")

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [SHELL, "-c", self._command],
            cwd=self._workspace,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.0 if kind else GRACE_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._log.close()

    def ended(self) -> str | None:
        """How it ended; None while it runs."""
        code = self._process.poll()
        return None if code is None else _how(code)


def _how(code: int) -> str:
    return f"the program ended {f'by signal {-code}' if code < 0 else f'with exit code {code}'}"
