"""How far the trainings and studies of some folders are: read from what they keep, nobody is asked.

A training shows from its first event on until its record is there; what it is and how far is known
once it has kept a checkpoint, which is half a minute after its beginning at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lra_design.errors import LraDesignError
from trainers.checkpoint import NAME as CHECKPOINT
from trainers.checkpoint import Standing, read_standing
from trainers.executors.folder import PROGRESS, read_progress
from trainers.training import Progress
from trainers.tuning.storage import JOURNAL as STUDIES
from trainers.tuning.storage import open_storage

if TYPE_CHECKING:
    import optuna

RECORD = "run.json"
"""Stands in the folder of a training that has ended."""
QUIET_SECONDS = 300.0
"""After so long without a sign of it a training is quiet: it has failed, or its process is gone."""
EVENTS = "tensorboard"
"""Folder of the event files of a training."""


@dataclass(frozen=True)
class TrainingView:
    """A training that has not ended."""

    title: str
    """What is trained, or the name of its folder."""
    step: int | None
    """None before its first checkpoint."""
    num_steps: int | None
    """None where that is not known."""
    accuracy: float | None
    """The latest on the validation split, in [0, 1]."""
    seconds: float | None
    """That it took so far, interruptions left out."""
    seen_at: datetime
    """When it last wrote something, UTC."""

    def is_quiet(self, now: datetime) -> bool:
        """Whether it has written nothing for `QUIET_SECONDS`."""
        return (now - self.seen_at).total_seconds() > QUIET_SECONDS


@dataclass(frozen=True)
class StudyView:
    """A study of hyperparameters."""

    name: str
    num_trials: Mapping[str, int]
    """By what became of them: `running`, `complete`, `pruned`, `fail`, `waiting`."""
    best: float | None
    """The best validation accuracy of a complete trial, in [0, 1]."""


def is_training(below: Iterable[str], names: Iterable[str]) -> bool:
    """Whether a folder with these folders and files is of a training that has not ended."""
    known = set(names)
    return RECORD not in known and (EVENTS in below or not known.isdisjoint((CHECKPOINT, PROGRESS)))


def training_view(folder: Path) -> TrainingView | None:
    """How far the training in a folder is; None where that cannot be read: it has just ended."""
    try:
        standing, progress = read_standing(folder), read_progress(folder)
        seen_at = max(file.stat().st_mtime for file in _signs(folder))
    except (LraDesignError, OSError, ValueError):
        return None
    view = TrainingView(folder.name, None, None, None, None, datetime.fromtimestamp(seen_at, UTC))
    if standing is not None:
        view = _as_kept(view, standing)
    if progress is not None and progress.step >= (view.step or 0):
        view = _as_reported(view, progress)
    return view


def _as_kept(view: TrainingView, standing: Standing) -> TrainingView:
    points = standing.curve.points
    return replace(
        view,
        title=standing.title or view.title,
        step=standing.step,
        num_steps=standing.num_steps,
        accuracy=points[-1].accuracy if points else None,
        seconds=standing.usage.seconds,
    )


def _as_reported(view: TrainingView, progress: Progress) -> TrainingView:
    return replace(
        view,
        step=progress.step,
        num_steps=progress.num_steps,
        accuracy=progress.accuracy,
        seconds=progress.seconds,
    )


def _signs(folder: Path) -> list[Path]:
    """The files that a training writes as it goes."""
    events = (folder / EVENTS).iterdir() if (folder / EVENTS).is_dir() else ()
    return [f for f in (folder / CHECKPOINT, folder / PROGRESS, *events) if f.exists()]


def study_views(folder: Path) -> tuple[StudyView, ...]:
    """The studies whose journal lies in a folder; none where it cannot be read just now.

    Those in another storage of Optuna's are not seen.
    """
    try:
        found = (folder / STUDIES).stat()
        return _studies(folder, found.st_size, found.st_mtime_ns)
    except (LraDesignError, OSError, ValueError, KeyError):
        return ()


@lru_cache(maxsize=64)
def _studies(folder: Path, size: int, written_at: int) -> tuple[StudyView, ...]:
    """Read anew when size or time of the journal are others."""
    storage = open_storage(folder, None)
    return tuple(
        _study(study.study_name, storage.get_all_trials(study._study_id, deepcopy=False))
        for study in storage.get_all_studies()
    )


def _study(name: str, trials: Sequence[optuna.trial.FrozenTrial]) -> StudyView:
    complete = [trial.value for trial in trials if trial.state.name == "COMPLETE"]
    return StudyView(
        name=name,
        num_trials=Counter(trial.state.name.lower() for trial in trials),
        best=max((value for value in complete if value is not None), default=None),
    )
