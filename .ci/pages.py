"""Run what pages of the documentation show: the commands of their `sh` blocks, then their Python.

Everything runs from the project's root with `.venv/bin` first on PATH, page by page in the order
given. `make test` is left out, because CI has just run it. The first failure ends the run.
Blocks of no language are for what needs a network, a key, a card or hours: `tests/test_docs.py`
holds their commands against the command line.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ALREADY_RUN = {"make test"}
ROOT = Path(__file__).resolve().parent.parent


def blocks(text: str, language: str) -> list[str]:
    """The contents of all blocks fenced as `language`."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """The commands of all `sh` blocks, without comments; a backslash joins lines."""
    joined = [block.replace("\\\n", " ") for block in blocks(text, "sh")]
    lines = [line.split("  #")[0].strip() for block in joined for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def calls(page: Path) -> list[list[str]]:
    """The processes that run a page: each command, then all of its Python as one program."""
    text = page.read_text(encoding="utf-8")
    found = [["bash", "-c", line] for line in commands(text) if line not in ALREADY_RUN]
    program = "\n".join(blocks(text, "python"))
    return [*found, ["python", "-c", program]] if program else found


def main(pages: list[Path]) -> int:
    """Run the pages; 0 when everything succeeds."""
    paths = os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ["PATH"]])
    for page in pages:
        for call in calls(page):
            print(f"\n$ {call[-1]}", flush=True)
            code = subprocess.run(
                call, cwd=ROOT, env={**os.environ, "PATH": paths}, check=False
            ).returncode
            if code != 0:
                print(f"error: '{call[-1]}' of {page} ended with exit code {code}", file=sys.stderr)
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main([Path(name).resolve() for name in sys.argv[1:]]))
