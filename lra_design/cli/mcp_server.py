"""What an agent is offered over MCP: the verbs of a desk, the brief, the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from mcp_types import ToolAnnotations

import lra_design
from agent_sandbox.agents.external import desk
from lra_design.cli.desk_tools import (
    CONTRACT,
    DESCRIPTIONS,
    Evaluation,
    Refused,
    Report,
    Status,
    T,
    asked,
)
from lra_design.cli.options import isolation
from lra_design.errors import LraDesignError
from lra_design.records import Level

INSTRUCTIONS = (
    "Design an attention mechanism: one Python file with one subclass of Mechanism. Read the "
    "resources lra-design://brief (tasks, budget, rules) and lra-design://contract first. "
    "validate is cheap, evaluate trains and costs an attempt, submit ends the search."
)


class Tools:
    """The verbs, each the handler of a tool.

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
        """The validator's report: the desk's, or where there is none that of this process."""
        if not self._desk.is_dir():
            return await anyio.to_thread.run_sync(self._judged, source, limiter=self._one_at_a_time)
        return await self._asked(Report, context, {"verb": "validate", "source": source})

    async def evaluate(self, source: str, context: Context, change: str = "") -> Evaluation:
        """An attempt of the search."""
        request = {"verb": "evaluate", "source": source, "change": change}
        return await self._asked(Evaluation, context, request)

    async def status(self, context: Context) -> Status:
        """The search so far."""
        return await self._asked(Status, context, {"verb": "status"})

    async def submit(self, source: str, context: Context, change: str = "") -> Evaluation:
        """The last attempt of the search."""
        request = {"verb": "submit", "source": source, "change": change}
        return await self._asked(Evaluation, context, request)

    async def _asked(self, answer: type[T], context: Context, request: dict[str, str]) -> T:
        """The desk's answer to a request; the client is told while it takes time."""

        async def waiting(seconds: int) -> None:
            await context.report_progress(seconds, message=f"at the judge for {seconds} s")

        try:
            return await asked(answer, self._workspace, request, waiting)
        except Refused as refusal:
            raise ToolError(str(refusal)) from None

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
    for name, description in DESCRIPTIONS.items():
        annotations = looks if name in ("validate", "status") else acts
        server.add_tool(getattr(tools, name), description=description, annotations=annotations)
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
