"""Is what this container does in order? Exit code 0: yes; 1: no, and a line says why.

A container that runs `lra-design serve` is asked for what its pages would be asked for. In any
other, a script must come through behind the walls of a candidate: where the sandbox does not hold,
`lra-design` refuses to work. Imports nothing of the project, so that it says so without it, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from itertools import pairwise
from pathlib import Path

SECONDS = 60
DEFAULT_PORT = 8000


def served_port(words: list[str]) -> int | None:
    """The port of a command line that serves; None for any other."""
    if "serve" not in words:
        return None
    for word, after in pairwise([*words, ""]):
        if word == "--port":
            return int(after)
        if word.startswith("--port="):
            return int(word.removeprefix("--port="))
    return DEFAULT_PORT


def ask_board(port: int) -> None:
    """Raises OSError or ValueError unless the board answers."""
    address = f"http://127.0.0.1:{port}/version.json"
    with urllib.request.urlopen(address, timeout=SECONDS) as answer:
        json.load(answer)


def try_sandbox() -> None:
    """Raises OSError or CalledProcessError unless an empty script runs behind the walls."""
    words = ["lra-design", "sandbox", "exec", "--level", "standard", "--profile", "validate"]
    words += [sys.executable, "/dev/null"]
    subprocess.run(words, check=True, timeout=2 * SECONDS, stdin=subprocess.DEVNULL)


def main() -> int:
    """Ask what the first process of the container does."""
    words = Path("/proc/1/cmdline").read_text(errors="replace").split("\0")
    try:
        port = served_port(words)
        try_sandbox() if port is None else ask_board(port)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
