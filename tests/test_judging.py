"""A candidate's fault in any stage is its own: it is told, and the others go on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NoReturn

import pytest
from run_records import make_dossier
from test_contents import REFUSED

from agent_sandbox.candidate import source_hash
from agent_sandbox.isolation import Isolation
from leaderboards.dossiers import DossierFile
from leaderboards.store import Store
from lra_design.cli.crew import Crew, Stopped
from lra_design.cli.display import Display
from lra_design.cli.dossiers import keep_dossiers
from lra_design.cli.judging import Entrant, Judging
from lra_design.cli.run_folder import DesignSettings, RunFolder, awaited, opened
from lra_design.errors import CandidateFault, UsageError
from lra_design.records import Budget, Finding, Run
from mechanisms import reference_source
from trainers.recipes import RECIPES, Recipe

SETTINGS = DesignSettings(
    task="listops-mini",
    probes=("recall-probe", "delay-probe"),
    scale="smoke",
    mode="causal",
    agent_seed=0,
    budget=Budget(attempts=1),
    num_seeds=1,
    isolation="standard",
)
BATCH_SIZE = 31
FAILS_IN_TRAINING = reference_source("mean").replace(
    "        dtype = ",
    f"        if x.shape[0] == {BATCH_SIZE}:\n"
    "            raise RuntimeError('only the trainer gives this many')\n"
    "        dtype = ",
    1,
)
PEEKS = reference_source("mean").replace("self.config.causal", "False")


@pytest.fixture(autouse=True)
def _small_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, recipe in RECIPES.items():
        train = dataclasses.replace(
            recipe.train, num_steps=3, batch_size=BATCH_SIZE, evaluate_every=3
        )
        monkeypatch.setitem(RECIPES, key, Recipe(recipe.host, train))


def test_one_entrants_fault_leaves_the_others_alone(isolation: Isolation, tmp_path: Path) -> None:
    entrants = [
        Entrant("peeks", PEEKS, "agent"),
        Entrant("fails in training", FAILS_IN_TRAINING, "agent"),
        Entrant("no python", "def", "agent"),
        Entrant("honest", reference_source("mean"), "agent"),
    ]
    with Crew(2) as crew, Display().stage("test", 1) as stage:
        judging = Judging(SETTINGS, RunFolder(tmp_path), isolation, isolation, crew)
        peeks, fails, no_python, honest = judging.evaluate(entrants, stage)
    assert not peeks.report.valid
    assert "LRA202" in {finding.check for finding in peeks.report.findings}
    assert not no_python.report.valid
    assert fails.report.valid
    assert fails.failure is not None
    assert fails.failure.check == "LRA409"
    assert "only the trainer" in fails.failure.found
    assert [score.task for score in honest.scores] == list(SETTINGS.probes)
    assert all(not f.scores and f.mean_accuracy is None for f in (peeks, fails, no_python))


def test_a_fault_before_scoring_puts_nothing_on_the_board(
    isolation: Isolation, tmp_path: Path
) -> None:
    with Crew(1) as crew, Display().stage("test", 1) as stage:
        judging = Judging(SETTINGS, RunFolder(tmp_path), isolation, isolation, crew)
        job = judging.job(Entrant("fails", FAILS_IN_TRAINING, "agent"), "listops-mini", seed=0)
        outcome = judging.train_and_score(job, stage)
    assert isinstance(outcome, tuple)
    assert all(isinstance(finding, Finding) for finding in outcome)
    assert not (tmp_path / "board").exists()


def test_a_crew_that_ends_stops_what_runs_in_it() -> None:
    with Crew(1) as crew:
        crew.check()
    with pytest.raises(Stopped):
        crew.check()


def test_a_run_folder_is_one_runs_and_one_process(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with opened(folder, SETTINGS, new=False) as first:
        assert first.path == folder
        with (
            pytest.raises(UsageError, match="another process"),
            opened(folder, SETTINGS, new=False),
        ):
            pass
        with opened(folder, SETTINGS, new=True) as second:
            assert second.path == tmp_path / "run-2"
    others = dataclasses.replace(SETTINGS, num_seeds=5)
    with (
        pytest.raises(UsageError, match=r"num_seeds 1 there, 5 asked.*--new"),
        opened(folder, others, new=False),
    ):
        pass


@pytest.mark.slow
def test_designs_that_share_trainings_train_and_score_once_each_under_its_own_name(
    isolation: Isolation, tmp_path: Path
) -> None:
    outcomes = []
    for agent in ("first", "second"):
        with Crew(1) as crew, Display().stage("test", 1) as stage:
            folder = RunFolder(tmp_path / agent, shared=tmp_path / "shared")
            judging = Judging(SETTINGS, folder, isolation, isolation, crew)
            entrant = Entrant(agent, reference_source("mean"), agent, num_attempts=len(agent))
            outcomes.append(
                judging.train_and_score(judging.job(entrant, "recall-probe", seed=0), stage)
            )
    first, second = outcomes
    assert isinstance(second, Run)
    assert (second.name, second.agent, second.num_attempts) == ("second", "second", 6)
    own = {"name": "first", "agent": "first", "num_attempts": 5}
    assert dataclasses.replace(second, **own) == first  # the seconds as well: it was not repeated
    assert Store(tmp_path / "second" / "board").runs() == [second]


@pytest.mark.slow
def test_all_are_tuned_with_as_many_trials(isolation: Isolation, tmp_path: Path) -> None:
    tuned = dataclasses.replace(SETTINGS, setting="tuned", num_trials=2)
    with Crew(1) as crew, Display().stage("test", 1) as stage:
        judging = Judging(tuned, RunFolder(tmp_path), isolation, isolation, crew)
        entrant = Entrant("mean", reference_source("mean"), "agent")
        winner = judging.tune(entrant, "recall-probe", stage)
        none = judging.tune(Entrant("fails", FAILS_IN_TRAINING, "agent"), "recall-probe", stage)
    assert isinstance(winner, Run)
    assert winner.tuning is not None
    assert winner.tuning.protocol.num_trials == 2
    assert (winner.setting, winner.name, winner.agent) == ("tuned", "mean", "agent")
    assert isinstance(none, tuple)
    assert none[0].check == "LRA409"


def test_a_folder_that_is_busy_is_waited_for(tmp_path: Path) -> None:
    looks: list[None] = []

    def check() -> None:
        looks.append(None)
        if len(looks) == 2:
            raise Stopped

    with (
        awaited(tmp_path, check),
        pytest.raises(Stopped),
        awaited(tmp_path, check),
    ):
        pass
    assert len(looks) == 2
    with awaited(tmp_path, check):  # it is free again
        assert len(looks) == 2


def test_what_validation_said_of_competitors_is_kept_once(
    isolation: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> NoReturn:
        raise CandidateFault("crash", "no answer")

    sources = {name: reference_source(name) for name in ("mean", "softmax")}
    reports = {
        source: dataclasses.replace(
            make_dossier(name).certificate, source_hash=source_hash(source.encode())
        )
        for name, source in sources.items()
    }
    reports["broken"] = dataclasses.replace(next(iter(reports.values())), findings=(REFUSED,))
    with Crew(1) as crew:
        judging = Judging(SETTINGS, RunFolder(tmp_path), isolation, isolation, crew)
        keep_dossiers(judging, reports, sources["mean"])
        monkeypatch.setattr("lra_design.cli.dossiers.fingerprint", dies)
        keep_dossiers(judging, reports, sources["mean"])
        (again := tmp_path / "again").mkdir()
        keep_dossiers(
            dataclasses.replace(judging, folder=RunFolder(again)), reports, sources["mean"]
        )
    mean, softmax = DossierFile(tmp_path / "board").dossiers()
    assert mean.neighbours[0].name == "mean"
    assert mean.neighbours[0].copy == "same file"
    assert softmax.neighbours == ()
    alone, _ = DossierFile(again / "board").dossiers()
    assert alone == dataclasses.replace(mean, neighbours=(), same_below=None)
