"""Operators that an llm carries out: it is told what to do, and answers with edits or a file.

`reflect` goes in rounds, after Reflexion (Shinn et al. 2023, arXiv 2303.11366): a version is
written, the validator's report on it is shown, the llm reflects and revises, and in the end it
integrates what it learnt. An answer that cannot be used is told the reason and asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agent_sandbox.agents.edits import EditRejected, changed_parts
from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.llm.protocol import LLM, Prompt, Reply, Turn
from agent_sandbox.agents.llm.remembered import RememberingLLM
from agent_sandbox.agents.operators.protocol import OPERATORS, Action, Operator
from agent_sandbox.agents.prompts import Briefing, render
from agent_sandbox.agents.prompts.reply import change_of, sections, source_of
from agent_sandbox.agents.search import total_spent
from agent_sandbox.validator.render import render_finding
from lra_design.records import Attempt, Proposal, ValidationReport

MAX_OUTPUT_TOKENS = 32_000
"""Of one answer, reasoning included."""
NUM_REPAIRS = 2
"""Times an answer that cannot be used is asked for again."""
Validate = Callable[[str], ValidationReport]
"""The same report on the same source, whenever it is asked for."""


class LLMOperators:
    """An `OperatorSet` over an llm. What it asked and was told is in the journal."""

    def __init__(
        self, llm: LLM, briefing: Briefing, journal: Journal, validate: Validate, *, rounds: int = 2
    ) -> None:
        """rounds: of reflection and revision, at most, in `reflect`."""
        self._llm = llm
        self._briefing = briefing
        self._journal = journal
        self._validate = validate
        self._rounds = rounds

    @property
    def name(self) -> str:
        """That of the llm."""
        return self._llm.name

    @property
    def operators(self) -> frozenset[Operator]:
        """All of them."""
        return frozenset(OPERATORS)

    def apply(
        self, action: Action, history: Sequence[Attempt], pending: Sequence[Proposal] = ()
    ) -> Proposal:
        """What the llm makes of `action`; a proposal without source when it gives nothing usable.

        Raises LLMFault when there is no answer.
        """
        parents = [history[index] for index in action.parents]
        llm = RememberingLLM(self._llm, self._journal, len(history) + len(pending))
        ask = self._briefing.turn(
            action.operator, parents, history, total_spent(history), self._rounds
        )
        parent = parents[0].proposal.source if parents else None
        conversation = _Conversation(llm, self._briefing, parent, ask)
        try:
            source = conversation.next_version()
            if action.operator == "reflect":
                source = self._reflect(conversation, source)
        except EditRejected as rejection:
            return _proposal(action, "", f"nothing usable: {rejection}", conversation)
        return _proposal(action, source, conversation.change, conversation, parent)

    def _reflect(self, conversation: _Conversation, source: str) -> str:
        """The version after at most so many rounds; a version that is repeated ends them."""
        for _ in range(self._rounds):
            before = source
            source = conversation.next_version("reflect", self._validate(source))
            if source == before:
                break
        return conversation.next_version("integrate", self._validate(source))


class _Conversation:
    """What passes with an llm for one candidate."""

    def __init__(self, llm: LLM, briefing: Briefing, parent: str | None, ask: str) -> None:
        self._llm = llm
        self._briefing = briefing
        self._parent = parent
        self._turns = [Turn(role="user", text=ask)]
        self.answers: list[dict[str, str]] = []
        """The sections of each answer."""
        self.change = ""

    def next_version(self, template: str = "", report: ValidationReport | None = None) -> str:
        """The source of the next answer, after what `template` says of `report`.

        Raises EditRejected when the last of the repairs cannot be used either.
        """
        if report is not None:
            told = render(template, report=_told(report), has_parent=self._parent is not None)
            self._turns.append(Turn(role="user", text=told))
        for repair in range(NUM_REPAIRS + 1):
            reply = self._ask()
            try:
                return self._source(reply)
            except EditRejected as rejection:
                if repair == NUM_REPAIRS:
                    raise
                self._turns.append(Turn(role="user", text=render("rejected", reason=rejection)))
        raise AssertionError("a last repair returns or raises")

    def _ask(self) -> Reply:
        prompt = Prompt(
            system=self._briefing.system,
            turns=tuple(self._turns),
            max_output_tokens=MAX_OUTPUT_TOKENS,
        )
        reply = self._llm.complete(prompt)
        self._turns.append(Turn(role="assistant", text=reply.text))
        self.answers.append(sections(reply.text))
        self.change = change_of(reply.text)
        return reply

    def _source(self, reply: Reply) -> str:
        if reply.stop == "refused":
            raise EditRejected("the answer was declined")
        if reply.stop == "length":
            raise EditRejected(f"the answer was cut off at {MAX_OUTPUT_TOKENS} tokens: be brief")
        return source_of(reply.text, self._parent, whole_files=self._briefing.whole_files)


def _told(report: ValidationReport) -> str:
    """A report without what changes from call to call."""
    findings = "\n".join(render_finding(finding).strip() for finding in report.findings)
    return f"{'Valid.' if report.valid else 'Not valid.'}\n{findings}".strip()


def _proposal(
    action: Action,
    source: str,
    change: str,
    conversation: _Conversation,
    parent: str | None = None,
) -> Proposal:
    notes: dict[str, Any] = {"answers": conversation.answers}
    return Proposal(
        source=source,
        change=change or "not described",
        operator=action.operator,
        parts=changed_parts(parent, source) if parent is not None else (),
        notes=notes,
    )
