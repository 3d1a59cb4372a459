"""Jobs on a Ray cluster, which finds them a machine with the processors and GPUs they need.

Ray sees two strings for each job: its folder and its ticket. What it runs is our own function,
which starts the job's process on the node; candidates are read, and isolated, by that process.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lra_design.errors import HarnessError, UsageError
from trainers.executors import process
from trainers.executors.folder import after_exit
from trainers.executors.protocol import State
from trainers.executors.remote import RemoteExecutor

ADDRESS_VARIABLE = "RAY_ADDRESS"
MODE_VARIABLE, TOKEN_VARIABLE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"


class RayExecutor(RemoteExecutor[Any]):
    """An `Executor` on a Ray cluster. A job that is lost with its node is not retried by Ray: who
    submitted it must know, because its trial has to be asked for again."""

    def __init__(self, address: str | None, num_cpus: float = 1, num_gpus: float = 0) -> None:
        """address: `auto`, `host:6379` or `ray://host:10001`; None: what RAY_ADDRESS says, or a
        cluster of this machine alone, for as long as the executor is open. num_cpus, num_gpus: of
        each job. Raises UsageError without Ray, HarnessError when the cluster cannot be reached.
        """
        super().__init__()
        chosen = address or os.environ.get(ADDRESS_VARIABLE) or "local"
        if chosen == "local":
            _require_token()
        self._ray = _import_ray()
        with _ray_faults(f"cannot use the Ray cluster {chosen}"):
            self._ray.init(
                address=chosen,
                log_to_driver=False,  # jobs write into their own folders
                logging_level="ERROR",
                **({"include_dashboard": False} if chosen == "local" else {}),
            )
        self._run = self._ray.remote(
            num_cpus=num_cpus, num_gpus=num_gpus, max_retries=0, scheduling_strategy="SPREAD"
        )(process.run)

    def close(self) -> None:
        """See `Executor.close`."""
        if self._ray.is_initialized():
            super().close()
            self._ray.shutdown()

    def _start(self, folder: Path, ticket: str) -> Any:
        with _ray_faults("Ray does not take the job"):
            return self._run.remote(str(folder), ticket, process.passed_on())

    def _ending(self, handle: Any, folder: Path, ticket: str) -> State | None:
        errors = self._ray.exceptions
        with _ray_faults("the Ray cluster is gone"):
            if not self._ray.wait([handle], timeout=0)[0]:
                return None
        try:
            return after_exit(folder, ticket, self._ray.get(handle))
        except errors.RayTaskError as error:
            why = f"Ray could not run it: {_last_line(error)}"
            return State(name="failed", why=why, error="harness")
        except errors.RayError as error:
            why = _first_line(error).partition(". ")[0]
            return State(name="lost", why=f"{type(error).__name__}: {why}")

    def _end(self, handle: Any) -> None:
        with suppress(Exception):  # a cluster that is gone runs nothing
            self._ray.cancel(handle)


def _import_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise UsageError(
            "Ray is not installed: pip install 'lra-design[ray]', or choose --executor local."
        ) from None
    return ray


def _require_token() -> None:
    """Give a cluster of our own a token that no file holds; one that the user chose stays.

    Without, Ray 2.59 and later write one into the home folder, and earlier ones ask for none.
    """
    if MODE_VARIABLE not in os.environ:
        os.environ[MODE_VARIABLE] = "token"
        os.environ.setdefault(TOKEN_VARIABLE, secrets.token_hex(32))


@contextmanager
def _ray_faults(what: str) -> Iterator[None]:
    """Raise HarnessError for a cluster that fails while the block uses it."""
    try:
        yield
    except Exception as error:  # Ray raises its own, ConnectionError, RuntimeError, ValueError, ...
        raise HarnessError(
            f"{what}: {_first_line(error)}. Look at `ray status`, and at docs/clusters.md."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")[:300]


def _last_line(error: Exception) -> str:
    return str(error).strip().rpartition("\n")[2].rstrip(".")[:300]
