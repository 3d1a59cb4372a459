"""What one validation costs: the first of a process, and those after it.

    python benchmarks/validation.py [FILE]

Prints wall-clock seconds; `cold` is a whole command with its imports and the opening of the
isolation, `first` the first call in an opened isolation, `warm` the median of ten after it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from agent_sandbox.isolation import open_isolation
from agent_sandbox.validator import validate


def main(file: Path) -> None:
    started = time.perf_counter()
    command = [sys.executable, "-c", "from lra_design.cli import main; main()", "validate", file]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    print(f"cold   {time.perf_counter() - started:.2f} s")
    with open_isolation() as isolation:
        seconds = []
        for _ in range(11):
            started = time.perf_counter()
            validate(file.read_bytes(), isolation)
            seconds.append(time.perf_counter() - started)
    print(f"first  {seconds[0]:.2f} s")
    print(f"warm   {statistics.median(seconds[1:]):.2f} s (fastest {min(seconds[1:]):.2f} s)")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "mechanisms/softmax.py"))
