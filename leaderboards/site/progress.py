"""How far the trainings and studies of some folders are: read from what they keep, nobody is asked.

A training shows once it has kept its first checkpoint, half a minute after its beginning at most,
and until its record is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lra_design.errors import LraDesignError
from trainers.checkpoint import NAME as CHECKPOINT
from trainers.checkpoint import read_standing
from trainers.executors.folder import PROGRESS, read_progress
from trainers.tuning.storage import JOURNAL as STUDIES
from trainers.tuning.storage import open_storage

if TYPE_CHECKING:
    import optuna

RECORD = "run.json"
"""Stands in the folder of a training that has ended."""
QUIET_SECONDS = 300.0
"""After so long without a sign of it a training is quiet: its process may be gone."""


@dataclass(frozen=True)
class TrainingView:
    """A training that has not ended."""

    title: str
    """What is trained, or the name of its folder."""
    step: int
    num_steps: int | None
    """None where that is not known."""
    accuracy: float | None
    """The latest on the validation split, in [0, 1]."""
    seconds: float
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


def is_training(names: Iterable[str]) -> bool:
    """Whether a folder with these files is that of a training that has begun and not ended."""
    known = set(names)
    return bool({CHECKPOINT, PROGRESS} & known) and RECORD not in known


def training_view(folder: Path) -> TrainingView | None:
    """How far the training in a folder is; None where that cannot be read: it has just ended."""
    try:
        standing, progress = read_standing(folder), read_progress(folder)
        seen = max(f.stat().st_mtime for n in (CHECKPOINT, PROGRESS) if (f := folder / n).exists())
    except (LraDesignError, OSError, ValueError):
        return None
    points = standing.curve.points if standing else ()
    return TrainingView(
        title=standing.title if standing and standing.title else folder.name,
        step=max(standing.step if standing else 0, progress.step if progress else 0),
        num_steps=progress.num_steps if progress else standing.num_steps if standing else None,
        accuracy=progress.accuracy if progress else points[-1].accuracy if points else None,
        seconds=max(
            standing.usage.seconds if standing else 0.0, progress.seconds if progress else 0.0
        ),
        seen_at=datetime.fromtimestamp(seen, UTC),
    )


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
