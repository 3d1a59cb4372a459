"""Programs as agents: what they are told, what they cannot do, how they end."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_llm_operators import BRIEFING, report_on
from test_search import feedback_of

from agent_sandbox.agents.external.agent import ExternalAgent
from agent_sandbox.agents.external.mailbox import MAX_BYTES, Mailbox
from agent_sandbox.agents.external.program import (
    OpenProgram,
    WalledProgram,
    located,
    readable_by,
)
from agent_sandbox.agents.external.workspace import make_workspace
from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.search import search
from lra_design.cli.external import _name
from lra_design.errors import UsageError
from lra_design.records import Attempt, Budget, Feedback

HILL_CLIMBER = """
import desk
best = 0.0
for number in range(50):
    source = f"x = {number}\\n"
    if not desk.validate(source)["valid"]:
        continue
    answer = desk.evaluate(source, f"number {number}")
    if answer["accuracy"] is not None and answer["accuracy"] > 0.5:
        desk.submit(source + "y = 1\\n", "the best")
        break
print("left", desk.status()["left"]) if number == 49 else None
"""


def judged(source: str) -> Feedback:
    """The same score for what differs in its ending alone."""
    return dataclasses.replace(feedback_of(source.splitlines()[0] + "\n"), report=report_on(source))


class Running:
    """A program that never ends."""

    def ended(self) -> None:
        return None


def workspace(folder: Path, program: str = "") -> Path:
    path = folder / "workspace"
    path.mkdir()
    make_workspace(path, BRIEFING, {"gate.py": "x = 1\n"})
    (path / "climb.py").write_text(program)
    return path


def searched(agent: ExternalAgent, folder: Path, budget: Budget | None = None) -> list[Attempt]:
    def evaluate(sources: Sequence[str]) -> list[Feedback]:
        return [judged(source) for source in sources]

    attempts = search(
        agent,
        evaluate,
        Journal(folder / "journal.sqlite"),
        budget=budget or Budget(attempts=30),
        on_event=lambda event: None,
        llm_spending=agent.spending,
    )
    agent.answer(attempts)
    return attempts


def test_a_program_asks_is_told_and_submits(tmp_path: Path) -> None:
    place = workspace(tmp_path, HILL_CLIMBER)
    mailbox = Mailbox(place)
    with OpenProgram(f"{sys.executable} climb.py", place, tmp_path / "log") as program:
        agent = ExternalAgent("climber", mailbox, program, Budget(attempts=30), report_on)
        attempts = searched(agent, tmp_path)
        mailbox.close(agent.end)
    assert agent.end == "it was submitted"
    assert attempts[-1].proposal.operator == "submit"
    assert attempts[-1].proposal.change == "the best"
    assert attempts[-2].feedback.mean_accuracy is not None
    assert attempts[-2].feedback.mean_accuracy > 0.5
    assert (tmp_path / "log").read_bytes() == b""


def test_a_walled_program_can_ask_and_little_else(tmp_path: Path) -> None:
    """It has no network, cannot read the home of the judge, and writes in its workspace alone."""
    outside = tmp_path / "outside"
    outside.write_text("secret")
    place = workspace(
        tmp_path,
        "import desk, socket\n"
        "def tried(what):\n"
        "    try: what(); return 'done'\n"
        "    except OSError as error: return type(error).__name__\n"
        f"seen = tried(lambda: open({str(outside)!r}).read())\n"
        f"wrote = tried(lambda: open({str(outside)!r}, 'w'))\n"
        "net = tried(lambda: socket.create_connection(('127.0.0.1', 9)))\n"
        "open('note', 'w').write('mine')\n"
        "desk.evaluate('x = 1\\n', f'{seen} {wrote} {net}')\n",
    )
    mailbox = Mailbox(place)
    with WalledProgram("python climb.py", place, "standard", tmp_path / "log") as program:
        agent = ExternalAgent("walled", mailbox, program, Budget(attempts=3), report_on)
        attempts = searched(agent, tmp_path, Budget(attempts=3))
        mailbox.close(agent.end)
    assert [attempt.proposal.change for attempt in attempts] == [
        "PermissionError PermissionError PermissionError"
    ], (tmp_path / "log").read_text()
    assert agent.end == "the program ended with exit code 0"
    assert outside.read_text() == "secret"


def test_a_command_may_read_what_it_names_and_no_folder_around_the_run(tmp_path: Path) -> None:
    """Beside the workspace lie the sealed results."""
    program = tmp_path / "agent.py"
    program.write_text("")
    place = tmp_path / "run" / "workspace"
    place.mkdir(parents=True)
    assert readable_by(f"python {program} nowhere", place) == [program]
    for folder in (tmp_path, tmp_path / "run" / ".."):
        with pytest.raises(UsageError, match="sealed results"):
            readable_by(f"ls {folder}", place)


def test_what_a_command_names_from_here_is_found_from_its_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("agent.py", "my agent.py", "python", "of\\mine.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "deep.py").write_text("")
    here = str(tmp_path)
    for command, found in {
        "python agent.py --fast": f"python {here}/agent.py --fast",
        "python 'my agent.py'": f"python '{here}/my agent.py'",
        'python "my agent.py" && ls': f"python '{here}/my agent.py' && ls",
        "python parts/deep.py parts/none.py": f"python {here}/parts/deep.py parts/none.py",
        "./python agent.py": f"{here}/python {here}/agent.py",
        "python 'of\\mine.py'": f"python '{here}/of\\mine.py'",
        "python myagent.py agent.pyc": "python myagent.py agent.pyc",
        "python parts": "python parts",
    }.items():
        assert located(command) == found


def test_a_program_outside_the_walls_is_called_so_in_every_record() -> None:
    settings = SimpleNamespace(
        agent="./agent", agent_network=("a.org:443", "b.org:80"), agent_network_unwalled=True
    )
    assert _name(settings) == "./agent (outside the walls, for a.org:443, b.org:80)"  # type: ignore[arg-type]
    settings.agent_network_unwalled = False
    assert _name(settings) == "./agent (with a way to a.org:443, b.org:80)"  # type: ignore[arg-type]
    settings.agent_network = ()
    assert _name(settings) == "./agent"  # type: ignore[arg-type]


def test_a_program_that_only_thinks_runs_out_of_time(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    mailbox = Mailbox(place)
    with OpenProgram("sleep 600", place, tmp_path / "log") as program:
        budget = Budget(wall_seconds=0.3)
        agent = ExternalAgent("thinker", mailbox, program, budget, report_on)
        assert searched(agent, tmp_path, budget) == []
        mailbox.close(agent.end)
        assert "wall_seconds" in agent.end
        os.killpg(program._process.pid, 9)  # not to wait for its time of grace


def test_what_is_asked_after_the_end_is_said_to_be_too_late(tmp_path: Path) -> None:
    place = workspace(
        tmp_path,
        "import desk\n"
        "desk.evaluate('x = 1\\n')\n"
        "try: desk.evaluate('x = 2\\n')\n"
        "except desk.Closed as closed: open('end', 'w').write(str(closed))\n",
    )
    mailbox = Mailbox(place)
    with OpenProgram(f"{sys.executable} climb.py", place, tmp_path / "log") as program:
        budget = Budget(attempts=1)
        agent = ExternalAgent("late", mailbox, program, budget, report_on)
        assert len(searched(agent, tmp_path, budget)) == 1
        mailbox.close("the budget is spent")
        deadline = time.monotonic() + 20
        while not (place / "end").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert (place / "end").read_text() == "the budget is spent"


def test_status_tells_attempts_and_what_is_left(tmp_path: Path) -> None:
    mailbox = Mailbox(workspace(tmp_path))
    agent = ExternalAgent("x", mailbox, Running(), Budget(attempts=2), report_on)
    ask(tmp_path, 1, {"verb": "status"})
    ask(tmp_path, 2, {"verb": "validate", "source": "leak = 1\n"})
    ask(tmp_path, 3, {"verb": "evaluate", "source": "x = 2\n", "change": "two"})
    proposal = agent.propose([])
    assert proposal is not None
    assert proposal.source == "x = 2\n"
    assert answer(tmp_path, 1) == {"attempts": [], "left": {"attempts": 2}}
    told = answer(tmp_path, 2)
    assert told["valid"] is False
    assert told["findings"][0]["hint"] == "cumulate"
    assert not (desk(tmp_path) / "answers" / "3-1.json").exists()


def desk(folder: Path) -> Path:
    return folder / "workspace" / ".desk"


def ask(folder: Path, number: int, request: object) -> None:
    (desk(folder) / "asks" / f"{number}-1.json").write_text(json.dumps(request))


def answer(folder: Path, number: int) -> dict[str, object]:
    told: dict[str, object] = json.loads(
        (desk(folder) / "answers" / f"{number}-1.json").read_text()
    )
    return told


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ({"verb": "score"}, "verb"),
        ({"verb": "evaluate", "sauce": "x"}, "unknown key 'sauce', did you mean 'source'?"),
        (["evaluate"], "expected a request"),
        ({"verb": "status", "source": "x" * MAX_BYTES}, "at most"),
    ],
)
def test_what_is_no_request_is_answered_with_the_reason(
    tmp_path: Path, request_: object, complaint: str
) -> None:
    mailbox = Mailbox(workspace(tmp_path))
    ask(tmp_path, 1, request_)
    taken = mailbox.next()
    assert taken is None or taken[1] is None
    assert complaint in str(answer(tmp_path, 1)["error"])
    assert mailbox.next() is None


def test_a_desk_cannot_be_turned_against_the_judge(tmp_path: Path) -> None:
    """Links, pipes, folders and foreign names in place of requests; a desk that is moved away."""
    secret = tmp_path / "secret"
    secret.write_text(json.dumps({"verb": "evaluate", "source": "the judge's own"}))
    mailbox = Mailbox(workspace(tmp_path))
    asks = desk(tmp_path) / "asks"
    (asks / "1-1.json").symlink_to(secret)
    os.mkfifo(asks / "2-1.json")
    (asks / "3-1.json").mkdir()
    (asks / "..-1.json").write_text("{}")
    assert mailbox.next() is None
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    answers = desk(tmp_path) / "answers"
    answers.rename(tmp_path / "moved")
    answers.symlink_to(elsewhere)
    ask(tmp_path, 4, {"verb": "status"})
    taken = mailbox.next()
    assert taken is not None
    mailbox.answer(taken[0], {"left": {}})
    assert not list(elsewhere.iterdir())
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (desk(tmp_path) / "closed").symlink_to(victim)
    mailbox.close("over")
    assert victim.read_text() == "mine"


def test_a_desk_that_was_left_as_a_link_is_made_anew(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "asks").mkdir(parents=True)
    (elsewhere / "keep").write_text("mine")
    (place / ".desk").symlink_to(elsewhere)
    Mailbox(place).close("over")
    assert (elsewhere / "keep").read_text() == "mine"
    assert not (elsewhere / "closed").exists()
    assert not (place / ".desk").is_symlink()


def test_the_desk_answers_on_the_command_line(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    (place / "gate.py").write_text("x = 3\n")
    mailbox = Mailbox(place)
    command = (
        f"{sys.executable} desk.py evaluate gate.py 'a gate' --json > told; "
        f"{sys.executable} desk.py evalute gate.py; echo $? > code"
    )
    with OpenProgram(command, place, tmp_path / "log") as program:
        agent = ExternalAgent("shell", mailbox, program, Budget(attempts=3), report_on)
        (attempt,) = searched(agent, tmp_path, Budget(attempts=3))
        mailbox.close(agent.end)
    assert attempt.proposal.change == "a gate"
    assert json.loads((place / "told").read_text())["attempt"] == 0
    assert (place / "code").read_text() == "2\n"
    assert b"python desk.py evaluate FILE" in (tmp_path / "log").read_bytes()


def test_a_brief_says_what_a_stranger_needs(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    brief = (place / "BRIEF.md").read_text()
    for told in ("nested lists", "causal mode", "attempts: 10", "softmax 43 %", "Tampering"):
        assert told in brief
    assert "class MechanismConfig" in (place / "contract.py").read_text()
    assert (place / "examples" / "gate.py").exists()
