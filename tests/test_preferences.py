"""Preference pairs of a journal, and the writer that learns from them."""

from __future__ import annotations

import dataclasses
import json
import random
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from landscape import feedback_with, run, score_of, stand_in
from test_formats import ISOLATION
from test_llm_operators import PARENT, attempt
from test_search import without_time

from agent_sandbox.agents.grammar import draw_genome, genome_from_notes
from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.operators.learned import CHOICES, LearnedOperators, Learning
from agent_sandbox.agents.policies import get_policy
from agent_sandbox.agents.policy_agent import PolicyAgent
from agent_sandbox.agents.preferences.choices import SLOTS, write_genome
from agent_sandbox.agents.preferences.pairs import (
    GATES,
    Pair,
    better,
    gate_of,
    least_margin,
    preference_pairs,
)
from agent_sandbox.agents.render import render
from agent_sandbox.agents.search import hash_source, search
from lra_design.cli import run as command
from lra_design.cli.agents import opened_agent
from lra_design.cli.run_folder import DesignSettings, RunFolder
from lra_design.errors import RecordError, UsageError
from lra_design.records import (
    Attempt,
    Budget,
    Feedback,
    Finding,
    Proposal,
    from_json,
    to_json,
)

ROOT = Path(__file__).parents[1]
CRASH = Finding(
    check="LRA307",
    name="training",
    tier="error",
    expected="a finite loss",
    found="NaN",
    likely_cause="",
    hint="",
)
REFUSED, INVALID, CRASHED, UNTRAINED = "leak refused", "leak invalid", "crashed", "untrained"


def child(index: int, outcome: str | float, *parents: str, code: str = "") -> Attempt:
    """An attempt that came so far, or has this accuracy."""
    source = f"{outcome if isinstance(outcome, str) else 'x'} = {index}\n"
    accuracy = outcome if isinstance(outcome, float) else None
    made = attempt(index, source.replace(" =", "_ =", 1), accuracy, parents=parents)
    feedback = made.feedback
    if outcome == INVALID:
        report = dataclasses.replace(feedback.report, isolation=ISOLATION)
        feedback = dataclasses.replace(feedback, report=report)
    if outcome == CRASHED:
        feedback = dataclasses.replace(feedback, failure=CRASH)
    return dataclasses.replace(made, feedback=feedback, code_hash=code or made.code_hash)


def pairs_of(attempts: Sequence[Attempt], noise: float | None = 0.01) -> list[tuple[int, int]]:
    found = preference_pairs(attempts, run="mine", noise=noise)
    return [(pair.chosen_from.attempt, pair.rejected_from.attempt) for pair in found]


def test_gates_are_told_apart_and_ordered() -> None:
    outcomes = (REFUSED, INVALID, CRASHED, 0.1)
    attempts = [child(index, outcome) for index, outcome in enumerate(outcomes)]
    assert tuple(gate_of(one.feedback) for one in attempts) == GATES
    assert pairs_of(attempts) == [(1, 0), (2, 0), (3, 0), (2, 1), (3, 1), (3, 2)]
    assert pairs_of(attempts, noise=None) == pairs_of(attempts)


def test_scores_count_beyond_the_noise_alone() -> None:
    least = least_margin(0.01)
    assert least == pytest.approx(0.0283, abs=1e-4)
    attempts = [child(0, 0.5), child(1, 0.5 + 0.9 * least), child(2, 0.5 + 1.1 * least)]
    assert pairs_of(attempts) == [(2, 0)]
    assert pairs_of(attempts, noise=None) == []


def test_only_children_of_the_same_parents_are_compared() -> None:
    one, other = child(0, 0.1), child(1, 0.9)
    a, b = one.source_hash, other.source_hash
    attempts = [
        one,
        other,
        child(2, 0.2, a),
        child(3, 0.4, b),
        child(4, INVALID, a),
        child(5, 0.3, a, b),
        child(6, 0.7, a, b),
    ]
    assert pairs_of(attempts) == [(1, 0), (2, 4), (6, 5)]


def test_the_same_code_the_untrained_and_other_tasks_make_no_pair() -> None:
    assert pairs_of([child(0, 0.1, code="same"), child(1, 0.9, code="same")]) == []
    assert pairs_of([child(0, UNTRAINED), child(1, 0.9), child(2, CRASHED)]) == [(1, 2)]
    other = child(1, 0.9)
    scores = (score_of("copying-probe", 0.9),)
    other = dataclasses.replace(other, feedback=dataclasses.replace(other.feedback, scores=scores))
    assert pairs_of([child(0, 0.1), other]) == []


def test_what_has_no_source_makes_no_pair() -> None:
    empty = child(0, REFUSED)
    empty = dataclasses.replace(empty, proposal=dataclasses.replace(empty.proposal, source=" \n"))
    assert pairs_of([empty, child(1, 0.5)]) == []


