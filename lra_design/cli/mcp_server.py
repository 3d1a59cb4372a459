"""What an agent is offered over MCP: the verbs of a desk, the brief, the contract.

The answers are those of the desk, read into the classes below, so nothing passes that is not named
here. No field of theirs is of a test split.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import anyio
import anyio.to_thread
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

import lra_design
from agent_sandbox.agents.external import desk
from lra_design.cli.options import isolation
from lra_design.errors import LraDesignError
from lra_design.records import Finding, Level

CONTRACT = Path(lra_design.__file__).with_name("interface.py")
"""Read, not imported: that would load torch."""
T = TypeVar("T", bound=BaseModel)

PROGRESS_SECONDS = 5.0
"""Between two notes to the client that an answer is still awaited."""
INSTRUCTIONS = (
    "Design an attention mechanism: one Python file with one subclass of Mechanism. Read the "
    "resources lra-design://brief (tasks, budget, rules) and lra-design://contract first. "
    "validate is cheap, evaluate trains and costs an attempt, submit ends the search."
)


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


class Tools:
    """The verbs, each the handler of a tool; what a client is told of it is its docstring.

    Every one raises ToolError, whose message the client shows to its llm.
    """

    def __init__(
        self, workspace: Path, mode: Literal["causal", "bidirectional"], level: Level
    ) -> None:
        """mode, level: of validations where there is no desk."""
        self._workspace = workspace
        self._desk = workspace / desk.DESK.name
        self._mode: Literal["causal", "bidirectional"] = mode
        self._level: Level = level
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def validate(self, source: str, context: Context) -> Report:
        """Is this mechanism valid? Takes the text of its file; answers with findings and hints.

        It costs seconds and no attempt.
        """
        if not self._desk.is_dir():
            return await anyio.to_thread.run_sync(self._judged, source, limiter=self._one_at_a_time)
        return await self._asked(Report, context, {"verb": "validate", "source": source})

    async def evaluate(self, source: str, context: Context, change: str = "") -> Evaluation:
        """Validate and train this mechanism: one attempt, of minutes. Answers with its scores.

        source: the text of its file. change: one line on what is new, for the journal. An
        evaluation that you stop waiting for goes on and counts; `status` tells what became of it.
        """
        request = {"verb": "evaluate", "source": source, "change": change}
        return await self._asked(Evaluation, context, request)

    async def status(self, context: Context) -> Status:
        """What was tried so far, with scores, and what is left of the budget.

        While something is evaluated, the answer comes after it.
        """
        return await self._asked(Status, context, {"verb": "status"})

    async def submit(self, source: str, context: Context, change: str = "") -> Evaluation:
        """Evaluate the mechanism that is to compete; the search ends with it.

        source: the text of its file. change: one line on what is new, for the journal.
        """
        request = {"verb": "submit", "source": source, "change": change}
        return await self._asked(Evaluation, context, request)

    async def _asked(self, answer: type[T], context: Context, request: dict[str, str]) -> T:
        """The desk's answer to a request."""
        try:
            told = await self._waited_for(desk.post(request, self._desk), context)
            if "error" in told:
                raise ToolError(told["error"])
            return answer.model_validate(told)
        except FileNotFoundError:
            raise ToolError(
                f"no design runs in {self._workspace}: expected the desk of a workspace. Start "
                "`lra-design design --agent COMMAND --out RUN`, then `lra-design mcp --workspace "
                "RUN/workspace`. Only validate works without."
            ) from None
        except desk.Closed as closed:
            raise ToolError(f"the desk has closed: {closed}") from None
        except OSError as error:
            raise ToolError(f"cannot ask at {self._desk}: {error.strerror}") from None
        except ValueError as error:
            raise ToolError(f"the desk's answer is none that this version knows: {error}") from None

    async def _waited_for(self, name: str, context: Context) -> dict[str, object]:
        """The answer to what was posted under `name`; the client is told that it takes time."""
        started = anyio.current_time()
        while True:
            with anyio.move_on_after(PROGRESS_SECONDS):
                while (told := desk.collect(name, self._desk)) is None:
                    await anyio.sleep(desk.POLL_SECONDS)
                return told
            seconds = round(anyio.current_time() - started)
            await context.report_progress(seconds, message=f"at the judge for {seconds} s")

    def _judged(self, source: str) -> Report:
        """What the validator finds, in isolation."""
        from agent_sandbox.validator.validate import validate

        try:
            with isolation(self._level) as walls:
                content = source.encode(errors="surrogatepass")
                report = validate(content, walls, mode=self._mode)
        except LraDesignError as error:
            raise ToolError(str(error)) from None
        return Report(valid=report.valid, findings=list(report.findings))


def make_server(
    workspace: Path, mode: Literal["causal", "bidirectional"], level: Level
) -> MCPServer[None]:
    """The server of one workspace; `run("stdio")` serves until stdin ends.

    The SDK keeps stdout for itself while it serves: what else is printed goes to stderr.
    """
    server: MCPServer[None] = MCPServer(
        "lra-design", version=lra_design.__version__, instructions=INSTRUCTIONS, log_level="WARNING"
    )
    tools = Tools(workspace, mode, level)
    looks = ToolAnnotations(read_only_hint=True)
    acts = ToolAnnotations(read_only_hint=False, destructive_hint=False)
    server.add_tool(tools.validate, annotations=looks)
    server.add_tool(tools.evaluate, annotations=acts)
    server.add_tool(tools.status, annotations=looks)
    server.add_tool(tools.submit, annotations=acts)
    _add_resources(server, workspace)
    return server


def _add_resources(server: MCPServer[None], workspace: Path) -> None:
    """What there is to read: the contract everywhere, the brief of a workspace."""

    @server.resource("lra-design://contract", mime_type="text/x-python")
    def contract() -> str:
        """The contract of a mechanism, with the legend of shape letters."""
        return CONTRACT.read_text(encoding="utf-8")

    @server.resource("lra-design://brief", mime_type="text/markdown")
    def brief() -> str:
        """What the mechanisms of this design are trained on, the budget, the rules."""
        try:
            return (workspace / "BRIEF.md").read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ResourceError(
                f"no BRIEF.md in {workspace}: expected the workspace of a design, RUN/workspace"
            ) from None
