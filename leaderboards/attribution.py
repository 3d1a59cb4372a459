"""What made a candidate better than its parent: each ingredient of the change, alone and missing.

Parent and child, the parent with each ingredient alone and the child without each are trained from
the same seeds, and compared with `comparison.py`: nothing counts that the noise explains.
Ingredients that are not valid alone and are together become one. Every
comparison is at the 95 % level on its own, so of many ingredients that do nothing one in twenty is
still labelled. With several learning rates each side also gets the rate that is best for it in the
mean over the seeds; both sides choose from as many, so that neither gains from the choice alone.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Literal, NamedTuple

from agent_sandbox.agents.edits import Ingredient, changed_parts, put_in, split_change
from leaderboards.comparison import Comparison, compare
from leaderboards.noise import Noise
from lra_design.errors import CandidateRefused, UsageError
from lra_design.records import Finding, record

Label = Literal[
    "real gain",
    "only at the recipe's learning rate",
    "only with a learning-rate change",
    "only together",
    "real loss",
    "within noise",
    "not valid alone",
    "too few seeds",
]


class Variant(NamedTuple):
    """A source to train with every seed."""

    name: str
    source: str
    rate: float
    """Of the recipe's learning rate."""


Reached = Mapping[int, float] | Finding
"""Validation accuracies by seed, or why there are none."""
Measure = Callable[[Sequence[Variant]], Sequence[Reached]]
"""Trains variants, all of them with the same seeds; the outcomes in their order."""


@record
class Effect:
    """What a change does to something: that with it against that without."""

    fixed: Comparison | None
    """At the recipe's learning rate; None when one of the two could not be trained."""
    tuned: Comparison | None
    """Each at the rate that is best for it; None where one rate was asked, or as above."""
    rates: tuple[float, float] | None
    """Those rates, with and without, as factors of the recipe's."""
    failure: Finding | None
    """Why one of the two could not be trained at the recipe's rate."""


@record
class Attributed:
    """One ingredient of the change."""

    parts: tuple[str, ...]
    """The definitions that it touches: `Gated.forward changed`."""
    diff: str
    """A unified diff of the parent."""
    label: Label
    partners: tuple[int, ...]
    """Numbers, from 1, of the ingredients that make it better, when it is so only together; empty
    when no single one is enough."""
    alone: Effect
    """The parent with it against the parent."""
    missing: Effect
    """The child against the child without it."""


@record
class Attribution:
    """What the ingredients of a change did, in the order of the parent."""

    whole: Effect
    """The child against the parent."""
    ingredients: tuple[Attributed, ...]
    rates: tuple[float, ...]
    """Learning rates that were tried, as factors of the recipe's; 1 is among them."""


def attribute(
    parent: str,
    child: str,
    measure: Measure,
    rates: Sequence[float] = (1.0,),
    noise: Noise | None = None,
) -> Attribution:
    """Train what tells the ingredients of a change apart, and label each.

    rates: factors of the recipe's learning rate, 1 among them. noise: the floor of the recipe; it
    is not used at other rates. Raises UsageError when the two have the same code, CandidateRefused
    when parent or child cannot be trained.
    """
    ingredients = split_change(parent, child)
    if not ingredients:
        raise UsageError(
            "expected a child that differs from its parent, found two files with the same code. "
            "Name the file that the change was made in, and then the changed one."
        )
    return _Study(parent, child, ingredients, measure, tuple(rates), noise).attribution()


