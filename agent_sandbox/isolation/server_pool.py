"""The judge's handles on its fork servers: start one, ask it, replace it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_sandbox.isolation.control import control_pair, receive_control, send_control
from lra_design.errors import HarnessError

_COMMAND = (sys.executable, "-I", "-u", "-B", "-m", f"{__package__}.fork_server")
_START_SECONDS = 120.0
_ANSWER_SECONDS = 60.0
_MAX_CHILDREN = 300


@dataclass(frozen=True)
class Ending:
    """How a worker ended, as its parent saw it."""

    code: int
    """Exit code, or minus the number of the signal that ended it."""
    cpu_seconds: float
    peak_memory_bytes: int


class ServerGoneError(HarnessError):
    """The fork server ended or hangs; its workers are lost."""


class Server:
    """One fork server process. Its requests are made one at a time."""

    def __init__(self, level: str, program_folders: Sequence[str], scratch: Path) -> None:
        self._errors = scratch / f"server-{os.urandom(4).hex()}.log"
        self._lock = threading.Lock()
        self._num_started = 0
        self._num_running = 0
        self._retired = False
        self._broken = False
        ours, theirs = control_pair()
        config = {
            "control": theirs.fileno(),
            "judge_pid": os.getpid(),
            "level": level,
            "program_folders": list(program_folders),
        }
        with theirs, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [*_COMMAND, json.dumps(config)],
                env=_environment(scratch),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._control = ours

    def start(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> tuple[int, int]:
        """Process id and pidfd of a new worker that holds `descriptors`. Raises HarnessError."""
        answer, received = self._ask({"do": "start", **request}, descriptors)
        if "error" in answer:
            raise HarnessError(
                f"the fork server cannot start '{request['program']}': {answer['error']}"
            )
        with self._lock:
            self._num_started += 1
            self._num_running += 1
        return int(answer["pid"]), received[0]

    def reap(self, pid: int) -> Ending | None:
        """How the ended worker `pid` did so; None when the server or the kernel cannot say."""
        try:
            answer, _ = self._ask({"do": "reap", "pid": pid}, ())
        except ServerGoneError:
            return None
        finally:
            self._forget_worker()
        return Ending(**answer) if "error" not in answer else None

    def _forget_worker(self) -> None:
        with self._lock:
            self._num_running -= 1
            unused = self._retired and not self._num_running
        if unused:
            self.stop()

    @property
    def usable(self) -> bool:
        """It can start more workers."""
        worn = self._num_started >= _MAX_CHILDREN
        return not worn and not self._broken and self._process.poll() is None

    @property
    def fresh(self) -> bool:
        """It has started no worker yet."""
        return not self._num_started

    def retire(self) -> None:
        """Stop it as soon as its last worker is reaped."""
        with self._lock:
            self._retired = True
            unused = not self._num_running
        if unused:
            self.stop()

    def stop(self) -> None:
        """End it and every worker it still has."""
        with contextlib.suppress(OSError):  # it may be gone already
            self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(
        self, request: Mapping[str, Any], descriptors: Sequence[int]
    ) -> tuple[dict[str, Any], list[int]]:
        with self._lock:
            try:
                self._control.settimeout(_START_SECONDS if self.fresh else _ANSWER_SECONDS)
                send_control(self._control, request, descriptors)
                return receive_control(self._control)
            except (OSError, EOFError) as error:
                self._break()
                raise ServerGoneError(
                    f"the fork server does not answer: {error}. Its last words: "
                    f"{self._last_words()}"
                ) from None
            except BaseException:  # interrupted before the answer came
                self._break()
                raise

    def _break(self) -> None:
        """Give it up: a late answer would be taken for that of the next request."""
        self._broken = True
        self._process.kill()

    def _last_words(self) -> str:
        try:
            return self._errors.read_text(errors="replace").strip()[-1000:] or "none"
        except OSError:
            return "none"


def _environment(scratch: Path) -> dict[str, str]:
    """Made from nothing: whatever secret the judge's environment holds stays there."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        # Lazily imported parts of torch make this folder unless it exists, and fail if they cannot.
        "TORCHINDUCTOR_CACHE_DIR": str(scratch),
    }


class ServerPool:
    """The fork server that starts the next worker; replaced when it is worn out or gone."""

    def __init__(self, level: str, program_folders: Sequence[str], scratch: Path) -> None:
        self._settings = (level, list(program_folders), scratch)
        self._lock = threading.Lock()
        self._current: Server | None = None
        self._closed = False

    def start(
        self, request: Mapping[str, Any], descriptors: Sequence[int]
    ) -> tuple[Server, int, int]:
        """A server, and process id and pidfd of a new worker of it."""
        with self._lock:
            server = self._usable()
            try:
                return server, *server.start(request, descriptors)
            except ServerGoneError:
                if server.fresh:
                    raise  # it never worked: another one would not either
            server = self._usable()
            return server, *server.start(request, descriptors)

    def _usable(self) -> Server:
        if self._closed:
            raise HarnessError("this isolation is closed; open another one")
        if self._current is not None and not self._current.usable:
            self._current.retire()
            self._current = None
        if self._current is None:
            self._current = Server(*self._settings)
        return self._current

    def recycle(self, server: Server) -> None:
        """Start no more workers from `server`."""
        with self._lock:
            if server is self._current:
                self._current = None
                server.retire()

    def close(self) -> None:
        """End the current server."""
        with self._lock:
            self._closed = True
            if self._current is not None:
                self._current.stop()
                self._current = None
