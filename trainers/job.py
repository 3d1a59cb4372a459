"""What is asked of one training, and the identity of its outcome."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Literal

from agent_sandbox.candidate import source_hash
from lra_design.records import Device, HostConfig, Scalar, TrainConfig, Versions, record
from lra_design.versions import current_versions
from tasks.registry import get_task
from tasks.splits.storage import split_hash
from tasks.task import Task
from trainers.host import TaskShape


@record
class Job:
    """One mechanism, one task, one configuration, one seed."""

    name: str
    origin: Literal["reference", "candidate"]
    agent: str | None
    source: str
    task: str
    scale: Literal["smoke", "small", "full"]
    setting: Literal["fixed", "tuned"]
    host: HostConfig
    train: TrainConfig
    hyperparameters: dict[str, Scalar]
    seed: int
    device: Device = "cpu"
    """What it is trained on; of two trainings on different devices neither goes on as the other."""
    num_attempts: int = 1
    """How many attempts the agent chose this candidate from."""


def run_id(job: Job) -> str:
    """SHA-256 of all that the numbers of a run depend on: equal jobs have equal ids."""
    task = get_task(job.task)
    splits = split_hash(task, "train"), split_hash(task, "validation")
    return identity(job, splits, current_versions())


def identity(job: Job, splits: tuple[str, str], versions: Versions) -> str:
    """The id of a run that another machine made of `job`.

    splits: hashes of its training and its validation split. versions: what computed it there.
    """
    asked = {
        "source": source_hash(job.source.encode()),
        "task": job.task,
        "splits": list(splits),
        "setting": job.setting,
        "host": asdict(job.host),
        "train": asdict(job.train),
        "hyperparameters": job.hyperparameters,
        "seed": job.seed,
        "device": job.device,
        "versions": asdict(versions),
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def task_shape(task: Task) -> TaskShape:
    """What the host must know of `task`."""
    return TaskShape(
        vocab_size=len(task.vocabulary),
        num_classes=task.num_classes,
        max_seq_len=task.max_seq_len,
        labels=task.labels,
        documents=task.documents,
        normalisation=task.normalisation,
        window=task.window,
    )
