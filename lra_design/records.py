"""The values that cross the borders between the parts, each of which serialises to JSON.

Every record is a frozen dataclass. `to_json` and `from_json` are the only way in and out; reading
rejects unknown keys, wrong types and numbers that are not finite. A number that is missing is
None, never 0.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, dataclass_transform

from lra_design.errors import RecordError

T = TypeVar("T")
Tier = Literal["error", "warning", "info"]
Scalar = str | int | float | bool
"""The value of a hyperparameter."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make a frozen, keyword-only dataclass that refuses unknown keys when it is read from JSON."""
    cls.__pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


def to_json(value: Any, *, indent: int | None = None) -> str:
    """The canonical JSON of a record: keys sorted, no NaN or infinity."""
    return json.dumps(dataclasses.asdict(value), sort_keys=True, allow_nan=False, indent=indent)


def from_json(cls: type[T], text: str | bytes) -> T:
    """The record that `text` holds. Raises RecordError saying which key is wrong and how."""
    from pydantic import ValidationError

    try:
        value: T = _adapter(cls).validate_json(text)  # type: ignore[arg-type]
        return value
    except ValidationError as error:
        raise RecordError(f"not a {cls.__name__}: {_first_fault(cls, error)}") from None


@functools.cache
def _adapter(cls: type[Any]) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def _first_fault(cls: type, error: Any) -> str:
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"]) or "the text"
    if fault["type"] == "unexpected_keyword_argument":
        known = [f.name for f in dataclasses.fields(cls)]
        nearest = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        return f"unknown key '{where}'" + (f", did you mean '{nearest[0]}'?" if nearest else "")
    return f"{where}: {fault['msg']}"


@record
class Finding:
    """One violation of one check, written for the author of the candidate."""

    check: str
    """Stable id, `LRA101`."""
    name: str
    """Stable name of the check, `imports`."""
    tier: Tier
    """`error` makes the candidate invalid; `warning` is shown on the board; `info` is neither."""
    expected: str
    found: str
    likely_cause: str
    hint: str
    """What to do next."""
    where: str = ""
    """A source line or the circumstances: `line 12`, `float64, B=3, L=37, causal`."""


@record
class CheckRun:
    """That a check was run, over how many cases, and what it cost."""

    check: str
    name: str
    num_cases: int
    num_findings: int
    seconds: float
    ended_by: str | None = None
    """Id of the finding that ended the check before its verdict; None: it came to one."""


@record
class Limits:
    """What one isolated worker may use; enforced from outside the candidate's process."""

    memory_bytes: int = 2 * 1024**3
    """For the training of a network, the training split comes on top."""
    output_bytes: int = 1024**2
    """What it may write to stdout and stderr together."""
    num_threads: int = 16
    wall_seconds: float = 3600.0
    """From start to end of the worker; every call has a limit of its own besides."""
    num_processes: int = 64
    """Processes and threads together; profile `train` only, `validate` has one process."""
    disk_bytes: int = 1024**3
    """In the scratch folder; profile `train` only, `validate` writes nothing."""
    num_files: int = 10_000
    """Files and folders in the scratch folder."""


Profile = Literal["validate", "train"]
"""`validate`: no processes, nothing writable. `train`: both, within limits (for compilers)."""
Level = Literal["standard", "strong", "container", "unsafe"]
"""How candidates are kept apart from the judge; see `agent_sandbox.isolation`."""


@record
class IsolationRecord:
    """How a candidate was kept apart from the judge while it ran."""

    level: Level
    profile: Profile = "validate"
    landlock_abi: int | None
    seccomp: bool
    dropped_uid: bool
    """The worker ran under an unused user id (only root can arrange that)."""
    self_test_passed: bool
    gaps: tuple[str, ...]
    """What this level cannot stop on this machine, by name."""
    limits: Limits


@record
class Versions:
    """What computed a record."""

    lra_design: str
    contract: str
    python: str
    torch: str


@record
class Hardware:
    """Where a record was computed."""

    machine: str
    processor: str
    num_cpus: int
    device: str
    num_threads: int


