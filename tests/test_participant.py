"""Agents as a class of three methods: run behind the walls, resumed, refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from test_external import searched, workspace
from test_llm_operators import report_on

from agent_sandbox.agents.external.agent import ExternalAgent
from agent_sandbox.agents.external.mailbox import Mailbox
from agent_sandbox.agents.external.program import OpenProgram, WalledProgram
from lra_design.records import Attempt, Budget

ROOT = Path(__file__).parent.parent
CLIMBER = ROOT / "examples" / "agents" / "climber.py"
COMMAND = f"{sys.executable} climb.py"
THREE = """
from participant import Candidate, Tried, best, run

class Three:
    def start(self, brief):
        assert "nested lists" in brief
    def propose(self, history):
        print([tried.candidate.change for tried in history])
        number = len(history)
        return Candidate(f"x = {number}\\n", f"number {number}")
    def choose(self, history):
        return best(history).candidate

run(Three())
"""


def worked(
    folder: Path, place: Path, command: str, attempts: int, *, walls: bool = False
) -> tuple[list[Attempt], ExternalAgent, str]:
    """The attempts of a search whose agent is `command`; the agent; what the command printed."""
    budget, mailbox, log = Budget(attempts=attempts), Mailbox(place), folder / "log"
    with (
        WalledProgram(command, place, "standard", log)
        if walls
        else OpenProgram(command, place, log)
    ) as program:
        agent = ExternalAgent("three", mailbox, program, budget, report_on)
        kept = searched(agent, folder, budget)
        mailbox.close(agent.end)
    return kept, agent, log.read_text()


@pytest.mark.slow
def test_the_example_is_short_and_runs_behind_the_walls(tmp_path: Path) -> None:
    assert len(CLIMBER.read_text().splitlines()) <= 40
    attempts, agent, log = worked(tmp_path, workspace(tmp_path), f"python {CLIMBER}", 6, walls=True)
    assert log == ""
    assert agent.end == "it was submitted"
    *tried, submitted = attempts
    assert tried[0].proposal.change == "a window of 2"
    accuracies = [attempt.feedback.mean_accuracy or 0.0 for attempt in tried]
    assert accuracies[:-1] == sorted(accuracies[:-1])  # it goes on while that helps
    leader = max(tried, key=lambda attempt: attempt.feedback.mean_accuracy or 0.0)
    assert submitted.proposal.operator == "submit"
    assert submitted.proposal.source == leader.proposal.source


def test_the_last_attempt_is_kept_for_the_submission_and_a_restart_is_told_all(
    tmp_path: Path,
) -> None:
    place = workspace(tmp_path, THREE)
    told = {"accuracy": 0.99, "valid": True}
    kept = [[["x = 'earlier'\n", "earlier"], told]]
    (place / "history.jsonl").write_text(json.dumps(kept[0]) + '\n[["cut o')
    attempts, _, log = worked(tmp_path, place, COMMAND, 3)
    assert log.splitlines() == ["['earlier']", "['earlier', 'number 1']"]
    changes = [attempt.proposal.change for attempt in attempts]
    assert changes == ["number 1", "number 2", "earlier"]
    assert attempts[-1].proposal.operator == "submit"


def test_a_class_that_fails_ends_its_program_alone(tmp_path: Path) -> None:
    place = workspace(tmp_path, THREE.replace("number = len(history)", "number = 1 / 0"))
    attempts, agent, log = worked(tmp_path, place, COMMAND, 3)
    assert attempts == []
    assert agent.end == "the program ended with exit code 1"
    assert "ZeroDivisionError" in log


def test_a_refused_candidate_is_said(tmp_path: Path) -> None:
    long = "Candidate('x' * 2**20, 'long')"
    place = workspace(tmp_path, THREE.replace("Candidate(f", f"{long} or (f"))
    attempts, agent, log = worked(tmp_path, place, COMMAND, 3)
    assert attempts == []
    assert "the desk refused a candidate: a request has at most" in log
    assert agent.end == "the program ended with exit code 1"
