"""Run every command of a page: the lines of its `sh` blocks, in order, from the project's root.

`make test` is left out, because CI has just run it. The first command that fails ends the run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ALREADY_RUN = {"make test"}
ROOT = Path(__file__).resolve().parent.parent


def commands(text: str) -> list[str]:
    """The commands of all `sh` blocks, without comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def main(readme: Path) -> int:
    """Run the commands; 0 when all of them succeed."""
    for command in commands(readme.read_text(encoding="utf-8")):
        if command in ALREADY_RUN:
            continue
        print(f"\n$ {command}", flush=True)
        code = subprocess.run(["bash", "-c", command], cwd=ROOT, check=False).returncode
        if code != 0:
            print(f"error: '{command}' of {readme} ended with exit code {code}", file=sys.stderr)
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
