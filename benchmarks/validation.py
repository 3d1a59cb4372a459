"""What validations cost: the first of a process, those after it, and a folder of them.

    python benchmarks/validation.py [--file FILE] [--modules N]

Prints seconds of processor time, of the judge and all its workers together, and of the clock.
`cold` is a whole command with its imports and the opening of the isolation, `first` the first call
in an opened isolation, `warm` the median of those after it, `folder` a whole command on N modules
(the references, each under as many hashes as it takes). On a busy machine only the processor time
says anything.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the command line does, before torch is loaded

from agent_sandbox.isolation import open_isolation
from agent_sandbox.validator.registry import CHECKS, FAST, Check
from agent_sandbox.validator.validate import validate
from mechanisms import FEW, reference_source

BATTERIES: dict[str, tuple[Check, ...]] = {"full": CHECKS, "fast": FAST}
NUM_WARM = 10


@dataclass(frozen=True)
class Cost:
    """Seconds."""

    processor: float
    wall: float


def processor_seconds() -> float:
    """Of this process, of its children that have ended, and of the fork server and its workers."""
    own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    seconds = sum(used.ru_utime + used.ru_stime for used in own)
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            seconds += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return seconds


def measured(call: Callable[[], object]) -> Cost:
    processor, wall = processor_seconds(), time.perf_counter()
    call()
    return Cost(processor_seconds() - processor, time.perf_counter() - wall)


def command(*arguments: str) -> None:
    start = [sys.executable, "-c", "from lra_design.cli import main; main()", "validate"]
    done = subprocess.run([*start, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"expected valid mechanisms, found\n{done.stdout}")


def write_modules(folder: Path, num_modules: int) -> None:
    for index in range(num_modules):
        name = FEW[index % len(FEW)]
        source = f"{reference_source(name)}\n# copy {index}\n"
        (folder / f"{name}_{index}.py").write_text(source)


def show(what: str, cost: Cost, note: str = "") -> None:
    print(f"{what:<12}{cost.processor:>8.2f} s processor{cost.wall:>8.2f} s wall{note}", flush=True)


def main(file: Path, num_modules: int) -> None:
    for battery, options in (("full", ()), ("fast", ("--fast",))):
        show(f"cold {battery}", measured(lambda: command(str(file), *options)))  # noqa: B023
    source = file.read_bytes()
    with open_isolation() as isolation:
        for battery, checks in BATTERIES.items():
            costs = [
                measured(lambda: validate(source, isolation, checks=checks))  # noqa: B023
                for _ in range(1 + NUM_WARM)
            ]
            if battery == "full":
                show("first full", costs[0])
            show(f"warm {battery}", median(costs[1:]), f"   median of {NUM_WARM}")
    for battery, options in (("full", ()), ("fast", ("--fast",))):
        with tempfile.TemporaryDirectory() as folder:
            write_modules(Path(folder), num_modules)
            cost = measured(lambda: command(folder, *options))  # noqa: B023
            show(f"folder {battery}", cost, f"   {num_modules} modules")


def median(costs: list[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.processor for cost in costs),
        statistics.median(cost.wall for cost in costs),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, default=Path("mechanisms/softmax.py"))
    parser.add_argument("--modules", type=int, default=100, help="In the folder.")
    chosen = parser.parse_args()
    main(chosen.file, chosen.modules)
