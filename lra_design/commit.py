"""The commit of a checkout, asked of git. Imports nothing of the project: the build runs it too."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_SECONDS = 5.0


def commit_of(root: Path) -> str | None:
    """The commit that is checked out in `root`, with `+dirty` when a tracked file differs from it.

    None where `root` is not itself the root of a checkout, or git is not there, refuses or hangs:
    a repository further up is somebody else's.
    """
    if not (root / ".git").exists():
        return None
    where = [f"--git-dir={root / '.git'}", f"--work-tree={root}"]
    asked = ["describe", "--always", "--abbrev=40", "--dirty=+dirty", "--exclude=*"]
    try:
        done = subprocess.run(
            ["git", *where, *asked],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
