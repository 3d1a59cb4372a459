"""The search loop and its journal: what finished is kept, and a restart changes nothing."""

from __future__ import annotations

import dataclasses
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agent_sandbox.agents.evolution import RegularisedEvolution
from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.search import (
    EvaluateBatch,
    Event,
    hash_code,
    hash_source,
    search,
    total_spent,
)
from lra_design.errors import DataError, HarnessError, RecordError
from lra_design.records import (
    Attempt,
    Budget,
    Feedback,
    Finding,
    Proposal,
    Score,
    Spending,
    ValidationReport,
    Versions,
)

NUM_ATTEMPTS = 13


def feedback_of(source: str) -> Feedback:
    """A score that follows from the source; every fifth or so fails in training."""
    number = int(hash_source(source)[:6], 16)
    report = ValidationReport(
        mechanism="Rendered",
        source_hash=hash_source(source),
        mode="causal",
        findings=(),
        checks=(),
        num_parameters=7,
        battery="full",
        scaling=None,
        search_space={},
        replay_token="",
        seconds=0.0,
        isolation=None,
        versions=Versions(lra_design="0", contract="1", python="3", torch="2"),
    )
    if number % 5 == 0:
        failure = Finding(
            check="RUN1",
            name="diverged",
            tier="error",
            expected="a finite loss",
            found="nan",
            likely_cause="",
            hint="",
        )
        return Feedback(report=report, failure=failure)
    score = Score(
        task="recall-v1",
        split="validation",
        split_hash="",
        accuracy=number % 101 / 101,
        num_examples=11,
        num_labels=11,
    )
    return Feedback(report=report, scores=(score,))


def evaluate_batch(sources: Sequence[str]) -> Iterator[Feedback]:
    return map(feedback_of, sources)


def failing_after(num_finished: int, error: type[BaseException]) -> EvaluateBatch:
    """An evaluator that raises `error` once it has given `num_finished` answers."""
    answers = 0

    def evaluate(sources: Sequence[str]) -> Iterator[Feedback]:
        nonlocal answers
        for source in sources:
            if answers == num_finished:
                raise error("interrupted")
            answers += 1
            yield feedback_of(source)

    return evaluate


def ignore(event: Event) -> None:
    pass


def without_time(attempts: Sequence[Attempt]) -> list[Attempt]:
    return [
        dataclasses.replace(
            attempt, created_at="", spent=dataclasses.replace(attempt.spent, wall_seconds=0.0)
        )
        for attempt in attempts
    ]


class Stubborn:
    """An agent that proposes the same two sources again and again."""

    name = "stubborn"

    def propose(self, history: Sequence[Attempt], pending: Sequence[Proposal] = ()) -> Proposal:
        index = len(history) + len(pending)
        return Proposal(source=f"x = {index // 2 % 2}\n", change="", operator="draft")


@pytest.mark.parametrize("batch_size", [1, 3, 5])
@pytest.mark.parametrize(
    ("error", "num_finished"),
    [(KeyboardInterrupt, 0), (HarnessError, 1), (KeyboardInterrupt, 4), (HarnessError, 11)],
)
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(
    tmp_path: Path, batch_size: int, error: type[BaseException], num_finished: int
) -> None:
    agent = RegularisedEvolution(7, num_drafts=3)
    whole = search(
        agent,
        evaluate_batch,
        Journal(tmp_path / "whole.sqlite"),
        budget=Budget(attempts=NUM_ATTEMPTS),
        batch_size=batch_size,
        on_event=ignore,
    )
    journal = Journal(tmp_path / "broken.sqlite")
    with pytest.raises(error):
        search(
            agent,
            failing_after(num_finished, error),
            journal,
            budget=Budget(attempts=NUM_ATTEMPTS),
            batch_size=batch_size,
            on_event=ignore,
        )
    assert without_time(journal.attempts()) == without_time(whole[:num_finished])
    resumed = search(
        RegularisedEvolution(7, num_drafts=3),
        evaluate_batch,
        journal,
        budget=Budget(attempts=NUM_ATTEMPTS),
        batch_size=batch_size,
        on_event=ignore,
    )
    assert without_time(resumed) == without_time(whole)
    assert journal.attempts() == resumed


