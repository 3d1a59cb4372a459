"""Does a writer that learns from preference pairs beat the grammar that it began as?

    python benchmarks/preferences.py FOLDER [SEEDS] [ROUNDS] [ROUND_SIZE] [WORKERS] [PROBE...]

The grammar is valid by construction, so both write in one without its constraints: some options of
`SLIPS` break the contract, as authors do. Of each seed the first round is drawn from that grammar
as it is, the untrained arm; before each later round the writer is refreshed from all rounds before
it, and the last round is the trained arm. So both arms hold as many candidates, all judged by the
validator and, where valid, trained on the probes at the scale `smoke`.

Printed: of each seed and round, how many are valid, how many were scored and their mean accuracy
over the probes; then both arms together, with 95 % intervals: Wilson's of the valid rate, Student's
t of a mean accuracy, and Student's t over seeds of the differences, last round minus first. Few of
an untrained round are valid, so the means are compared a second time, by Welch's t: one mean for
each trained seed, whose candidates are of one network, against all untrained candidates. A
candidate without scores is in no mean. The same command goes on with what is in FOLDER; more seeds
may be asked for there.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import ClassVar

from scipy.special import stdtrit
from scipy.stats import ttest_ind

from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.operators.learned import LearnedOperators
from agent_sandbox.agents.policies.learned import Learned
from agent_sandbox.agents.policy_agent import PolicyAgent
from agent_sandbox.agents.preferences.choices import EXTRA, SLOTS, Choose, GenomeLanguage, Slots
from agent_sandbox.agents.search import search
from agent_sandbox.isolation import open_isolation
from leaderboards.intervals import student_t_interval, wilson_interval
from lra_design.cli.contest import PROBES
from lra_design.cli.crew import Crew
from lra_design.cli.display import Display
from lra_design.cli.judging import Entrant, Judging
from lra_design.cli.preparing import generate_shown
from lra_design.cli.probes import probe_noise
from lra_design.cli.run_folder import DesignSettings, RunFolder
from lra_design.records import Attempt, Budget, Feedback, Proposal
from tasks.registry import get_task
from trainers.recipes import get_recipe

Slip = Callable[[str], str]


def centred(axis: int) -> Slip:
    """The mean over that axis is taken from what is mixed: 0 the batch, 1 the sequence."""
    line = r"centred = \1\n        return self.out(centred - centred.mean(AXIS, keepdim=True))\n"
    line = line.replace("AXIS", str(axis))
    return lambda source: re.sub(r"return self\.out\((.*)\)\n", line, source)


def widened(source: str) -> str:
    """Heads as wide as those of softmax attention, however many projections there are."""
    width = r"max\(1, 4 \* config\.d_model // \(\d+ \* config\.num_heads\)\)"
    return re.sub(width, "config.d_model // config.num_heads", source)


SLIPS: dict[str, dict[str, Slip]] = {
    "sees the future": {"yes": lambda source: re.sub(r"(self\.)?config\.causal", "False", source)},
    "changes its input": {
        "yes": lambda source: source.replace("x.masked_fill(", "x.masked_fill_(")
    },
    "keeps the full width": {"yes": widened},
    "is centred over": {"batch": centred(0), "sequence": centred(1)},
}
"""What the grammar never does, by slot and option; none of the options: it does not here either."""


class UnconstrainedLanguage:
    """The grammar, then whether each slip is made: one time in four, being centred one in two."""

    slots: ClassVar[Slots] = {
        **SLOTS,
        **{slot: EXTRA for slot in SLIPS},
        "is centred over": {"nothing": 0.5, "batch": 0.25, "sequence": 0.25},
    }

    def write(self, choose: Choose) -> Proposal:
        proposal = GenomeLanguage().write(choose)
        for slot, options in SLIPS.items():
            option = choose(slot)
            if option in options:
                proposal = replace(
                    proposal,
                    source=options[option](proposal.source),
                    change=f"{proposal.change}; {slot}: {option}",
                )
        return proposal


def run_seed(judging: Judging, seed: int, num_rounds: int, round_size: int) -> list[Attempt]:
    """The attempts of one search, its journal in the folder of `judging`."""
    display = Display()
    steps = sum(get_recipe(p, "smoke").train.num_steps for p in judging.settings.probes)

    def judge(sources: Sequence[str]) -> Iterator[Feedback]:
        entrants = [Entrant("candidate", source, "benchmark") for source in sources]
        with display.stage(f"seed {seed}", steps * len(entrants)) as stage:
            yield from judging.evaluate(entrants, stage)

    operators = LearnedOperators(
        seed,
        noise=probe_noise(judging.settings),
        round_size=round_size,
        language=UnconstrainedLanguage(),
    )
    return search(
        PolicyAgent(Learned(seed=seed, round_size=round_size), operators),
        judge,
        Journal(judging.folder.path / f"{seed}.sqlite"),
        budget=Budget(attempts=num_rounds * round_size),
        batch_size=round_size,
        on_event=lambda event: None,
    )


def scores(attempts: Sequence[Attempt]) -> list[float]:
    means = [attempt.feedback.mean_accuracy for attempt in attempts]
    return [mean for mean in means if mean is not None]


def valid_share(attempts: Sequence[Attempt]) -> float:
    return fmean(attempt.feedback.report.valid for attempt in attempts)


def told(attempts: Sequence[Attempt]) -> str:
    """A round, or an arm, in a line."""
    known, share = scores(attempts), valid_share(attempts)
    low, high = wilson_interval(share, len(attempts))
    line = f"{share:.2f} valid [{low:.2f}, {high:.2f}], {len(known)} of {len(attempts)} scored"
    if len(known) < 2:
        return line + (f", mean {known[0]:.3f}" if known else "")
    low, high = student_t_interval(known)
    return f"{line}, mean {fmean(known):.3f} [{low:.3f}, {high:.3f}], best {max(known):.3f}"


def difference(name: str, values: Sequence[float]) -> str:
    """Over seeds, with Student's 95 % interval."""
    if len(values) < 2:
        return f"{name}: too few seeds"
    half = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / math.sqrt(len(values))
    mean = fmean(values)
    return f"{name}: {mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}] over {len(values)} seeds"


