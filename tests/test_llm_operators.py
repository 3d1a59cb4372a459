"""Operators of an llm: what it is told, what becomes of its answers, what is never asked twice."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from test_search import feedback_of

from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.llm.protocol import Prompt, Reply, TokenUsage
from agent_sandbox.agents.llm.remembered import llm_spending
from agent_sandbox.agents.llm.scripted import ScriptedLLM
from agent_sandbox.agents.operators.llm import LLMOperators
from agent_sandbox.agents.operators.protocol import Action
from agent_sandbox.agents.prompts import Briefing
from agent_sandbox.agents.search import hash_code, hash_source
from lra_design.records import Attempt, Budget, Finding, Proposal, Spending, ValidationReport

PARENT = "import torch\n\n\nclass Gated(Mechanism):\n    width = 4\n"
FILE = f"## Thoughts\nA gate.\n\n## Change\na gate\n\n## File\n```python\n{PARENT}```\n"
BRIEFING = Briefing(
    task="listops-mini: nested lists.",
    mode="causal",
    shelf="softmax 43 %",
    budget=Budget(attempts=10, tokens=5_000),
    noise=0.01,
)


def edit(old: str, new: str, change: str = "wider") -> str:
    block = f"<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE"
    return f"## Thoughts\nMore.\n## Change\n{change}\n## Edits\n{block}\n"


def report_on(source: str) -> ValidationReport:
    """Valid but for sources that say otherwise."""
    report = feedback_of(source).report
    finding = Finding(
        check="LRA203",
        name="causal",
        tier="error",
        expected="nothing of the future",
        found="a leak of 0.5",
        likely_cause="a mean over all",
        hint="cumulate",
    )
    return dataclasses.replace(report, findings=(finding,) if "leak" in source else ())


def attempt(
    index: int,
    source: str,
    accuracy: float | None,
    *,
    parents: tuple[str, ...] = (),
    operator: str = "improve",
) -> Attempt:
    scored = feedback_of("x = 2\n")
    (score,) = scored.scores
    scores = () if accuracy is None else (dataclasses.replace(score, accuracy=accuracy),)
    return Attempt(
        index=index,
        source_hash=hash_source(source),
        code_hash=hash_code(source),
        proposal=Proposal(
            source=source, change=f"change {index}", operator=operator, parents=parents
        ),
        feedback=dataclasses.replace(scored, report=report_on(source), scores=scores),
        created_at="2026-11-21T00:00:00+00:00",
        spent=Spending(tokens=100),
    )


HISTORY = [attempt(0, PARENT, 0.4, operator="draft")]


class Asked:
    """A scripted llm that remembers what it was asked."""

    def __init__(self, *answers: str | Reply | type[BaseException]) -> None:
        self.prompts: list[Prompt] = []
        self._answers = list(answers)
        self.llm = ScriptedLLM(self._answer)

    def _answer(self, prompt: Prompt) -> str | Reply:
        self.prompts.append(prompt)
        answer = self._answers[len(self.prompts) - 1]
        if isinstance(answer, type):
            raise answer
        return answer

    def operators(self, folder: Path, briefing: Briefing = BRIEFING) -> LLMOperators:
        return LLMOperators(self.llm, briefing, Journal(folder / "journal.sqlite"), report_on)


def test_a_draft_is_the_file_of_the_answer(tmp_path: Path) -> None:
    asked = Asked(FILE)
    proposal = asked.operators(tmp_path).apply(Action(operator="draft"), [])
    assert (proposal.source, proposal.change, proposal.parts) == (PARENT, "a gate", ())
    assert proposal.notes["answers"][0]["Thoughts"] == "A gate."
    system = asked.prompts[0].system
    for told in ("class MechanismConfig", "B  batch", "Tampering disqualifies", "nested lists"):
        assert told in system
    assert "softmax 43 %" in system
    assert "below 2.0 points is noise" in system


def test_an_edit_is_applied_to_the_parent_and_labelled(tmp_path: Path) -> None:
    asked = Asked(edit("    width = 4", "    width = 8"))
    operators = asked.operators(tmp_path)
    proposal = operators.apply(Action(operator="improve", parents=(0,)), HISTORY)
    assert proposal.source == PARENT.replace("4", "8")
    assert proposal.parts == ("Gated.width changed",)
    turn = asked.prompts[0].turns[0].text
    for told in ("class Gated", "40.0 %", "- attempts: 9", "- tokens: 4900"):
        assert told in turn


def test_what_cannot_be_used_is_asked_for_again_with_the_reason(tmp_path: Path) -> None:
    asked = Asked(edit("    width = 5", "    width = 8"), edit("    width = 4", "    width = 8"))
    operators = asked.operators(tmp_path)
    proposal = operators.apply(Action(operator="improve", parents=(0,)), HISTORY)
    assert proposal.source == PARENT.replace("4", "8")
    assert "line 5 differs" in asked.prompts[1].turns[-1].text


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I would rather not.", "expected edits"),
        (FILE, "found a whole file"),
    ],
)
def test_an_answer_that_stays_unusable_is_an_attempt_without_source(
    tmp_path: Path, answer: str, reason: str
) -> None:
    asked = Asked(answer, answer, answer)
    operators = asked.operators(tmp_path)
    proposal = operators.apply(Action(operator="debug", parents=(0,)), HISTORY)
    assert proposal.source == ""
    assert reason in proposal.change
    assert len(asked.prompts) == 3


@pytest.mark.parametrize(("stop", "reason"), [("length", "cut off"), ("refused", "declined")])
def test_an_answer_that_did_not_end_by_itself_is_not_used(
    tmp_path: Path, stop: str, reason: str
) -> None:
    cut = Reply(text=FILE, usage=None, llm="x", stop=stop, seconds=0.0, num_requests=1)  # type: ignore[arg-type]
    proposal = Asked(cut, cut, cut).operators(tmp_path).apply(Action(operator="draft"), [])
    assert proposal.source == ""
    assert reason in proposal.change


def test_reflection_shows_the_report_and_ends_with_an_integration(tmp_path: Path) -> None:
    leaking, mended = FILE.replace("width", "leak"), FILE.replace("width", "safe")
    asked = Asked(leaking, mended, mended, FILE)
    proposal = asked.operators(tmp_path).apply(Action(operator="reflect"), [])
    assert proposal.source == PARENT
    last_turns = [prompt.turns[-1].text for prompt in asked.prompts]
    assert "LRA203" in last_turns[1]
    assert "Reflect in" in last_turns[1]
    assert "LRA203" not in last_turns[2]
    assert "Integrate" in last_turns[3]
    assert len(proposal.notes["answers"]) == 4


def test_whole_files_only_when_asked(tmp_path: Path) -> None:
    asked = Asked(FILE)
    operators = asked.operators(tmp_path, dataclasses.replace(BRIEFING, whole_files=True))
    assert operators.apply(Action(operator="improve", parents=(0,)), HISTORY).source == PARENT
    assert "SEARCH" not in asked.prompts[0].system


def test_what_was_answered_before_an_interruption_is_not_asked_again(tmp_path: Path) -> None:
    wrong, right = edit("nowhere", "x"), edit("    width = 4", "    width = 8")
    action = Action(operator="improve", parents=(0,))
    interrupted = Asked(wrong, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        interrupted.operators(tmp_path).apply(action, HISTORY)
    resumed = Asked(right)
    proposal = resumed.operators(tmp_path).apply(action, HISTORY)
    assert proposal.source == PARENT.replace("4", "8")
    assert len(resumed.prompts) == 1
    silent = Asked()
    assert silent.operators(tmp_path).apply(action, HISTORY) == proposal
    other = Asked(right)
    other.operators(tmp_path).apply(action, [*HISTORY, attempt(1, "x = 1\n", 0.3)])
    assert len(other.prompts) == 1  # another attempt is another question


def test_what_an_llm_took_is_counted_for_its_attempt(tmp_path: Path) -> None:
    usage = TokenUsage(uncached=10, cache_read=5, cache_write=1, output=4, reasoning=None)
    reply = Reply(text=FILE, usage=usage, llm="x", stop="end", seconds=0.0, num_requests=1)
    asked = Asked(reply)
    asked.operators(tmp_path).apply(Action(operator="draft"), [])
    journal = Journal(tmp_path / "journal.sqlite")
    assert llm_spending(journal, 0) == Spending(attempts=0, tokens=20, dollars=None)
    assert llm_spending(journal, 1) == Spending(attempts=0)


def test_memory_says_what_helped_what_misled_and_what_was_noise(tmp_path: Path) -> None:
    parent = hash_source(PARENT)
    history = [
        *HISTORY,
        attempt(1, "a = 1\n", 0.5, parents=(parent,)),
        attempt(2, "b = 1\n", 0.41, parents=(parent,)),
        attempt(3, "c = 1\n", 0.2, parents=(parent,)),
        attempt(4, "leak = 1\n", None, parents=(parent,)),
    ]
    asked = Asked(FILE)
    asked.operators(tmp_path).apply(Action(operator="draft"), history)
    turn = asked.prompts[0].turns[0].text
    assert "- 1, improve of 0: change 1 -> 50.0 % (+10.0 points: helped)" in turn
    assert "- 2, improve of 0: change 2 -> 41.0 % (+1.0 points: within noise)" in turn
    assert "- 3, improve of 0: change 3 -> 20.0 % (-20.0 points: misled)" in turn
    assert "- 4, improve of 0: change 4 -> failed: LRA203 causal: a leak of 0.5" in turn
