"""Jobs of a SLURM cluster, through submitit.

Each job is a batch job that starts the job's process on its node. Before its time is up, or when it
is preempted, SLURM sends a signal: the process lets go of its trial, and the same batch job waits
in the queue again, from where it goes on.
"""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lra_design.errors import HarnessError, UsageError
from trainers.executors import process
from trainers.executors.folder import LOG
from trainers.executors.protocol import State
from trainers.executors.remote import RemoteExecutor


@dataclass(frozen=True)
class SlurmOptions:
    """What is asked of SLURM for each job."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    cpus: int = 2
    gpus: int = 0
    memory: int | None = None
    """GB; None: what the partition gives."""
    minutes: int = 720
    requeues: int = 20
    """How often a job that ran out of its time waits in the queue again."""
    cluster: Literal["slurm", "local"] = "slurm"
    """`local`: processes of this machine behind the same interface, for trying it."""


class SlurmExecutor(RemoteExecutor[Any]):
    """An `Executor` on a SLURM cluster; submission files lie in `slurm/` of a job's folder."""

    def __init__(self, options: SlurmOptions) -> None:
        """Raises UsageError without submitit, HarnessError where there is no SLURM."""
        super().__init__()
        self._options = options
        self._submitit = _import_submitit()
        if options.cluster == "slurm" and shutil.which("sbatch") is None:
            raise HarnessError(
                "there is no SLURM here: expected the command sbatch on the path. Run this on a "
                "login node of the cluster, or choose --executor local."
            )

    def _start(self, folder: Path, ticket: str) -> Any:
        try:
            executor = self._submitit.AutoExecutor(
                folder=folder / "slurm",
                cluster=self._options.cluster,
                slurm_max_num_timeout=self._options.requeues,
            )
            executor.update_parameters(**_parameters(self._options, ticket))
            task = BatchTask(str(folder), ticket, process.passed_on())
            return executor.submit(task)
        except Exception as error:  # submitit raises its own, CalledProcessError, NameError, ...
            raise HarnessError(f"SLURM does not take the job: {error}") from error

    def _ending(self, handle: Any, folder: Path, ticket: str) -> State | None:
        if not handle.done():
            return None
        why = f"SLURM job {handle.job_id} is {handle.state}, see {folder / LOG} and slurm/"
        return State(name="lost", why=why)

    def _end(self, handle: Any) -> None:
        handle.cancel(check=False)


@dataclass(frozen=True)
class BatchTask:
    """What a batch job runs; submitit keeps it, pickled, beside the job."""

    folder: str
    ticket: str
    environment: dict[str, str]

    def __call__(self) -> int:
        """Run the job on this node; its exit code, which nobody reads."""
        return process.run(self.folder, self.ticket, self.environment)

    def checkpoint(self) -> Any:
        """Called by submitit when the job is preempted or its time is up: the same once more."""
        return _import_submitit().helpers.DelayedSubmission(self)


def _parameters(options: SlurmOptions, ticket: str) -> dict[str, Any]:
    """What submitit calls the options; what is None is left out by it."""
    own = {name: getattr(options, name) for name in ("partition", "account", "qos")}
    return {
        "name": f"lra-{ticket[:8]}",
        "cpus_per_task": options.cpus,
        "gpus_per_node": options.gpus or None,
        "mem_gb": options.memory,
        "timeout_min": options.minutes,
        **{f"slurm_{name}": value for name, value in own.items()},
    }


def slurm_options(texts: dict[str, str]) -> SlurmOptions:
    """The options that an address gives as texts. Raises UsageError for one of the wrong kind."""
    values: dict[str, Any] = dict(texts)
    for field in dataclasses.fields(SlurmOptions):
        if "int" in str(field.type) and field.name in values:
            if not values[field.name].isdecimal():
                raise UsageError(f"{field.name}={values[field.name]}: expected a whole number.")
            values[field.name] = int(values[field.name])
    if values.get("cluster", "slurm") not in ("slurm", "local"):
        raise UsageError(f"cluster={values['cluster']}: expected slurm, or local to try it.")
    return SlurmOptions(**values)


def _import_submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise UsageError(
            "submitit is not installed: pip install 'lra-design[slurm]', or choose --executor "
            "local."
        ) from None
    return submitit
