"""What a leaderboard is written to for other programs: one file, whose ending says how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from leaderboards.columns import TABLES
from lra_design.errors import UsageError
from lra_design.files import write_atomically

Figure = Literal["intervals", "critical-difference", "pareto"]
FIGURES: tuple[str, ...] = get_args(Figure)
ENDINGS = {
    "csv": "a table",
    "parquet": "a table (extra `tables`)",
    "tex": "the boards, for LaTeX with booktabs",
    "bib": "what is compared, for BibTeX",
    "png": "a figure (extra `plots`)",
    "svg": "a figure (extra `plots`)",
}


def export(
    folders: Sequence[Path], file: Path, *, table: str = "entries", figure: str = "intervals"
) -> None:
    """Write what is in and below `folders` to `file`.

    table: of `columns.TABLES`, for .csv and .parquet. figure: of `FIGURES`, for .png and .svg.
    Raises UsageError for another ending, without the extra that it needs, and where there is
    nothing to draw; RecordError for a damaged file; DataError when one cannot be read or written.
    """
    ending = file.suffix.removeprefix(".").lower()
    if ending not in ENDINGS:
        known = ", ".join(f".{name}" for name in ENDINGS)
        raise UsageError(f"expected a file that ends in {known}, found '{file.name}'. Name one.")
    write_atomically(file, _content(ending, folders, table, figure))


def _content(ending: str, folders: Sequence[Path], table: str, figure: str) -> bytes:
    from leaderboards.exports import bibtex, delimited, figures, latex
    from leaderboards.tables import rank_all, require_folders, table_rows

    require_folders(folders)
    if ending in ("csv", "parquet"):
        write = delimited.csv_bytes if ending == "csv" else delimited.parquet_bytes
        return write(TABLES[table], table_rows(table, folders))
    contents, entries = rank_all(folders)
    if ending == "tex":
        return latex.boards(entries).encode()
    if ending == "bib":
        return bibtex.bibliography(entries).encode()
    return figures.draw(figure, ending, contents, entries)
