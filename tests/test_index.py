"""The index of a folder: fast, never wrong, never in the way, whoever writes and whoever dies."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from landscape import feedback_with, finished, score_of
from run_records import make_dossier, make_run

from agent_sandbox.agents.journal import Journal
from leaderboards import index_file
from leaderboards.contents import read_contents
from leaderboards.dossiers import DossierFile
from leaderboards.index import FILE_NAME, Index, open_index, read_runs_and_dossiers, rebuild
from leaderboards.store import Store
from lra_design.errors import DataError, RecordError
from lra_design.records import Attempt, Feedback, Finding, Proposal, to_json

FINDING = Finding(
    check="LRA202",
    name="causal",
    tier="error",
    expected="the past",
    found="the future",
    likely_cause="a mask",
    hint="mend it",
    where="line 3",
)


def make_attempt(index: int, accuracy: float | None = 0.5, **changes: object) -> Attempt:
    """One that scored, or one that was found invalid."""
    source = f"{index}\n"
    scores = [] if accuracy is None else [score_of("recall-probe", accuracy)]
    feedback = feedback_with(source, scores)
    if accuracy is None:
        feedback = replace(feedback, report=replace(feedback.report, findings=(FINDING,)))

    def judge(*_: object) -> Feedback:
        return feedback

    proposal = Proposal(source=source, change=f"change {index}", operator="draft")
    return replace(finished(index, proposal, judge), **changes)  # type: ignore[arg-type]


def write_journal(folder: Path, attempts: list[Attempt]) -> Path:
    path = folder / "journal.sqlite"
    for attempt in attempts:
        Journal(path).append(attempt)
    return path


def settle(folder: Path) -> None:
    """Let every file look as if it was last changed long ago."""
    for file in folder.rglob("*"):
        if file.is_file():
            os.utime(file, ns=(0, file.stat().st_mtime_ns - 10**10))


def numbers(folder: Path) -> tuple[list[str], list[int]]:
    """What the index of a folder says: ids of runs, numbers of attempts."""
    with open_index(folder) as index:
        ids = sorted(run.run_id for run in index.runs())
        return ids, [row[1] for row in index.attempts()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With two runs, a dossier and a search of two attempts."""
    for seed in range(2):
        Store(tmp_path / "board").append(make_run("a", seed, 0.4))
    DossierFile(tmp_path / "board").append(make_dossier("a"))
    write_journal(tmp_path / "run", [make_attempt(0), make_attempt(1, None)])
    (tmp_path / "run" / "design.json").write_text('{"policy": "greedy", "llm": "none:such"}')
    return tmp_path


@pytest.mark.parametrize("on_disk", [True, False])
def test_it_says_what_the_records_say(folder: Path, on_disk: bool) -> None:
    if on_disk:
        assert rebuild(folder) == (3, folder / FILE_NAME)
    whole, found = read_contents([folder]), read_runs_and_dossiers([folder])
    assert (found.runs, found.repeats) == (whole.runs, whole.repeats)
    assert found.dossiers == whole.dossiers
    with open_index(folder) as index:
        first, second = index.attempts()
        (finding,) = index.findings()
    assert first[:3] == (f"{folder.name}/run", 0, "greedy/none:such")
    assert second[1] == 1
    assert finding[:6] == (f"{folder.name}/run", 1, 0, "LRA202", "causal", "error")
    assert (folder / FILE_NAME).exists() == on_disk


def test_what_was_read_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rebuild(folder)
    settle(folder)
    with open_index(folder) as index:
        assert index.refresh() == 3  # nobody knew yet that they had settled
        assert index.refresh() == 0
    decoded: list[int] = []
    original = Journal.decode
    monkeypatch.setattr(
        Journal, "decode", lambda self, *row: decoded.append(row[0]) or original(self, *row)
    )
    write_journal(folder / "run", [make_attempt(2)])
    Store(folder / "board").append(make_run("a", 2, 0.4))
    assert numbers(folder) == (["a-0", "a-1", "a-2"], [0, 1, 2])
    assert decoded == [2]


def _another_run(folder: Path) -> None:
    (folder / "run/journal.sqlite").unlink()
    write_journal(folder / "run", [make_attempt(0, 0.9)])


def _edited(folder: Path) -> None:
    path = folder / "board/records.jsonl"
    path.write_text(path.read_text().replace('"a-0"', '"b-0"'))  # of the same size


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_edited, (["a-1", "b-0"], [0, 1])),
        (_another_run, (["a-0", "a-1"], [0])),
        (lambda folder: (folder / "board/records.jsonl").unlink(), ([], [0, 1])),
        (lambda folder: (folder / "board").rename(folder / "moved"), (["a-0", "a-1"], [0, 1])),
    ],
    ids=["edited", "another-run", "deleted", "moved"],
)
def test_a_file_that_changed_otherwise_is_read_anew(
    folder: Path, change: Callable[[Path], object], expected: object
) -> None:
    rebuild(folder)
    assert numbers(folder) == (["a-0", "a-1"], [0, 1])
    change(folder)
    assert numbers(folder) == expected


