"""The agent of a design run: who writes, how it searches, what it may do and what it may spend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from lra_design.cli.options import together
from lra_design.cli.probes import described, probe_noise
from lra_design.cli.program import check_program, program_options, program_settings
from lra_design.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from pathlib import Path

    from agent_sandbox.agents.journal import Journal
    from agent_sandbox.agents.operators.protocol import OperatorSet
    from agent_sandbox.agents.policies.learned import Learned
    from agent_sandbox.agents.policies.protocol import Policy
    from agent_sandbox.agents.prompts import Briefing
    from agent_sandbox.agents.protocol import Agent
    from agent_sandbox.agents.search import LLMSpending
    from lra_design.cli.judging import Judging
    from lra_design.cli.run_folder import DesignSettings
    from lra_design.records import Attempt, Budget, ValidationReport

EVOLUTION = "evolution"
"""The built-in agent: regularised evolution over the grammar."""
DEFAULT_ATTEMPTS = 12
REFLECTION_SEED = 0
"""Of the validator in `reflect`: the same source gets the same report, before a crash and after."""


agent_options = together(
    program_options,
    click.option(
        "--llm",
        metavar="NAME",
        help="Who writes: anthropic:NAME, openai:NAME, openai:NAME@ADDRESS, replay:FILE or "
        "scripted:FILE. Without it the grammar writes, which needs neither network nor key.",
    ),
    click.option(
        "--policy",
        metavar="NAME",
        help="How it searches: one-shot, best-of-n, learned, greedy, beam, mcts, evolutionary, "
        "fixed-point, with options as in greedy:num_drafts=3.  [default: greedy with an llm, "
        "else `evolution`, the built-in agent]",
    ),
    click.option(
        "--operators",
        metavar="LIST",
        help="What it may do, of draft,improve,debug,crossover,simplify,reflect.  "
        "[default: all that it can]",
    ),
    click.option(
        "--whole-files", is_flag=True, help="The llm rewrites files instead of editing them."
    ),
    click.option(
        "--preset",
        type=click.Choice(["study"]),
        help="Bounds of a published study: 500 attempts or 24 hours.",
    ),
    click.option(
        "--attempts",
        type=click.IntRange(1),
        help=f"Candidates to write.  [default: {DEFAULT_ATTEMPTS} where nothing else is bound]",
    ),
    click.option("--max-hours", type=click.FloatRange(0), help="Hours by the clock."),
    click.option("--max-device-seconds", type=click.FloatRange(0), help="Of training."),
    click.option("--max-tokens", type=click.IntRange(0), help="That the llm reads and writes."),
    click.option("--max-dollars", type=click.FloatRange(0), help="That the llm may cost."),
    click.option("--agent-seed", type=click.IntRange(0), default=0, show_default=True),
)
"""Which agent writes, and what it may spend."""


def agent_settings(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the values of `agent_options` come to, as fields of DesignSettings."""
    operators = asked["operators"]
    return {
        **program_settings(asked),
        **{name: asked[name] for name in ("llm", "whole_files", "agent_seed")},
        "policy": asked["policy"] or ("greedy" if asked["llm"] else EVOLUTION),
        "operators": None if operators is None else tuple(operators.split(",")),
        "budget": _budget(asked),
    }


def _budget(asked: Mapping[str, Any]) -> Budget:
    """Bounds that are given replace the preset's."""
    from lra_design.records import PRESETS, Budget

    hours = asked["max_hours"]
    bounds = {
        "attempts": asked["attempts"],
        "wall_seconds": None if hours is None else 3600 * hours,
        "device_seconds": asked["max_device_seconds"],
        "tokens": asked["max_tokens"],
        "dollars": asked["max_dollars"],
    }
    given: dict[str, Any] = {name: bound for name, bound in bounds.items() if bound is not None}
    if asked["preset"] is not None:
        return replace(PRESETS[asked["preset"]], **given)
    return Budget(**given) if given else Budget(attempts=DEFAULT_ATTEMPTS)


def check_agent(settings: DesignSettings, out: Path, trainings: Path | None = None) -> None:
    """Raise UsageError for an agent that cannot be: a name that is misspelt, an impossible pair.

    out: the folder of the run. trainings: that it shares with others.
    """
    from agent_sandbox.agents.operators.protocol import OPERATORS
    from agent_sandbox.agents.policies import get_policy
    from agent_sandbox.agents.policies.learned import Learned

    if settings.agent is not None:
        _require_all_by_itself(settings)
    check_program(settings, out, trainings)
    for operator in settings.operators or ():
        if operator not in OPERATORS:
            raise unknown_name("operator", operator, OPERATORS)
    if settings.policy != EVOLUTION:
        policy = get_policy(settings.policy)
        if isinstance(policy, Learned) and settings.llm is not None:
            raise UsageError(
                f"policy '{policy.name}' brings its own writer, over the grammar: expected no "
                "--llm with it."
            )
    elif settings.llm is not None or settings.operators is not None:
        raise UsageError(
            f"'{EVOLUTION}' is an agent of its own: expected neither --llm nor --operators with "
            "it. Name a search policy with --policy."
        )
    if settings.whole_files and settings.llm is None:
        raise UsageError("--whole-files is for an llm: name one with --llm.")


