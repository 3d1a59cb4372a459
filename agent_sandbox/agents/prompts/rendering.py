"""The words an llm is given, from templates that stand beside this file."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

import lra_design.interface
from agent_sandbox.agents.prompts.memory import outcome, remembered
from lra_design.records import Attempt, Budget, Spending


@dataclass(frozen=True, kw_only=True)
class Briefing:
    """What holds for a whole search, put together by whoever starts it."""

    task: str
    """What the candidates are trained on, in words."""
    mode: Literal["causal", "bidirectional"]
    shelf: str
    """What the reference mechanisms reach."""
    budget: Budget
    noise: float | None = None
    """Standard deviation of an accuracy over seeds, where it was measured."""
    whole_files: bool = False
    """Candidates are written anew each time, instead of edited."""

    @property
    def system(self) -> str:
        """What stands before every conversation."""
        return render(
            "system",
            contract=inspect.getsource(lra_design.interface).rstrip(),
            task=self.task,
            mode=self.mode,
            shelf=self.shelf,
            noise=self.noise,
            whole_files=self.whole_files,
        )

    def turn(
        self,
        operator: str,
        parents: Sequence[Attempt],
        history: Sequence[Attempt],
        spent: Spending,
        rounds: int,
    ) -> str:
        """What an operator asks for; rounds: of a `reflect`."""
        return render(
            "turn",
            action={"operator": operator},
            parents=parents,
            memory=remembered(history, parents, self.noise),
            left=_left(self.budget, spent),
            rounds=rounds,
            outcome=outcome,
        )


def preference_prompt(parents: Sequence[str], task: str) -> str:
    """What siblings are both an answer to: the contract, the task, and their parents' sources."""
    contract = inspect.getsource(lra_design.interface).rstrip()
    return render("preference", contract=contract, task=task, parents=parents)


def render(template: str, **values: Any) -> str:
    """The text of `template` with these values; one that is missing is an error."""
    return _environment().get_template(f"{template}.md.jinja").render(**values).strip() + "\n"


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("agent_sandbox.agents", "prompts"),
        undefined=StrictUndefined,
        autoescape=False,  # Markdown for an llm, not a page
        keep_trailing_newline=True,
    )


def _left(budget: Budget, spent: Spending) -> str:
    lines = [
        f"- {name.replace('_', ' ')}: {amount:g}" for name, amount in budget.left(spent).items()
    ]
    return "\n".join(lines) or "There is no bound."
