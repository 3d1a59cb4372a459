"""What a leaderboard is made of: every training once, in whatever order stores are read."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from landscape import finished
from run_records import make_dossier, make_run

from agent_sandbox.agents.journal import Journal
from agent_sandbox.fingerprint.records import Neighbour
from leaderboards.contents import first_of_each, read_contents
from leaderboards.dossiers import DossierFile, by_subject, dossier_of
from leaderboards.store import Store
from lra_design.errors import RecordError
from lra_design.records import Feedback, Finding, Proposal

NEIGHBOUR = Neighbour(name="softmax", mode="causal", distance=1.5, copy=None, shared_structure=None)
REFUSED = Finding(
    check="LRA201",
    name="shape",
    tier="error",
    expected="a shape",
    found="another",
    likely_cause="a view",
    hint="return it",
)


def test_the_training_that_was_scored_first_counts_whatever_is_read_first() -> None:
    first = make_run("a", 0, 0.4, created_at="2026-01-02T00:00:00+00:00")
    again = make_run("a", 0, 0.9, created_at="2026-01-03T00:00:00+00:00")
    unscored = make_run("a", 0, None, created_at="2026-01-01T00:00:00+00:00")
    bare = replace(first, source="")
    for order in itertools.permutations([first, again, unscored, bare, first]):
        runs, repeats = first_of_each(order)
        assert runs == (first,)
        assert repeats == (bare, again, unscored)


def test_everything_below_the_folders_is_found_once(tmp_path: Path) -> None:
    runs = [make_run("a", seed, 0.4) for seed in range(3)]
    Store(tmp_path / "one").append(runs[0])
    Store(tmp_path / "one").append(runs[1])
    Store(tmp_path / "two/board").append(runs[1])
    Store(tmp_path / "two/board").append(runs[2])
    DossierFile(tmp_path / "two/board").append(make_dossier("a"))
    proposal = Proposal(source="1\n", change="", operator="draft")
    report = make_dossier("a").certificate
    attempt = finished(0, proposal, lambda *_: Feedback(report=report))
    Journal(tmp_path / "two/journal.sqlite").append(attempt)
    (tmp_path / "two/design.json").write_text('{"task": "listops-mini"}')
    (tmp_path / "three").symlink_to(tmp_path / "two")

    found = read_contents([tmp_path, tmp_path / "two", tmp_path / "none"])
    assert sorted(run.run_id for run in found.runs) == ["a-0", "a-1", "a-2"]
    assert not found.repeats
    assert dossier_of(runs[0], found.dossiers) == make_dossier("a")
    (search,) = found.searches
    assert (search.name, search.settings) == ("two", {"task": "listops-mini"})
    assert search.attempts == (attempt,)


def test_a_certificate_counts_before_a_refusal_and_is_of_its_own_mechanism_alone() -> None:
    refused = make_dossier("a", findings=(REFUSED,), neighbours=(NEIGHBOUR,))
    bare, full = make_dossier("a"), make_dossier("a", neighbours=(NEIGHBOUR,))
    for order in itertools.permutations([refused, bare, full]):
        assert list(by_subject(order).values()) == [full]
    found = by_subject([full])
    run = make_run("a", 0, 0.5)
    assert dossier_of(run, found) == full
    for other in (
        make_run("b", 0, 0.5),
        replace(run, mode="bidirectional"),
        replace(run, hyperparameters={"width": 4}),
    ):
        assert dossier_of(other, found) is None


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("dossiers.jsonl", "{}\n", "dossiers.jsonl, line 1: not a Dossier"),
        ("dossiers.jsonl", '{"schema": 2}\n', "line 1"),
        ("design.json", "{", "design.json is no JSON"),
        ("design.json", "[]", "expected an object in"),
        ("journal.sqlite", "no database", "is no journal"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: str, says: str) -> None:
    proposal = Proposal(source="1\n", change="", operator="draft")
    feedback = Feedback(report=make_dossier("a").certificate)
    Journal(tmp_path / "journal.sqlite").append(finished(0, proposal, lambda *_: feedback))
    (tmp_path / name).write_text(content)
    with pytest.raises(RecordError, match=says):
        read_contents([tmp_path])
