"""`lra-design journal`: every attempt can be seen, compared and taken elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_llm_operators import BRIEFING, FILE, PARENT, Asked, attempt

from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.operators.protocol import Action
from agent_sandbox.agents.search import hash_source
from lra_design.cli import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run whose first attempt an llm was asked for."""
    path = tmp_path / "run"
    kept = Journal(path / "journal.sqlite")
    Asked(FILE).operators(path, BRIEFING).apply(Action(operator="draft"), [])
    kept.append(attempt(0, PARENT, 0.4, operator="draft"))
    child = PARENT.replace("4", "8") + "# \x1b[2J\n"
    kept.append(attempt(1, child, 0.5, parents=(hash_source(PARENT),)))
    kept.append(attempt(2, "leak = 1\n", None, parents=(hash_source(child),)))
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert run(["journal", *map(str, arguments)]) == code
    printed = capsys.readouterr()
    return printed.err if code else printed.out


def test_all_attempts_in_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "show", folder).splitlines()
    cells = [line.split()[:2] for line in lines[1:]]
    assert cells == [["0", "40.0"], ["1", "50.0"], ["2", "invalid"]]
    rows = json.loads(said(capsys, "show", folder / "journal.sqlite", "--json"))
    assert [row["accuracy"] for row in rows] == [0.4, 0.5, None]


def test_one_attempt_in_full(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "show", folder, 0)
    assert "class Gated" in text
    assert "Draft a new mechanism" in text
    assert "## Thoughts" in text
    whole = json.loads(said(capsys, "show", folder, 0, "--json"))
    assert whole["exchanges"][0]["reply"]["text"] == FILE.strip()


def test_a_tree_has_children_below_their_parents(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said(capsys, "tree", folder).splitlines()
    assert [line.index(digit) for line, digit in zip(lines[1:], "012", strict=True)] == [4, 8, 12]


def test_a_diff_shows_what_changed_and_steers_no_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, "diff", folder, 0, 1)
    assert "-    width = 4\n+    width = 8" in text
    assert "\x1b" not in text


def test_an_export_holds_every_attempt(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow.parquet

    lines, table = folder / "all.jsonl", folder / "all.parquet"
    said(capsys, "export", folder, "-o", lines)
    said(capsys, "export", folder, "-o", table)
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert len(rows[0]["exchanges"]) == 1
    columns = pyarrow.parquet.read_table(table).to_pydict()
    assert columns["accuracy"] == [0.4, 0.5, None]
    assert json.loads(columns["exchanges"][0])[0]["reply"]["text"] == FILE.strip()


def test_a_run_whose_agent_proposed_nothing_has_no_attempts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "design.json").write_text("{}")
    for command in ("show", "tree"):
        assert run(["journal", command, str(tmp_path)]) == 0
    assert run(["journal", "show", str(tmp_path), "0"]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("show", "nowhere"), "expected a journal at"),
        (("show", "{}", "7"), "attempt 7 is not there: the journal holds attempts 0 to 2"),
        (("export", "{}", "-o", "all.csv"), "ends in .jsonl or .parquet, found 'all.csv'"),
    ],
)
def test_what_is_not_there_is_said(
    folder: Path,
    arguments: tuple[str, ...],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled_in = [argument.format(folder) for argument in arguments]
    assert complaint in said(capsys, *filled_in, code=2)
