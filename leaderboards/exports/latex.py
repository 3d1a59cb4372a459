"""Boards as LaTeX: a table each, made for the package booktabs.

Names of participants are text and nothing else: what LaTeX would obey is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from leaderboards import table
from leaderboards.exports.bibtex import source_key
from leaderboards.human import HumanResult
from leaderboards.scores import RANKED_SEEDS, Board, Entry, group_by_board
from lra_design.visible import visible_text

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    **{character: f"\\{character}" for character in "{}$&#_%"},
}
_SYMBOLS = {"−": "$-$", "–": "--", "≈": r"$\approx$", "·": r"$\cdot$"}
HEADER = r"""% Needs \usepackage{booktabs}, and the file of `lra-design board export -o NAME.bib`.
"""


def escaped(text: str) -> str:
    """One line that LaTeX sets as it stands; what it may have no letter for is written out."""
    shown = visible_text(" ".join(text.split()))
    safe = "".join(_ESCAPES.get(character, character) for character in shown)
    return "".join(_SYMBOLS.get(character, _letter(character)) for character in safe)


def _letter(character: str) -> str:
    """Latin letters are in every font; others become their number."""
    return character if ord(character) < 0x250 else f"U+{ord(character):04X}"


def boards(entries: Iterable[Entry]) -> str:
    """Every board as a table, published results under the entries that they compare with."""
    groups = group_by_board(entries).items()
    return HEADER + "\n".join("\n".join(_board(board, members)) for board, members in groups)


def _board(board: Board, entries: list[Entry]) -> Iterator[str]:
    results, comparable = table.board_landmarks(board)
    yield r"\begin{table}"
    yield r"\centering"
    yield rf"\caption{{{escaped(_caption(board, comparable))}}}"
    yield r"\begin{tabular}{rlrcrrrr}"
    yield r"\toprule"
    yield r"\# & mechanism & test \% & 95 \% & val. \% & gap & NS & seeds \\"
    yield r"\midrule"
    yield from map(_row, entries)
    if comparable and results:
        yield r"\midrule"
        yield from map(_published, results)
    yield r"\bottomrule"
    yield r"\end{tabular}"
    yield r"\end{table}"


def _caption(board: Board, comparable: bool) -> str:
    parts = [
        f"{table.board_title(board)}: {table.conditions(board)}",
        *([] if comparable else [table.human_note(board)]),
        f"≈ not told apart from the best; no rank below {RANKED_SEEDS} seeds",
    ]
    return ". ".join(parts) + "."


def _row(entry: Entry) -> str:
    cells = (
        table.place(entry),
        entry.name[: table.NAME_WIDTH],
        table.percent(entry.test.mean if entry.test else None),
        table.interval(entry.test),
        table.percent(entry.validation),
        table.signed(entry.gap_points, 1),
        table.decimal(entry.normalised, 2),
        str(len(entry.seeds)),
    )
    return " & ".join(map(escaped, cells)) + r" \\"


def _published(result: HumanResult) -> str:
    name = rf"\emph{{{escaped(result.system)}}} \cite{{{source_key(result.source)}}}"
    missing = " & ".join([escaped(table.MISSING)] * 5)
    return rf" & {name} & {escaped(table.published(result))} & {missing} \\"
