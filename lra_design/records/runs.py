"""One training and its scores: the row the leaderboard is made of."""

from __future__ import annotations

from typing import Literal

from lra_design.records.configs import HostConfig, TrainConfig
from lra_design.records.isolation import Device, Hardware, IsolationRecord, Usage, Versions
from lra_design.records.serialised import Scalar, record
from lra_design.records.tuning import Tuning
from lra_design.records.validation import Finding


@record
class GroupScore:
    """Accuracy over the labels of one group: those at one distance, say."""

    group: int
    accuracy: float
    num_labels: int


@record
class Score:
    """Accuracy on one split, computed by the judge from logits and its own labels."""

    task: str
    split: Literal["validation", "test"]
    split_hash: str
    accuracy: float
    """In [0, 1]; over labelled positions where a task labels positions."""
    num_examples: int
    num_labels: int
    """Number of scored labels; equals num_examples where each example has one."""
    groups: tuple[GroupScore, ...] = ()
    """The same by group, in rising order, where the task has groups."""


@record
class Point:
    """One evaluation on the way."""

    step: int
    loss: float
    """Mean training loss since the point before."""
    gradient_norm: float
    """Mean norm before clipping since the point before."""
    learning_rate: float
    accuracy: float
    """On the validation split."""
    seconds: float
    """Since the start of the training, interruptions left out."""


Divergence = Literal["not finite", "loss spike", "stuck at chance"]
"""Why a training led nowhere. The first two ended it early."""


@record
class Run:
    """One training with one seed: the immutable row the leaderboard is made of."""

    schema: Literal[1] = 1
    run_id: str
    """Content hash of what was asked for: source, task, splits, configs, seed, device, versions."""
    created_at: str
    """UTC, ISO 8601."""
    name: str
    """Shown on the board."""
    origin: Literal["reference", "candidate"]
    agent: str | None
    """Who wrote the candidate; None for references and for files validated by hand."""
    source: str
    source_hash: str
    task: str
    scale: Literal["smoke", "small", "full"]
    setting: Literal["fixed", "tuned"]
    mode: Literal["causal", "bidirectional"]
    host: HostConfig
    train: TrainConfig
    hyperparameters: dict[str, Scalar]
    """Of the mechanism, beyond its defaults."""
    seed: int
    device: Device = "cpu"
    """What it was asked to be trained on; `hardware` names the card."""
    num_parameters: int
    """Of the whole network, counted from the exported tensors."""
    validation: Score | None
    test: Score | None
    """None until the referee has scored the run."""
    divergence: Divergence | None = None
    """What the training came to, where it led nowhere; see `trainers.divergence`."""
    curve: tuple[Point, ...] = ()
    """Every evaluation on the way, first to last; empty in older records."""
    compiled: Literal["off", "on", "failed"] = "off"
    """What its worker said of `torch.compile`, a note and no more; `failed`: it was tried, and the
    training went on without."""
    twin: Score | None = None
    """Of a training on shuffled labels, against shuffled test labels: it must be at chance. None
    when no twin was asked for."""
    findings: tuple[Finding, ...]
    """Of validation (warnings) and of the referee."""
    usage: Usage
    isolation: IsolationRecord
    hardware: Hardware
    versions: Versions
    num_attempts: int = 1
    """How many attempts the agent chose this one from: a best of many is not a first try."""
    tuning: Tuning | None = None
    """How its configuration was found; None in the `fixed` setting, and in older records."""
