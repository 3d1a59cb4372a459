"""The table of published results, `published.tsv`: one row per system and source.

Accuracies stand there in percent, as printed in the source. An empty cell is a task that the source
has no number for, `fail` a task that the system is published as not learning at all. The other
columns are explained at the fields of `Row`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

Column = Literal["listops", "text", "retrieval", "image", "pathfinder", "pathx"]
COLUMNS: tuple[Column, ...] = ("listops", "text", "retrieval", "image", "pathfinder", "pathx")
Size = Literal["lra", "small", "full"]
Pixels = Literal["ids", "ids?", "real", "real?"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one source says of one system."""

    system: str
    mechanism: str | None
    """The reference that mixes as it does, by its file in `mechanisms/`; None: none of them."""
    source: str
    """Where the numbers were read."""
    size: Size
    """`lra`: the network and recipe of the LRA paper; `small`: 2 layers, width 64, 2 heads,
    MLP 128; `full`: each paper's own size and recipe."""
    pixels: Pixels
    """Whether the system read a picture as 256 ids or as real numbers: seen in its code or in what
    that was made from, or, with a question mark, assumed."""
    accuracies: Mapping[Column, float | Literal["fail"]]
    """Percent, without the columns that have no number."""
    flags: tuple[str, ...] = ()
    """Why a number may not be believed: a flag of every column, or `flag:column` of one."""
    notes: str = ""
    remark: str = ""
    """`column: text`, what concerns that column alone."""

    def flags_of(self, column: Column) -> tuple[str, ...]:
        """The flags that hold for a column."""
        parts = [flag.partition(":") for flag in self.flags]
        return tuple(flag for flag, _, only in parts if only in ("", column))

    def notes_of(self, column: Column) -> str:
        """The row's notes and what is to be said of the column alone."""
        only, _, remark = self.remark.partition(": ")
        return "; ".join(filter(None, (self.notes, remark if only == column else "")))


def published_rows() -> tuple[Row, ...]:
    """The table's rows, in its order."""
    path = Path(__file__).with_name("published.tsv")
    with path.open(encoding="utf-8", newline="") as file:
        cells = csv.DictReader(file, delimiter="\t", restval="", quoting=csv.QUOTE_NONE)
        return tuple(_row(row) for row in cells)


def _row(cells: Mapping[str, str]) -> Row:
    return Row(
        system=cells["system"],
        mechanism=cells["mechanism"] or None,
        source=cells["source"],
        size=cast(Size, cells["size"]),
        pixels=cast(Pixels, cells["pixels"]),
        accuracies={column: _accuracy(cells[column]) for column in COLUMNS if cells[column]},
        flags=tuple(cells["flags"].split()),
        notes=cells["notes"],
        remark=cells["remark"],
    )


def _accuracy(cell: str) -> float | Literal["fail"]:
    return "fail" if cell == "fail" else float(cell)
