"""Jobs on many processors and machines: a JSON spec and an output folder each.

`protocol` says what a job is and what an executor does, `folder` what a job's folder holds, `work`
is the program that a job runs, `command_line` what it does where the job is a command of
`lra-design`, `process` starts and ends it, `grid` follows many jobs to their ends. `local` runs
them as processes of this machine, `on_ray` on a Ray cluster, `slurm` through a batch system;
`opening` opens the one that a caller names.
"""

from trainers.executors.folder import read_progress
from trainers.executors.grid import raise_failure, run_jobs
from trainers.executors.opening import open_executor
from trainers.executors.protocol import (
    Assignment,
    CommandSpec,
    Executor,
    State,
    TrainSpec,
    WorkSpec,
    command,
    training,
)

__all__ = [
    "Assignment",
    "CommandSpec",
    "Executor",
    "State",
    "TrainSpec",
    "WorkSpec",
    "command",
    "open_executor",
    "raise_failure",
    "read_progress",
    "run_jobs",
    "training",
]
