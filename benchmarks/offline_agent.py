"""In how many of ten seeds does the offline agent beat every reference on the probes?

    python benchmarks/offline_agent.py [SEEDS] [ATTEMPTS]

Runs the search of `lra-design design` with its own budget once per agent seed. Trainings are
shared between the seeds (equal jobs have equal ids): what two seeds have in common is paid once.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from agent_sandbox.isolation import open_isolation
from lra_design.cli.contest import PROBES
from lra_design.cli.crew import Crew
from lra_design.cli.display import Display
from lra_design.cli.judging import Judging
from lra_design.cli.ladder import Ladder
from lra_design.cli.options import workers_available
from lra_design.cli.run_folder import DesignSettings, RunFolder
from lra_design.records import Budget


def main(num_seeds: int, num_attempts: int) -> None:
    margins = []
    with (
        tempfile.TemporaryDirectory() as shared,
        open_isolation() as isolation,
        Crew(workers_available()) as crew,
    ):
        for seed in range(num_seeds):
            folder = Path(shared) / f"seed-{seed}"
            folder.mkdir()
            (folder / "trainings").symlink_to(Path(shared) / "trainings")
            (Path(shared) / "trainings").mkdir(exist_ok=True)
            settings = DesignSettings(
                task="listops-mini",
                probes=PROBES,
                scale="smoke",
                mode="causal",
                agent_seed=seed,
                budget=Budget(attempts=num_attempts),
                num_seeds=1,
                isolation="standard",
            )
            judging = Judging(settings, RunFolder(folder), isolation, isolation, crew)
            references, attempts = Ladder(judging, Display()).search_on_probes()
            reference = max(f.mean_accuracy or 0.0 for f in references.values())
            best = max(attempts, key=lambda attempt: attempt.feedback.mean_accuracy or 0.0)
            mean = best.feedback.mean_accuracy or 0.0
            num_valid = sum(attempt.feedback.report.valid for attempt in attempts)
            margins.append(mean - reference)
            print(
                f"seed {seed}: {num_valid}/{num_attempts} valid, best {mean:.3f} "
                f"(attempt {best.index}: {best.proposal.change}), best reference {reference:.3f}",
                flush=True,
            )
    print(f"better than every reference: {sum(m > 0 for m in margins)} of {num_seeds} seeds")
    print(f"median margin: {sorted(margins)[len(margins) // 2]:+.3f}")


if __name__ == "__main__":
    main(
        num_seeds=int(sys.argv[1]) if len(sys.argv) > 1 else 10,
        num_attempts=int(sys.argv[2]) if len(sys.argv) > 2 else 12,
    )
