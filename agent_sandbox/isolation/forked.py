"""Isolation by forked processes that lock themselves down, behind an outer wall or none.

The judge stays a process that its user can debug and trace: making it undumpable would only repeat
what Landlock and seccomp deny to a worker already, which is any way to /proc/<judge>, ptrace and
process_vm_readv. The self-test tries the first, the tests try them all.
"""

from __future__ import annotations

import atexit
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agent_sandbox.isolation.card_memory import CardMemory
from agent_sandbox.isolation.cards import Card
from agent_sandbox.isolation.folders import Folders
from agent_sandbox.isolation.gaps import Circumstances, gaps
from agent_sandbox.isolation.landlock import SIGNALS_SCOPED_FROM, landlock_version
from agent_sandbox.isolation.lockdown import Lockdown
from agent_sandbox.isolation.places import Place, Places
from agent_sandbox.isolation.policy import Policy
from agent_sandbox.isolation.self_test import Canary, run_innocent, run_self_test, run_wall_test
from agent_sandbox.isolation.server_pool import Server, ServerGoneError, ServerPool
from agent_sandbox.isolation.wall import Wall
from agent_sandbox.isolation.worker import IsolatedWorker
from lra_design.errors import HarnessError
from lra_design.records import IsolationRecord, Limits

_SELF_TEST = "agent_sandbox.isolation.self_test:SelfTest"
_READY_SECONDS = 60.0
_WATCH_SECONDS = 0.025


