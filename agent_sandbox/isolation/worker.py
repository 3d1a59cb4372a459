"""The judge's handle on one worker: ask it, watch it, end it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from agent_sandbox.isolation.card_memory import CardMemory
from agent_sandbox.isolation.channel import (
    MAX_TENSOR_BYTES,
    Channel,
    ChannelClosedError,
    ChannelError,
    ChannelTimeoutError,
    encode,
)
from agent_sandbox.isolation.lockdown import Lockdown
from agent_sandbox.isolation.observation import Observation, Output, pid_of
from agent_sandbox.isolation.protocol import Message
from agent_sandbox.isolation.server_pool import Ending, Server
from agent_sandbox.isolation.watch import Watch
from lra_design.errors import CandidateFault, FaultKind, HarnessError
from lra_design.records import Usage

_LABELS: tuple[FaultKind, ...] = ("process", "network", "filesystem")
_GRACE_SECONDS = 1.0
"""How long a worker whose channel is closed may take to be gone."""
_WATCH_SECONDS = 0.025
_READY_SECONDS = 60.0
_DYING_SECONDS = 30.0
"""How long the kernel may take to end a killed worker."""


class IsolatedWorker:
    """One worker process. Implements `protocol.Worker`; its calls are made one at a time."""

    def __init__(
        self,
        *,
        server: Server,
        pid: int,
        process: int,
        endpoint: socket.socket,
        output: int,
        plan: Lockdown,
        card_memory: CardMemory | None,
        on_end: Callable[[IsolatedWorker, bool], None],
    ) -> None:
        limits = plan.limits
        self.server = server
        self.plan = plan
        self._server_pid = pid
        """Its id as the server sees it, who may live in another process namespace."""
        self._pid = pid_of(process) or pid
        self._process = process
        self._channel = Channel(
            endpoint, max_tensor_bytes=min(limits.memory_bytes, MAX_TENSOR_BYTES)
        )
        self._output = Output(output, limits.output_bytes)
        self._limits = limits
        self._on_end = on_end
        self._started = time.monotonic()
        self._calls = threading.Lock()
        self._state = threading.RLock()
        self._num_calls = 0
        self._fault: CandidateFault | HarnessError | None = None
        self._ready = False
        self._killed = False
        self._ended = False
        self._seconds = 0.0
        self._watch = Watch(self._pid, plan, self._started)
        self._card_memory = card_memory
        self._peak_card_bytes: int | None = None
        if card_memory is not None:
            card_memory.begin(self._pid)

    def wait_ready(self, deadline: float) -> None:
        """Wait until the program stands. Raises HarnessError."""
        try:
            message = self._channel.receive(deadline=deadline)
        except ChannelError as error:
            self.close()
            raise HarnessError(f"the worker did not start: {error}. {self._shown()}") from None
        if "ready" not in message.values:
            self.close()
            raise HarnessError(f"the worker did not start: {message.values.get('setup_error')}")
        with self._state:
            # What the server had is not the worker's: its limits count from here.
            self._watch.begin()
            self._ready = True

    def _shown(self) -> str:
        return self.output.decode(errors="replace")[-500:]

    def call(
        self,
        operation: str,
        values: Mapping[str, Any] | None = None,
        tensors: Mapping[str, Tensor] | None = None,
        *,
        seconds: float,
    ) -> Message:
        """See `protocol.Worker.call`."""
        with self._calls:
            self._check_alive()
            self._num_calls += 1
            request = {"id": self._num_calls, "operation": operation, "values": dict(values or {})}
            try:
                frame = encode(request, tensors or {})
            except ChannelError as error:
                raise HarnessError(f"cannot ask for '{operation}': {error}") from None
            return self._judge_reply(self._exchange(operation, frame, seconds))

    def tell(self, operation: str, values: Mapping[str, Any]) -> None:
        """Ask for what never answers: the process is to end by itself. See `run_to_end`."""
        request = {"id": 0, "operation": operation, "values": dict(values)}
        self._channel.send_encoded(*encode(request, {}), deadline=self._started + _READY_SECONDS)

    def run_to_end(self, on_output: Callable[[bytes], None]) -> int:
        """Hand on what it writes until it ends, and end all that it started.

        Its exit code, or minus the number of the signal that ended it. Raises CandidateFault for
        the limit that ended it, HarnessError when its fork server ended.
        """
        num_shown, gone = 0, False
        while not gone:
            gone = self._wait_gone(_WATCH_SECONDS)
            self.check_output()
            new = self._output.since(num_shown)
            num_shown += len(new)
            on_output(new)
        ending = self._finish()
        on_output(self._output.since(num_shown))
        if self._fault is not None:
            raise self._fault
        fault = _fault_of(ending)
        if ending is None or (isinstance(fault, CandidateFault) and fault.kind != "exited"):
            raise fault
        return ending.code

    def _exchange(self, operation: str, frame: tuple[bytes, bytes], seconds: float) -> Message:
        deadline = time.monotonic() + seconds
        try:
            self._channel.send_encoded(*frame, deadline=deadline)
            return self._channel.receive(deadline=deadline)
        except ChannelTimeoutError:
            raise self._end("timeout", f"no answer to '{operation}' in {seconds:g} s") from None
        except ChannelClosedError:
            raise self._explain_end() from None
        except ChannelError as error:
            raise self._end("protocol", str(error)) from None
        except BaseException:
            # Interrupted half-way: its answer must not be taken for that of a later question.
            self.close()
            raise

    def _check_alive(self) -> None:
        with self._state:
            if isinstance(self._fault, CandidateFault):
                raise CandidateFault(self._fault.kind, self._fault.detail)
            if self._fault is not None:
                raise HarnessError(str(self._fault))
            if self._ended:
                raise HarnessError("this worker is closed; start another one")

    def _judge_reply(self, reply: Message) -> Message:
        values = reply.values
        if "violation" in values:
            raise self._violation(values["violation"])
        if type(values.get("id")) is not int or values["id"] != self._num_calls:
            raise self._end("protocol", "the answer belongs to no question")
        if "error" in values:
            raise self._raised(values["error"])
        if not isinstance(values.get("values"), dict):
            raise self._end("protocol", "the answer has no values")
        self.check_output()
        self._check_alive()
        return Message(values["values"], reply.tensors)

    def _violation(self, claim: object) -> CandidateFault:
        kind = claim.get("kind") if isinstance(claim, dict) else None
        detail = str(claim.get("detail"))[:500] if isinstance(claim, dict) else ""
        for known in _LABELS:
            if kind == known:
                return self._end(known, detail)
        return self._end("protocol", "a report of a violation that is none")

    def _raised(self, claim: object) -> CandidateFault:
        """The candidate's exception as its own process tells it: shown, never believed."""
        if not isinstance(claim, dict):
            return self._end("protocol", "a report of an exception that is none")
        detail = f"{str(claim.get('type'))[:100]}: {str(claim.get('message'))[:2000]}"
        if claim.get("memory") is True:
            return self._end("memory", detail)
        self.check_output()
        self._check_alive()
        return CandidateFault("raised", detail, trace=str(claim.get("trace", ""))[-4000:])

    def _explain_end(self) -> Exception:
        """Why the channel was closed, found from outside."""
        if not self._wait_gone(_GRACE_SECONDS):
            return self._end("protocol", "it closed its channel and ran on")
        ending = self._finish()
        with self._state:
            if self._fault is None:
                self._fault = _fault_of(ending)
            return self._fault

    def _end(self, kind: FaultKind, detail: str) -> CandidateFault:
        """Kill it for a reason, unless there is one already; the fault to raise."""
        fault = self.kill(kind, detail)
        self.close()
        return fault

    def kill(self, kind: FaultKind, detail: str) -> CandidateFault:
        """Kill the process; the first reason given is the one that every later call raises."""
        with self._state:
            if not isinstance(self._fault, CandidateFault):
                self._fault = CandidateFault(kind, detail)
            self._kill()
            return self._fault

    def _kill(self) -> None:
        with self._state:
            if self._ended or self._killed or self._wait_gone(0):
                return  # a process that ended by itself was not killed
            self._killed = True
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            self._kill_group()  # now: a bomb would go on while its first process dies

    def _kill_group(self) -> None:
        """Whatever it left: it cannot leave its process group. Before it is reaped, so that the
        group's number is still its own.
        """
        if self.plan.profile == "train" and self._ready:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)

    def _wait_gone(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._process, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def check_output(self) -> None:
        """Take what it wrote; kill it when that is too much."""
        if not self._output.drain():
            allowed = self._limits.output_bytes
            self.kill("output", f"wrote more than the {allowed} bytes allowed")

    def inspect(self) -> None:
        """Look at it from outside, as the watchdog does every few milliseconds."""
        self.check_output()
        with self._state:
            if not self._ready or self._ended or self._killed:
                return
            now = self._watch.look()
        breach = self._watch.breach(now) if now else None
        if breach:
            self.kill(breach.kind, breach.detail)

    def usage(self) -> Usage:
        """See `protocol.Worker.usage`."""
        with self._state:
            if not self._ended:
                self._watch.look()
                self._look_at_card()
            last = self._watch.last
            return Usage(
                seconds=self._seconds if self._ended else time.monotonic() - self._started,
                cpu_seconds=last.cpu_seconds,
                peak_memory_bytes=last.peak_bytes,
                peak_device_memory_bytes=self._peak_card_bytes,
            )

    def _look_at_card(self) -> None:
        """Only while it runs: its id may later be another's."""
        if self._card_memory is not None:
            self._peak_card_bytes = self._card_memory.peak_bytes(self._pid)

    @property
    def output(self) -> bytes:
        """See `protocol.Worker.output`."""
        self._output.drain()
        return self._output.content

    def close(self) -> None:
        """See `protocol.Worker.close`."""
        self._finish()

    def _finish(self) -> Ending | None:
        """Kill it if need be, and let go of all that is held for it. How it ended, at first."""
        with self._state:
            if self._ended:
                return None
            self._kill()
            self._look_at_card()
            self._wait_gone(_DYING_SECONDS)
            self._kill_group()
            self._ended = True
            self._seconds = time.monotonic() - self._started
            ending = self.server.reap(self._server_pid)
            if ending is not None:
                self._watch.add(
                    Observation(cpu_seconds=ending.cpu_seconds, peak_bytes=ending.peak_memory_bytes)
                )
            self._output.drain()
            self._output.close()
            self._channel.close()
            os.close(self._process)
        crashed = ending is not None and ending.code < 0 and not self._killed
        self._on_end(self, crashed)
        return ending

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _fault_of(ending: Ending | None) -> CandidateFault | HarnessError:
    if ending is None:
        return HarnessError("the fork server ended, and its workers with it; start another worker")
    if ending.code >= 0:
        return CandidateFault("exited", f"the process ended by itself with exit code {ending.code}")
    number = -ending.code
    names = {known.value: known.name for known in signal.Signals}
    if number == signal.SIGXCPU:
        return CandidateFault("timeout", "the process used more processor time than allowed")
    if number == signal.SIGSYS:
        return CandidateFault("process", "the process was ended for a forbidden system call")
    return CandidateFault(
        "exited", f"the process was ended by {names.get(number, f'signal {number}')}"
    )
