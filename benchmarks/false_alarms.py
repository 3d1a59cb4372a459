"""How often the validator accuses an honest mechanism: measured, not assumed.

    python benchmarks/false_alarms.py [--seeds 20] [--jobs 2] [FILE ...]

Validates every file of `tests/honest/` and every reference mechanism, in each mode that it
supports, from each seed. Prints every finding that the first line of the file does not announce
(`May warn: LRA213`), how many validations had an error or a warning with the upper end of the
one-sided 95 % interval (Clopper and Pearson 1934), and wall time. The interval takes validations
as independent draws, which those of one file are not: the rate per file stands beside it.
"""

from __future__ import annotations

import argparse
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from scipy.stats import beta

from agent_sandbox.isolation import Isolation, open_isolation
from agent_sandbox.validator.validate import Mode, validate
from lra_design.records import ValidationReport

ROOT = Path(__file__).parent.parent
FILES = (*sorted(ROOT.glob("tests/honest/*.py")), *sorted(ROOT.glob("mechanisms/[!_]*.py")))


@dataclass(frozen=True)
class Trial:
    """One validation to make."""

    file: Path
    mode: Mode
    seed: int


def trials(files: list[Path], num_seeds: int) -> list[Trial]:
    """Seed by seed, so that an interrupted run has seen every file."""
    found = []
    for seed, file, mode in product(range(num_seeds), files, ("causal", "bidirectional")):
        if not re.search(rf"supports_{mode}\b.*= False", file.read_text()):
            found.append(Trial(file, mode, seed))
    return found


def unannounced(report: ValidationReport, file: Path, tier: str) -> list[str]:
    """The findings of this tier that the file's first line does not announce, in words."""
    announced = set(re.findall(r"LRA\d+", file.read_text().partition("\n")[0]))
    return [
        f"{finding.check} {finding.name}: {finding.found} ({finding.where})"
        for finding in report.findings
        if finding.tier == tier and finding.check not in announced
    ]


def upper_bound(count: int, total: int) -> float:
    """The largest rate that `count` or fewer of `total` do not contradict at 95 %."""
    return 1.0 if count >= total else float(beta.ppf(0.95, count + 1, total - count))


def measure(isolation: Isolation, all_trials: list[Trial], num_jobs: int) -> dict[str, list[Trial]]:
    """The trials with a false alarm, by tier; each is printed as it is met."""
    alarms: dict[str, list[Trial]] = {"error": [], "warning": []}

    def run(trial: Trial) -> tuple[Trial, ValidationReport]:
        source = trial.file.read_bytes()
        return trial, validate(source, isolation, mode=trial.mode, seed=trial.seed)

    with ThreadPoolExecutor(num_jobs) as pool:
        for trial, report in pool.map(run, all_trials):
            for tier, found in alarms.items():
                if texts := unannounced(report, trial.file, tier):
                    found.append(trial)
                    print(f"{tier} {trial.file.stem} {trial.mode} seed {trial.seed}", flush=True)
                    print(*(f"    {text}" for text in texts), sep="\n", flush=True)
    return alarms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, default=FILES, metavar="FILE")
    parser.add_argument("--seeds", type=int, default=20, help="seeds of the validator for each")
    parser.add_argument("--jobs", type=int, default=2, help="validations at a time")
    options = parser.parse_args()
    all_trials = trials(list(options.files), options.seeds)
    started = time.monotonic()
    with open_isolation() as isolation:
        alarms = measure(isolation, all_trials, options.jobs)
    seconds, total = time.monotonic() - started, len(all_trials)
    print(f"{len(options.files)} files, {options.seeds} seeds, {total} validations")
    for tier, found in alarms.items():
        files = {trial.file for trial in found}
        bound, of_files = (
            upper_bound(len(found), total),
            upper_bound(len(files), len(options.files)),
        )
        print(
            f"{tier + 's':9} {len(found)} ({len(found) / total:.2%}, at most {bound:.2%}) in "
            f"{len(files)} files (at most {of_files:.1%} of them)"
        )
    print(f"{seconds:.0f} s, {seconds / total:.2f} s for a validation, {options.jobs} at a time")


if __name__ == "__main__":
    main()
