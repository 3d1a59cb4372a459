"""Ranks runs: their store, scores with intervals, human results, the table and the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leaderboards.tables import Tables

__all__ = ["load"]


def load(*folders: str | Path) -> Tables:
    """What is in and below `folders`, as tables of pandas; see `leaderboards.tables`."""
    from leaderboards.tables import load_tables

    return load_tables([Path(folder) for folder in folders])
