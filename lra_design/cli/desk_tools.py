"""What agents of others are offered as tools, whatever serves them: the verbs of a desk.

The answers are those of the desk, read into the classes below, so nothing passes that is not named
here. No field of theirs is of a test split.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio
from pydantic import BaseModel, Field

import lra_design
from agent_sandbox.agents.external import desk
from lra_design.records import Finding

CONTRACT = Path(lra_design.__file__).with_name("interface.py")
"""Read, not imported: that would load torch."""
T = TypeVar("T", bound=BaseModel)

PROGRESS_SECONDS = 5.0
"""Between two notes that an answer is still awaited."""
DESCRIPTIONS = {
    "validate": "Is this mechanism valid? Takes the text of its file; answers with findings and "
    "hints. It costs seconds and no attempt.",
    "evaluate": "Validate and train this mechanism: one attempt, of minutes. Answers with its "
    "scores. source: the text of its file. change: one line on what is new, for the journal. An "
    "evaluation that you stop waiting for goes on and counts; `status` tells what became of it.",
    "status": "What was tried so far, with scores, and what is left of the budget. While something "
    "is evaluated, the answer comes after it.",
    "submit": "Evaluate the mechanism that is to compete; the search ends with it. source: the "
    "text of its file. change: one line on what is new, for the journal.",
}
"""What an llm is told of each tool."""


class Refused(Exception):
    """The desk does not answer, or says no; the message is for the llm that asked."""


class Report(BaseModel):
    """What the validator found."""

    valid: bool = Field(description="No finding is an error.")
    findings: list[Finding]


class Tried(BaseModel):
    """One attempt of the search."""

    attempt: int = Field(description="Number of the attempt, from 0.")
    change: str
    valid: bool
    accuracy: float | None = Field(
        description="Mean of the scores, from 0 to 1; null without a training that ended."
    )
    scores: dict[str, float] = Field(description="Task to accuracy on its validation split.")
    failure: Finding | None = Field(description="What became of its training, when it failed.")


class Evaluation(Tried):
    """What became of the attempt that was asked for."""

    findings: list[Finding]
    outcome: str = Field(description="The scores, or what failed, in words.")
    left: dict[str, float] = Field(description="What is left of each bound of the budget.")


class Status(BaseModel):
    """The search so far."""

    attempts: list[Tried]
    left: dict[str, float] = Field(description="What is left of each bound of the budget.")


async def _unsaid(seconds: int) -> None:
    """Tell nobody that an answer is awaited."""


async def asked(
    answer: type[T],
    workspace: Path,
    request: dict[str, str],
    waiting: Callable[[int], Awaitable[None]] = _unsaid,
) -> T:
    """The answer to a request at the desk of `workspace`.

    waiting: called now and then with the seconds so far. Raises Refused.
    """
    place = workspace / desk.DESK.name
    try:
        told = await _waited_for(desk.post(request, place), place, waiting)
        if "error" in told:
            raise Refused(told["error"])
        return answer.model_validate(told)
    except FileNotFoundError:
        raise Refused(
            f"no design runs in {workspace}: expected the desk of a workspace. Start "
            "`lra-design design --agent COMMAND --out RUN`, then `lra-design mcp --workspace "
            "RUN/workspace`. Only validate works without."
        ) from None
    except desk.Closed as closed:
        raise Refused(f"the desk has closed: {closed}") from None
    except OSError as error:
        raise Refused(f"cannot ask at {place}: {error.strerror}") from None
    except ValueError as error:
        raise Refused(f"the desk's answer is none that this version knows: {error}") from None


async def _waited_for(
    name: str, place: Path, waiting: Callable[[int], Awaitable[None]]
) -> dict[str, object]:
    """The answer to what was posted under `name`."""
    started = anyio.current_time()
    while True:
        with anyio.move_on_after(PROGRESS_SECONDS):
            while (told := desk.collect(name, place)) is None:
                await anyio.sleep(desk.POLL_SECONDS)
            return told
        await waiting(round(anyio.current_time() - started))
