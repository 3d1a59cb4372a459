"""The results store: nothing acknowledged is lost, nothing half-written is read."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from run_records import make_run

from leaderboards.store import Store
from lra_design.errors import DataError, RecordError
from lra_design.records import (
    Run,
    to_json,
)

RUN = make_run(
    "softmax",
    0,
    None,
    run_id="run-0",
    source="class Softmax(Mechanism):\n    '''line\u2028break'''\n",
    source_hash="5eed",
    hyperparameters={"width": 17},
    validation=None,
)

WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from leaderboards.store import Store
from lra_design.records import Run, from_json
folder, prefix, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
run = from_json(Run, (folder / f"{prefix}.json").read_text())
for i in range(count):
    Store(folder).append(replace(run, run_id=f"{prefix}-{i}"))
    print(f"{prefix}-{i}", flush=True)
"""


def start_writer(folder: Path, prefix: str, count: int, run: Run) -> subprocess.Popen[str]:
    (folder / f"{prefix}.json").write_text(to_json(run))
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), prefix, str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Let no file of this process grow past `num_bytes`: the kernel cuts a write short there."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_runs_come_back_equal_and_in_order(tmp_path: Path) -> None:
    store = Store(tmp_path / "made" / "on-demand")
    assert store.runs() == []
    runs = [replace(RUN, run_id=f"run-{i}", seed=i) for i in range(3)]
    assert [store.append(run) for run in runs] == [True, True, True]
    assert store.runs() == runs


def test_the_same_run_is_stored_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.append(RUN)
    assert not store.append(RUN)
    assert store.runs() == [RUN]


def test_an_id_with_other_content_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(RUN)
    with pytest.raises(RecordError, match=r"run-0 already, with other content in: seed, usage\."):
        store.append(replace(RUN, seed=2, usage=replace(RUN.usage, seconds=9.0)))
    assert store.runs() == [RUN]


def test_an_id_inside_another_runs_source_is_no_clash(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(replace(RUN, source='"run-1"', name="run-1"))
    assert store.append(replace(RUN, run_id="run-1"))


@pytest.mark.parametrize("cut", [1, 100, None], ids=["first-byte", "middle", "all-but-newline"])
def test_an_unfinished_last_line_is_skipped_and_cut_off(tmp_path: Path, cut: int | None) -> None:
    store = Store(tmp_path)
    store.append(RUN)
    unfinished = to_json(replace(RUN, run_id="run-1")).encode()[:cut]
    with store.path.open("ab") as file:
        file.write(unfinished)
    assert store.runs() == [RUN]
    later = replace(RUN, run_id="run-2")
    assert store.append(later)
    assert store.runs() == [RUN, later]
    assert store.path.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("room", [0, 1, 200], ids=lambda room: f"room-for-{room}-bytes")
def test_a_write_that_does_not_fit_leaves_the_store_as_it_was(tmp_path: Path, room: int) -> None:
    store = Store(tmp_path)
    store.append(RUN)
    before = store.path.read_bytes()
    with largest_file(len(before) + room), pytest.raises(DataError, match="disk has space"):
        store.append(replace(RUN, run_id="run-1"))
    assert store.path.read_bytes() == before
    assert store.append(replace(RUN, run_id="run-1"))


def test_a_folder_that_cannot_be_written_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="choose another folder"):
        Store(tmp_path / "file").append(RUN)


def test_a_file_that_cannot_be_read_is_a_data_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.path.mkdir()
    with pytest.raises(DataError, match="cannot read"):
        store.runs()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_store_is_read_and_not_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(RUN)
    store.path.chmod(0o400)
    assert store.runs() == [RUN]
    with pytest.raises(DataError, match="cannot write"):
        store.append(replace(RUN, run_id="run-1"))


def test_a_newer_schema_says_to_update(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(RUN)
    future = json.loads(to_json(RUN)) | {"schema": 2, "run_id": "run-1", "energy_joules": 3.0}
    with store.path.open("a") as file:
        file.write(json.dumps(future) + "\n")
    with pytest.raises(RecordError, match=r"line 2: expected a record of schema 1, found 2.*Updat"):
        store.runs()


@pytest.mark.parametrize(
    "line",
    ["not json", "[]", "", '{"schema": 1}', to_json(RUN).replace("1.25", "NaN")],
    ids=["text", "list", "blank", "keys-missing", "NaN"],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    store = Store(tmp_path)
    store.path.write_text(line + "\n")
    with pytest.raises(RecordError, match="line 1: the record is damaged"):
        store.runs()


@pytest.mark.parametrize(
    "run",
    [
        replace(RUN, usage=replace(RUN.usage, seconds=float("nan"))),
        replace(RUN, hyperparameters={"width": object()}),  # type: ignore[dict-item]
        replace(RUN, seed="zero"),  # type: ignore[arg-type]
        replace(RUN, source="\ud800"),
    ],
    ids=["NaN", "not-json", "wrong-type", "lone-surrogate"],
)
def test_a_run_that_could_not_be_read_back_is_not_written(tmp_path: Path, run: Run) -> None:
    store = Store(tmp_path)
    with pytest.raises(RecordError):
        store.append(run)
    assert store.runs() == []


def test_concurrent_writers_lose_nothing(tmp_path: Path) -> None:
    writers = [start_writer(tmp_path, f"writer-{w}", 25, RUN) for w in range(4)]
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0] * 4
    stored = [run.run_id for run in Store(tmp_path).runs()]
    assert sorted(stored) == sorted(f"writer-{w}-{i}" for w in range(4) for i in range(25))


@pytest.mark.slow
def test_a_writer_killed_in_the_middle_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    long_run = replace(RUN, source="#" * 200_003)  # long enough to be cut in two
    acknowledged: list[str] = []
    for round_number in range(3):
        writer = start_writer(tmp_path, f"round-{round_number}", 10_007, long_run)
        assert writer.stdout is not None
        acknowledged += [writer.stdout.readline().strip() for _ in range(5)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += writer.stdout.read().split()
        writer.stdout.close()
        assert writer.wait(timeout=60) == -signal.SIGKILL
    stored = [run.run_id for run in Store(tmp_path).runs()]
    assert set(acknowledged) <= set(stored)
    assert len(stored) - len(acknowledged) <= 3  # the one it was about to report, each time
    assert Store(tmp_path).append(RUN)
