"""The loop of an agent: propose, evaluate, write down, until the budget of attempts is spent.

The loop is handed the way to evaluate; it knows nothing of validation, training or tasks. What is
in the journal is what happened: a search that is started again goes on where the journal ends, and
with a reproducible agent it proposes what it would have proposed without the interruption.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.protocol import Agent
from lra_design.errors import HarnessError
from lra_design.records import Attempt, Feedback, Proposal

EvaluateBatch = Callable[[Sequence[str]], Iterable[Feedback]]
"""Feedback for each source, in the order of the sources. What it yields is written down at once."""


@dataclass(frozen=True)
class Event:
    """Something that happened in a search, for whoever shows its progress."""

    kind: Literal["resumed", "proposed", "reused", "finished"]
    """`reused`: the source was known, its earlier feedback stands; `finished` follows."""
    index: int
    """Of the attempt; for `resumed`, the number of attempts that the journal holds."""
    proposal: Proposal | None = None
    attempt: Attempt | None = None
    """Set when `kind` is `finished`."""


def search(
    agent: Agent,
    evaluate_batch: EvaluateBatch,
    journal: Journal,
    *,
    num_attempts: int,
    batch_size: int = 1,
    on_event: Callable[[Event], None],
) -> list[Attempt]:
    """Every attempt of the journal, once it holds `num_attempts` or the agent has no more.

    `batch_size` proposals are made before any of them is evaluated. Each attempt is in the journal
    as soon as its feedback is there, so that nothing finished is lost to Ctrl-C or a HarnessError;
    both pass through.
    """
    if min(num_attempts, batch_size) < 1:
        raise ValueError(
            f"expected num_attempts and batch_size of at least 1, "
            f"found {num_attempts} and {batch_size}"
        )
    attempts = journal.attempts()
    if attempts:
        on_event(Event("resumed", len(attempts)))
    while len(attempts) < num_attempts:
        batch = _propose_batch(agent, attempts, num_attempts, batch_size, on_event)
        if not batch:
            break
        _evaluate(batch, evaluate_batch, journal, attempts, on_event)
    return attempts


def _propose_batch(
    agent: Agent,
    attempts: Sequence[Attempt],
    num_attempts: int,
    batch_size: int,
    on_event: Callable[[Event], None],
) -> list[Proposal]:
    """The proposals up to the end of the current batch, fewer when the agent has no more.

    A batch that was interrupted is completed with what the agent knew when the batch began, so
    that its proposals are those of the uninterrupted search.
    """
    start = len(attempts) - len(attempts) % batch_size
    known = attempts[:start]
    pending = [attempt.proposal for attempt in attempts[start:]]
    num_finished = len(pending)
    for index in range(len(attempts), min(start + batch_size, num_attempts)):
        proposal = agent.propose(known, tuple(pending))
        if proposal is None:
            break
        pending.append(proposal)
        on_event(Event("proposed", index, proposal))
    return pending[num_finished:]


def _evaluate(
    batch: Sequence[Proposal],
    evaluate_batch: EvaluateBatch,
    journal: Journal,
    attempts: list[Attempt],
    on_event: Callable[[Event], None],
) -> None:
    """Write down each proposal's feedback, in order; a source is evaluated once in a search."""
    known = {attempt.source_hash: attempt.feedback for attempt in attempts}
    new = {hash_source(proposal.source): proposal.source for proposal in batch}
    sources = [source for source_hash, source in new.items() if source_hash not in known]
    feedbacks = iter(evaluate_batch(sources)) if sources else iter(())
    for proposal in batch:
        source_hash = hash_source(proposal.source)
        index = len(attempts)
        if source_hash in known:
            on_event(Event("reused", index, proposal))
        else:
            known[source_hash] = _next_feedback(feedbacks, len(sources))
        attempt = Attempt(
            index=index,
            source_hash=source_hash,
            proposal=proposal,
            feedback=known[source_hash],
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        journal.append(attempt)
        attempts.append(attempt)
        on_event(Event("finished", index, proposal, attempt))


def _next_feedback(feedbacks: Iterator[Feedback], num_sources: int) -> Feedback:
    feedback = next(feedbacks, None)
    if feedback is None:
        raise HarnessError(f"expected feedback for each of {num_sources} sources, found fewer")
    return feedback


def hash_source(source: str) -> str:
    """SHA-256 of the source's bytes in UTF-8, hexadecimal."""
    return hashlib.sha256(source.encode()).hexdigest()
