"""Searches without training, for tests of the policies: a landscape, a script, a stand-in.

A candidate of the landscape is eight digits; its accuracy falls with the distance from a hidden
place, and some come out broken, which a debug mends more often than not. A candidate of the script
is a number, and the script says what becomes of it, whatever was asked. The stand-in says of a
genome of the grammar what a training on the probes might.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Sequence

from agent_sandbox.agents.grammar import Branch, Genome, genome_from_notes
from agent_sandbox.agents.operators.protocol import OPERATORS, Action, Operator
from agent_sandbox.agents.protocol import Agent
from agent_sandbox.agents.search import hash_source
from lra_design.records import (
    Attempt,
    Exponent,
    Feedback,
    GroupScore,
    Proposal,
    Scaling,
    Score,
    Spending,
    ValidationReport,
    Versions,
)

NUM_DIGITS = 8
BROKEN = "# broken"
TASKS = ("recall-probe", "copying-probe", "delay-probe")
Evaluate = Callable[[int, Proposal], Feedback]
"""Feedback from the index of an attempt and its proposal."""


def score_of(task: str, accuracy: float, groups: Sequence[tuple[int, float]] = ()) -> Score:
    return Score(
        task=task,
        split="validation",
        split_hash="",
        accuracy=accuracy,
        num_examples=11,
        num_labels=11,
        groups=tuple(
            GroupScore(group=group, accuracy=value, num_labels=11) for group, value in groups
        ),
    )


def feedback_with(source: str, scores: Sequence[Score], exponent: float | None = None) -> Feedback:
    """Feedback with these scores; without any, of a failed attempt."""
    exponents = () if exponent is None else (_exponent(exponent),)
    report = ValidationReport(
        mechanism="Toy",
        source_hash=hash_source(source),
        mode="causal",
        findings=(),
        checks=(),
        num_parameters=7,
        battery="full",
        scaling=Scaling(points=(), exponents=exponents, claimed=None),
        search_space={},
        replay_token="",
        seconds=0.0,
        isolation=None,
        versions=Versions(lra_design="0", contract="1", python="3", torch="2"),
    )
    return Feedback(report=report, scores=tuple(scores))


def _exponent(value: float) -> Exponent:
    return Exponent(quantity="flops", value=value, low=value, high=value)


class ToyOperators:
    """All six operators over the landscape."""

    name = "toy"
    operators: frozenset[Operator] = frozenset(OPERATORS)

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def apply(
        self, action: Action, history: Sequence[Attempt], pending: Sequence[Proposal] = ()
    ) -> Proposal:
        rng = random.Random(f"{self._seed}/toy/{len(history) + len(pending)}")
        parents = [digits_of(history[parent].proposal.source) for parent in action.parents]
        digits = _vary(rng, action.operator, parents)
        breaks = 0.3 if action.operator != "reflect" else 0.0
        broken = f"  {BROKEN}" if rng.random() < breaks else ""
        return Proposal(source=f"{digits}{broken}\n", change="", operator="any", notes={"own": 1})


def _vary(rng: random.Random, operator: Operator, parents: list[list[int]]) -> list[int]:
    if not parents:
        return [rng.randrange(10) for _ in range(NUM_DIGITS)]
    if operator == "debug":
        return parents[0]
    if operator == "crossover":
        return [rng.choice(pair) for pair in zip(*parents, strict=True)]
    digits = list(parents[0])
    place = rng.randrange(NUM_DIGITS)
    digits[place] = 0 if operator == "simplify" else rng.randrange(10)
    return digits


def digits_of(source: str) -> list[int]:
    digits: list[int] = ast.literal_eval(source.partition("#")[0].strip())
    return digits


def toy_evaluation(seed: int) -> Evaluate:
    """The landscape with a hidden place of its own."""
    rng = random.Random(f"{seed}/place")
    place = [rng.randrange(10) for _ in range(NUM_DIGITS)]

    def evaluate(index: int, proposal: Proposal) -> Feedback:
        source, digits = proposal.source, digits_of(proposal.source)
        if BROKEN in source:
            return feedback_with(source, ())
        gaps = [abs(digit - other) / 9 for digit, other in zip(digits, place, strict=True)]
        score = score_of("delay-probe", 1 - sum(gaps) / NUM_DIGITS)
        return feedback_with(source, [score], exponent=1 + digits[0] / 9)

    return evaluate


def is_recall_capable(branch: Branch) -> bool:
    kernel = branch.kernel
    return kernel.name == "softmax attention" and "all positions" in kernel.choices


def is_delay_capable(branch: Branch) -> bool:
    kernel = branch.kernel
    return kernel.name == "long convolution" and "exponential decays" not in kernel.choices


def ability(branch: Branch) -> tuple[float, float, float]:
    """A stand-in for training: what one branch scores alone on recall, copying and delay."""
    if is_recall_capable(branch):
        return 1.0, 0.85, 0.21
    if is_delay_capable(branch):
        return 0.08, 0.58, 0.98
    return {
        "softmax attention": (0.15, 0.4, 0.21),
        "linear attention": (0.3, 0.5, 0.2),
        "long convolution": (0.08, 0.4, 0.3),
        "gated recurrence": (0.1, 0.45, 0.3),
        "delays": (0.08, 0.3, 0.45),
        "mean": (0.05, 0.25, 0.1),
    }[branch.kernel.name]


def noisy_accuracies(genome: Genome, rng: random.Random) -> list[float]:
    best = [max(scores) for scores in zip(*map(ability, genome.branches), strict=True)]
    return [min(1.0, max(0.0, score + rng.gauss(0.0, 0.03))) for score in best]


def stand_in(seed: int) -> Evaluate:
    """What a training of a genome on the probes might come to."""
    rng = random.Random(seed)

    def evaluate(index: int, proposal: Proposal) -> Feedback:
        genome = genome_from_notes(proposal.notes["genome"])
        pairs = zip(TASKS, noisy_accuracies(genome, rng), strict=True)
        scores = [score_of(task, accuracy) for task, accuracy in pairs]
        quadratic = any(branch.kernel.name == "softmax attention" for branch in genome.branches)
        return feedback_with(proposal.source, scores, 1.9 if quadratic else 1.05)

    return evaluate


class ScriptedOperators:
    """All six operators; what they write is the index of the attempt."""

    name = "scripted"
    operators: frozenset[Operator] = frozenset(OPERATORS)

    def apply(
        self, action: Action, history: Sequence[Attempt], pending: Sequence[Proposal] = ()
    ) -> Proposal:
        return Proposal(source=f"{len(history) + len(pending)}\n", change="", operator="any")


def scripted(accuracies: Sequence[float | None]) -> Evaluate:
    """The accuracy of each attempt by its index; None: it fails."""

    def evaluate(index: int, proposal: Proposal) -> Feedback:
        accuracy = accuracies[index]
        scores = () if accuracy is None else (score_of("recall-probe", accuracy),)
        return feedback_with(proposal.source, scores, exponent=1 + index % 3 / 2)

    return evaluate


def run(agent: Agent, evaluate: Evaluate, num_attempts: int, batch_size: int = 1) -> list[Attempt]:
    """The attempts of a search in batches, without a journal; fewer when the agent has no more."""
    history: list[Attempt] = []
    while len(history) < num_attempts:
        batch: list[Proposal] = []
        for _ in range(min(batch_size, num_attempts - len(history))):
            proposal = agent.propose(history, batch)
            if proposal is not None:
                batch.append(proposal)
        if not batch:
            break
        for proposal in batch:
            history.append(finished(len(history), proposal, evaluate))
    return history


def finished(index: int, proposal: Proposal, evaluate: Evaluate) -> Attempt:
    return Attempt(
        index=index,
        source_hash=hash_source(proposal.source),
        code_hash=hash_source(proposal.source),
        proposal=proposal,
        feedback=evaluate(index, proposal),
        created_at="",
        spent=Spending(),
    )


def best(history: Sequence[Attempt]) -> float:
    """The best accuracy of a search; 0 when everything failed."""
    return max((attempt.feedback.mean_accuracy or 0.0 for attempt in history), default=0.0)
