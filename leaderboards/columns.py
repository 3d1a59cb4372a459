"""The columns of every table that the leaderboard gives out, with their units.

`leaderboards.rows` fills them; the index (`leaderboards.index`) keeps attempts and findings,
exports write them, and `leaderboards.load` gives them as tables. What is not known is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Kind = Literal["text", "whole", "number", "yes/no"]
Columns = Mapping[str, tuple[Kind, str]]
"""Name -> kind, and what it means."""

RUNS: Columns = {
    "run_id": ("text", "content hash of what was asked for"),
    "counts": ("yes/no", "no: the same training done again, which counts for nothing"),
    "created_at": ("text", "UTC, ISO 8601"),
    "name": ("text", "as the board shows it"),
    "origin": ("text", "reference or candidate"),
    "agent": ("text", "who wrote the candidate; missing for references and files of people"),
    "source_hash": ("text", "SHA-256 of the source"),
    "task": ("text", "id of the task"),
    "scale": ("text", "smoke, small or full"),
    "setting": ("text", "fixed or tuned"),
    "mode": ("text", "causal or bidirectional"),
    "seed": ("whole", "of the initial weights and the order of the data"),
    "device": ("text", "what it was asked to be trained on"),
    "num_parameters": ("whole", "of the whole network"),
    "num_attempts": ("whole", "how many attempts the candidate was chosen from"),
    "validation": ("number", "accuracy on the validation split, in [0, 1]"),
    "test": ("number", "accuracy on the test split, in [0, 1]; missing until it was scored"),
    "twin": ("number", "test accuracy of the twin trained on shuffled labels, in [0, 1]"),
    "divergence": ("text", "what the training came to, where it led nowhere"),
    "num_findings": ("whole", "warnings of the validator and findings of the referee"),
    "seconds": ("number", "wall-clock time of the training's worker"),
    "cpu_seconds": ("number", "processor time of it"),
    "peak_memory_bytes": ("whole", "the most memory that the worker held"),
    "isolation": ("text", "how it was kept apart: unsafe, standard, strong or container"),
    "num_steps": ("whole", "of the recipe"),
    "batch_size": ("whole", "examples in a step"),
    "learning_rate": ("number", "peak of the schedule"),
    "hyperparameters": ("text", "of the mechanism, beyond its defaults: a JSON object"),
    "study": ("text", "name of the study that tuned it"),
}

ATTEMPTS: Columns = {
    "search": ("text", "folder of the journal, below the folder that was read"),
    "attempt": ("whole", "its number in the search, from 0"),
    "agent": ("text", "command of a program, or the policy, with the llm behind a slash"),
    "created_at": ("text", "UTC, ISO 8601"),
    "source_hash": ("text", "SHA-256 of the source"),
    "code_hash": ("text", "equal for sources that differ in comments and layout alone"),
    "operator": ("text", "what made it: draft, mutate, crossover, ..."),
    "change": ("text", "what was changed against the parent, in one line"),
    "parents": ("text", "source hashes: a JSON array"),
    "parts": ("text", "what the change touches: a JSON array"),
    "source": ("text", "the candidate's file"),
    "valid": ("yes/no", "whether the validator found no error"),
    "first_error": ("text", "id of the first check that found an error, or of the failure"),
    "num_warnings": ("whole", "findings of the validator that are no errors"),
    "num_parameters": ("whole", "of one mechanism at the validator's sizes"),
    "flops_exponent": ("number", "the FLOPs of a forward grow as the length to this power"),
    "scores": ("text", "validation accuracies in [0, 1] by task: a JSON object"),
    "mean": ("number", "their mean; missing without a score"),
    "seconds": ("number", "that judging it took, of validation and training"),
    "wall_seconds": ("number", "of the whole attempt, by the judge's clock"),
    "device_seconds": ("number", "charged to the search"),
    "tokens": ("whole", "that an llm read and wrote; missing where it did not say"),
    "dollars": ("number", "that an llm asked for; missing where a price is not known"),
}

FINDINGS: Columns = {
    "search": ("text", "as in attempts"),
    "attempt": ("whole", "as in attempts"),
    "place": ("whole", "in the report, from 0"),
    "check": ("text", "stable id of the check, such as LRA101"),
    "name": ("text", "stable name of the check"),
    "tier": ("text", "error, warning or info"),
    "failure": ("yes/no", "no finding of the validator: why a valid candidate has no scores"),
    "expected": ("text", "what was expected"),
    "found": ("text", "what was found"),
    "where": ("text", "a source line or the circumstances"),
}

TRIALS: Columns = {
    "study": ("text", "name of the study"),
    "name": ("text", "of the mechanism, as the board shows it"),
    "source_hash": ("text", "SHA-256 of the source"),
    "task": ("text", "id of the task"),
    "scale": ("text", "smoke, small or full"),
    "mode": ("text", "causal or bidirectional"),
    "number": ("whole", "of the trial in its study, from 0"),
    "origin": ("text", "default, quasi-random or sampler"),
    "outcome": ("text", "completed, pruned, failed or requeued"),
    "accuracy": ("number", "on the validation split, in [0, 1]; missing when not completed"),
    "seconds": ("number", "device-seconds it is charged with"),
    "retry_of": ("whole", "the trial whose values it took over"),
    "values": ("text", "what was searched: a JSON object"),
    "note": ("text", "why it failed, or was pruned for another reason than its score"),
}

ENTRIES: Columns = {
    "task": ("text", "id of the task"),
    "scale": ("text", "smoke, small or full"),
    "setting": ("text", "fixed or tuned"),
    "mode": ("text", "causal or bidirectional"),
    "board": ("text", "equal for entries that are comparable: a hash of all conditions"),
    "rank": ("whole", "by mean test accuracy; missing below 5 seeds"),
    "tied_with_best": ("yes/no", "its interval overlaps that of the board's best"),
    "name": ("text", "as the board shows it"),
    "origin": ("text", "reference or candidate"),
    "agent": ("text", "who wrote the candidate"),
    "source_hash": ("text", "SHA-256 of the source"),
    "copy_of": ("text", "hash of the source that it repeats under other names or another layout"),
    "num_seeds": ("whole", "with a test score"),
    "test": ("number", "mean test accuracy, in [0, 1]"),
    "test_low": ("number", "lower end of its 95 % interval"),
    "test_high": ("number", "upper end"),
    "interval": ("text", "what that interval is over: student-t over seeds, wilson over examples"),
    "validation": ("number", "mean validation accuracy, in [0, 1]"),
    "chance": ("number", "accuracy of always answering the most frequent class"),
    "gap_points": ("number", "percentage points above the human state of the art"),
    "normalised": ("number", "NS: 0 at chance, 1 at the human state of the art; not capped"),
    "normalised_capped": ("number", "NS, capped to [0, 1]"),
    "depth": ("number", "ListOps: levels of a tree that a shortcut needs for this accuracy"),
    "reach": ("whole", "positions that it sees back, on the probe of distances"),
    "window": ("whole", "tokens, of the smallest window-clamped twin that was scored"),
    "window_share": ("number", "of the accuracy above chance that is left in such windows"),
    "num_attempts": ("whole", "how many attempts the agent chose it from"),
    "selection_bias_points": ("number", "percentage points that being chosen adds at most"),
    "num_trials": ("whole", "of the study that tuned it"),
    "default_accuracy": ("number", "validation accuracy of the study's trial of the defaults"),
    "tuned_accuracy": ("number", "validation accuracy of its best trial: a best of many"),
    "tuning_gain_points": ("number", "percentage points between the two"),
    "num_parameters": ("whole", "of the whole network"),
    "device_seconds": ("number", "of one training: the median over seeds"),
    "flops": ("number", "of one forward of the mechanism over 4,096 positions"),
    "peak_memory_bytes": ("number", "of intermediate tensors in that forward"),
    "certified": ("yes/no", "whether its certificate is known here; missing without a report"),
    "nearest": ("text", "the known mechanism that behaves most like it"),
    "nearest_distance": ("number", "of its fingerprint to that one's"),
    "num_findings": ("whole", "different findings of its runs"),
    "num_divergences": ("whole", "seeds whose training led nowhere"),
    "isolation": ("text", "the weakest that any of its runs had"),
}

TABLES: dict[str, Columns] = {
    "runs": RUNS,
    "entries": ENTRIES,
    "attempts": ATTEMPTS,
    "findings": FINDINGS,
    "trials": TRIALS,
}
