"""What `compare.html` knows of each entry: JSON that its script reads from the page itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from leaderboards import table
from leaderboards.site.boards import BoardView, Row
from leaderboards.site.columns import COLUMNS
from lra_design.visible import visible_text


def comparison_data(boards: Sequence[BoardView]) -> Markup:
    """All entries as one JSON value, safe within an element of HTML."""
    data = {
        "columns": [[column.title, column.meaning] for column in COLUMNS],
        "boards": [[view.key, table.board_title(view.board)] for view in boards],
        "entries": [_entry(row, place) for place, view in enumerate(boards) for row in view.rows],
    }
    text = json.dumps(_visible(data), separators=(",", ":"), allow_nan=False)
    for character in "<>&":  # none may end the element or begin another
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _entry(row: Row, board: int) -> dict[str, Any]:
    """key, place of the board, name, author, place, interval, numbers by column, accuracy by seed
    in percent."""
    entry = row.entry
    return {
        "k": row.key,
        "b": board,
        "n": entry.name[: table.NAME_WIDTH],
        "a": (entry.agent or entry.origin)[:40],
        "p": table.place(entry),
        "t": [
            table.percent(entry.test.mean if entry.test else None, 2),
            table.interval(entry.test),
        ],
        "c": [column.text(row) for column in COLUMNS],
        "s": {str(run.seed): round(100 * run.test.accuracy, 3) for run in row.runs if run.test},
    }


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return visible_text(value)
    if isinstance(value, dict):
        return {visible_text(key): _visible(one) for key, one in value.items()}
    return [_visible(one) for one in value] if isinstance(value, (list, tuple)) else value
