"""Preference pairs: of two children of one parent, the one that measurably came out better.

A later *gate* is better: refused by the reader, failed a behaviour check, crashed in training (or
was refused there, for its parameters), scored. Of two that scored on the same tasks, the higher
mean validation accuracy is better when the difference exceeds twice the deviation of a difference
of two trainings; where the noise was not measured, no two of them are ordered. What was valid and
never trained is in no pair, nor are two that have the same code. Nothing of a test split is read.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

from agent_sandbox.agents.prompts.rendering import preference_prompt
from lra_design.errors import RecordError
from lra_design.records import Attempt, Feedback, record

Gate = Literal["refused", "invalid", "crashed", "scored"]
GATES: tuple[Gate, ...] = get_args(Gate)
"""How far a candidate came, the worst first: refused by the reader, failed a behaviour check,
crashed in training, scored on validation splits."""


@record
class Side:
    """Where one half of a pair comes from."""

    attempt: int
    """Its index in the journal."""
    source_hash: str
    code_hash: str
    operator: str
    gate: Gate
    accuracy: float | None
    """Mean over the validation splits, in [0, 1]; None unless it scored."""


@record
class Pair:
    """Two siblings, the better first; a line of the file that preference trainers read.

    `prompt`, `chosen` and `rejected` are strings, as in the standard preference format with an
    explicit prompt of TRL (huggingface.co/docs/trl, "Dataset formats and types").
    """

    prompt: str
    """What both of them answer: the contract and the parents' sources."""
    chosen: str
    """The better source."""
    rejected: str
    reason: Literal["later gate", "higher accuracy"]
    num_gates: int
    """Gates between the two; 0 when both scored."""
    margin: float | None
    """Difference of the mean accuracies, in [0, 1]; None unless both scored."""
    noise: float | None
    """Standard deviation of such a mean over seeds, in [0, 1]; None: not known."""
    run: str
    parents: tuple[str, ...]
    """Source hashes; empty for drafts, which are siblings under the root."""
    chosen_from: Side
    rejected_from: Side


def gate_of(feedback: Feedback) -> Gate | None:
    """How far a candidate came; None when it was valid and nobody trained it."""
    if not feedback.report.valid:
        return "refused" if feedback.report.isolation is None else "invalid"
    if feedback.scores:
        return "scored"
    return "crashed" if feedback.failure is not None else None


def better(a: Attempt, b: Attempt, noise: float | None) -> int:
    """1 when `a` measurably came out better than `b`, -1 when worse, 0 when that is not known."""
    gates = gate_of(a.feedback), gate_of(b.feedback)
    if None in gates or a.code_hash == b.code_hash:
        return 0
    ranks = [GATES.index(gate) for gate in gates if gate is not None]
    if ranks[0] != ranks[1]:
        return 1 if ranks[0] > ranks[1] else -1
    margin = _margin(a, b)
    if margin is None or noise is None or abs(margin) <= least_margin(noise):
        return 0
    return 1 if margin > 0 else -1


def least_margin(noise: float) -> float:
    """What a difference must exceed: twice the deviation of a difference of two trainings."""
    return 2 * math.sqrt(2) * noise


def ordered_siblings(
    attempts: Sequence[Attempt], noise: float | None
) -> Iterator[tuple[Attempt, Attempt]]:
    """Every two children of the same parents of which one came out better: (better, worse).

    noise: standard deviation of a mean accuracy over seeds, in [0, 1]; None: not known. Raises
    RecordError when an attempt holds a score of a test split.
    """
    for attempt in attempts:
        _check_sealed(attempt)
    for siblings in _families(attempts):
        for a, b in itertools.combinations(siblings, 2):
            order = better(a, b, noise)
            if order:
                yield (a, b) if order > 0 else (b, a)


def preference_pairs(
    attempts: Sequence[Attempt], *, run: str, noise: float | None, task: str = ""
) -> Iterator[Pair]:
    """Every ordered pair of siblings, in the order of the journal.

    run: its name. noise: as for `ordered_siblings`. task: what was trained on, in words. What an
    llm gave no source for is in no pair.
    """
    sources = {attempt.source_hash: attempt.proposal.source for attempt in attempts}
    written = [attempt for attempt in attempts if attempt.proposal.source.strip()]

    @functools.cache  # one string for a family, however many pairs it has
    def prompt(parents: tuple[str, ...]) -> str:
        known = [sources[parent] for parent in parents if parent in sources]
        return preference_prompt(known, task)

    for chosen, rejected in ordered_siblings(written, noise):
        parents = chosen.proposal.parents
        first, second = _side(chosen), _side(rejected)
        between = GATES.index(first.gate) - GATES.index(second.gate)
        yield Pair(
            prompt=prompt(parents),
            chosen=chosen.proposal.source,
            rejected=rejected.proposal.source,
            reason="later gate" if between else "higher accuracy",
            num_gates=between,
            margin=_margin(chosen, rejected),
            noise=noise,
            run=run,
            parents=parents,
            chosen_from=first,
            rejected_from=second,
        )


def _families(attempts: Sequence[Attempt]) -> list[list[Attempt]]:
    """The children of the same parents, whatever made them; drafts are a family too."""
    families: dict[tuple[str, ...], list[Attempt]] = {}
    for attempt in attempts:
        families.setdefault(attempt.proposal.parents, []).append(attempt)
    return list(families.values())


def _margin(a: Attempt, b: Attempt) -> float | None:
    """By how much the mean of `a` is higher; None unless both scored on the same splits."""
    splits = [[(s.task, s.split) for s in one.feedback.scores] for one in (a, b)]
    higher, lower = a.feedback.mean_accuracy, b.feedback.mean_accuracy
    if higher is None or lower is None or splits[0] != splits[1]:
        return None
    return higher - lower


def _check_sealed(attempt: Attempt) -> None:
    if any(score.split != "validation" for score in attempt.feedback.scores):
        raise RecordError(
            f"expected validation scores alone in attempt {attempt.index}, found one of another "
            "split. This journal was changed by hand: restore it from a copy."
        )


def _side(attempt: Attempt) -> Side:
    gate = gate_of(attempt.feedback)
    assert gate is not None, "better() orders only what has a gate"
    return Side(
        attempt=attempt.index,
        source_hash=attempt.source_hash,
        code_hash=attempt.code_hash,
        operator=attempt.proposal.operator,
        gate=gate,
        accuracy=attempt.feedback.mean_accuracy,
    )
