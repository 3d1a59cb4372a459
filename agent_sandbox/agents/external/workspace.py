"""What a program finds: a brief, the contract, examples, a desk, a loop for agents in Python."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path

import lra_design.interface
from agent_sandbox.agents.prompts import Briefing, render
from lra_design.files import write_atomically
from lra_design.records import NOTHING

PROGRAMS = tuple(Path(__file__).with_name(name) for name in ("desk.py", "participant.py"))


def make_workspace(folder: Path, briefing: Briefing, examples: Mapping[str, str]) -> None:
    """Fill `folder`; what is there already under these names is written anew.

    examples: file name to source. Raises DataError when the folder cannot be written.
    """
    files = {
        "BRIEF.md": render("brief", briefing=briefing, left=briefing.budget.left(NOTHING)),
        "contract.py": inspect.getsource(lra_design.interface),
        **{program.name: program.read_text(encoding="utf-8") for program in PROGRAMS},
        **{f"examples/{name}": source for name, source in examples.items()},
    }
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
