"""`--agent COMMAND`: a program of somebody else, given a workspace, a desk and a budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mechanisms import FEW, reference_source

if TYPE_CHECKING:
    from pathlib import Path

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
    """What every record says of who wrote: the command, what it could reach, and from where."""
    if not settings.agent_network:
        return str(settings.agent)
    where = "outside the walls, for" if settings.agent_network_unwalled else "with a way to"
    return f"{settings.agent} ({where} {', '.join(settings.agent_network)})"


def _program(judging: Judging) -> OpenProgram | WalledProgram:
    from agent_sandbox.agents.external.hosts import parse_host
    from agent_sandbox.agents.external.network import Network
    from agent_sandbox.agents.external.program import (
        OpenProgram,
        WalledProgram,
        located,
        passed_on,
    )

    settings, folder = judging.settings, judging.folder
    assert settings.agent is not None, "only a run with a command has a program"
    command = located(settings.agent)
    named, log = passed_on(settings.agent_env), folder.agent_log
    if settings.agent_network_unwalled:
        return OpenProgram(command, folder.workspace, log, environment=named)
    hosts = [parse_host(host) for host in settings.agent_network]
    return WalledProgram(
        command,
        folder.workspace,
        settings.isolation,
        log,
        network=Network(hosts, folder.agent_network) if hosts else None,
        environment=named,
    )


def how_it_ended(program: ExternalAgent, log: Path, attempts: Sequence[Attempt]) -> str | None:
    """Answer the program's last question; what there is to say of its end, and where it printed."""
    program.answer(attempts)
    return f"{program.end}; what it printed: {log}" if program.end else None


def submitted(attempts: Sequence[Attempt]) -> list[Attempt]:
    """What the program wants to compete with; empty without such an attempt."""
    from agent_sandbox.agents.external.agent import SUBMIT

    return [attempt for attempt in attempts if attempt.proposal.operator == SUBMIT]


def _examples() -> dict[str, str]:
    return {f"{name}.py": reference_source(name) for name in FEW}
