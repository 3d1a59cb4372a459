"""A field of agents: what the file says, what the rows come to, what is run again."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_records import make_run, make_score
from test_search import attempt_of

from agent_sandbox.agents.journal import Journal
from leaderboards.store import Store
from leaderboards.tournament import Cell, Outcome, Row, Setting, share, spread, table
from lra_design.cli import run
from lra_design.cli.agents_file import AgentsFile, read_agents_file
from lra_design.cli.tournament_cells import (
    Place,
    Terms,
    assignment,
    check,
    places,
    read_cell,
    reference_cells,
)
from lra_design.cli.tournament_table import Standing
from lra_design.errors import UsageError
from lra_design.records import Spending, from_json
from trainers.executors import State, process

ROOT = Path(__file__).parent.parent
STUDY = ROOT / "examples" / "tournaments" / "study.toml"
FILE = """
probes = ["recall-probe"]
references = ["mean"]
[budget]
attempts = 2
[[agents]]
name = "one"
policy = "one-shot"
[[agents]]
name = "two"
policy = "best-of-n:num_drafts=2"
"""


def field_of(folder: Path, text: str = FILE) -> Path:
    path = folder / "agents.toml"
    path.write_text(text)
    return path


def terms_of(file: AgentsFile) -> Terms:
    return Terms(file=file, num_trials=3, num_tests=2, device="cpu", isolation="standard")


def checked(path: Path, setting: Setting = "fixed", task: str = "recall-probe") -> list[Place]:
    """All cells of a file, as the command checks them."""
    file, out = read_agents_file(path), path.parent / "out"
    asked = places(file, [task], [setting], 1, out)
    check(asked, terms_of(file), out, path.parent)
    return asked


def cell(agent: str = "one", *accuracies: float, **changes: Any) -> Cell:
    """A search that found something, or nothing where there are no accuracies."""
    made = Cell(
        agent=agent,
        task="listops-v1",
        setting="fixed",
        seed=0,
        outcome="valid" if accuracies else "nothing valid",
        attempts=3,
        valid_attempts=2 if accuracies else 0,
        finalist=f"of {agent}" if accuracies else None,
        validations=tuple(accuracies),
        tests=tuple(make_score("listops-v1", "test", accuracy) for accuracy in accuracies),
        spent=Spending(attempts=3, device_seconds=2.0, tokens=11),
    )
    return replace(made, **changes)


def rows_of(*cells: Cell, references: tuple[Cell, ...] = ()) -> dict[tuple[str, str | None], Row]:
    rows = table(cells, references, chance={"listops-v1": 0.17})
    return {(row.agent, row.task): row for row in rows}


def test_the_studys_field_is_twenty_agents_that_can_be() -> None:
    file = read_agents_file(STUDY)
    assert len(file.agents) == 20
    assert len({agent.llm for agent in file.agents}) == 10
    assert {agent.policy for agent in file.agents} == {"one-shot", "greedy:num_drafts=1"}
    assert len(checked(STUDY, "tuned", "text-mini")) == 20


def test_every_option_of_an_agent_reaches_its_search(tmp_path: Path) -> None:
    text = """
        scale = "small"
        mode = "bidirectional"
        probes = ["listops-v1"]
        [budget]
        preset = "study"
        max_dollars = 0
        [[agents]]
        name = "writer"
        llm = "scripted:a.txt"
        policy = "mcts"
        operators = ["draft", "improve"]
        whole_files = true
        [[agents]]
        name = "program"
        agent = "python it.py"
        agent_network = ["a.example", "b.example"]
        agent_network_unwalled = true
    """
    (tmp_path / "a.txt").write_text("--- answer ---\nhello\n")
    asked = checked(field_of(tmp_path, text), "tuned", "listops-v1")
    terms = terms_of(read_agents_file(tmp_path / "agents.toml"))
    jobs = [assignment(place, terms, tmp_path / "out", tmp_path) for place in asked]
    first, second = (job.spec.arguments for job in jobs)  # type: ignore[union-attr]
    for pair in (
        ("--task", "listops-v1"),
        ("--setting", "tuned"),
        ("--trials", "3"),
        ("--scale", "small"),
        ("--mode", "bidirectional"),
        ("--max-dollars", "0.0"),
        ("--preset", "study"),
        ("--seeds", "2"),
        ("--operators", "draft,improve"),
        ("--llm", "scripted:a.txt"),
    ):
        assert pair in itertools.pairwise(first), pair
    assert "--whole-files" in first
    assert ("--agent-network", "a.example,b.example") in itertools.pairwise(second)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("policy =", "polcy ="), r"unknown key of \[\[agents\]\] one 'polcy'.* 'policy'"),
        (("attempts =", "attemps ="), r"unknown key of \[budget\] 'attemps'.* 'attempts'"),
        (("probes =", "probe ="), "unknown key 'probe'.* 'probes'"),
        (('name = "two"', 'name = "One"'), "two agents are called 'One'"),
        (('name = "two"', 'name = "../two"'), r"called '../two': expected letters"),
        (('name = "two"\n', ""), "agents.1.name"),
        (('"one-shot"', '"one-shot"\nattempts = 5'), r"budget of its own \(attempts\)"),
        (("attempts = 2", 'attempts = "two"'), "budget.attempts"),
        (('probes = ["', 'scale = "tiny"\nprobes = ["'), "scale"),
        (("[budget]\nattempts = 2", "budget = 2"), "expected these parts"),
        (("[[agents]]", "[[agents"), "no TOML"),
    ],
)
def test_a_file_that_is_wrong_is_refused_where_it_is(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    path = field_of(tmp_path, FILE.replace(*change, 1))
    with pytest.raises(UsageError, match=message.replace("these parts", r"a table \[budget\]")):
        read_agents_file(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"one-shot"', '"one-shoot"'), "agent 'one': unknown policy 'one-shoot'.*one-shot"),
        (('"one-shot"', '"one-shot"\noperators = ["drift"]'), "unknown operator 'drift'"),
        (('"one-shot"', '"one-shot"\nwhole_files = true'), "--whole-files is for an llm"),
        (('"one-shot"', '"one-shot"\nagent = "x"'), "does all by itself"),
        (('"one-shot"', '"one-shot"\nllm = "scripted:none.txt"'), "expected answers in .*none.txt"),
        (("attempts = 2", "attempts = 0"), "--attempts"),
        (('probes = ["recall-probe"]', 'probes = ["recal-probe"]'), "recall-probe"),
        (('references = ["mean"]', 'references = ["meen"]'), "unknown reference 'meen'.*mean"),
    ],
)
def test_an_agent_that_cannot_be_is_refused_before_anything_runs(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        checked(field_of(tmp_path, FILE.replace(*change, 1)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.toml", "--tasks", "recall-probe"], "cannot read none.toml"),
        (["agents.toml", "--tasks", "recal-probe"], "Did you mean 'recall-probe'"),
        (["agents.toml", "--tasks", ","], "expected names with commas"),
        (
            ["agents.toml", "--tasks", "recall-probe", "--settings", "tunned"],
            "Did you mean 'tuned'",
        ),
        (["agents.toml", "--tasks", "recall-probe", "--executor", "lokal"], "Did you mean 'local'"),
    ],
)
def test_what_is_asked_wrongly_is_said(
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    field_of(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run(["tournament", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_rate_counts_what_ended_and_leaves_our_faults_out() -> None:
    outcomes: tuple[Outcome, ...] = ("nothing valid", "llm fault", "failed", "missing")
    found = cell("one", 0.4)
    others = [cell("one", seed=i, outcome=o, why=o) for i, o in enumerate(outcomes, start=1)]
    row = rows_of(found, *others)["one", "listops-v1"]
    assert row.cells == 5
    assert row.valid_cells is not None
    assert (row.valid_cells.count, row.valid_cells.of) == (1, 3)
    assert row.valid_attempts is not None
    assert (row.valid_attempts.count, row.valid_attempts.of) == (2, 15)
    assert row.reasons == outcomes
    assert row.test is not None
    assert row.test.mean == pytest.approx(0.4)  # a search without a finalist is in no score


def test_an_agent_that_handed_in_nothing_has_no_score() -> None:
    row = rows_of(cell("one"))["one", "listops-v1"]
    assert (row.test, row.best_validation, row.normalised) == (None, None, None)
    assert row.valid_cells == share(0, 1)
    assert rows_of(cell("one", outcome="missing", attempts=0))["one", None].valid_cells is None


def test_the_interval_is_over_what_there_is_to_vary() -> None:
    both = [cell("a", 0.3, 0.5, finalist="x"), cell("a", 0.6, 0.6, finalist="y", seed=1)]
    over_searches = spread(both)
    assert over_searches is not None
    assert over_searches.mean == pytest.approx(0.5)
    assert over_searches.over == "search seeds"
    same = spread([replace(one, finalist="x", tests=both[0].tests) for one in both])
    assert same is not None
    assert (same.mean, same.over) == (pytest.approx(0.4), "training seeds")
    once = spread([cell("a", 0.3)])
    assert once is not None
    assert once.over == "examples"


def test_a_cost_that_one_search_does_not_know_is_not_known() -> None:
    unknown = Spending(device_seconds=1.0, tokens=None, dollars=None)
    row = rows_of(cell("one", 0.4), cell("one", 0.4, seed=1, spent=unknown))["one", "listops-v1"]
    assert row.spent is not None
    assert row.spent.device_seconds == 3.0
    assert (row.spent.tokens, row.spent.dollars) == (None, None)


def test_references_stand_among_the_agents_of_their_place() -> None:
    reference = cell("mean", 0.5, spent=None, tuning_seconds=4.0)
    rows = table([cell("low", 0.3), cell("high", 0.6)], [reference], chance={"listops-v1": 0.17})
    assert [row.agent for row in rows] == ["high", "low", "high", "mean", "low"]
    mean = rows[3]
    assert mean.is_reference
    assert (mean.valid_cells, mean.spent, mean.tuning_seconds) == (None, None, 4.0)
    assert mean.normalised is not None
    assert 0 < mean.normalised.low < mean.normalised.mean < mean.normalised.high < 1


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.lists(st.floats(0, 1), max_size=3))))
def test_rows_are_the_cells_and_nothing_is_counted_twice(
    drawn: list[tuple[str, list[float]]],
) -> None:
    cells = [
        cell(agent, *accuracies, seed=seed, finalist=f"{seed}" if accuracies else None)
        for seed, (agent, accuracies) in enumerate(drawn)
    ]
    rows = rows_of(*cells)
    here = {agent: row for (agent, task), row in rows.items() if task}
    assert set(here) == {agent for agent, _ in drawn}
    assert sum(row.cells for row in here.values()) == len(cells)
    for agent, row in here.items():
        means = [fmean(one.validations) for one in cells if one.agent == agent and one.validations]
        assert row.valid_cells is not None
        assert row.valid_cells.count == len(means)
        assert row.valid_cells.low <= len(means) / row.cells <= row.valid_cells.high
        assert row.best_validation == max(means, default=None)
        assert (row.test is None) == (not means)
        if row.test is not None:
            assert row.test.mean == pytest.approx(fmean(means))
            assert row.test.low - 1e-9 <= row.test.mean <= row.test.high + 1e-9
        total = rows[agent, None]
        assert (total.cells, total.valid_cells, total.test) == (row.cells, row.valid_cells, None)
        assert total.spent == row.spent


@settings(max_examples=10)
@given(st.permutations(range(4)))
def test_the_order_of_the_cells_does_not_matter(order: list[int]) -> None:
    cells = [cell("ab"[i % 2], 0.1 * (i + 1), seed=i, finalist=f"{i}") for i in range(4)]
    assert rows_of(*(cells[i] for i in order)) == rows_of(*cells)


def ended_place(folder: Path, *agents: str | None) -> Place:
    """A cell that has ended, with a scored run of each: a candidate's, or a reference's (None)."""
    asked = checked(field_of(folder))
    place = asked[0]
    for index in range(2):
        Journal(place.run.journal).append(attempt_of(index))
    for agent in agents:
        made = make_run(agent or "mean", 0, 0.25, task="recall-probe")
        Store(place.run.board).append(
            replace(made, origin="candidate" if agent else "reference", agent=agent)
        )
    place.run.site.mkdir()
    place.run.page.write_text("the page\n")
    return place


def test_a_cell_is_read_from_its_folder(tmp_path: Path) -> None:
    place = ended_place(tmp_path, "one", None)
    found = read_cell(place)
    assert (found.outcome, found.attempts, found.finalist) == ("valid", 2, "hash-of-one")
    assert [score.accuracy for score in found.tests] == [0.25]
    assert found.spent is not None
    assert (found.spent.tokens, found.spent.dollars) == (14, None)
    (reference,) = reference_cells([place, place])
    assert (reference.agent, reference.tests, reference.spent) == ("mean", found.tests, None)


def test_why_a_cell_has_no_finalist(tmp_path: Path) -> None:
    place = ended_place(tmp_path, None)
    assert read_cell(place).outcome == "nothing valid"
    place.run.page.unlink()
    assert read_cell(place).outcome == "missing"
    failed = State(name="failed", why="no space", error="harness")
    assert (read_cell(place, failed).outcome, read_cell(place, failed).why) == (
        "failed",
        "harness: no space",
    )
    place.run.llm_fault.write_text("llm quota: nothing left")
    assert read_cell(place, failed).outcome == "llm fault"
    assert read_cell(place, State(name="lost", why="cancelled")).outcome == "missing"


def test_a_cell_whose_records_are_damaged_has_failed(tmp_path: Path) -> None:
    place = ended_place(tmp_path, "one")
    (place.run.board / "records.jsonl").write_text("{}\n")
    found = read_cell(place)
    assert found.outcome == "failed"
    assert "records.jsonl, line 1" in found.why
    assert reference_cells([place]) == []


END = (
    "echo once >> $1/log.txt; mkdir -p $1/run/site; touch $1/run/site/index.html; "
    """printf '{"ticket": "%s", "state": {"name": "done"}}' $2 > $1/outcome.json"""
)
CRASH = "echo error: no space; exit 3"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes every cell a shell script, which finds its folder and its ticket in $1 and $2."""

    def use(script: str) -> None:
        monkeypatch.setattr(
            process, "command", lambda folder, ticket: ["sh", "-c", script, "sh", folder, ticket]
        )

    return use