def test_events_tell_the_story(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    events: list[Event] = []
    search(
        Stubborn(),
        evaluate_batch,
        journal,
        budget=Budget(attempts=2),
        batch_size=2,
        on_event=events.append,
    )
    assert [(event.kind, event.index) for event in events] == [
        ("proposed", 0),
        ("proposed", 1),
        ("finished", 0),
        ("reused", 1),
        ("finished", 1),
        ("ended", 2),
    ]
    assert events[-1].reason == "attempts: 2 of 2 are spent"
    events.clear()
    search(Stubborn(), evaluate_batch, journal, budget=Budget(attempts=3), on_event=events.append)
    assert [(event.kind, event.index) for event in events] == [
        ("resumed", 2),
        ("proposed", 2),
        ("finished", 2),
        ("ended", 3),
    ]
    assert events[-2].attempt == journal.attempts()[-1]


def test_a_source_is_evaluated_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def evaluate(sources: Sequence[str]) -> Iterator[Feedback]:
        asked.extend(sources)
        return evaluate_batch(sources)

    attempts = search(
        Stubborn(),
        evaluate,
        Journal(tmp_path / "journal.sqlite"),
        budget=Budget(attempts=11),
        batch_size=3,
        on_event=ignore,
    )
    assert asked == ["x = 0\n", "x = 1\n"]
    assert len(attempts) == 11
    assert all(a.feedback == feedback_of(a.proposal.source) for a in attempts)


def test_too_few_answers_are_the_harness_fault(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"each of 1 sources, found fewer"):
        search(
            Stubborn(),
            lambda sources: [],
            Journal(tmp_path / "journal.sqlite"),
            budget=Budget(attempts=1),
            on_event=ignore,
        )


@pytest.mark.parametrize(
    ("budget", "num_attempts"),
    [
        (Budget(attempts=0), 0),
        (Budget(evaluations=4), 4),
        (Budget(device_seconds=2.5), 3),
        (Budget(tokens=35), 4),
        (Budget(dollars=0.5), 2),
        (Budget(attempts=5, tokens=1_000), 5),
    ],
)
def test_a_search_ends_with_the_step_that_reaches_a_bound(
    tmp_path: Path, budget: Budget, num_attempts: int
) -> None:
    events: list[Event] = []
    attempts = search(
        RegularisedEvolution(7, num_drafts=3),
        lambda sources: [dataclasses.replace(feedback_of(s), seconds=1.0) for s in sources],
        Journal(tmp_path / "journal.sqlite"),
        budget=budget,
        on_event=events.append,
        llm_spending=lambda index: Spending(attempts=0, tokens=10, dollars=0.25),
    )
    assert len(attempts) == num_attempts
    assert budget.reached(total_spent(attempts)) == events[-1].reason != ""


def test_a_cost_that_is_not_known_is_over_any_bound_on_it() -> None:
    unknown = Spending(dollars=None) + Spending(dollars=1.0)
    assert unknown.dollars is None
    reached = Budget(dollars=5.0).reached(unknown)
    assert reached is not None
    assert "not known" in reached
    assert Budget(attempts=5, dollars=5.0).left(unknown) == {"attempts": 3}


def test_only_what_differs_in_more_than_its_layout_is_paid_for(tmp_path: Path) -> None:
    sources = iter(["x = 1\n", "x = 1  # again\n", "x=1\n", "x = 2\n"])

    class Commenting:
        name = "commenting"

        def propose(self, history: Sequence[Attempt], pending: Sequence[Proposal] = ()) -> Proposal:
            return Proposal(source=next(sources), change="", operator="draft")

    journal = Journal(tmp_path / "journal.sqlite")
    attempts = search(
        Commenting(), evaluate_batch, journal, budget=Budget(evaluations=2), on_event=ignore
    )
    assert [attempt.spent.evaluations for attempt in attempts] == [1, 0, 0, 1]
    assert len({attempt.code_hash for attempt in attempts}) == 2


def attempt_of(index: int) -> Attempt:
    source = f"x = {index}\n"
    return Attempt(
        index=index,
        source_hash=hash_source(source),
        proposal=Proposal(source=source, change="ein Zug weiter: α → β", operator="draft"),
        feedback=feedback_of(source),
        created_at="2026-11-21T00:00:00+00:00",
        code_hash=hash_code(source),
        spent=Spending(wall_seconds=1.5, tokens=7, dollars=None),
    )


def filled(path: Path, num_attempts: int) -> Journal:
    journal = Journal(path)
    for index in range(num_attempts):
        journal.append(attempt_of(index))
    return journal


def filled_further(journal: Journal, num_attempts: int) -> None:
    for index in range(len(journal.attempts()), num_attempts):
        journal.append(attempt_of(index))


def test_a_journal_gives_back_what_it_was_given(tmp_path: Path) -> None:
    journal = filled(tmp_path / "new folder" / "journal.sqlite", 5)
    assert journal.attempts() == [attempt_of(index) for index in range(5)]
    assert Journal(tmp_path / "none.sqlite").attempts() == []


@pytest.mark.slow
def test_a_writer_that_was_killed_leaves_whole_rows(tmp_path: Path) -> None:
    """SIGKILL at any moment of writing: what is there can be read, and is the beginning."""
    path = tmp_path / "journal.sqlite"
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]); import pathlib, test_search;"
        "test_search.filled(pathlib.Path(sys.argv[1]), 10_000)"
    )
    command = [sys.executable, "-c", program, str(path), str(Path(__file__).parent)]
    with subprocess.Popen(command, env=os.environ) as process:
        while process.poll() is None and len(Journal(path).attempts()) < 20:
            time.sleep(0.2)
        process.kill()
    attempts = Journal(path).attempts()
    assert attempts == [attempt_of(index) for index in range(len(attempts))]
    Journal(path).append(attempt_of(len(attempts)))


