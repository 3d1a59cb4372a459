"""The ledger of a study."""

from __future__ import annotations

from typing import Literal

from lra_design.records.serialised import Scalar, record


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
    device: str | None = None
    """Name of the card or of the processor that the seconds are those of; None without such a
    bound, for accuracies are comparable wherever they were computed."""


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
