"""What it takes to read a large leaderboard: 1,000 entries of 5 runs each, 20,000 attempts.

    python benchmarks/store.py [ATTEMPTS]

The records are made up. A run has a source of 5 kB and a curve of 20 points, about 10 kB in all;
an attempt the same source and a report of 42 checks, about 12 kB. Seconds are those of the
processor, each figure in a process of its own, imports left out.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from agent_sandbox.agents.journal import Journal
from leaderboards.store import Store, read_runs
from lra_design.records import (
    Attempt,
    CheckRun,
    Feedback,
    Point,
    Proposal,
    Run,
    Score,
    Spending,
    ValidationReport,
)
from mechanisms import reference_source

NUM_ENTRIES, NUM_SEEDS, IN_A_JOURNAL = 1000, 5, 500
REPRODUCED = Path(__file__).parent.parent / "leaderboards" / "reproduced" / "records.jsonl"
SOURCE = reference_source("gla")[:5000]

READERS = {
    "read_contents, all from the records": "from leaderboards.contents import read_contents as f",
    "board show without an index": "from leaderboards.index import read_runs_and_dossiers as f",
    "board rebuild": "from leaderboards import index\ndef f(folders): index.rebuild(*folders)",
    "the same again, nothing new": "from leaderboards.index import rebuild, open_index\n"
    "def f(folders):\n    with open_index(*folders) as index: index.refresh()",
    "board show with it": "from leaderboards.index import read_runs_and_dossiers as f",
    "attempts and findings, with it": "from leaderboards.tables import read_attempts as f",
    "leaderboards.load, with it": "from leaderboards.tables import load_tables as f; import pandas",
}


def main(num_attempts: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_runs(folder / "board")
        for first in range(0, num_attempts, IN_A_JOURNAL):
            make_journal(folder / f"search{first}", min(IN_A_JOURNAL, num_attempts - first))
        sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
        print(f"{NUM_ENTRIES * NUM_SEEDS} runs, {num_attempts} attempts, {sum(sizes) / 1e6:.0f} MB")
        for title, imports in READERS.items():
            print(f"{seconds(imports, folder):7.2f} s  {title}", flush=True)


def make_runs(folder: Path) -> None:
    like = read_runs(REPRODUCED)[0]
    point = Point(
        step=100, loss=1.25, gradient_norm=0.5, learning_rate=1e-3, accuracy=0.4375, seconds=12.5
    )
    Store(folder).merge(
        make_run(replace(like, curve=(point,) * 20), entry, seed)
        for entry in range(NUM_ENTRIES)
        for seed in range(NUM_SEEDS)
    )


def make_run(like: Run, entry: int, seed: int) -> Run:
    source = f"{SOURCE}\n# {entry}\n"
    return replace(
        like,
        run_id=f"{entry}-{seed}",
        name=f"candidate {entry}",
        origin="candidate",
        source=source,
        source_hash=hashlib.sha256(source.encode()).hexdigest(),
        seed=seed,
    )


def make_journal(folder: Path, number: int) -> None:
    """Written row by row without waiting for the disk, which `Journal.append` would."""
    import sqlite3

    journal = Journal(folder / "journal.sqlite")
    journal.append(make_attempt(0))
    connection = sqlite3.connect(journal.path)
    with connection:
        record = json.loads(journal.rows()[0][1])
        rows = ((index, json.dumps(record | {"index": index})) for index in range(1, number))
        connection.executemany("insert into attempts (attempt, record) values (?, ?)", rows)
    connection.close()


def make_attempt(index: int) -> Attempt:
    run = read_runs(REPRODUCED)[0]
    check = CheckRun(check="LRA202", name="causal", num_cases=24, num_findings=0, seconds=0.125)
    report = ValidationReport(
        mechanism="Candidate",
        source_hash=run.source_hash,
        mode="causal",
        findings=(),
        checks=(check,) * 42,
        battery="full",
        num_parameters=run.num_parameters,
        scaling=None,
        search_space={},
        replay_token="2a",
        seconds=4.5,
        isolation=run.isolation,
        versions=run.versions,
    )
    score = Score(
        task="recall-probe",
        split="validation",
        split_hash="",
        accuracy=0.5,
        num_examples=500,
        num_labels=500,
    )
    return Attempt(
        index=index,
        source_hash=run.source_hash,
        code_hash=run.source_hash,
        proposal=Proposal(source=SOURCE, change="a change", operator="mutate"),
        feedback=Feedback(report=report, scores=(score,) * 3, seconds=30.0),
        created_at=run.created_at,
        spent=Spending(),
    )


def seconds(imports: str, folder: Path) -> float:
    program = (
        f"import time\nfrom pathlib import Path\nimport lra_design.records, pydantic\n{imports}\n"
        f"start = time.process_time()\nf([Path({str(folder)!r})])\n"
        "print(time.process_time() - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