def test_nothing_is_ever_changed_or_removed(tmp_path: Path) -> None:
    journal = filled(tmp_path / "journal.sqlite", 2)
    journal.keep_exchange(0, "question", "{}")
    connection = sqlite3.connect(journal.path)
    for statement in (
        "update attempts set record = '{}'",
        "delete from attempts",
        "update exchanges set request = ''",
        "delete from exchanges",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="only ever added to"):
            connection.execute(statement)
    connection.close()
    assert journal.attempts() == [attempt_of(0), attempt_of(1)]
    assert journal.exchanges(0) == [("question", "{}")]


def test_a_row_can_be_asked_for_with_sql(tmp_path: Path) -> None:
    journal = filled(tmp_path / "journal.sqlite", 2)
    connection = sqlite3.connect(journal.path)
    rows = connection.execute("select attempt, operator, source, tokens, dollars from attempts")
    assert rows.fetchall() == [(0, "draft", "x = 0\n", 7, None), (1, "draft", "x = 1\n", 7, None)]
    connection.close()


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("update attempts set record = '{}' where attempt = 1", "attempt 1 of .* is damaged"),
        ("delete from attempts where attempt = 1", "expected attempt 1 .* found attempt 2"),
    ],
)
def test_a_damaged_row_is_named(tmp_path: Path, statement: str, complaint: str) -> None:
    journal = filled(tmp_path / "journal.sqlite", 3)
    connection = sqlite3.connect(journal.path)
    for trigger in ("attempts_keep_update", "attempts_keep_delete"):
        connection.execute(f"drop trigger {trigger}")
    connection.execute(statement)
    connection.commit()
    connection.close()
    with pytest.raises(RecordError, match=complaint):
        journal.attempts()


def test_what_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"this is something else" * 100)
    with pytest.raises(RecordError, match="is no journal, or is damaged"):
        Journal(path).attempts()


def test_two_searches_in_one_journal(tmp_path: Path) -> None:
    journal = filled(tmp_path / "journal.sqlite", 3)
    with pytest.raises(RecordError, match=r"expected attempt 3 next .*stop one of them"):
        journal.append(attempt_of(2))
    assert len(journal.attempts()) == 3


def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot use the journal .*another folder"):
        Journal(tmp_path / "file" / "journal.sqlite").append(attempt_of(0))
    with pytest.raises(DataError, match="cannot use the journal"):
        Journal(tmp_path).attempts()


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    journal = filled(tmp_path / "journal.sqlite", 3)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.path.stat().st_size, limits[1]))
    try:
        with pytest.raises(DataError, match="cannot use the journal"):
            filled_further(journal, 200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    attempts = journal.attempts()
    assert attempts == [attempt_of(index) for index in range(len(attempts))]
    journal.append(attempt_of(len(attempts)))