def test_what_ended_is_not_run_again_and_what_failed_is(
    tmp_path: Path, shell: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = field_of(tmp_path), tmp_path / "out"
    asked = ["tournament", str(path), "--tasks", "recall-probe", "--out", str(out)]
    logs = out / "cells"
    shell(f"case $1 in */one/*) {END};; *) {CRASH};; esac")
    assert run([*asked, "--settings", "fixed", "--workers", "2"]) == 3
    printed = capsys.readouterr()
    assert "1 ended, 1 failed by a fault of ours" in printed.out
    assert "two on recall-probe, fixed, seed 0: failed" in printed.err
    assert "error: no space" in printed.err
    shell(END)
    assert run([*asked, "--settings", "fixed,tuned", "--json"]) == 0
    stands = from_json(Standing, capsys.readouterr().out)
    assert {cell.outcome for cell in stands.cells} == {"nothing valid"}
    assert len(stands.cells) == 4
    assert json.loads((out / "tournament.json").read_text())["rows"]
    assert (logs / "one" / "recall-probe-fixed-s0" / "log.txt").read_text() == "once\n"
    assert run([*asked, "--list"]) == 0
    assert "no attempt" in capsys.readouterr().out
    path.write_text(FILE.replace("attempts = 2", "attempts = 9"))
    assert run(asked) == 2
    assert "a tournament on other terms: budget" in capsys.readouterr().err
    path.write_text(FILE.replace("one-shot", "greedy"))
    assert run(asked) == 2
    assert "another agent 'one'" in capsys.readouterr().err


@pytest.mark.slow  # real searches: a minute of a processor
@pytest.mark.timeout(900)
def test_a_tournament_that_was_killed_goes_on(tmp_path: Path) -> None:
    path, out = field_of(tmp_path), tmp_path / "out"
    asked = ["tournament", str(path), "--tasks", "recall-probe", "--settings", "tuned"]
    asked += ["--trials", "2", "--test-seeds", "1", "--out", str(out)]
    journal = Journal(out / "cells" / "one" / "recall-probe-tuned-s0" / "run" / "journal.sqlite")
    with subprocess.Popen([sys.executable, "-m", "lra_design", *asked]) as killed:
        while not journal.attempts():
            time.sleep(0.1)
        killed.kill()
    before = journal.attempts()
    done = subprocess.run(
        [sys.executable, "-m", "lra_design", *asked, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert journal.attempts()[: len(before)] == before
    stands = from_json(Standing, done.stdout)
    assert [cell.outcome for cell in stands.cells] == ["valid", "valid"]
    assert all(cell.tests and cell.tuning_seconds for cell in stands.cells)
    (reference,) = (row for row in stands.rows if row.is_reference)
    assert reference.agent == "mean"
    assert reference.tuning_seconds