def _require_all_by_itself(settings: DesignSettings) -> None:
    others = settings.llm, settings.operators, settings.whole_files or None
    if settings.policy != EVOLUTION or any(other is not None for other in others):
        raise UsageError(
            "--agent is a program that does all by itself: expected none of --llm, --policy, "
            "--operators, --whole-files with it."
        )


@dataclass(frozen=True, kw_only=True)
class OpenedAgent:
    """An agent that is ready, and what the search has to know of it."""

    agent: Agent
    spending: LLMSpending
    """What its llm, or its questions, took for an attempt."""
    batch_size: int
    """Candidates that it proposes before it is told of any of them."""
    finish: Callable[[Sequence[Attempt]], str | None] = lambda attempts: None
    """Called with all attempts when the search has ended; what there is to say of its end."""
    afterword: Callable[[], str] = lambda: ""
    """Called when it is closed; what there is to say of all it did, or nothing."""


@contextmanager
def opened_agent(judging: Judging, shelf: str) -> Iterator[OpenedAgent]:
    """The agent of a run; a program is ended with the block.

    shelf: what the references reach, in words. Raises UsageError when policy and operators do not
    fit, LLMFault when the llm lacks a key.
    """
    from agent_sandbox.agents.external.connections import summary
    from agent_sandbox.agents.journal import Journal
    from agent_sandbox.agents.llm.remembered import llm_spending
    from agent_sandbox.agents.policies.fixed_point import FixedPoint
    from lra_design.cli.external import how_it_ended, opened_program

    settings = judging.settings
    if settings.agent is not None:
        with opened_program(judging, _briefing(settings, shelf)) as program:
            yield OpenedAgent(
                agent=program,
                spending=program.spending,
                batch_size=1,
                finish=partial(how_it_ended, program, judging.folder.agent_log),
                afterword=lambda: summary(judging.folder.agent_network),
            )
        return
    journal, policy = Journal(judging.folder.journal), _policy(settings)
    yield OpenedAgent(
        agent=_own_agent(judging, policy, journal, shelf),
        spending=lambda attempt: llm_spending(journal, attempt),
        batch_size=judging.crew.num_workers,
        finish=policy.ending if isinstance(policy, FixedPoint) else lambda attempts: None,
    )


def _policy(settings: DesignSettings) -> Policy | None:
    """The search policy; None for the built-in agent. Gains are held against what was measured."""
    from agent_sandbox.agents.policies import get_policy
    from agent_sandbox.agents.policies.fixed_point import FixedPoint

    if settings.policy == EVOLUTION:
        return None
    policy = get_policy(settings.policy, settings.agent_seed)
    if isinstance(policy, FixedPoint) and policy.noise is None:
        return replace(policy, noise=probe_noise(settings))
    return policy


def _own_agent(judging: Judging, policy: Policy | None, journal: Journal, shelf: str) -> Agent:
    from agent_sandbox.agents.evolution import RegularisedEvolution
    from agent_sandbox.agents.policy_agent import PolicyAgent

    settings = judging.settings
    if policy is None:
        num_drafts = min(10, 1 + (settings.budget.attempts or DEFAULT_ATTEMPTS) // 2)
        return RegularisedEvolution(settings.agent_seed, num_drafts=num_drafts)
    only = None if settings.operators is None else frozenset(settings.operators)
    return PolicyAgent(policy, _operators(judging, policy, journal, shelf), only)


def report_for_agents(judging: Judging) -> Callable[[str], ValidationReport]:
    """The validator, which gives the same source the same report before a crash and after."""
    from agent_sandbox.validator.validate import validate

    def report(source: str) -> ValidationReport:
        return validate(
            source.encode(errors="surrogatepass"),
            judging.isolation,
            mode=judging.settings.mode,
            seed=REFLECTION_SEED,
        )

    return report


def _operators(judging: Judging, policy: Policy, journal: Journal, shelf: str) -> OperatorSet:
    """Those of the grammar, those that learn, or those of the llm that was asked for."""
    from agent_sandbox.agents.llm import open_llm
    from agent_sandbox.agents.operators.grammar import GrammarOperators
    from agent_sandbox.agents.operators.llm import LLMOperators
    from agent_sandbox.agents.policies.learned import Learned

    settings = judging.settings
    if isinstance(policy, Learned):
        return _learned_operators(settings, policy)
    if settings.llm is None:
        return GrammarOperators(settings.agent_seed)

    llm = open_llm(settings.llm, num_answered=journal.num_exchanges())
    return LLMOperators(llm, _briefing(settings, shelf), journal, report_for_agents(judging))


def _learned_operators(settings: DesignSettings, policy: Learned) -> OperatorSet:
    from agent_sandbox.agents.operators.learned import LearnedOperators

    return LearnedOperators(
        settings.agent_seed, noise=probe_noise(settings), round_size=policy.round_size
    )


def _briefing(settings: DesignSettings, shelf: str) -> Briefing:
    from agent_sandbox.agents.prompts import Briefing

    return Briefing(
        task="\n".join(map(described, (*settings.probes, settings.task))),
        mode=settings.mode,
        shelf=shelf,
        budget=settings.budget,
        noise=probe_noise(settings),
        whole_files=settings.whole_files,
    )
