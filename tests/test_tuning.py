"""What a study counts and keeps: its order, its dead trials, its storage, its ledger."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from run_records import make_run
from tiny_tasks import TINY_JOB

from agent_sandbox.isolation import Isolation
from lra_design.cli.crew import Crew
from lra_design.cli.tuned import summary
from lra_design.errors import DataError, UsageError
from lra_design.records import Run, Tuning, from_json, to_json
from mechanisms import reference_source
from trainers.training import OnProgress, Progress
from trainers.tuning import ledger, reaper
from trainers.tuning.sampling import NUM_QUASI_RANDOM, make_pruner, quasi_random_values
from trainers.tuning.space import ORIGIN, default_values, search_space, trial_job
from trainers.tuning.storage import alone, open_storage
from trainers.tuning.study import Search, tune
from trainers.tuning.winner import fresh_seeds, retrain

ROOT = Path(__file__).parent.parent
JOB = TINY_JOB


def ignore(number: int) -> OnProgress:
    return lambda progress: None


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(tmp_path, None)
    return optuna.create_study(storage=storage, study_name="a study", direction="maximize")


def begin(study: optuna.Study, owner: object) -> optuna.Trial:
    trial = study.ask()
    trial.set_user_attr(reaper.OWNER, owner)
    trial.suggest_float("x", 0.0, 1.0)
    return trial


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


def test_the_trial_of_the_defaults_is_the_recipe_as_it_stands() -> None:
    published = dataclasses.replace(JOB.train, weight_decay=0.0)  # outside a logarithmic space
    job = dataclasses.replace(JOB, train=published)
    assert default_values(job) == {"recipe.learning_rate": 3e-3}
    study = optuna.create_study()
    study.enqueue_trial(default_values(job), user_attrs={ORIGIN: "default"})
    trial = study.ask()
    assert trial_job(trial, job) == dataclasses.replace(job, setting="tuned")
    assert trial.params == {"recipe.learning_rate": 3e-3}


def test_the_start_covers_every_quarter_of_every_range() -> None:
    space = search_space(JOB)
    points = quasi_random_values(space, seed=3)
    assert points == quasi_random_values(space, seed=3) != quasi_random_values(space, seed=4)
    assert len(points) == NUM_QUASI_RANDOM == 4
    for name in ("recipe.learning_rate", "recipe.weight_decay"):
        low, high = (math.log(space[name][end]) for end in ("low", "high"))
        places = [(math.log(float(point[name])) - low) / (high - low) for point in points]
        assert sorted(int(4 * place) for place in places) == [0, 1, 2, 3]


def test_half_of_the_trials_go_on_from_a_quarter_of_the_steps() -> None:
    study = optuna.create_study(direction="maximize", pruner=make_pruner(40))
    pruned = []
    for accuracy in (0.5, 0.4, 0.6, 0.55):
        trial = study.ask()
        trial.report(accuracy, 9)
        assert not trial.should_prune()  # before the first rung nobody is judged
        trial.report(accuracy, 10)
        pruned.append(trial.should_prune())
    assert pruned == [False, True, False, False]


def test_a_killed_owner_loses_its_trial_and_a_living_one_does_not(study: optuna.Study) -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        begun = reaper._start_time(process.pid)
        owner = {**reaper.this_process(), "pid": process.pid, "started": begun}
        values = begin(study, owner).params
        begin(study, reaper.this_process())
        reaper.reap(study)
        assert states(study) == ["RUNNING", "RUNNING"]

        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but still in the table
        reaper.reap(study)
        assert states(study) == ["FAIL", "RUNNING", "WAITING"]
        retry = begin(study, owner)
        assert retry.params == values
        assert retry.user_attrs[reaper.RETRY_OF] == 0
    reaper.reap(study)  # the values killed again: they are not tried a third time
    assert states(study) == ["FAIL", "RUNNING", "FAIL"]
    counted = ledger.charged(study.get_trials())
    assert [trial.number for trial in counted] == [1, 2]


def test_another_process_with_the_same_id_is_not_the_owner(study: optuna.Study) -> None:
    begin(study, {**reaper.this_process(), "started": 1})
    reaper.reap(study)
    assert states(study) == ["FAIL", "WAITING"]


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"pids": "pid:[1]"}], ids=str)
def test_an_owner_elsewhere_is_left_alone_until_it_has_long_been_silent(
    study: optuna.Study, change: dict[str, str]
) -> None:
    trial = begin(study, {**reaper.this_process(), "pid": 1, "started": 1, **change})
    reaper.reap(study)
    assert states(study) == ["RUNNING"]
    trial.set_user_attr(reaper.HEARD, time.time() - reaper.SILENCE_SECONDS - 1)
    reaper.reap(study)
    assert states(study) == ["FAIL", "WAITING"]


def test_the_ledger_charges_each_trial_once(study: optuna.Study) -> None:
    study.enqueue_trial({"x": 0.5}, user_attrs={ORIGIN: "default"})
    died = begin(study, {**reaper.this_process(), "started": 1})
    died.set_user_attr(ledger.SECONDS, 7.0)
    reaper.reap(study)
    for seconds, accuracy in ((11.0, 0.5), (13.0, 0.75), (2.0, None)):
        trial = begin(study, reaper.this_process())
        trial.set_user_attr(ledger.SECONDS, seconds)
        trial.set_user_attr(ledger.FOLDER, f"trials/{trial.number}")
        if accuracy is None:
            trial.set_user_attr(ledger.NOTE, "raised: it did")
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, accuracy)

    written = ledger.ledger(study, JOB, ledger.protocol(JOB, 3, None))
    assert [trial.outcome for trial in written.trials] == [
        "requeued",
        "completed",
        "completed",
        "failed",
    ]
    assert [trial.origin for trial in written.trials] == [
        "default",
        "default",
        "sampler",
        "sampler",
    ]
    assert [trial.retry_of for trial in written.trials] == [None, 0, None, None]
    assert [trial.seconds for trial in written.trials] == [0.0, 11.0, 13.0, 2.0]
    assert written.device_seconds == 26.0
    assert (written.default_accuracy, written.tuned_accuracy) == (0.5, 0.75)
    assert written.gain_points == 25.0

    winner = make_run("local_window", 3, None, task="recall-probe", tuning=written)
    assert from_json(Run, to_json(winner)) == winner
    text = summary(winner, {Path("runs/one"): winner}, Path("runs"))
    assert "3 trials: 2 completed, 1 failed, 1 requeued; 26 device-seconds" in text
    assert "default  validation 50.0 %" in text
    assert "tuned    validation 75.0 %, the best of 2 trials" in text
    assert "gain     +25.0 points" in text
    assert text.endswith("lra-design score runs/one")


def test_the_protocol_is_that_of_everybody_with_the_same_recipe_and_budget() -> None:
    one = ledger.protocol(JOB, 12, 60.0)
    other_source = dataclasses.replace(JOB, source=reference_source("linear"), seed=7)
    assert ledger.protocol(other_source, 12, 60.0) == one
    longer = dataclasses.replace(JOB, train=dataclasses.replace(JOB.train, num_steps=7))
    assert one not in (
        ledger.protocol(JOB, 13, 60.0),
        ledger.protocol(JOB, 12, None),
        ledger.protocol(longer, 12, 60.0),
    )


def test_a_record_from_before_ledgers_can_be_read() -> None:
    values = json.loads(to_json(make_run("softmax", 0, 0.5)))
    del values["tuning"]
    assert from_json(Run, json.dumps(values)).tuning is None


def test_a_database_is_opened_by_one_at_a_time(tmp_path: Path) -> None:
    """PostgreSQL refuses the second of two that make the same tables at once."""
    url = f"sqlite:///{tmp_path / 'team.db'}"
    other = threading.Thread(target=open_storage, args=(tmp_path, url))
    with alone(tmp_path):
        other.start()
        other.join(0.2)
        assert other.is_alive()
        assert not (tmp_path / "team.db").exists()
    other.join()
    assert (tmp_path / "team.db").exists()


def test_a_storage_by_url_is_read_by_plain_optuna(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'team.db'}"
    search = Search(JOB, _NEVER_USED, tmp_path, num_trials=1, watch=ignore, storage=url)
    assert search.name.startswith("local_window-recall-probe-")
    assert optuna.get_all_study_names(url) == [search.name]
    assert not (tmp_path / "study.log").exists()


def test_a_study_is_never_taken_for_a_smaller_one(tmp_path: Path) -> None:
    """Else the winner of many trials could pass for that of a few."""

    def ask(num_trials: int, max_seconds: float | None) -> None:
        Search(
            JOB,
            _NEVER_USED,
            tmp_path,
            num_trials=num_trials,
            max_seconds=max_seconds,
            watch=ignore,
        )

    ask(12, 60.0)
    ask(12, 90.0)
    with pytest.raises(UsageError, match=r"12 trials and 90 .* before: .* 11 trials"):
        ask(11, 90.0)
    with pytest.raises(UsageError, match="found 12 trials and 60 device-seconds"):
        ask(12, 60.0)
    ask(12, None)
    with pytest.raises(UsageError, match="no bound on device-seconds before"):
        ask(12, 90.0)


_NEVER_USED: Isolation = SimpleNamespace(card=None)  # type: ignore[assignment]


def test_a_database_that_names_no_encoding_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL made with SQL_ASCII: its driver gives bytes, which SQLAlchemy cannot parse."""

    def parse(url: str) -> None:
        re.match("PostgreSQL", b"PostgreSQL 15")  # type: ignore[call-overload]

    monkeypatch.setattr(optuna.storages, "RDBStorage", parse)
    with pytest.raises(DataError, match="Expected a database with encoding UTF8"):
        open_storage(tmp_path, "postgresql://me:secret@host/studies")


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("team.db", UsageError, "'team.db' is no storage: expected a URL such as sqlite"),
        ("redis://host", UsageError, "'redis://host' is no storage"),
        ("sqlite:////no/such/folder/team.db", DataError, "cannot use the storage .*unable to open"),
        ("nosuch://me:secret@host/db", UsageError, "nosuch://host/db"),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else "",
)
def test_a_storage_that_cannot_be_opened_is_one_clear_error(
    tmp_path: Path, url: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        open_storage(tmp_path, url)
    assert "secret" not in str(raised.value)


def test_a_storage_that_fails_in_the_middle_is_one_clear_error(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'team.db'}"
    search = Search(JOB, _NEVER_USED, tmp_path, num_trials=1, watch=ignore, storage=url)
    with contextlib.closing(sqlite3.connect(tmp_path / "team.db")) as database:
        database.execute("DROP TABLE trials")
    with pytest.raises(DataError, match="the storage of the study failed: "):
        search.work()


def test_a_study_ends_when_its_seconds_are_spent_and_its_winner_is_trained_again(
    isolation: Isolation, tmp_path: Path
) -> None:
    winner = tune(JOB, isolation, tmp_path, num_trials=3, max_seconds=1e-3, watch=ignore)
    assert winner.tuning is not None
    (only,) = winner.tuning.trials
    assert (only.origin, only.outcome, winner.tuning.gain_points) == ("default", "completed", 0.0)
    assert only.seconds == winner.usage.seconds
    assert (winner.train, winner.hyperparameters, winner.setting) == (JOB.train, {}, "tuned")

    (seed,) = fresh_seeds(winner, 1)
    again = retrain(winner, seed, isolation, tmp_path, lambda progress: None)
    assert (again.seed, again.train, again.tuning) == (4, winner.train, winner.tuning)
    assert retrain(winner, seed, isolation, tmp_path, pytest.fail) == again


@pytest.mark.slow
def test_side_by_side_all_but_the_oldest_end_when_the_seconds_are_spent(
    isolation: Isolation, tmp_path: Path
) -> None:
    """Two workers on one database; both have begun before the first evaluation."""
    both = threading.Barrier(2, timeout=60)

    def watch(number: int) -> OnProgress:
        def on_progress(progress: Progress) -> None:
            if progress.step == 2 and not progress.evaluated:
                both.wait()

        return on_progress

    url = f"sqlite:///{tmp_path / 'team.db'}"
    search = Search(
        JOB, isolation, tmp_path, num_trials=9, max_seconds=1e-3, watch=watch, storage=url
    )
    with Crew(2) as crew:
        for future in [crew.submit(search.work, crew.check) for _ in range(2)]:
            future.result()
    written = search.best().tuning
    assert written is not None
    assert [trial.outcome for trial in written.trials] == ["completed", "pruned"]
    assert written.trials[1].note == "the device-seconds of the study were spent"
    assert [trial.origin for trial in written.trials] == ["default", "quasi-random"]
    assert len(optuna.load_study(study_name=search.name, storage=url).trials) == 2


@pytest.mark.slow
def test_a_command_killed_in_a_trial_goes_on_by_the_same_command(tmp_path: Path) -> None:
    source = ROOT / "mechanisms" / "local_window.py"
    command = [sys.executable, "-c", "from lra_design.cli import main; main()", "tune", str(source)]
    command += ["--task", "recall-probe", "--trials", "2", "--seeds", "1", "--json"]
    command += ["--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while "trials/" not in _text(tmp_path / "study.log"):
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    written = from_json(Tuning, done.stdout)
    assert [trial.outcome for trial in written.trials] == ["requeued", "completed", "completed"]
    assert [trial.origin for trial in written.trials][:2] == ["default", "default"]
    assert written.trials[1].retry_of == 0
    (retrained,) = (tmp_path / "winners").glob("*/run.json")
    assert from_json(Run, retrained.read_bytes()).tuning == written


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
