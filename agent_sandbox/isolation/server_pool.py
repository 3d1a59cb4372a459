"""The judge's handles on its fork servers: start one, ask it, replace it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from agent_sandbox.isolation.control import control_pair, receive_control, send_control
from agent_sandbox.isolation.folders import Folders
from agent_sandbox.isolation.own_network import NETWORK_REMEDY
from agent_sandbox.isolation.wall import Wall
from lra_design.errors import HarnessError, IsolationUnavailable

_COMMAND = (sys.executable, "-I", "-u", "-B", "-m", "agent_sandbox.start_server")
_START_SECONDS = 120.0
_ANSWER_SECONDS = 60.0
_MAX_CHILDREN = 300
_POLL_SECONDS = 0.1


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

    def __init__(
        self, wall: Wall, program_folders: Sequence[str], folders: Folders, *, own_network: bool
    ) -> None:
        self._errors = folders.private / f"server-{os.urandom(4).hex()}.log"
        self._lock = threading.Lock()
        self._num_started = 0
        self._num_running = 0
        self._retired = False
        self._broken = False
        self._root: int | None = None
        config = {
            "own_namespace": wall.own_namespace,
            "program_folders": list(program_folders),
            "own_network": own_network,
        }
        environment = _environment(folders.shared)
        with _Joint(wall, folders) as joint, self._errors.open("wb") as errors:
            inner = [*_COMMAND, json.dumps({"control": joint.address, **config})]
            self._process = subprocess.Popen(
                wall.command(inner, environment),
                env=wall.environment(environment),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                pass_fds=joint.inherited,
                start_new_session=True,
            )
            self._control = joint.connected(self._process, self._last_words)
        self.changes_user = False
        """It can give every worker a user id of its own."""
        self.door: socket.socket | None = None
        """Listens in the workers' network, when that is their own."""

    def greet(self) -> None:
        """Wait until it stands, and hand it what tells the judge's end. Raises HarnessError."""
        judge = os.pidfd_open(os.getpid())
        try:
            answer, received = self._ask({"do": "hello"}, [judge])
        finally:
            os.close(judge)
        if "no_network" in answer:
            raise IsolationUnavailable("network namespace", answer["no_network"], NETWORK_REMEDY)
        self._root, *doors = received
        for door in doors:
            self.door = socket.socket(fileno=door)
        self.changes_user = bool(answer["changes_user"])

    def start(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> tuple[int, int]:
        """Its own process id and a pidfd of a new worker that holds `descriptors`.

        Raises HarnessError.
        """
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
        """How the ended worker of that id did so; None when the server or the kernel cannot say."""
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
            self._kill()
            self._process.wait()
        if self._root is not None:
            os.close(self._root)
            self._root = None
        if self.door is not None:
            self.door.close()

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
        self._kill()

    def _kill(self) -> None:
        """Kill its process and, in a namespace of its own, all that is in it."""
        if self._root is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._root, signal.SIGKILL)
        self._process.kill()

    def _last_words(self) -> str:
        try:
            return self._errors.read_text(errors="replace").strip()[-1000:] or "none"
        except OSError:
            return "none"


class _Joint:
    """How a new server's control socket reaches the judge: by inheritance, or by connecting."""

    def __init__(self, wall: Wall, folders: Folders) -> None:
        self._path = folders.shared / f"control-{os.urandom(4).hex()}"
        self._ours: socket.socket | None = None
        if wall.inherits:
            self._ours, self._theirs = control_pair()
            self.address: int | str = self._theirs.fileno()
            self.inherited = [self._theirs.fileno()]
            return
        self._theirs = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._theirs.bind(str(self._path))
        if wall.uid is not None:
            os.chown(self._path, wall.uid, -1)
        self._theirs.listen(1)
        self.address, self.inherited = str(self._path), []

    def connected(
        self, process: subprocess.Popen[bytes], last_words: Callable[[], str]
    ) -> socket.socket:
        """The judge's end. Raises ServerGoneError when the server ends before it connects."""
        if self._ours is not None:
            return self._ours
        self._theirs.settimeout(_POLL_SECONDS)
        for _ in range(int(_START_SECONDS / _POLL_SECONDS)):
            with contextlib.suppress(TimeoutError):
                return self._theirs.accept()[0]
            if process.poll() is not None:
                break
        process.kill()
        process.wait()
        raise ServerGoneError(f"the fork server does not connect. Its last words: {last_words()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._theirs.close()
        self._path.unlink(missing_ok=True)


def _environment(folder: Path) -> dict[str, str]:
    """Made from nothing: whatever secret the judge's environment holds stays there."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        # Lazily imported parts of torch make this folder unless it exists, and fail if they cannot.
        "TORCHINDUCTOR_CACHE_DIR": str(folder),
    }


class ServerPool:
    """The fork server that starts the next worker; replaced when it is worn out or gone."""

    def __init__(
        self, wall: Wall, program_folders: Sequence[str], folders: Folders, *, own_network: bool
    ) -> None:
        self._settings = (wall, list(program_folders), folders)
        self._own_network = own_network
        self._lock = threading.Lock()
        self._current: Server | None = None
        self._closed = False

    def usable(self) -> Server:
        """A server that can start workers. Raises HarnessError."""
        with self._lock:
            if self._closed:
                raise HarnessError("this isolation is closed; open another one")
            if self._current is not None and not self._current.usable:
                self._current.retire()
                self._current = None
            if self._current is None:
                self._current = Server(*self._settings, own_network=self._own_network)
                self._current.greet()
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
