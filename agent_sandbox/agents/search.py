"""The loop of an agent: propose, evaluate, write down, until its budget is spent.

The loop is handed the way to evaluate; it knows nothing of validation, training or tasks. What is
in the journal is what happened: a search that is started again goes on where the journal ends, and
with a reproducible agent it proposes what it would have proposed without the interruption.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.protocol import Agent
from agent_sandbox.fingerprint.structure import structure
from lra_design.errors import HarnessError
from lra_design.records import NOTHING, Attempt, Budget, Feedback, Proposal, Spending

EvaluateBatch = Callable[[Sequence[str]], Iterable[Feedback]]
"""Feedback for each source, in the order of the sources. What it yields is written down at once."""


LLMSpending = Callable[[int], Spending]
"""What the llm took for an attempt, by the attempt's index."""


@dataclass(frozen=True)
class Event:
    """Something that happened in a search, for whoever shows its progress."""

    kind: Literal["resumed", "proposed", "reused", "finished", "ended"]
    """`reused`: the code was known, its earlier feedback stands; `finished` follows."""
    index: int
    """Of the attempt; for `resumed` and `ended`, the number of attempts that the journal holds."""
    proposal: Proposal | None = None
    attempt: Attempt | None = None
    """Set when `kind` is `finished`."""
    reason: str = ""
    """Set when `kind` is `ended`: why."""


def search(
    agent: Agent,
    evaluate_batch: EvaluateBatch,
    journal: Journal,
    *,
    budget: Budget,
    batch_size: int = 1,
    on_event: Callable[[Event], None],
    llm_spending: LLMSpending = lambda index: NOTHING,
) -> list[Attempt]:
    """Every attempt of the journal, once they have spent `budget` or the agent has no more.

    `batch_size` proposals are made before any of them is evaluated; that is one step, and the
    budget is looked at before each. Each attempt is in the journal as soon as its feedback is
    there, so that nothing finished is lost to Ctrl-C or a HarnessError; both pass through.
    """
    if batch_size < 1:
        raise ValueError(f"expected a batch_size of at least 1, found {batch_size}")
    loop = _Loop(agent, evaluate_batch, journal, batch_size, on_event, llm_spending)
    if loop.attempts:
        on_event(Event("resumed", len(loop.attempts)))
    while not (reason := budget.reached(total_spent(loop.attempts))):
        if not loop.step(budget):
            reason = "the agent has nothing more to propose"
            break
    on_event(Event("ended", len(loop.attempts), reason=reason))
    return loop.attempts


def total_spent(attempts: Iterable[Attempt]) -> Spending:
    """What all of them took together."""
    return sum((attempt.spent for attempt in attempts), start=NOTHING)


class _Loop:
    """A search between its steps."""

    def __init__(
        self,
        agent: Agent,
        evaluate_batch: EvaluateBatch,
        journal: Journal,
        batch_size: int,
        on_event: Callable[[Event], None],
        llm_spending: LLMSpending,
    ) -> None:
        self._agent = agent
        self._evaluate_batch = evaluate_batch
        self._journal = journal
        self._batch_size = batch_size
        self._on_event = on_event
        self._llm_spending = llm_spending
        self.attempts = journal.attempts()
        self._marked = time.monotonic()

    def step(self, budget: Budget) -> bool:
        """One batch: proposed, evaluated, written down; False when there was none."""
        batch = self._propose_batch(budget)
        self._evaluate(batch)
        return bool(batch)

    def _propose_batch(self, budget: Budget) -> list[Proposal]:
        """The proposals up to the end of the current batch, fewer when the agent has no more.

        A batch that was interrupted is completed with what the agent knew when the batch began, so
        that its proposals are those of the uninterrupted search.
        """
        number = len(self.attempts)
        start = number - number % self._batch_size
        known = self.attempts[:start]
        pending = [attempt.proposal for attempt in self.attempts[start:]]
        end = start + self._batch_size
        if budget.attempts is not None:
            end = min(end, budget.attempts)
        for index in range(number, end):
            proposal = self._agent.propose(known, tuple(pending))
            if proposal is None:
                break
            pending.append(proposal)
            self._on_event(Event("proposed", index, proposal))
        return pending[number - start :]

    def _evaluate(self, batch: Sequence[Proposal]) -> None:
        """Write down each proposal's feedback, in order; the same code is evaluated once."""
        known = {attempt.code_hash: attempt.feedback for attempt in self.attempts}
        hashes = [hash_code(proposal.source) for proposal in batch]
        new = {h: proposal.source for h, proposal in zip(hashes, batch, strict=True)}
        sources = [source for code_hash, source in new.items() if code_hash not in known]
        feedbacks = iter(self._evaluate_batch(sources)) if sources else iter(())
        for code_hash, proposal in zip(hashes, batch, strict=True):
            is_new = code_hash not in known
            if is_new:
                known[code_hash] = _next_feedback(feedbacks, len(sources))
            else:
                self._on_event(Event("reused", len(self.attempts), proposal))
            self._write_down(proposal, code_hash, known[code_hash], is_new)

    def _write_down(
        self, proposal: Proposal, code_hash: str, feedback: Feedback, is_new: bool
    ) -> None:
        index = len(self.attempts)
        attempt = Attempt(
            index=index,
            source_hash=hash_source(proposal.source),
            code_hash=code_hash,
            proposal=proposal,
            feedback=feedback,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            spent=self._spent(feedback if is_new else None) + self._llm_spending(index),
        )
        self._journal.append(attempt)
        self.attempts.append(attempt)
        self._on_event(Event("finished", index, proposal, attempt))

    def _spent(self, feedback: Feedback | None) -> Spending:
        """On one attempt: the time since the one before, and what its evaluation took, if any."""
        before, self._marked = self._marked, time.monotonic()
        return Spending(
            wall_seconds=self._marked - before,
            device_seconds=feedback.seconds if feedback else 0.0,
            evaluations=int(feedback is not None),
        )


def _next_feedback(feedbacks: Iterator[Feedback], num_sources: int) -> Feedback:
    feedback = next(feedbacks, None)
    if feedback is None:
        raise HarnessError(f"expected feedback for each of {num_sources} sources, found fewer")
    return feedback


def hash_source(source: str) -> str:
    """SHA-256 of the source's bytes in UTF-8, hexadecimal."""
    return hashlib.sha256(source.encode()).hexdigest()


def hash_code(source: str) -> str:
    """Equal for sources that differ in comments, layout and the like alone."""
    known = structure(source)
    return known.layout if known else hash_source(source)