class ForkedIsolation:
    """Starts workers from a fork server and watches them. Implements `protocol.Isolation`.

    `put_up` makes the outer wall, given the folders that must be seen through it. Raises
    IsolationUnavailable.
    """

    def __init__(
        self,
        policy: Policy,
        put_up: Callable[[Folders], Wall],
        program_folders: Sequence[str] = (),
    ) -> None:
        self._owner = os.getpid()
        self._policy = policy
        self._folders = Folders()
        wall = put_up(self._folders)
        self._places = Places(self._folders, wall)
        self._pool = ServerPool(
            wall, program_folders, self._folders, own_network=policy.own_network
        )
        self._lock = threading.Lock()
        self._workers: set[IsolatedWorker] = set()
        self._card_memory = CardMemory() if policy.card else None
        self._closing = threading.Event()
        self._watchdog = threading.Thread(
            target=self._watch, name="isolation-watchdog", daemon=True
        )
        self._watchdog.start()
        atexit.register(self.close)
        try:
            wall.require()
            self.attempts, own_users = self._test(wall)
            self._record = self._describe(wall, own_users)
        except BaseException:
            self.close()
            raise

    def _test(self, wall: Wall) -> tuple[tuple[Canary, ...], bool]:
        """See that the isolation holds: what was tried in vain, and whether users are dropped."""
        with self.start_program(_SELF_TEST, Limits(), labels=False) as worker:
            own_users = worker.plan.uid is not None
            if self._policy.level == "unsafe":
                run_innocent(worker, self._policy)
                return (), own_users
            tried = run_self_test(worker, self._policy, self._folders.shared)
        if wall.own_namespace:
            with self.start_program(_SELF_TEST, Limits(), labels=False, bare=True) as worker:
                tried += run_wall_test(worker, self._folders.private)
        return tried, own_users

    def _describe(self, wall: Wall, own_users: bool) -> IsolationRecord:
        policy, safe = self._policy, self._policy.level != "unsafe"
        version = landlock_version() if safe else None
        dropped = own_users or wall.uid is not None
        here = Circumstances(
            level=policy.level,
            profile=policy.profile,
            own_users=own_users,
            as_root=os.geteuid() == 0 and not dropped,
            signals_scoped=(version or 0) >= SIGNALS_SCOPED_FROM,
            cuda=policy.card is not None,
            own_network=policy.own_network,
        )
        return IsolationRecord(
            level=policy.level,
            profile=policy.profile,
            landlock_abi=version,
            seccomp=safe,
            dropped_uid=dropped,
            self_test_passed=safe,
            gaps=gaps(here),
            limits=Limits(),
        )

    @property
    def record(self) -> IsolationRecord:
        """See `protocol.Isolation.record`."""
        return self._record

    @property
    def card(self) -> Card | None:
        """See `protocol.Isolation.card`."""
        return self._policy.card

    def start(self, program: str, limits: Limits | None = None) -> IsolatedWorker:
        """See `protocol.Isolation.start`."""
        labels = self._policy.profile == "validate"  # in `train` most of them are allowed
        return self.start_program(program, limits or Limits(), labels=labels)

    def start_program(
        self,
        program: str,
        limits: Limits,
        *,
        labels: bool,
        bare: bool = False,
        scratch: Path | None = None,
    ) -> IsolatedWorker:
        """A worker; `labels` arms the audit hook in it, `bare` leaves it the outer wall alone.

        In profile `train` it may write to `scratch`, or to a new folder that goes with it.
        Raises HarnessError.
        """
        if self._closing.is_set():
            raise HarnessError("this isolation is closed; open another one")
        asked = {"program": program, "labels": labels}
        server = self._pool.usable()
        try:
            return self._start_on(server, asked, limits, bare, scratch)
        except ServerGoneError:
            if server.fresh:
                raise  # it never worked: another one would not either
        return self._start_on(self._pool.usable(), asked, limits, bare, scratch)

    def _start_on(
        self,
        server: Server,
        asked: dict[str, Any],
        limits: Limits,
        bare: bool,
        scratch: Path | None,
    ) -> IsolatedWorker:
        place = self._places.take(
            own_user=server.changes_user, writes=self._policy.profile == "train", scratch=scratch
        )
        try:
            plan = self._plan(place, limits, bare)
            ends, pid, process = self._ask(server, {**asked, "plan": plan.to_values()})
        except BaseException:
            self._places.give_back(place)
            raise
        worker = IsolatedWorker(
            server=server,
            pid=pid,
            process=process,
            endpoint=ends[0],
            output=ends[1],
            plan=plan,
            card_memory=self._card_memory,
            on_end=lambda worker, crashed: self._forget(worker, crashed, place),
        )
        with self._lock:
            self._workers.add(worker)
        worker.wait_ready(time.monotonic() + _READY_SECONDS)
        return worker

    def _plan(self, place: Place, limits: Limits, bare: bool) -> Lockdown:
        return Lockdown(
            kernel_layers=self._policy.level != "unsafe" and not bare,
            profile=self._policy.profile,
            rules=self._policy.rules,
            scratch=str(place.scratch) if place.scratch else None,
            limits=limits,
            card=self._policy.card.uuid if self._policy.card and not bare else None,
            uid=place.uid,
            own_network=self._policy.own_network,
        )

    def _ask(
        self, server: Server, request: dict[str, Any]
    ) -> tuple[tuple[socket.socket, int], int, int]:
        """Our ends of a new worker's channel and output, its id in the server's eyes, a pidfd."""
        ours, theirs = socket.socketpair()
        readable, writable = os.pipe()
        try:
            pid, process = server.start(request, [theirs.fileno(), writable])
        except BaseException:
            ours.close()
            os.close(readable)
            raise
        finally:
            theirs.close()
            os.close(writable)
        return (ours, readable), pid, process

    def _forget(self, worker: IsolatedWorker, crashed: bool, place: Place) -> None:
        with self._lock:
            self._workers.discard(worker)
        self._places.give_back(place)
        if crashed:
            # All workers of one server share its address layout: a crash may have told some of it.
            self._pool.recycle(worker.server)

    def _watch(self) -> None:
        while not self._closing.wait(_WATCH_SECONDS):
            with self._lock:
                workers = list(self._workers)
            for worker in workers:
                worker.inspect()

    def close(self) -> None:
        """See `protocol.Isolation.close`."""
        if self._closing.is_set() or os.getpid() != self._owner:
            return
        self._closing.set()
        self._watchdog.join()
        if self._card_memory is not None:
            self._card_memory.close()
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.close()
        self._pool.close()
        self._folders.remove()
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
