"""What a program of somebody else is given: how `--agent` and what belongs to it are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from lra_design.cli.options import together
from lra_design.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from lra_design.cli.run_folder import DesignSettings

program_options = together(
    click.option(
        "--agent",
        metavar="COMMAND",
        help="A program that writes, in place of all below: it gets a workspace with a brief "
        "and a desk to ask at, behind the walls of a candidate.",
    ),
    click.option(
        "--agent-network",
        metavar="HOSTS",
        help="Hosts that the program may reach, and no others, as in "
        "api.anthropic.com,localhost:11434: through the proxy that HTTPS_PROXY names to it, which "
        "records all of it.",
    ),
    click.option(
        "--agent-network-unwalled",
        is_flag=True,
        help="It runs outside all walls, with your rights; its hosts are for the record alone.",
    ),
    click.option(
        "--agent-env",
        metavar="NAMES",
        help="Environment variables that the program gets, and no others, as in ANTHROPIC_API_KEY.",
    ),
)
"""A program, and its way out."""


def program_settings(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the values of `program_options` come to, as fields of DesignSettings.

    Raises UsageError for what is no host.
    """
    from agent_sandbox.agents.external.hosts import parse_hosts

    hosts, names = asked["agent_network"], asked["agent_env"]
    return {
        "agent": asked["agent"],
        "agent_network": tuple(map(str, parse_hosts(hosts))) if hosts is not None else (),
        "agent_network_unwalled": asked["agent_network_unwalled"],
        "agent_env": tuple(names.split(",")) if names is not None else (),
    }


def check_program(settings: DesignSettings, out: Path, trainings: Path | None = None) -> None:
    """Raise UsageError for a program that cannot be given what it is to have.

    out: the folder of the run. trainings: that it shares with others. Raises IsolationUnavailable
    where walls with a way out cannot be.
    """
    from agent_sandbox.agents.external.program import passed_on, readable_by, words_of
    from agent_sandbox.isolation.opening import require_network
    from lra_design.cli.run_folder import RunFolder

    if settings.agent is None:
        _require_nothing_else(settings)
        return
    words_of(settings.agent)
    passed_on(settings.agent_env)
    if settings.agent_network_unwalled and not settings.agent_network:
        raise UsageError("--agent-network-unwalled: expected --agent-network with hosts beside it.")
    if settings.agent_network_unwalled:
        return
    for sealed in (RunFolder(out).workspace, *([trainings] if trainings else [])):
        readable_by(settings.agent, sealed)
    if settings.agent_network:
        require_network(settings.isolation)


def _require_nothing_else(settings: DesignSettings) -> None:
    for option in ("agent_network", "agent_network_unwalled", "agent_env"):
        if getattr(settings, option):
            flag = f"--{option.replace('_', '-')}"
            raise UsageError(f"{flag} is for a program: name its command with --agent.")
