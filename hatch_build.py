"""Write the commit into a wheel's metadata, for `lra-design --version`."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):
    """Adds `extra_metadata/commit.txt` where the commit is known; an editable install asks git."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel is built; `version` is `standard` or `editable`."""
        root = Path(self.root)
        commit = runpy.run_path(str(root / "lra_design" / "commit.py"))["commit_of"](root)
        if version == "editable" or commit is None:
            return
        file = Path(self.directory) / "commit.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(commit + "\n")
        build_data["extra_metadata"][str(file)] = "commit.txt"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called afterwards: nothing but the wheel stays."""
        (Path(self.directory) / "commit.txt").unlink(missing_ok=True)
