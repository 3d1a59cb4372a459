"""`leaderboards.load`: tidy tables with documented columns, and the questions they answer."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_records import make_dossier, make_run
from test_index import make_attempt, write_journal

import leaderboards
from leaderboards.columns import TABLES
from leaderboards.dossiers import DossierFile
from leaderboards.index import rebuild
from leaderboards.rows import torch_names
from leaderboards.store import Store
from lra_design.errors import UsageError
from lra_design.records import Attempt, Trial, Tuning, TuningProtocol

pytest.importorskip("pandas")
ROOT = Path(__file__).parent.parent
DTYPES = {"text": "string", "whole": "Int64", "number": "float64", "yes/no": "boolean"}


def make_tuning(*accuracies: float | None) -> Tuning:
    """A study whose first trial is that of the defaults."""
    return Tuning(
        study="study",
        protocol=TuningProtocol(
            sampler="s", pruner="p", recipe_hash="r", num_trials=len(accuracies), max_seconds=None
        ),
        space_hash="space",
        trials=tuple(
            Trial(
                number=number,
                origin="default" if number == 0 else "sampler",
                outcome="pruned" if accuracy is None else "completed",
                accuracy=accuracy,
                seconds=1.5,
                values={"recipe.learning_rate": 0.25},
                run=None,
            )
            for number, accuracy in enumerate(accuracies)
        ),
    )


def written(attempt: Attempt, source: str) -> Attempt:
    proposal = replace(attempt.proposal, source=source)
    return replace(attempt, proposal=proposal, code_hash=str(attempt.index))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four mechanisms on a task, one of them tuned; a search of five attempts, one invalid."""
    store = Store(tmp_path / "board")
    for number, name in enumerate("abcd"):
        store.append(make_run(name, 0, 0.3 + number / 10, source_hash=f"source {number}"))
    tuned = make_run("e", 0, 0.6, setting="tuned", tuning=make_tuning(0.5, 0.75, None))
    store.append(tuned)
    Store(tmp_path / "elsewhere").append(replace(tuned, created_at="2026-01-03T00:00:00+00:00"))
    DossierFile(tmp_path / "board").append(make_dossier("e"))
    source = "import torch\nfrom torch.nn import functional as G\nG.silu(torch.cumsum(0))\n"
    attempts = [
        written(replace(make_attempt(i, i / 10), source_hash=f"source {i}"), source * (i == 3))
        for i in range(4)
    ]
    write_journal(tmp_path / "run", [*attempts, make_attempt(4, None)])
    return tmp_path


@pytest.mark.parametrize("indexed", [True, False])
def test_every_table_has_its_documented_columns(folder: Path, indexed: bool) -> None:
    if indexed:
        rebuild(folder)
    tables = leaderboards.load(folder)
    for name, columns in TABLES.items():
        frame = getattr(tables, name)
        documented = {key: DTYPES[kind] for key, (kind, _) in columns.items() if key != "scores"}
        added = {"accuracy:recall-probe": "float64"} if name == "attempts" else {}
        assert {key: str(dtype) for key, dtype in frame.dtypes.items()} == documented | added
    lengths = {name: len(getattr(tables, name)) for name in TABLES}
    assert lengths == {"runs": 6, "entries": 5, "attempts": 5, "findings": 1, "trials": 3}


def test_what_the_tables_say(folder: Path) -> None:
    tables = leaderboards.load(str(folder))
    assert tables.runs["counts"].tolist() == [True] * 5 + [False]
    entries = tables.entries.set_index("name")
    assert entries.loc["e", "tuning_gain_points"] == 25
    assert entries.loc["e", "certified"]
    assert entries.loc["a", "certified"] is not False
    assert entries["tuning_gain_points"].isna().tolist() == [True] * 4 + [False]
    assert entries["num_trials"].dropna().tolist() == [3]
    attempts = tables.attempts
    assert attempts["mean"].tolist()[:4] == attempts["accuracy:recall-probe"].tolist()[:4]
    assert attempts["mean"].isna().tolist() == [False] * 4 + [True]
    assert attempts["valid"].tolist() == [True] * 4 + [False]
    assert attempts["first_error"].dropna().tolist() == ["LRA202"]
    assert tables.findings[["attempt", "check", "where"]].to_numpy().tolist() == [
        [4, "LRA202", "line 3"]
    ]
    assert tables.trials["accuracy"].tolist()[:2] == [0.5, 0.75]
    assert tables.trials["outcome"].tolist() == ["completed", "completed", "pruned"]


def test_what_of_torch_a_source_uses_is_found_under_any_name() -> None:
    source = "import torch as t\nfrom torch.nn import functional as G\nG.silu(t.fft.rfft(x)).sum()"
    assert torch_names(source) == ["fft", "fft.rfft", "nn.functional.silu"]
    assert torch_names("no python at all") == []


def test_what_is_no_folder_is_said() -> None:
    with pytest.raises(UsageError, match="'no/such' is none"):
        leaderboards.load("no/such")
    with pytest.raises(UsageError, match="found nothing"):
        leaderboards.load()


def test_the_import_is_instant() -> None:
    code = "import sys, leaderboards; sys.exit(len({'pandas', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def load_example() -> Any:
    file = ROOT / "examples" / "research.py"
    spec = importlib.util.spec_from_file_location("research_example", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_answers_its_four_questions(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    research = load_example()
    tables = leaderboards.load(folder)
    ingredients = research.ingredients(tables.attempts)
    assert ingredients.loc["cumsum"].tolist() == [1, 0, 1]
    assert research.validity(tables.attempts)["attempts"].tolist() == [1, 4]
    assert research.first_errors(tables.attempts).to_dict() == {"LRA202": 1}
    proxy = research.search_proxy(tables.attempts, tables.entries)
    assert proxy["mean"].tolist() == pytest.approx([0, 0.1, 0.2, 0.3])
    assert proxy["test"].tolist() == pytest.approx([0.3, 0.4, 0.5, 0.6])
    assert research.tuning(tables.entries)["tuning_gain_points"].tolist() == [25]
    research.main([str(folder)])
    printed = capsys.readouterr().out
    assert "Spearman's correlation +1.00" in printed
    assert "nothing here" not in printed


def test_the_example_says_when_there_is_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load_example().main([str(tmp_path)])
    assert capsys.readouterr().out.count("nothing here") == 6


def test_the_page_shows_the_example_and_every_column() -> None:
    page = (ROOT / "docs" / "research.md").read_text()
    example = " ".join((ROOT / "examples" / "research.py").read_text().split())
    blocks = re.findall(r"^```py(?:thon)?\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    for block in blocks[1:]:
        assert " ".join(block.split()) in example
    for columns in TABLES.values():
        for name, (kind, meaning) in columns.items():
            assert f"| `{name}` | {kind} | {meaning} |" in page
