"""The file of a tournament: who takes part, and what holds for all of them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any, Literal

from lra_design.cli.contest import PROBES
from lra_design.errors import RecordError, UsageError, unknown_name
from lra_design.records import from_json, record

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,59}")
"""What an agent may be called: a folder has its name."""


@record
class Contender:
    """An agent, by the options of `lra-design design` that say who writes."""

    name: str
    llm: str | None = None
    policy: str | None = None
    operators: tuple[str, ...] | None = None
    whole_files: bool = False
    agent: str | None = None
    """The command of a program."""
    agent_network: tuple[str, ...] = ()
    agent_network_unwalled: bool = False
    agent_env: tuple[str, ...] = ()

    def options(self) -> list[str]:
        """The same on the command line of `lra-design design`."""
        texts = {"--llm": self.llm, "--policy": self.policy, "--agent": self.agent}
        lists = {
            "--operators": self.operators,
            "--agent-network": self.agent_network,
            "--agent-env": self.agent_env,
        }
        flags = {
            "--whole-files": self.whole_files,
            "--agent-network-unwalled": self.agent_network_unwalled,
        }
        given = {name: text for name, text in texts.items() if text is not None}
        given |= {name: ",".join(listed) for name, listed in lists.items() if listed}
        options = [part for pair in given.items() for part in pair]
        return [*options, *(name for name, is_set in flags.items() if is_set)]


@record
class Bounds:
    """What each search may spend, the same for everybody; as the options of `lra-design design`."""

    preset: Literal["study"] | None = None
    attempts: int | None = None
    max_hours: float | None = None
    max_device_seconds: float | None = None
    max_tokens: int | None = None
    max_dollars: float | None = None

    def options(self) -> list[str]:
        """The same on the command line of `lra-design design`."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        pairs = [
            (f"--{name.replace('_', '-')}", str(v)) for name, v in values.items() if v is not None
        ]
        return [part for pair in pairs for part in pair]


@record
class AgentsFile:
    """What is in the file."""

    agents: tuple[Contender, ...]
    budget: Bounds = field(default_factory=Bounds)
    scale: Literal["smoke", "small", "full"] = "smoke"
    mode: Literal["causal", "bidirectional"] = "causal"
    probes: tuple[str, ...] = PROBES
    references: tuple[str, ...] | None = None
    """None: one of each kind."""

    def options(self) -> list[str]:
        """What holds for every search, on the command line of `lra-design design`."""
        given = ["--scale", self.scale, "--mode", self.mode, "--probes", ",".join(self.probes)]
        if self.references is not None:
            given += ["--references", ",".join(self.references)]
        return [*given, *self.budget.options()]


def read_agents_file(path: Path) -> AgentsFile:
    """The field in the TOML file at `path`. Raises UsageError naming the place and what is wrong.

    Whether the agents can be is asked of `lra-design design`, whose options they are.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}. Name a readable file.") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}.") from None
    try:
        _require_known(values)
        found = from_json(AgentsFile, json.dumps(values, default=str))
        _require_names(agent.name for agent in found.agents)
    except (UsageError, RecordError) as error:
        raise UsageError(f"{path}: {error}") from None
    return found


def _require_known(values: Mapping[str, Any]) -> None:
    """Raise UsageError for a key that is none, where it stands."""
    _require_keys("key", values, AgentsFile)
    budget, agents = values.get("budget", {}), values.get("agents", [])
    if not isinstance(budget, dict) or not isinstance(agents, list) or not agents:
        raise UsageError("expected a table [budget] and a table [[agents]] for each agent.")
    _require_keys("key of [budget]", budget, Bounds)
    bounds = {one.name for one in fields(Bounds)}
    for place, agent in enumerate(agents, start=1):
        if not isinstance(agent, dict):
            raise UsageError(f"expected a table for agent {place}, found {agent!r}.")
        where = f"[[agents]] {agent.get('name', place)}"
        if own := sorted(bounds & set(agent)):
            raise UsageError(
                f"{where} has a budget of its own ({', '.join(own)}): expected the same for all, "
                "in [budget]."
            )
        _require_keys(f"key of {where}", agent, Contender)


def _require_keys(what: str, values: Iterable[str], cls: type) -> None:
    known = [one.name for one in fields(cls)]
    for key in values:
        if key not in known:
            raise unknown_name(what, key, known)


def _require_names(names: Iterable[str]) -> None:
    """Raise UsageError for a name that no folder can have, or that two agents have."""
    seen: set[str] = set()
    for name in names:
        if not NAME.fullmatch(name):
            raise UsageError(
                f"an agent is called '{name}': expected letters, digits and . _ + -, at most 60, "
                "a letter or digit first."
            )
        if name.lower() in seen:
            raise UsageError(f"two agents are called '{name}': expected a name for each.")
        seen.add(name.lower())
