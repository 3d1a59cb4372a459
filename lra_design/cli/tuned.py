"""What a study came to, in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from lra_design.records import Run, Tuning


def summary(winner: Run, retrained: Mapping[Path, Run], out: Path) -> str:
    """The ledger of the winner's study in a few lines, and what is to be done next.

    retrained: the winner's trainings with fresh seeds, by their folders.
    """
    tuning = winner.tuning
    assert tuning is not None, "the winner of a study has its ledger"
    assert tuning.best is not None, "the winner is the best trial"
    lines = [f"study {tuning.study}: {_counts(tuning)}", *_scores(tuning)]
    lines += [f"  {name} {_value(value)}" for name, value in _values(winner).items()]
    lines.append(f"{out / (tuning.best.run or '')}")
    return "\n".join([*lines, *_retrained(retrained)])


def _counts(tuning: Tuning) -> str:
    asked = f"{tuning.protocol.num_trials} trials"
    outcomes = ("completed", "pruned", "failed", "requeued")
    counted = ", ".join(f"{n} {outcome}" for outcome in outcomes if (n := tuning.count(outcome)))
    return f"{asked}: {counted}; {tuning.device_seconds:.0f} device-seconds"


def _scores(tuning: Tuning) -> list[str]:
    """The default score, the tuned score and the gain, all of them on the validation split."""
    gain = "unknown" if tuning.gain_points is None else f"{tuning.gain_points:+.1f} points"
    chosen = tuning.count("completed") + tuning.count("pruned")
    return [
        f"default  validation {_percent(tuning.default_accuracy)}",
        f"tuned    validation {_percent(tuning.tuned_accuracy)}, the best of {chosen} trials",
        f"gain     {gain}",
    ]


def _values(winner: Run) -> dict[str, object]:
    """What was searched, as the winner has it."""
    from trainers.referee import run_job
    from trainers.tuning.space import recipe_part

    recipe = {name: getattr(winner.train, name) for name in recipe_part(run_job(winner))}
    return {**recipe, **winner.hyperparameters}


def _retrained(retrained: Mapping[Path, Run]) -> list[str]:
    if not retrained:
        return ["train the winner with fresh seeds before any score: --seeds 5"]
    accuracies = [run.validation.accuracy for run in retrained.values() if run.validation]
    return [
        f"{len(retrained)} fresh seeds: validation {_percent(fmean(accuracies))} in the mean, "
        f"{_percent(min(accuracies))} to {_percent(max(accuracies))}. Score each of them once:",
        *(f"  lra-design score {folder}" for folder in retrained),
    ]


def _percent(accuracy: float | None) -> str:
    return "unknown" if accuracy is None else f"{100 * accuracy:.1f} %"


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
