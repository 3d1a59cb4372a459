"""Whether the records of a bundle fit each other: what can be told without running anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from agent_sandbox.candidate import source_hash
from leaderboards.bundles.layout import MAX_SEEDS
from leaderboards.dossiers import Dossier
from leaderboards.scores import rank
from lra_design.errors import RecordError
from lra_design.records import Run, Score
from mechanisms import REFERENCES, reference_hash
from trainers.job import identity
from trainers.referee import run_job

MAX_NAME = 200
"""Characters of a name."""
MAX_WIDTH, MAX_LAYERS, MAX_STEPS = 2**16, 256, 10**8
"""Far above every recipe; the judge itself counts the parameters of such a network."""


def check_claims(source: bytes, runs: Sequence[Run], dossier: Dossier, train_split: str) -> None:
    """Raise RecordError unless these are the runs and the certificate of one entry.

    train_split: hash of the split they were trained on.
    """
    if not 1 <= len(runs) <= MAX_SEEDS:
        raise RecordError(f"expected the records of 1 to {MAX_SEEDS} seeds, found {len(runs)}")
    digest = source_hash(source)
    _check_certificate(dossier, digest, runs[0])
    for run in runs:
        for says, holds in RULES:
            if not holds(run):
                raise RecordError(f"the record of seed {run.seed}: expected {says}")
        if run.source.encode() != source or run.source_hash != digest:
            raise RecordError(f"the record of seed {run.seed} is of another source")
        _check_id(run, train_split)
    _check_one_entry(runs)


def _check_certificate(dossier: Dossier, digest: str, run: Run) -> None:
    report = dossier.certificate
    if not report.certified:
        raise RecordError("its report is no certificate: expected the full battery and no error")
    if not dossier.neighbours or dossier.same_below is None:
        raise RecordError("its dossier does not say which known mechanisms are nearest")
    found = report.source_hash, report.mode, report.hyperparameters
    if found != (digest, run.mode, run.hyperparameters):
        raise RecordError("its certificate is of another source, mode or hyperparameters")


def _check_id(run: Run, train_split: str) -> None:
    assert run.validation is not None, "asked by the rules"
    splits = train_split, run.validation.split_hash
    if identity(run_job(run), splits, run.versions) != run.run_id:
        raise RecordError(
            f"the record of seed {run.seed} has an id that is not that of its own content: its "
            "configuration, source, splits, seed, device or versions were changed"
        )


def _check_one_entry(runs: Sequence[Run]) -> None:
    seeds = [run.seed for run in runs]
    if seeds != sorted(set(seeds)):
        raise RecordError(f"expected each seed once, ascending, found {seeds}")
    shown = {(run.name, run.origin, run.agent, run.num_attempts) for run in runs}
    if len(shown) > 1 or len(rank(runs, chance={})) > 1:
        raise RecordError("its runs are not of one entry: they differ in more than the seed")


def _is_score(score: Score | None, run: Run, split: str) -> bool:
    """Whether this is a possible score of the run on the split: a share of so many labels."""
    return (
        score is not None
        and (score.task, score.split) == (run.task, split)
        and 0 <= score.accuracy <= 1
        and min(score.num_examples, score.num_labels) >= 1
        and round(score.accuracy * score.num_labels) / score.num_labels == score.accuracy
        and all(0 <= group.accuracy <= 1 and group.num_labels >= 1 for group in score.groups)
    )


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_buildable(run: Run) -> bool:
    """Whether the host and the recipe are of a size that can be asked for without harm to us."""
    host, train = run.host, run.train
    sizes = (host.d_model, host.num_heads, host.d_mlp, train.batch_size)
    steps = (train.num_steps, train.evaluate_every)
    return (
        all(1 <= size <= MAX_WIDTH for size in sizes)
        and 1 <= host.num_layers <= MAX_LAYERS
        and all(1 <= step <= MAX_STEPS for step in steps)
    )


def _is_reference(run: Run) -> bool:
    """Whether it is a known mechanism as that stands: nobody else's may be shown as one."""
    return run.name in REFERENCES and run.source_hash == reference_hash(run.name)


def _uses_are_possible(run: Run) -> bool:
    usage = run.usage
    amounts = [usage.seconds, usage.cpu_seconds, usage.peak_memory_bytes]
    amounts += [trial.seconds for trial in run.tuning.trials] if run.tuning else []
    return all(amount >= 0 for amount in amounts)


RULES: tuple[tuple[str, Callable[[Run], bool]], ...] = (
    (
        "a validation score of its own task",
        lambda run: _is_score(run.validation, run, "validation"),
    ),
    ("a test score of its own task", lambda run: _is_score(run.test, run, "test")),
    (
        "accuracies of its curve in [0, 1]",
        lambda run: all(0 <= point.accuracy <= 1 for point in run.curve),
    ),
    ("a seed below 2^31", lambda run: 0 <= run.seed < 2**31),
    (
        "counts of at least 1",
        lambda run: min(run.num_parameters, run.num_attempts) >= 1,
    ),
    (
        f"widths and batches up to {MAX_WIDTH}, {MAX_LAYERS} layers, {MAX_STEPS} steps",
        _is_buildable,
    ),
    ("seconds and bytes of at least 0", _uses_are_possible),
    ("a moment with its time zone", lambda run: _is_moment(run.created_at)),
    (
        f"a name and an agent of 1 to {MAX_NAME} characters",
        lambda run: all(0 < len(name) <= MAX_NAME for name in (run.name, run.agent or "-")),
    ),
    (
        "the origin 'candidate', or the file of the reference that it names",
        lambda run: run.origin == "candidate" or _is_reference(run),
    ),
    (
        "a mode that is that of its host",
        lambda run: (run.mode == "causal") == run.host.causal,
    ),
    (
        "a ledger in the tuned setting alone",
        lambda run: run.tuning is None or run.setting == "tuned",
    ),
)
"""What holds for every run that was scored."""
