"""Tables as CSV and as Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from leaderboards.columns import Columns
from leaderboards.rows import Row
from lra_design.errors import UsageError

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes a text that begins with for: something to compute
(https://owasp.org/www-community/attacks/CSV_Injection)."""


def csv_bytes(columns: Columns, rows: Iterable[Row]) -> bytes:
    """UTF-8 with a line of names; an empty cell is a missing value.

    A text that a spreadsheet would compute begins with an apostrophe.
    """
    text = io.StringIO()
    writer = csv.writer(text)  # its line ends, \r\n, are those of RFC 4180
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in columns])
    return text.getvalue().encode(errors="backslashreplace")


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def parquet_bytes(columns: Columns, rows: Iterable[Row]) -> bytes:
    """With the types of the columns, and their meanings as metadata."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError("Parquet needs pyarrow: pip install 'lra-design[tables]'") from None
    types = {
        "text": pyarrow.string(),
        "whole": pyarrow.int64(),
        "number": pyarrow.float64(),
        "yes/no": pyarrow.bool_(),
    }
    schema = pyarrow.schema(
        pyarrow.field(name, types[kind], metadata={"meaning": meaning})
        for name, (kind, meaning) in columns.items()
    )
    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema), sink)
    return sink.getvalue()