def test_a_score_of_a_test_split_is_never_read() -> None:
    sealed = child(1, 0.9)
    scores = tuple(dataclasses.replace(s, split="test") for s in sealed.feedback.scores)
    sealed = dataclasses.replace(
        sealed, feedback=dataclasses.replace(sealed.feedback, scores=scores)
    )
    with pytest.raises(RecordError, match="attempt 1, found one of another split"):
        pairs_of([child(0, INVALID), sealed])


@given(
    st.lists(st.sampled_from([REFUSED, INVALID, CRASHED, UNTRAINED, 0.1, 0.12, 0.5]), max_size=6)
)
def test_the_order_has_no_circle(outcomes: list[str | float]) -> None:
    attempts = [child(index, outcome) for index, outcome in enumerate(outcomes)]
    for a in attempts:
        assert better(a, a, 0.01) == 0
        for b in attempts:
            assert better(a, b, 0.01) == -better(b, a, 0.01)
            for c in attempts:
                if better(a, b, 0.01) > 0 and better(b, c, 0.01) > 0:
                    assert better(a, c, 0.01) > 0


SETTINGS = DesignSettings(
    task="listops-mini",
    probes=("recall-probe", "copying-probe", "delay-probe"),
    scale="smoke",
    mode="causal",
    agent_seed=0,
    budget=Budget(attempts=5),
    num_seeds=1,
    isolation="standard",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A design run of three drafts and two children of the first."""
    path = tmp_path / "run"
    kept = Journal(path / "journal.sqlite")
    first = attempt(0, PARENT, 0.2, operator="draft")
    for made in (
        first,
        child(1, 0.9),
        child(2, INVALID),
        child(3, 0.5, first.source_hash),
        child(4, CRASHED, first.source_hash),
    ):
        kept.append(made)
    (path / "design.json").write_text(to_json(SETTINGS))
    return path


def lines(path: Path) -> list[Pair]:
    return [from_json(Pair, line) for line in path.read_text().splitlines()]


def test_pairs_in_the_layout_of_preference_trainers(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = folder / "pairs.jsonl"
    assert command(["journal", "pairs", str(folder), "-o", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "4 pairs" in printed
    assert "3 by the gate, 1 by" in printed
    assert "beyond a noise of 0.013" in printed
    raw = [json.loads(line) for line in output.read_text().splitlines()]
    assert all(isinstance(row[key], str) for row in raw for key in ("prompt", "chosen", "rejected"))
    found = lines(output)
    assert [(pair.reason, pair.num_gates, pair.margin) for pair in found] == [
        ("higher accuracy", 0, pytest.approx(0.7)),
        ("later gate", 2, None),
        ("later gate", 2, None),
        ("later gate", 1, None),
    ]
    assert {pair.run for pair in found} == {"run"}
    drafts, children = found[0], found[3]
    assert drafts.parents == ()
    assert PARENT not in drafts.prompt
    assert (drafts.chosen_from.attempt, drafts.rejected_from.attempt) == (1, 0)
    assert children.parents == (hash_source(PARENT),)
    assert PARENT in children.prompt
    for told in ("class MechanismConfig", "recall-probe", "causal mode"):
        assert told in children.prompt
    assert str(folder) not in output.read_text()


def test_a_journal_alone_has_no_noise(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "design.json").unlink()
    output = folder / "pairs.jsonl"
    journal = folder / "journal.sqlite"
    assert command(["journal", "pairs", str(journal), "-o", str(output)]) == 0
    assert "was not measured" in capsys.readouterr().out
    assert {pair.reason for pair in lines(output)} == {"later gate"}


def test_what_cannot_be_exported_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: object) -> str:
        assert command(["journal", "pairs", *map(str, arguments)]) == 2
        return capsys.readouterr().err

    there, new = folder / "there.jsonl", folder / "new.jsonl"
    there.write_text("mine")
    assert "expected a new file" in said(folder, "-o", there)
    assert there.read_text() == "mine"
    assert "expected a journal at" in said(tmp_path / "nowhere", "-o", new)
    Journal(tmp_path / "alone" / "journal.sqlite").append(attempt(0, PARENT, 0.2))
    assert "found none among 1 attempts" in said(tmp_path / "alone", "-o", new)
    assert not new.exists()


def learner(seed: int, round_size: int = 6) -> PolicyAgent:
    operators = LearnedOperators(seed, noise=0.013, round_size=round_size)
    return PolicyAgent(get_policy(f"learned:round_size={round_size}", seed), operators)


def test_the_first_round_is_the_grammar_and_later_ones_are_not() -> None:
    operators = LearnedOperators(0, noise=0.013, round_size=6)
    agent = PolicyAgent(get_policy("learned", 0), operators)
    history = run(agent, stand_in(0), 7)
    for known in (history[:0], history[:5]):
        assert not any(p.any() for p in operators.network(known).parameters())
    assert any(p.any() for p in operators.network(history[:6]).parameters())
    assert agent.name == "learned/learned-s0"
    assert all(
        render(genome_from_notes(a.proposal.notes["genome"])) == a.proposal.source for a in history
    )


def test_choices_give_the_genome_back() -> None:
    for made in run(learner(1), stand_in(1), 6):
        options = iter(made.proposal.notes[CHOICES])

        def next_one(slot: str, options: object = options) -> str:
            wanted, option = next(options)
            assert wanted == slot
            assert option in SLOTS[slot]
            return option

        assert write_genome(next_one) == genome_from_notes(made.proposal.notes["genome"])


def test_without_noise_nothing_is_learnt_from_scores() -> None:
    operators = LearnedOperators(0, noise=None, round_size=4)
    history = run(PolicyAgent(get_policy("learned", 0), operators), stand_in(0), 4)
    assert not any(p.any() for p in operators.network(history).parameters())


def judged(source: str) -> Feedback:
    """An accuracy that follows from the source; every seventh or so crashes."""
    number = int(hash_source(source)[:6], 16)
    scores = () if number % 7 == 0 else (score_of("delay-probe", number % 101 / 101),)
    failure = None if scores else CRASH
    return dataclasses.replace(feedback_with(source, scores), failure=failure)


@pytest.mark.slow
def test_a_search_that_was_cut_goes_on_as_it_would_have(tmp_path: Path) -> None:
    def searched(path: Path, num_attempts: int) -> list[Attempt]:
        return search(
            learner(3, round_size=4),
            lambda sources: map(judged, sources),
            Journal(path),
            budget=Budget(attempts=num_attempts),
            batch_size=2,
            on_event=lambda event: None,
        )

    whole = searched(tmp_path / "whole.sqlite", 11)
    assert len({one.proposal.source for one in whole}) == 11
    path = tmp_path / "cut.sqlite"
    for cut in (3, 9, 11):
        attempts = searched(path, cut)
    assert without_time(attempts) == without_time(whole)


class Numbers:
    """Eleven programs, each a number; the writer learns to write the highest."""

    slots: ClassVar = {"number": dict.fromkeys(map(str, range(11)), 1 / 11)}

    def write(self, choose: Callable[[str], str]) -> Proposal:
        return Proposal(source=f"{choose('number')}\n", change="", operator="draft")


def test_what_is_used_up_is_written_no_more() -> None:
    def evaluate(index: int, proposal: Proposal) -> Feedback:
        return feedback_with(proposal.source, [score_of("delay-probe", int(proposal.source) / 11)])

    sharp = Learning(odds_weight=5.0, penalty=1e-4)
    writer = LearnedOperators(0, noise=0.0, round_size=4, language=Numbers(), learning=sharp)
    agent = PolicyAgent(get_policy("learned", 0), writer)
    history = run(agent, evaluate, 11)
    assert len({attempt.proposal.source for attempt in history}) == 11
    with pytest.raises(UsageError, match="found none after 11 attempts"):
        agent.propose(history)


def test_a_design_run_puts_the_writer_beside_the_policy(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, policy="learned:round_size=3", agent_seed=4)
    crew = SimpleNamespace(num_workers=1)
    judging = SimpleNamespace(settings=settings, folder=RunFolder(tmp_path), crew=crew)
    with opened_agent(judging, shelf="") as opened:
        assert opened.agent.name == "learned:round_size=3/learned-s4"
        assert CHOICES in opened.agent.propose([]).notes


@pytest.mark.slow
def test_the_writer_learns_what_scores(tmp_path: Path) -> None:
    """A stand-in for training, 8 seeds, 4 rounds of 12: means 0.473, 0.612, 0.658, 0.743."""
    gains = []
    for seed in range(8):
        history = run(learner(seed, round_size=12), stand_in(seed), 48)
        means = [one.feedback.mean_accuracy or 0.0 for one in history]
        gains.append(fmean(means[36:]) - fmean(means[:12]))
    assert fmean(gains) > 0.15
    assert sum(gain > 0 for gain in gains) >= 7


def test_every_slip_of_the_benchmark_changes_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """The unconstrained grammar makes each, and what is written parses."""
    benchmark = runpy.run_path(str(ROOT / "benchmarks" / "preferences.py"))
    source = render(draw_genome(random.Random(0), 3))
    slips = [slip for options in benchmark["SLIPS"].values() for slip in options.values()]
    made = {slip(source) for slip in slips}
    assert len(made - {source}) == len(slips) == 5
    for text in made:
        compile(text, "candidate", "exec")