def welch(trained: Sequence[float], untrained: Sequence[float]) -> str:
    """Means of the trained seeds against all untrained candidates, which are drawn alike."""
    if min(len(trained), len(untrained)) < 2:
        return "mean accuracy, by Welch's t: too few"
    found = ttest_ind(trained, untrained, equal_var=False)
    low, high = found.confidence_interval(0.95)
    gain = fmean(trained) - fmean(untrained)
    return f"mean accuracy, by Welch's t: {gain:+.3f} [{low:+.3f}, {high:+.3f}]"


def main(
    folder: Path,
    num_seeds: int,
    num_rounds: int,
    round_size: int,
    workers: int,
    probes: Sequence[str],
) -> None:
    for probe in probes:
        generate_shown(get_task(probe), Display())
    settings = DesignSettings(
        task="listops-mini",
        probes=tuple(probes),
        scale="smoke",
        mode="causal",
        agent_seed=0,
        budget=Budget(attempts=num_rounds * round_size),
        num_seeds=1,
        isolation="standard",
    )
    print(f"noise {probe_noise(settings)}", flush=True)
    first: list[list[Attempt]] = []
    last: list[list[Attempt]] = []
    with open_isolation() as walls, Crew(workers) as crew:
        judging = Judging(settings, RunFolder(folder), walls, walls, crew)
        for seed in range(num_seeds):
            attempts = run_seed(judging, seed, num_rounds, round_size)
            for number in range(num_rounds):
                drafts = attempts[number * round_size : (number + 1) * round_size]
                print(f"seed {seed}, round {number}: {told(drafts)}", flush=True)
            first.append(attempts[:round_size])
            last.append(attempts[-round_size:])
            show(first, last)


def show(first: Sequence[Sequence[Attempt]], last: Sequence[Sequence[Attempt]]) -> None:
    print(f"untrained: {told([attempt for arm in first for attempt in arm])}")
    print(f"trained:   {told([attempt for arm in last for attempt in arm])}")
    pairs = list(zip(first, last, strict=True))
    gains = [valid_share(after) - valid_share(before) for before, after in pairs]
    print(difference("valid rate", gains))
    both = [(scores(before), scores(after)) for before, after in pairs]
    means = [fmean(after) - fmean(before) for before, after in both if before and after]
    print(difference("mean accuracy", means))
    print(welch([fmean(a) for _, a in both if a], [x for b, _ in both for x in b]), flush=True)


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[2:6]]
    numbers = (*given, *(8, 3, 10, 2)[len(given) :])
    main(Path(sys.argv[1]), *numbers, probes=sys.argv[6:] or PROBES)
