"""How far does each search policy come on the probes, with the grammar for its operators?

    python benchmarks/policies.py [ATTEMPTS] [SEEDS] [POLICY...]

Runs every policy at its defaults, or those that are named (`greedy:num_drafts=3`), one attempt
after the other on one worker, and beside them the built-in agent of `lra-design design`. Prints the
best mean over the probes after so many attempts, the mean over the seeds. What two policies propose
alike is validated and trained once: with one seed all of them begin with the same drafts.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

from agent_sandbox.agents.evolution import RegularisedEvolution
from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.operators.grammar import GrammarOperators
from agent_sandbox.agents.operators.learned import LearnedOperators
from agent_sandbox.agents.policies import get_policy, policy_names
from agent_sandbox.agents.policies.learned import Learned
from agent_sandbox.agents.policy_agent import PolicyAgent
from agent_sandbox.agents.protocol import Agent
from agent_sandbox.agents.search import Event, search
from agent_sandbox.isolation import open_isolation
from lra_design.cli.contest import PROBES
from lra_design.cli.crew import Crew
from lra_design.cli.display import Display
from lra_design.cli.judging import Entrant, Judging
from lra_design.cli.preparing import generate_shown
from lra_design.cli.probes import probe_noise
from lra_design.cli.run_folder import DesignSettings, RunFolder
from lra_design.records import Attempt, Budget, Feedback
from tasks.registry import get_task
from trainers.recipes import get_recipe

BUILT_IN = "built-in"
WIDTH = 32


class Judge:
    """Feedback on a source, worked out once."""

    def __init__(self, judging: Judging, display: Display) -> None:
        self.judging = judging
        self.display = display
        self.known: dict[str, Feedback] = {}

    def __call__(self, sources: Sequence[str]) -> Iterator[Feedback]:
        for source in sources:
            if source not in self.known:
                total = sum(get_recipe(probe, "smoke").train.num_steps for probe in PROBES)
                with self.display.stage(f"candidate {len(self.known)}", total) as stage:
                    entrants = [Entrant("candidate", source, "benchmark")]
                    (self.known[source],) = self.judging.evaluate(entrants, stage)
            yield self.known[source]


def agent_of(name: str, seed: int, num_attempts: int, noise: float | None) -> Agent:
    if name == BUILT_IN:
        return RegularisedEvolution(seed, num_drafts=min(10, 1 + num_attempts // 2))
    policy = get_policy(name, seed)
    if isinstance(policy, Learned):
        writer = LearnedOperators(seed, noise=noise, round_size=policy.round_size)
        return PolicyAgent(policy, writer)
    return PolicyAgent(policy, GrammarOperators(seed))


def best_after(attempts: Sequence[Attempt], number: int) -> float:
    return max(attempt.feedback.mean_accuracy or 0.0 for attempt in attempts[:number])


def compare(
    judge: Judge, folder: Path, num_attempts: int, num_seeds: int, policies: Sequence[str]
) -> None:
    numbers = sorted({1, num_attempts // 4, num_attempts // 2, num_attempts} - {0})
    print(f"{'best of':<{WIDTH}}" + "".join(f"{number:>8}" for number in numbers), flush=True)
    for name in (*policies, BUILT_IN):
        searches = []
        for seed in range(num_seeds):
            agent = agent_of(name, seed, num_attempts, probe_noise(judge.judging.settings))

            def show(event: Event, name: str = name, seed: int = seed) -> None:
                if event.attempt is not None:
                    accuracy = event.attempt.feedback.mean_accuracy
                    change = f"{event.attempt.proposal.operator}: {event.attempt.proposal.change}"
                    judge.display.say(f"{name}-s{seed} {event.index} {accuracy} {change}")

            journal = Journal(folder / f"{name}-{seed}.sqlite")
            searches.append(
                search(agent, judge, journal, budget=Budget(attempts=num_attempts), on_event=show)
            )
        line = (mean(best_after(attempts, n) for attempts in searches) for n in numbers)
        print(f"{name:<{WIDTH}}" + "".join(f"{value:8.3f}" for value in line), flush=True)


def main(num_attempts: int, num_seeds: int, policies: Sequence[str]) -> None:
    display = Display()
    for probe in PROBES:
        generate_shown(get_task(probe), display)
    settings = DesignSettings(
        task="listops-mini",
        probes=PROBES,
        scale="smoke",
        mode="causal",
        agent_seed=0,
        budget=Budget(attempts=num_attempts),
        num_seeds=1,
        isolation="standard",
    )
    with (
        tempfile.TemporaryDirectory() as path,
        open_isolation() as isolation,
        Crew(1) as crew,
    ):
        judge = Judge(Judging(settings, RunFolder(Path(path)), isolation, isolation, crew), display)
        compare(judge, Path(path), num_attempts, num_seeds, policies)
    seconds = sum(feedback.seconds for feedback in judge.known.values())
    print(f"{len(judge.known)} candidates judged in {seconds:.0f} s of workers")


if __name__ == "__main__":
    main(
        num_attempts=int(sys.argv[1]) if len(sys.argv) > 1 else 12,
        num_seeds=int(sys.argv[2]) if len(sys.argv) > 2 else 3,
        policies=sys.argv[3:] or policy_names(),
    )
