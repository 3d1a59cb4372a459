"""Exports: every format says the same, and nothing in a name is obeyed by its reader."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from run_records import make_dossier, make_run

from leaderboards.columns import ENTRIES, TABLES
from leaderboards.dossiers import DossierFile
from leaderboards.exports import ENDINGS, FIGURES, bibtex, export
from leaderboards.exports.delimited import csv_bytes
from leaderboards.exports.latex import escaped
from leaderboards.human import PUBLISHED
from leaderboards.store import Store
from lra_design.cli import run
from lra_design.cli.board import FIGURES as FIGURE_CHOICES
from lra_design.cli.board import TABLES as TABLE_CHOICES
from lra_design.errors import UsageError
from lra_design.records import Scaling, ScalingPoint
from mechanisms import REFERENCES
from tasks.registry import TASKS

HOSTILE = "=cmd|\"' \\input{/etc/passwd} $x_1$ 50% & # ~ ^ <b>\x1b[31m\u202eé漢"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two mechanisms on two tasks, five seeds each, one of them with a hostile name."""
    store = Store(tmp_path / "board")
    for task in ("listops-v1", "text-v1"):
        for seed in range(5):
            for name, accuracy in (("softmax", 0.5), ("hostile", 0.6)):
                shown = HOSTILE if name == "hostile" else name
                one = make_run(name, seed, accuracy + seed / 100, task=task)
                store.append(replace(one, name=shown, run_id=f"{name}-{task}-{seed}"))
    point = ScalingPoint(seq_len=4096, flops=1e6, peak_memory_bytes=1e5, seconds=1.0)
    scaling = Scaling(points=(point,), exponents=(), claimed=None)
    DossierFile(tmp_path / "board").append(make_dossier("softmax", scaling=scaling))
    return tmp_path


def write(folder: Path, name: str, **options: str) -> Path:
    file = folder / name
    export([folder], file, **options)
    return file


def test_csv_holds_every_column_and_no_formula(folder: Path) -> None:
    text = write(folder, "out.csv").read_bytes().decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert list(rows[0]) == list(ENTRIES)
    assert [row["name"] for row in rows[:2]] == [f"'{HOSTILE}", "softmax"]
    assert (rows[0]["rank"], rows[0]["tied_with_best"], rows[1]["rank"]) == ("1", "true", "2")
    assert rows[1]["flops"] == "1000000.0"
    assert rows[0]["flops"] == rows[0]["agent"] == ""
    assert float(rows[0]["gap_points"]) == pytest.approx(100 * (0.62 - 0.6385))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_that_a_spreadsheet_would_compute_is_quoted(text: str) -> None:
    columns = {"a": ("text", ""), "b": ("number", "")}
    written = csv_bytes(columns, [{"a": text, "b": -1.5}]).decode()  # type: ignore[arg-type]
    (_, row) = csv.reader(io.StringIO(written, newline=""))
    assert row == [f"'{text}", "-1.5"]  # a number is a number


@pytest.mark.parametrize("name", TABLES)
def test_parquet_has_the_types_of_the_columns(folder: Path, name: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(write(folder, "out.parquet", table=name))
    assert table.column_names == list(TABLES[name])
    kinds = {"text": "string", "whole": "int64", "number": "double", "yes/no": "bool"}
    for field in table.schema:
        kind, meaning = TABLES[name][field.name]
        assert str(field.type) == kinds[kind]
        assert field.metadata[b"meaning"] == meaning.encode()
    assert table.num_rows == {"runs": 20, "entries": 4}.get(name, 0)


def test_latex_has_a_table_for_each_board_and_obeys_no_name(folder: Path) -> None:
    text = write(folder, "out.tex").read_text()
    for name in ("tabular", "table"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 2
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 2
    assert r"\input" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"\emph{B2S6} \cite{source-b2s6-paper-table-3} & 63.85" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert all(len(re.findall(r"(?<!\\)&", row)) == 7 for row in rows)
    assert r"62.0 & 60.0--64.0" in text


def test_what_latex_would_obey_is_escaped() -> None:
    assert escaped(r"a_b % \x {y}") == r"a\_b \% \textbackslash{}x \{y\}"
    assert escaped("two\nlines\u202e") == r"two lines\textbackslash{}u\{202e\}"
    assert escaped("é − 漢") == "é $-$ U+6F22"


def test_bibtex_names_papers_tasks_and_sources_once(folder: Path) -> None:
    text = write(folder, "out.bib").read_text()
    keys = re.findall(r"^@misc\{(.+),$", text, flags=re.MULTILINE)
    assert len(keys) == len(set(keys))
    assert {"vaswani2017-1706.03762", "tay2021-2011.04006", "maas2011"} <= set(keys)
    assert "source-ruslankhalitov-chordmixer-readme" in keys
    assert "  title = {{Attention Is All You Need}},\n  year = {2017},\n" in text
    cited = re.findall(r"\\cite\{(.+?)\}", write(folder, "out.tex").read_text())
    assert cited
    assert set(cited) <= set(keys)


def test_everything_that_the_project_cites_can_be_written() -> None:
    papers = [bibtex.paper(name) for name in REFERENCES]
    assert all(re.fullmatch(r"[a-z]+\d{4}-\d{4}\.\d{5}", key) for key, _ in papers)
    assert dict(papers)["zaheer2017-1703.06114"]["author"] == "Zaheer and others"
    works = [bibtex.cited(part) for task in TASKS.values() for part in task.citation.split("; ")]
    assert all(re.fullmatch(r"[a-z]+\d{4}(-\d{4}\.\d{5})?", key) for key, _ in works)
    sources = {result.source for result in PUBLISHED}
    assert len({bibtex.source_key(source) for source in sources}) == len(sources)


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_is_drawn_with_names_as_text(folder: Path, figure: str) -> None:
    pytest.importorskip("matplotlib")
    svg = write(folder, "out.svg", figure=figure).read_bytes()
    assert svg.startswith(b"<?xml")
    assert b"<b>" not in svg
    assert b"<script" not in svg


@pytest.mark.slow
def test_a_figure_has_the_same_bytes_every_time(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    assert write(folder, "one.svg").read_bytes() == write(folder, "other.svg").read_bytes()
    assert write(folder, "out.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    Store(tmp_path).append(make_run("a", 0, None))
    for figure in FIGURES:
        with pytest.raises(UsageError, match="nothing to draw"):
            export([tmp_path], tmp_path / "out.svg", figure=figure)


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (tuple(TABLES), FIGURES) == (TABLE_CHOICES, FIGURE_CHOICES)
    out = folder / "made" / "runs.csv"
    assert run(["board", "export", str(folder), "-o", str(out), "--table", "runs"]) == 0
    assert f"wrote {out}" in capsys.readouterr().out
    assert len(out.read_text().splitlines()) == 21
    assert run(["board", "export", str(folder), "-o", "out.gif"]) == 2
    complaint = capsys.readouterr().err
    assert all(f".{ending}" in complaint for ending in ENDINGS)
    assert run(["board", "export", str(folder / "none"), "-o", str(out)]) == 2
    assert "expected folders of runs" in capsys.readouterr().err