class _Study:
    """The trainings of one attribution; each source is trained once."""

    def __init__(
        self,
        parent: str,
        child: str,
        ingredients: Sequence[Ingredient],
        measure: Measure,
        rates: tuple[float, ...],
        noise: Noise | None,
    ) -> None:
        self._parent, self._child = parent, child
        self._ingredients = list(ingredients)
        self._measure, self._rates, self._noise = measure, rates, noise
        self._reached: dict[tuple[str, float], Reached] = {}

    def attribution(self) -> Attribution:
        self._train({"parent": self._parent, "child": self._child})
        for source in (self._parent, self._child):
            found = self._reached[source, 1.0]
            if isinstance(found, Finding):
                raise CandidateRefused([found])
        self._train_each()
        while group := self._valid_together():
            joined = Ingredient(tuple(h for n in group for h in self._ingredients[n].hunks))
            rest = [one for n, one in enumerate(self._ingredients) if n not in group]
            self._ingredients = sorted([*rest, joined], key=lambda one: one.hunks[0].start)
            self._train_each()
        numbers = range(len(self._ingredients))
        return Attribution(
            whole=self._effect(self._child, self._parent),
            ingredients=tuple(self._attributed(n) for n in numbers),
            rates=self._rates,
        )

    def _train_each(self) -> None:
        """Each ingredient alone, and the child without each."""
        numbers = range(len(self._ingredients))
        self._train({f"parent with {self._where(n)}": self._with(n) for n in numbers})
        self._train({f"child without {self._where(n)}": self._without(n) for n in numbers})

    def _valid_together(self) -> tuple[int, ...] | None:
        """Ingredients none of which is valid alone, as a forward and its step; the first found."""
        numbers = range(len(self._ingredients))
        invalid = [n for n in numbers if isinstance(self._reached[self._with(n), 1.0], Finding)]
        groups = [*itertools.combinations(invalid, 2), *([tuple(invalid)] if invalid[2:] else [])]
        self._train({f"parent with {self._where(*group)}": self._with(*group) for group in groups})
        reached = {group: self._reached[self._with(*group), 1.0] for group in groups}
        return next((g for g, found in reached.items() if not isinstance(found, Finding)), None)

    def _where(self, *numbers: int) -> str:
        """Where ingredients begin in the parent: a name that stays when others are joined."""
        starts = sorted(hunk.start + 1 for n in numbers for hunk in self._ingredients[n].hunks)
        return f"the change at line {', '.join(map(str, starts))}"

    def _with(self, *numbers: int) -> str:
        return put_in(self._parent, [self._ingredients[n] for n in numbers])

    def _without(self, number: int) -> str:
        return self._with(*(n for n in range(len(self._ingredients)) if n != number))

    def _train(self, sources: Mapping[str, str]) -> None:
        """Train those that are not yet, at every rate; the first name of a source is its own."""
        wanted: dict[tuple[str, float], Variant] = {}
        for name, source in sources.items():
            for rate in self._rates:
                if (source, rate) not in self._reached:
                    wanted.setdefault((source, rate), Variant(name, source, rate))
        if wanted:
            self._reached |= zip(wanted, self._measure(list(wanted.values())), strict=True)

    def _attributed(self, number: int) -> Attributed:
        source = self._with(number)
        alone = self._effect(source, self._parent)
        missing = self._effect(self._child, self._without(number))
        failed = isinstance(self._reached[source, 1.0], Finding)
        label: Label = "not valid alone" if failed else label_of(alone, missing)
        return Attributed(
            parts=changed_parts(self._parent, source),
            diff=_diff(self._parent, source),
            label=label,
            partners=self._partners(number) if label == "only together" else (),
            alone=alone,
            missing=missing,
        )

    def _partners(self, number: int) -> tuple[int, ...]:
        """Numbers, from 1, of those beside any of which alone this one is a gain."""
        others = [n for n in range(len(self._ingredients)) if n != number]
        if len(others) == 1:
            return (others[0] + 1,)
        self._train(
            {f"parent with {number + 1} and {n + 1}": self._with(number, n) for n in others}
        )
        return tuple(n + 1 for n in others if self._helps_beside(number, n))

    def _helps_beside(self, number: int, other: int) -> bool:
        """Whether the parent with both is better than with the other; without, if that fails."""
        base = self._with(other)
        if isinstance(self._reached[base, 1.0], Finding):
            base = self._parent
        effect = self._effect(self._with(number, other), base)
        return _is(effect.fixed, "better") or _is(effect.tuned, "better")

    def _effect(self, source: str, base: str) -> Effect:
        pair = self._reached[source, 1.0], self._reached[base, 1.0]
        failure = next((found for found in pair if isinstance(found, Finding)), None)
        rates = self._best_rate(source), self._best_rate(base)
        tuned = len(self._rates) > 1 and failure is None
        return Effect(
            fixed=self._compared((source, 1.0), (base, 1.0)),
            tuned=self._compared((source, rates[0]), (base, rates[1])) if tuned else None,
            rates=rates if tuned else None,
            failure=failure,
        )

    def _best_rate(self, source: str) -> float:
        """The one with the best mean; of equals the recipe's."""
        means = {1.0: -1.0}
        for rate in (1.0, *self._rates):
            found = self._reached[source, rate]
            if not isinstance(found, Finding):
                means[rate] = fmean(found.values())
        return max(means, key=lambda rate: means[rate])

    def _compared(self, one: tuple[str, float], other: tuple[str, float]) -> Comparison | None:
        first, second = self._reached[one], self._reached[other]
        if isinstance(first, Finding) or isinstance(second, Finding):
            return None
        return compare(first, second, self._noise if one[1] == other[1] == 1 else None)


def _diff(before: str, after: str) -> str:
    lines = before.splitlines(), after.splitlines()
    return "\n".join(difflib.unified_diff(*lines, "parent", "with it", lineterm="", n=1))


def label_of(alone: Effect, missing: Effect) -> Label:
    """What an ingredient is, from what it does alone and what the child loses without it."""
    if _is(alone.fixed, "better"):
        lasting = alone.tuned is None or _is(alone.tuned, "better")
        return "real gain" if lasting else "only at the recipe's learning rate"
    if _is(alone.tuned, "better"):
        return "only with a learning-rate change"
    if _is(missing.fixed, "better") or _is(missing.tuned, "better"):
        return "only together"
    if _is(alone.fixed, "too few seeds"):
        return "too few seeds"
    lost = alone if _is(alone.fixed, "worse") else missing
    if _is(lost.fixed, "worse") and (lost.tuned is None or _is(lost.tuned, "worse")):
        return "real loss"
    return "within noise"


def _is(comparison: Comparison | None, verdict: str) -> bool:
    return comparison is not None and comparison.verdict == verdict