def test_a_damaged_record_is_named_and_nothing_is_taken_over(folder: Path) -> None:
    rebuild(folder)
    with (folder / "board/records.jsonl").open("a") as file:
        file.write(to_json(make_run("a", 2, 0.4)) + "\n{}\n")
    with open_index(folder) as index, pytest.raises(RecordError, match=r"jsonl, line 4"):
        index.refresh()
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        assert connection.execute("select count(*) from runs").fetchone() == (2,)


def test_an_older_index_is_made_anew_and_a_newer_one_refused(folder: Path) -> None:
    rebuild(folder)
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute("pragma user_version = 0")
        connection.execute("drop table attempts")
    assert numbers(folder) == (["a-0", "a-1"], [0, 1])
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute(f"pragma user_version = {index_file.SCHEMA + 1}")
    with pytest.raises(RecordError, match=r"schema 1, found 2.*Update lra-design, or delete"):
        Index(folder)


def test_the_tables_change_only_with_the_schema() -> None:
    """When this fails: raise SCHEMA, and put the new digest here."""
    digest = hashlib.sha256("\n".join(index_file.TABLES).encode()).hexdigest()[:16]
    assert (index_file.SCHEMA, digest) == (1, "c3c282a2e70dea6c")


def test_damage_is_named_and_rebuilt_and_deleting_loses_nothing(folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(b"no database at all" * 100)
    with pytest.raises(RecordError, match="board rebuild"):
        Index(folder)
    rebuild(folder)
    assert numbers(folder) == (["a-0", "a-1"], [0, 1])
    (folder / FILE_NAME).unlink()
    assert numbers(folder) == (["a-0", "a-1"], [0, 1])


def test_a_database_of_somebody_else_is_left_alone(folder: Path) -> None:
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute("create table mine (value integer)")
    before = (folder / FILE_NAME).read_bytes()
    with pytest.raises(RecordError, match="something else made it"):
        rebuild(folder)
    assert (folder / FILE_NAME).read_bytes() == before


def test_a_name_that_is_no_text_is_shown_as_bytes(folder: Path) -> None:
    (folder / "run").rename(folder / os.fsdecode(b"r\xff"))
    rebuild(folder)
    with open_index(folder) as index:
        assert index.attempts()[0][0] == f"{folder.name}/r\\xff"


def test_a_folder_that_is_not_there_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot use the index"):
        rebuild(tmp_path / "none")


WRITERS = """
import os, random, signal, sys, time
from dataclasses import replace
from pathlib import Path
from leaderboards.index import open_index, rebuild
from leaderboards.store import Store
from lra_design.records import Run, from_json
folder, number, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
run = from_json(Run, (folder / "run.json").read_text())
rng = random.Random(7)

def write(prefix, out):
    rebuild(folder)
    with open_index(folder) as index:
        for i in range(count):
            Store(folder / "board").append(replace(run, run_id=f"{prefix}-{i}"))
            os.write(out, f"{prefix}-{i}\\n".encode())
            index.refresh()

def start(prefix):
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            write(prefix, sender)
        finally:
            os._exit(1 if sys.exc_info()[0] else 0)
    os.close(sender)
    return child, os.fdopen(receiver)
"""
TOGETHER = """
children = [start(f"w{i}") for i in range(number)]
for child, lines in children:
    print(lines.read(), end="")
    assert os.waitpid(child, 0)[1] == 0
"""
KILLED = """
for i in range(number):
    child, lines = start(f"round{i}")
    for _ in range(rng.randint(1, 9)):
        print(lines.readline(), end="")
    time.sleep(rng.random() * 0.01)
    os.kill(child, signal.SIGKILL)
    print(lines.read(), end="")
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
"""


def run_writers(program: str, folder: Path, number: int, count: int) -> set[str]:
    """The ids that the writers were told are stored."""
    command = [sys.executable, "-c", WRITERS + program, str(folder), str(number), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def check_whole(folder: Path, acknowledged: set[str]) -> list[str]:
    """The ids in the index, after a refresh: each run once, none that was acknowledged missing."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    ids, _ = numbers(folder)
    assert len(ids) == len(set(ids))
    assert acknowledged <= set(ids)
    assert ids == sorted(run.run_id for run in Store(folder / "board").runs())
    return ids


@pytest.mark.slow
def test_ten_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(to_json(make_run("a", 0, 0.5)))
    expected = {f"w{number}-{i}" for number in range(10) for i in range(12)}
    assert run_writers(TOGETHER, tmp_path, 10, 12) == expected
    assert set(check_whole(tmp_path, expected)) == expected


@pytest.mark.slow
def test_writers_killed_in_the_middle_leave_it_whole(tmp_path: Path) -> None:
    rounds = 30
    run = make_run("a", 0, 0.5, source="#" * 50_021)  # long enough to be cut in two
    (tmp_path / "run.json").write_text(to_json(run))
    acknowledged = run_writers(KILLED, tmp_path, rounds, 100_003)
    assert len(acknowledged) >= rounds
    stored = check_whole(tmp_path, acknowledged)
    assert len(stored) - len(acknowledged) <= rounds  # what each was about to report
