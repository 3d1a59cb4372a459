"""Records as rows of the tables that `leaderboards.columns` describes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agent_sandbox.validator.syntax import read_syntax
from agent_sandbox.validator.violation import Violation
from leaderboards.contents import Contents
from leaderboards.dossiers import Dossier, Dossiers, dossier_of
from leaderboards.pareto import COSTS, costs
from leaderboards.reading import Reading, readings
from leaderboards.scores import Board, Entry
from lra_design.records import Attempt, Feedback, Run, to_json

Row = dict[str, Any]
"""Column -> value."""


def run_row(run: Run, *, counts: bool) -> Row:
    """A row of `RUNS`. counts: whether it is the one of its training that counts."""
    same = ("run_id", "created_at", "name", "origin", "agent", "source_hash", "task", "scale")
    more = ("setting", "mode", "seed", "device", "num_parameters", "num_attempts", "divergence")
    return {name: getattr(run, name) for name in (*same, *more)} | {
        "counts": counts,
        "validation": run.validation.accuracy if run.validation else None,
        "test": run.test.accuracy if run.test else None,
        "twin": run.twin.accuracy if run.twin else None,
        "num_findings": len(run.findings),
        "seconds": run.usage.seconds,
        "cpu_seconds": run.usage.cpu_seconds,
        "peak_memory_bytes": run.usage.peak_memory_bytes,
        "isolation": run.isolation.level,
        "num_steps": run.train.num_steps,
        "batch_size": run.train.batch_size,
        "learning_rate": run.train.learning_rate,
        "hyperparameters": json.dumps(run.hyperparameters, sort_keys=True),
        "study": run.tuning.study if run.tuning else None,
    }


def attempt_row(search: str, agent: str | None, attempt: Attempt) -> Row:
    """A row of `ATTEMPTS`."""
    proposal, feedback, spent = attempt.proposal, attempt.feedback, attempt.spent
    scores = {score.task: score.accuracy for score in feedback.scores}
    return {
        "search": search,
        "attempt": attempt.index,
        "agent": agent,
        "created_at": attempt.created_at,
        "source_hash": attempt.source_hash,
        "code_hash": attempt.code_hash,
        "operator": proposal.operator,
        "change": proposal.change,
        "parents": json.dumps(proposal.parents),
        "parts": json.dumps(proposal.parts),
        "source": proposal.source,
        "valid": feedback.report.valid,
        "first_error": _first_error(feedback),
        "num_warnings": sum(finding.tier != "error" for finding in feedback.report.findings),
        "num_parameters": feedback.report.num_parameters,
        "flops_exponent": _flops_exponent(feedback),
        "scores": json.dumps(scores, sort_keys=True),
        "mean": feedback.mean_accuracy,
        "seconds": feedback.seconds,
        "wall_seconds": spent.wall_seconds,
        "device_seconds": spent.device_seconds,
        "tokens": spent.tokens,
        "dollars": spent.dollars,
    }


def finding_rows(search: str, attempt: Attempt) -> Iterator[Row]:
    """Rows of `FINDINGS`: those of the validator, and the failure after them."""
    findings, failure = attempt.feedback.report.findings, attempt.feedback.failure
    for place, finding in enumerate((*findings, *([failure] if failure else []))):
        same = ("check", "name", "tier", "expected", "found", "where")
        yield {name: getattr(finding, name) for name in same} | {
            "search": search,
            "attempt": attempt.index,
            "place": place,
            "failure": place == len(findings),
        }


def trial_rows(runs: Iterable[Run]) -> Iterator[Row]:
    """Rows of `TRIALS`: each study once, however many seeds were trained with what it found."""
    longest: dict[tuple[str, ...], Run] = {}
    for run in runs:
        if run.tuning is not None:
            key = (run.tuning.study, run.source_hash, run.task, run.scale, run.mode)
            longest[key] = max(longest.get(key, run), run, key=_num_trials)
    for run in longest.values():
        yield from _trials(run)


def _num_trials(run: Run) -> int:
    return len(run.tuning.trials) if run.tuning else 0


def _trials(run: Run) -> Iterator[Row]:
    for trial in run.tuning.trials if run.tuning else ():
        own = ("number", "origin", "outcome", "accuracy", "seconds", "retry_of", "note")
        shared = ("name", "source_hash", "task", "scale", "mode")
        yield {name: getattr(run, name) for name in shared} | {
            **{name: getattr(trial, name) for name in own},
            "study": run.tuning.study if run.tuning else None,
            "values": json.dumps(trial.values, sort_keys=True),
        }


def torch_names(source: str) -> list[str]:
    """What of torch a source uses, whatever it calls it: `nn.functional.softmax`, `cumsum`.

    By the names that it imports; methods of a tensor are not among them. Empty when it does not
    parse.
    """
    syntax = read_syntax(source.encode(errors="replace"))
    if isinstance(syntax, Violation):
        return []
    paths = {reference.path for reference in syntax.references}
    return sorted(path.removeprefix("torch.") for path in paths if path.startswith("torch."))


def _first_error(feedback: Feedback) -> str | None:
    errors = [finding.check for finding in feedback.report.findings if finding.tier == "error"]
    if not errors and feedback.failure is not None:
        return feedback.failure.check
    return errors[0] if errors else None


def _flops_exponent(feedback: Feedback) -> float | None:
    scaling = feedback.report.scaling
    exponents = scaling.exponents if scaling else ()
    return next((one.value for one in exponents if one.quantity == "flops"), None)


def entry_rows(contents: Contents, entries: Sequence[Entry]) -> list[Row]:
    """Rows of `ENTRIES`. entries: what the runs of `contents` amount to, as `rank` gives them."""
    by_id = {run.run_id: run for run in contents.runs}
    known = readings(entries, contents.runs)
    return [
        _entry_row(entry, reading, [by_id[run_id] for run_id in entry.run_ids], contents.dossiers)
        for entry, reading in zip(entries, known, strict=True)
    ]


def _entry_row(entry: Entry, reading: Reading, runs: Sequence[Run], dossiers: Dossiers) -> Row:
    dossier = dossier_of(runs[0], dossiers)
    board, test, took = entry.board, entry.test, costs(entry, runs, dossier)
    same = ("name", "origin", "agent", "source_hash", "validation", "chance", "gap_points")
    more = ("normalised", "normalised_capped", "num_attempts", "selection_bias_points")
    rest = ("num_parameters", "isolation", "rank", "tied_with_best")
    return {
        **{name: getattr(board, name) for name in ("task", "scale", "setting", "mode")},
        **{name: getattr(entry, name) for name in (*same, *more, *rest)},
        **{name: getattr(took, name) for name in COSTS},
        **_reading_row(reading),
        **_dossier_row(dossier),
        **_tuning_row(runs),
        "board": board_hash(board),
        "num_seeds": len(entry.seeds),
        "test": test.mean if test else None,
        "test_low": test.low if test else None,
        "test_high": test.high if test else None,
        "interval": test.kind if test else None,
        "num_findings": len(entry.findings),
        "num_divergences": len(entry.divergences),
    }


def board_hash(board: Board) -> str:
    """Equal for entries that are comparable."""
    return hashlib.sha256(to_json(board).encode()).hexdigest()[:16]


def _reading_row(reading: Reading) -> Row:
    smallest = reading.windowed[0] if reading.windowed else None
    return {
        "depth": reading.depth,
        "reach": reading.reach,
        "copy_of": reading.copy_of,
        "window": smallest.window if smallest else None,
        "window_share": smallest.share if smallest else None,
    }


def _dossier_row(dossier: Dossier | None) -> Row:
    nearest = dossier.neighbours[0] if dossier and dossier.neighbours else None
    return {
        "certified": dossier.certificate.certified if dossier else None,
        "nearest": nearest.name if nearest else None,
        "nearest_distance": nearest.distance if nearest else None,
    }


def _tuning_row(runs: Sequence[Run]) -> Row:
    """Of the first seed that has a ledger: an entry's seeds share their configuration."""
    tuning = next((run.tuning for run in runs if run.tuning), None)
    return {
        "num_trials": len(tuning.trials) if tuning else None,
        "default_accuracy": tuning.default_accuracy if tuning else None,
        "tuned_accuracy": tuning.tuned_accuracy if tuning else None,
        "tuning_gain_points": tuning.gain_points if tuning else None,
    }
