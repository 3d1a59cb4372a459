"""A fidelity ladder: who goes on, what it costs, what an interrupted one keeps."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from run_records import make_run, make_score
from test_noise import make_row

from leaderboards import repeats as repeats_file
from lra_design.cli import run, screening
from lra_design.cli.crew import Crew
from lra_design.cli.display import Display
from lra_design.cli.options import make_job
from lra_design.cli.screening import Ladder, Rung, Screening, plan_rung
from lra_design.errors import CandidateFault
from lra_design.records import Run, Usage, from_json, to_json
from mechanisms import REFERENCES
from trainers import recipes
from trainers.job import Job
from trainers.recipes import RECIPES

ROOT = Path(__file__).parent.parent
FILES = [ROOT / "mechanisms" / f"{name}.py" for name in REFERENCES[:8]]
CONDITIONS = screening.Conditions("listops-mini", "smoke", "fixed", "causal")


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts other measurements in place of those of the project; none to begin with."""
    path = tmp_path / "repeats.jsonl"
    monkeypatch.setattr(repeats_file, "PATH", path)

    def write(rows: Sequence[repeats_file.Repeats]) -> None:
        path.write_text("".join(to_json(row) + "\n" for row in rows))

    return write


def right_order(shares: Sequence[float]) -> list[repeats_file.Repeats]:
    """References that come in the same order in every share, with next to no noise."""
    return [
        make_row(name, [0.4 + i / 50, 0.4001 + i / 50], share=share)
        for i, name in enumerate(REFERENCES[:10])
        for share in (*shares, 1.0)
    ]


def climb(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    accuracy: Callable[[Job], float],
    valid: Mapping[str, bool] | None = None,
) -> Screening:
    """A ladder whose trainings take as many seconds as they have steps and reach `accuracy`."""
    jobs = {file.stem: make_job(file, "listops-mini", "smoke", "causal", 0) for file in FILES}

    def train(job: Job, isolation: Any, place: Path, on_progress: Any) -> Run:
        score = make_score(job.task, "validation", accuracy(job))
        usage = Usage(seconds=job.train.num_steps, cpu_seconds=1.0, peak_memory_bytes=1)
        return make_run(job.name, job.seed, None, validation=score, usage=usage)

    monkeypatch.setattr(screening, "train", train)
    monkeypatch.setattr(Ladder, "_report", lambda self, name, job, stage: Report())
    with Crew(2) as crew:
        return Ladder(jobs, None, folder, crew, Display()).climb()  # type: ignore[arg-type]


class Report:
    valid = True
    findings = ()


def by_place(job: Job) -> float:
    """Later files are better; shorter trainings reach less, in the same order."""
    return (0.3 + 0.05 * REFERENCES.index(job.name)) * job.train.num_steps / 250


def names(rung: Rung, *, going: bool = False) -> list[str]:
    return [trained.name for trained in rung.trained if trained.goes_on or not going]


def test_without_figures_the_better_half_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, measured: Any
) -> None:
    found = climb(monkeypatch, tmp_path, by_place)
    assert [(rung.share, len(rung.trained)) for rung in found.rungs] == [
        (0.1, 8),
        (0.3, 4),
        (1.0, 2),
    ]
    assert names(found.rungs[2]) == [REFERENCES[7], REFERENCES[6]]
    assert "nothing is measured" in found.rungs[0].reason
    assert found.best is None
    assert found.device_seconds == 8 * 25 + 4 * 75 + 2 * 250
    assert found.full_device_seconds == pytest.approx(8 * 250)


def test_with_figures_as_many_go_on_as_are_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, measured: Any
) -> None:
    measured(right_order([0.1]))
    found = climb(monkeypatch, tmp_path, by_place)
    assert plan_rung(CONDITIONS, 0.1, 8).num_needed == 2
    # At 30 % nothing is measured, and to train two there to keep one costs less than it saves.
    assert [(rung.share, len(rung.trained)) for rung in found.rungs] == [
        (0.1, 8),
        (0.3, 2),
        (1.0, 1),
    ]
    assert found.best is not None
    assert found.best.num_choices == 1


def test_what_noise_cannot_tell_from_the_best_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, measured: Any
) -> None:
    measured(right_order([0.1]))
    found = climb(monkeypatch, tmp_path, lambda job: 0.5)
    assert len(names(found.rungs[0], going=True)) == 8


def test_a_rung_that_saves_nothing_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, measured: Any
) -> None:
    rows = right_order([0.3])
    wrong = [make_row(name, [0.9 - i / 50], share=0.1) for i, name in enumerate(REFERENCES[:10])]
    measured([*rows, *wrong])
    found = climb(monkeypatch, tmp_path, by_place)
    assert [rung.share for rung in found.rungs] == [0.3, 1.0]
    (note,) = found.notes
    assert note.startswith("10% of the steps left out: 8 of 8 would have to go on")


def test_who_fails_a_training_is_named_and_does_not_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, measured: Any
) -> None:
    def accuracy(job: Job) -> float:
        if job.name == REFERENCES[7]:
            raise CandidateFault("timeout", "no answer within 120 s")
        return by_place(job)

    found = climb(monkeypatch, tmp_path, accuracy)
    last = found.rungs[0].trained[-1]
    assert (last.name, last.accuracy, last.goes_on) == (REFERENCES[7], None, False)
    assert last.failure is not None
    assert names(found.rungs[2]) == [REFERENCES[6], REFERENCES[5]]


@pytest.mark.slow
def test_a_screening_from_end_to_end_and_once_more(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Real trainings of a few steps; the second call reads everything, an invalid one is named."""
    for key, recipe in RECIPES.items():
        host = dataclasses.replace(recipe.host, d_model=14, d_mlp=19)
        train = dataclasses.replace(recipe.train, num_steps=10, batch_size=31, evaluate_every=5)
        monkeypatch.setitem(RECIPES, key, recipes.Recipe(host, train))
    wrong = tmp_path / "wrong.py"
    wrong.write_text(FILES[0].read_text().replace("import torch.nn", "import os, torch.nn"))
    files = [str(ROOT / "mechanisms" / f"{name}.py") for name in ("mean", "identity")]
    command = ["screen", *files, str(wrong), "--task", "listops-mini", "--out", str(tmp_path / "s")]
    assert run(command) == 0
    printed = capsys.readouterr()
    assert "wrong is invalid" in printed.err
    assert "LRA102" in printed.err
    assert "100% of the steps (10)" in printed.out
    assert "best: " in printed.out
    before = sorted((tmp_path / "s").rglob("*.json"))
    assert run([*command, "--json"]) == 0
    found = from_json(Screening, capsys.readouterr().out)
    assert sorted((tmp_path / "s").rglob("*.json")) == before
    assert [refused.name for refused in found.refused] == ["wrong"]
    assert json.loads((tmp_path / "s" / found.rungs[-1].trained[0].folder / "run.json").read_text())


@pytest.mark.slow
def test_a_screening_of_nothing_valid_is_the_candidates_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import os\n")
    assert run(["screen", str(wrong), "--task", "listops-mini", "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "no candidate was trained in full" in printed.out
    assert "wrong is invalid" in printed.err
