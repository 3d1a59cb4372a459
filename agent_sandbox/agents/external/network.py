"""The judge's side of a gateway: start it beside a program, see that it lives, end it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent_sandbox.agents.external.hosts import Host
from agent_sandbox.isolation.own_network import DOOR
from lra_design.errors import HarnessError

_COMMAND = (sys.executable, "-I", "-u", "-B", "-m", "agent_sandbox.agents.external.gateway")
_ENDING_SECONDS = 10.0
_LAST_WORDS = 1000


class Network:
    """What a walled program may reach, and the record of what it did."""

    def __init__(self, hosts: Sequence[Host], log: Path) -> None:
        """log: gets a line for every connection; what is there already stays."""
        self._hosts = hosts
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which programs find the gateway."""
        address = f"http://{DOOR[0]}:{DOOR[1]}"
        names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
        proxies = {name: address for upper in names for name in (upper, upper.lower())}
        # NODE_USE_ENV_PROXY: Node.js heeds the others only when told to.
        return {**proxies, "NO_PROXY": "", "no_proxy": "", "NODE_USE_ENV_PROXY": "1"}

    @contextlib.contextmanager
    def serving(self, door: socket.socket | None) -> Iterator[None]:
        """Answer at `door` while the block runs. Raises HarnessError."""
        if door is None:
            raise HarnessError("expected workers in a network of their own, found no door to it")
        log = self._opened_log()
        try:
            config = {"hosts": list(map(str, self._hosts)), "door": door.fileno(), "log": log}
            self._process = subprocess.Popen(
                [*_COMMAND, json.dumps(config)],
                env={},
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(door.fileno(), log),
                start_new_session=True,
            )
        finally:
            os.close(log)
        door.close()  # from now on what nobody answers is refused, and not kept waiting
        try:
            yield
        finally:
            _end(self._process)

    def require_alive(self) -> None:
        """Raise HarnessError when the gateway has ended by itself while it serves."""
        process = self._process
        if process is None or process.poll() in (None, 0):
            return
        assert process.stderr is not None
        words = b"" if process.stderr.closed else process.stderr.read()
        said = words.decode(errors="replace").strip()[-_LAST_WORDS:] or f"code {process.returncode}"
        raise HarnessError(f"the gateway of the program's network ended by itself: {said}")

    def _opened_log(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return os.open(self._log, flags, 0o600)
        except OSError as error:
            raise HarnessError(f"cannot write {self._log}: {error.strerror}") from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Its standard input ends, and so does it, after the last lines of its record."""
    try:
        process.communicate(timeout=_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