@record
class ScalingPoint:
    """What one forward of one example costs at one length."""

    seq_len: int
    flops: float | None
    """Floating-point operations, one for each element an elementwise operation touches; counted in
    the candidate's process. None where they could not be counted."""
    peak_memory_bytes: float | None
    """The most bytes of intermediate tensors alive at once, counted likewise."""
    seconds: float
    """Fastest of a few calls on one thread, by the judge's clock."""


Quantity = Literal["flops", "peak_memory_bytes", "seconds"]


@record
class Exponent:
    """How one cost grows with the length: as the length to this power."""

    quantity: Quantity
    value: float
    low: float
    """Lower end of the 95 % interval of the fit."""
    high: float


@record
class Scaling:
    """Measured cost over at least five lengths, and the exponents fitted to it."""

    points: tuple[ScalingPoint, ...]
    exponents: tuple[Exponent, ...]
    """Of the quantities that could be measured at five lengths at least."""
    claimed: float | None
    """The exponent of the FLOPs that the mechanism's `claimed_cost` states; None: no claim."""


@record
class ValidationReport:
    """What is known of a candidate's validity; when `certified`, it is its certificate."""

    mechanism: str | None
    """Name of the class, None when the file has no single mechanism."""
    source_hash: str
    """SHA-256 of the file's bytes, hexadecimal."""
    mode: Literal["causal", "bidirectional"]
    hyperparameters: dict[str, Scalar] = field(default_factory=dict)
    """Those it was built with, beyond its defaults."""
    findings: tuple[Finding, ...]
    checks: tuple[CheckRun, ...]
    battery: Literal["full", "fast", "partial"]
    """Which checks were asked. Only `full` certifies; `partial` is a choice of the caller's."""
    num_parameters: int | None
    """Of one mechanism at the validator's sizes."""
    scaling: Scaling | None
    """None when the cost was not measured."""
    search_space: dict[str, dict[str, Any]]
    replay_token: str
    """Lets the owner of the installation draw the same inputs again."""
    seconds: float
    isolation: IsolationRecord | None
    """None when the source was refused before anything ran."""
    versions: Versions

    @property
    def valid(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.tier != "error" for finding in self.findings)

    @property
    def certified(self) -> bool:
        """Whether this is a certificate: the full battery was asked and found no error."""
        return self.valid and self.battery == "full"


@record
class HostConfig:
    """The fixed network around the mechanism."""

    d_model: int
    num_heads: int
    num_layers: int
    d_mlp: int
    """F, width of the feed-forward layers and of the head's hidden layer."""
    causal: bool
    positions: Literal["none", "sinusoidal"]
    """What the host adds to the embedding; with `none` the mechanism alone can tell the order."""
    dropout: float = 0.0
    head: Literal["nli", "concat"] = "nli"
    """What the head gets of two documents: [a; b; a*b; a-b] or [a; b]."""


@record
class TrainConfig:
    """How one network is trained."""

    num_steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_fraction: float = 0.1
    """Share of the steps in which the learning rate rises linearly to its peak."""
    schedule: Literal["cosine", "linear"] = "cosine"
    """How the learning rate then falls to 0: as half a cosine, or along a line."""
    clip_norm: float = 1.0
    evaluate_every: int
    """Steps between two evaluations on the validation split."""
    order: Literal["pools", "random"] = "pools"
    """`random`: each batch is one of a random permutation, as in the published recipes. `pools`: it
    holds examples of about one length, sorted within pools of such batches."""


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
class Usage:
    """What a worker took, measured by the judge."""

    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int


Divergence = Literal["not finite", "loss spike", "stuck at chance"]
"""Why a training led nowhere. The first two ended it early."""


