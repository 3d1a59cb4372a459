"""Merging stores: nothing lost, nothing twice, and the order does not matter."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from landscape import feedback_with, finished, score_of
from run_records import make_dossier, make_run

from agent_sandbox.agents.journal import Journal
from agent_sandbox.fingerprint.records import Neighbour
from leaderboards.contents import read_contents
from leaderboards.dossiers import Dossier, DossierFile
from leaderboards.merge import Merged, merge
from leaderboards.store import Store
from lra_design.cli import run
from lra_design.errors import DataError, RecordError, UsageError
from lra_design.records import Attempt, Proposal, Run, to_json


def make_attempt(search: str, index: int) -> Attempt:
    source = f"{index}  # {search}\n"
    feedback = feedback_with(source, [score_of("recall-probe", 0.5)])
    proposal = Proposal(source=source, change="", operator="draft")
    return finished(index, proposal, lambda *_: feedback)


def write_search(folder: Path, search: str, length: int, branch: str = "") -> Path:
    """A journal of that length; on a branch it goes on differently after two attempts."""
    path = folder / search / "journal.sqlite"
    for index in range(length):
        attempt = make_attempt(search + branch * (index > 1), index)
        Journal(path).append(attempt)
        Journal(path).keep_exchange(index, f"question {index}", json.dumps({"prompt": search}))
    path.with_name("design.json").write_text(json.dumps({"policy": search}))
    return path


def make_dossiers() -> list[Dossier]:
    """Three of one mechanism, two of them worth the same."""
    near, far = (
        Neighbour(name=name, mode="causal", distance=1.5, copy=None, shared_structure=None)
        for name in ("softmax", "linear")
    )
    return [
        make_dossier("a"),
        make_dossier("a", neighbours=(near,)),
        make_dossier("a", neighbours=(far,)),
    ]


def make_machines(folder: Path) -> list[Path]:
    """Four stores that overlap: equal runs, runs done again, journals at several lengths."""
    first = make_run("a", 0, 0.4, created_at="2026-01-02T00:00:00+00:00")
    again = replace(first, created_at="2026-01-03T00:00:00+00:00", name="again")
    once_more = replace(first, created_at="2026-01-01T00:00:00+00:00", name="once more")
    dossiers = make_dossiers()
    held: list[tuple[list[Run], list[Dossier], list[tuple[Any, ...]]]] = [
        ([first, make_run("a", 1, 0.5)], dossiers[:1], [("one", 2)]),
        ([again], dossiers[1:2], [("one", 3), ("two", 3)]),
        ([once_more, make_run("b", 0, 0.5)], dossiers[2:], [("two", 3, "x")]),
        ([first], [], [("two", 2)]),
    ]
    for number, (runs, known, searches) in enumerate(held):
        machine = folder / f"machine{number}"
        for one in runs:
            Store(machine / "board").append(one)
        for dossier in known:
            DossierFile(machine / "board").append(dossier)
        for search in searches:
            write_search(machine, *search)
    return [folder / f"machine{number}" for number in range(len(held))]


def content(folder: Path) -> Any:
    """All that a leaderboard sees of a folder, but for where it lies."""
    found = read_contents([folder])
    return (
        found.runs,
        found.repeats,
        found.dossiers,
        sorted(to_json(dossier) for dossier in DossierFile(folder).dossiers()),
        [(search.name, search.settings, search.attempts) for search in found.searches],
    )


def test_merging_in_any_order_and_repeatedly_gives_the_same(tmp_path: Path) -> None:
    machines = make_machines(tmp_path)
    merge(machines, tmp_path / "whole")
    expected = content(tmp_path / "whole")
    assert [one.name for one in expected[0]] == ["once more", "a", "b"]
    assert [one.name for one in expected[1]] == ["a", "again"]
    assert len(expected[3]) == 3
    assert [len(attempts) for _, _, attempts in expected[4]] == [3, 3, 3]

    rng = random.Random(11)
    for number in range(2):
        out = tmp_path / f"out{number}"
        order = rng.sample(machines, len(machines)) + rng.choices(machines, k=1)
        cut = rng.randint(1, len(order) - 1)
        merge(order[:cut], tmp_path / f"part{number}")
        for machine in order[cut:]:
            merge([machine], out)
        merge([tmp_path / f"part{number}"], out)
        assert content(out) == expected
    assert merge([*machines, tmp_path / "out0"], tmp_path / "whole") == Merged(0, 0, 0)
    assert content(tmp_path / "whole") == expected


def test_a_journal_is_copied_whole(tmp_path: Path) -> None:
    path = write_search(tmp_path / "machine", "one", 2)
    assert merge([tmp_path / "machine"], tmp_path / "out") == Merged(0, 0, 1)
    (copied,) = (tmp_path / "out/searches").glob("one-*/journal.sqlite")
    assert Journal(copied).attempts() == Journal(path).attempts()
    assert Journal(copied).exchanges(1) == Journal(path).exchanges(1)
    Journal(copied).append(make_attempt("one", 2))  # it is a journal like any other
    names = {file.name for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert names == {"journal.sqlite", "design.json"}

    # one that went on elsewhere takes the place of its beginning
    before = copied.parent
    assert merge([tmp_path / "machine"], tmp_path / "out") == Merged(0, 0, 1)
    assert not before.exists()
    (copied,) = (tmp_path / "out/searches").glob("one-*/journal.sqlite")
    assert len(Journal(copied).attempts()) == 3


def test_a_damaged_store_is_named_before_anything_is_written(tmp_path: Path) -> None:
    Store(tmp_path / "good").append(make_run("a", 0, 0.4))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/records.jsonl").write_text("{}\n")
    with pytest.raises(RecordError, match=r"bad/records.jsonl, line 1"):
        merge([tmp_path / "good", tmp_path / "bad"], tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'none' is none"):
        merge([Path("none")], tmp_path / "out")
    (tmp_path / "file").write_text("")
    (tmp_path / "machine").mkdir()
    with pytest.raises(DataError, match="Name a folder that you may write to"):
        merge([tmp_path / "machine"], tmp_path / "file")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machines = [str(machine) for machine in make_machines(tmp_path)]
    assert run(["board", "merge", *machines, "-o", str(tmp_path / "out")]) == 0
    assert "added 5 runs, 3 dossiers and 3 searches" in capsys.readouterr().out
    assert run(["board", "rebuild", str(tmp_path / "out")]) == 0
    assert "6 files in" in capsys.readouterr().out
    assert run(["board", "show", str(tmp_path / "out")]) == 0
    assert "once more" in capsys.readouterr().out
    for source, out in ((tmp_path, machines[0]), (machines[0], tmp_path)):
        assert run(["board", "merge", str(source), "-o", str(out)]) == 2
        assert "one holds the other" in capsys.readouterr().err
    assert run(["board", "rebuild", str(tmp_path / "none")]) == 2
    assert "expected a folder of runs" in capsys.readouterr().err
