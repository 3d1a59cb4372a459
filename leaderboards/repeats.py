"""What the references reached when they were trained again and again: `repeats.jsonl`.

A line for each reference, task, scale, mode and share of the recipe's steps, with its trainings
from several seeds. What a number means is worked out from these: how much of it is chance
(`noise.py`) and how far a short training tells what a full one would (`proxy.py`). Written by
`benchmarks/noise.py`. A line says which recipe and which source it was measured with: of any other
it says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from lra_design.errors import UsageError
from lra_design.records import Hardware, HostConfig, TrainConfig, Versions, from_json, record
from mechanisms import REFERENCES, reference_hash
from trainers.recipes import Recipe, get_recipe

PATH = Path(__file__).with_name("repeats.jsonl")
Scale = Literal["smoke", "small", "full"]
Mode = Literal["causal", "bidirectional"]


class Conditions(NamedTuple):
    """What two trainings must share for one to say how much chance there is in the other."""

    task: str
    scale: Scale
    setting: Literal["fixed", "tuned"]
    mode: Mode


@record
class Training:
    """What one training reached."""

    seed: int
    """Of the initial weights."""
    order_seed: int
    """Of the order of the data; the same as `seed` in every training but those that tell the two
    shares of the noise apart."""
    validation: float
    """Accuracy in [0, 1]."""
    test: float | None
    """None where the referee was not asked."""
    seconds: float
    """Of its worker."""


@record
class Repeats:
    """The trainings of one reference that differ in nothing but their seeds."""

    task: str
    scale: Scale
    setting: Literal["fixed", "tuned"]
    mode: Mode
    share: float
    """Of the recipe's steps, in (0, 1]; see `trainers.fidelity`."""
    mechanism: str
    source_hash: str
    host: HostConfig
    """Of the recipe, which is causal whatever the mode."""
    train: TrainConfig
    """Of the whole recipe, whatever the share."""
    trainings: tuple[Training, ...]
    hardware: Hardware
    versions: Versions

    @property
    def conditions(self) -> Conditions:
        """All but the share."""
        return Conditions(self.task, self.scale, self.setting, self.mode)

    @property
    def stale(self) -> str | None:
        """Why the line says nothing of what is here now; None when it does."""
        if self.mechanism not in REFERENCES:
            return f"there is no reference {self.mechanism} any more"
        if self.source_hash != reference_hash(self.mechanism):
            return f"{self.mechanism}.py was changed since"
        if (self.host, self.train) != _recipe(self.task, self.scale):
            return f"the recipe of {self.task} at scale {self.scale} was changed since"
        return None

    @property
    def recipe_version(self) -> str:
        """As `lra-design recipe` prints it."""
        return Recipe(self.host, self.train).version

    @property
    def by_seed(self) -> dict[int, Training]:
        """Those that have one seed for both the weights and the order, as every run has."""
        return {t.seed: t for t in self.trainings if t.seed == t.order_seed}


def _recipe(task: str, scale: str) -> Recipe | None:
    try:
        return get_recipe(task, scale)
    except UsageError:
        return None


def read_repeats(path: Path | None = None) -> list[Repeats]:
    """Every line of the file, stale ones too. Raises RecordError for a damaged one."""
    path = path or PATH
    if not path.exists():
        return []
    return [from_json(Repeats, line) for line in path.read_text(encoding="utf-8").splitlines()]


def current_repeats(conditions: Conditions, rows: Sequence[Repeats] | None = None) -> list[Repeats]:
    """Those measured under `conditions` that are not stale."""
    rows = read_repeats() if rows is None else rows
    return [row for row in rows if row.conditions == conditions and not row.stale]