@record
class Trial:
    """One trial of a study, as the ledger has it."""

    number: int
    origin: Literal["default", "quasi-random", "sampler"]
    """Who chose its values."""
    outcome: Literal["completed", "pruned", "failed", "requeued"]
    """`failed`: by the candidate's fault, or it killed its process twice. `requeued`: its process
    died or was interrupted, which is nobody's fault; another trial took its values over."""
    accuracy: float | None
    """On the validation split, in [0, 1]; None when it was not completed."""
    seconds: float
    """Device-seconds that it is charged with: what its worker took, measured by the judge. None of
    them for a requeued trial: the one that took over went on from its checkpoint."""
    values: dict[str, Scalar]
    """What was searched, the recipe's with the prefix `recipe.`; of the trial of the defaults only
    those within the space."""
    run: str | None
    """Folder of its training, below that of the study; None when it never began."""
    retry_of: int | None = None
    """The trial whose values it took over."""
    note: str = ""
    """Why it failed, or was pruned for another reason than its score."""


@record
class TuningProtocol:
    """What everybody gets alike: tuned entries are comparable when this is equal."""

    sampler: str
    pruner: str
    recipe_hash: str
    """SHA-256 of the recipe that the trials depart from and of the space searched around it."""
    num_trials: int
    max_seconds: float | None
    """Device-seconds after which no trial begins; None: no such bound."""


@record
class Tuning:
    """The ledger of one study: what was asked, and every trial in its order."""

    study: str
    """Name in the storage."""
    protocol: TuningProtocol
    space_hash: str
    """SHA-256 of all that was searched, the mechanism's own space included."""
    trials: tuple[Trial, ...]

    def count(self, outcome: str) -> int:
        """How many trials ended with that outcome."""
        return sum(trial.outcome == outcome for trial in self.trials)

    @property
    def device_seconds(self) -> float:
        """What all trials were charged with."""
        return sum(trial.seconds for trial in self.trials)

    @property
    def best(self) -> Trial | None:
        """The completed trial with the highest validation accuracy, the first of equal ones."""
        completed = [trial for trial in self.trials if trial.accuracy is not None]
        return max(completed, key=lambda trial: trial.accuracy or 0.0, default=None)

    @property
    def default_accuracy(self) -> float | None:
        """Validation accuracy of the recipe and the mechanism as they stand."""
        accuracies = [trial.accuracy for trial in self.trials if trial.origin == "default"]
        return next((accuracy for accuracy in accuracies if accuracy is not None), None)

    @property
    def tuned_accuracy(self) -> float | None:
        """Validation accuracy of the best trial: a best of many, on the split that chose it."""
        return self.best.accuracy if self.best else None

    @property
    def gain_points(self) -> float | None:
        """Percentage points from the default to the tuned accuracy, never negative."""
        if self.default_accuracy is None or self.tuned_accuracy is None:
            return None
        return 100 * (self.tuned_accuracy - self.default_accuracy)


@record
class Run:
    """One training with one seed: the immutable row the leaderboard is made of."""

    schema: Literal[1] = 1
    run_id: str
    """Content hash of what was asked for: source, task, splits, configs, seed, versions."""
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
    num_parameters: int
    """Of the whole network, counted from the exported tensors."""
    validation: Score | None
    test: Score | None
    """None until the referee has scored the run."""
    divergence: Divergence | None = None
    """What the training came to, where it led nowhere; see `trainers.divergence`."""
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


@record
class Feedback:
    """What an agent is told about one attempt: never anything of a test split."""

    report: ValidationReport
    scores: tuple[Score, ...] = ()
    """Validation scores, empty when the candidate is invalid or training failed."""
    failure: Finding | None = None
    """Why a valid candidate has no scores."""
    seconds: float = 0.0

    @property
    def mean_accuracy(self) -> float | None:
        """Mean over the scored tasks; None when there are none."""
        if not self.scores:
            return None
        return sum(score.accuracy for score in self.scores) / len(self.scores)


@record
class Proposal:
    """One candidate as its agent hands it in."""

    source: str
    change: str
    """What was changed against the parent, in one line."""
    operator: str
    """What made it: `draft`, `mutate`, `crossover`."""
    parents: tuple[str, ...] = ()
    """Source hashes."""
    notes: dict[str, Any] = field(default_factory=dict)
    """The agent's own; returned to it in the history."""


@record
class Attempt:
    """A proposal and what became of it: one line of the journal."""

    index: int
    source_hash: str
    proposal: Proposal
    feedback: Feedback
    created_at: str
