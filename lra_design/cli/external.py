"""`--agent COMMAND`: a program of somebody else, given a workspace, a desk and a budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mechanisms import FEW, reference_source

if TYPE_CHECKING:
    from agent_sandbox.agents.external.agent import ExternalAgent
    from agent_sandbox.agents.external.program import OpenProgram, WalledProgram
    from agent_sandbox.agents.prompts import Briefing
    from lra_design.cli.judging import Judging
    from lra_design.cli.run_folder import DesignSettings
    from lra_design.records import Attempt


@contextmanager
def opened_program(judging: Judging, briefing: Briefing) -> Iterator[ExternalAgent]:
    """The agent that the run's command is, while it runs; it is ended with the block."""
    from agent_sandbox.agents.external.agent import ExternalAgent
    from agent_sandbox.agents.external.mailbox import Mailbox
    from agent_sandbox.agents.external.workspace import make_workspace
    from lra_design.cli.agents import report_for_agents

    settings, folder = judging.settings, judging.folder
    assert settings.agent is not None, "only a run with a command has a program"
    workspace = folder.workspace
    if not workspace.exists():  # what a program left there is its memory
        workspace.mkdir(parents=True)
        make_workspace(workspace, briefing, _examples())
    mailbox = Mailbox(workspace)
    reason = "the run was interrupted"
    with _program(judging) as program:
        agent = ExternalAgent(
            _name(settings), mailbox, program, settings.budget, report_for_agents(judging)
        )
        try:
            yield agent
            reason = agent.end or "the budget is spent"
        finally:
            mailbox.close(reason)


def _name(settings: DesignSettings) -> str:
    """What every record says of who wrote: the command, and that it was outside the walls."""
    hosts = ", ".join(settings.agent_network)
    return f"{settings.agent} (outside the walls, for {hosts})" if hosts else str(settings.agent)


def _program(judging: Judging) -> OpenProgram | WalledProgram:
    from agent_sandbox.agents.external.program import OpenProgram, WalledProgram

    settings, folder = judging.settings, judging.folder
    assert settings.agent is not None, "only a run with a command has a program"
    if settings.agent_network:
        return OpenProgram(settings.agent, folder.workspace, folder.agent_log)
    return WalledProgram(settings.agent, folder.workspace, settings.isolation, folder.agent_log)


def submitted(attempts: Sequence[Attempt]) -> list[Attempt]:
    """What the program wants to compete with; empty without such an attempt."""
    from agent_sandbox.agents.external.agent import SUBMIT

    return [attempt for attempt in attempts if attempt.proposal.operator == SUBMIT]


def _examples() -> dict[str, str]:
    return {f"{name}.py": reference_source(name) for name in FEW}
