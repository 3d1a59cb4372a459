"""Jobs on other processes: identity by folder, endings read from files, losses and retries."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from tiny_tasks import TINY_JOB

from agent_sandbox.isolation import Isolation
from lra_design.errors import (
    CandidateRefused,
    HarnessError,
    IsolationUnavailable,
    LraDesignError,
    UsageError,
)
from lra_design.records import Run, Score, Tuning, from_json
from trainers.executors import folder as folders
from trainers.executors import process, work
from trainers.executors.grid import MAX_LOSSES, raise_failure, run_jobs
from trainers.executors.local import LocalExecutor
from trainers.executors.opening import open_executor
from trainers.executors.protocol import (
    DONE,
    Assignment,
    State,
    TrainSpec,
    WorkSpec,
    command,
    training,
)
from trainers.job import run_id
from trainers.training import OnProgress, Progress, read_run
from trainers.tuning import reaper
from trainers.tuning.opened import OpenStudy
from trainers.tuning.study import Search

ROOT = Path(__file__).parent.parent
JOB = TINY_JOB
BROKEN = dataclasses.replace(
    JOB,
    source=JOB.source.replace(
        "window: int = 16) -> None:\n", "window: int = 16) -> None:\n        raise RuntimeError\n"
    ),
)


def asked(folder: Path, seed: int = 3) -> Assignment:
    """An assignment that is only submitted, so that its id need not be true."""
    job = dataclasses.replace(JOB, seed=seed)
    return Assignment(TrainSpec(job=job, level="standard", run_id=f"seed {seed}"), folder)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes every job a shell script, which finds its folder and its ticket in $1 and $2."""

    def use(script: str) -> None:
        monkeypatch.setattr(
            process, "command", lambda folder, ticket: ["sh", "-c", script, "sh", folder, ticket]
        )

    return use


@pytest.fixture
def opened_here(isolation: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that run in this process use the isolation of the tests."""
    monkeypatch.setattr(work, "_opened", lambda spec: contextlib.nullcontext(isolation))


@pytest.fixture
def local() -> Iterator[LocalExecutor]:
    with contextlib.closing(LocalExecutor(2)) as executor:
        yield executor


SUCCEED = """printf '{"ticket": "%s", "state": {"name": "done"}}' $2 > $1/outcome.json"""
WAIT = "echo $$ > $1/pid; exec sleep 1000"


def never() -> None:
    pass


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


def test_jobs_wait_for_a_place_and_are_done_when_their_files_say_so(
    tmp_path: Path, shell: Callable[[str], None], local: LocalExecutor
) -> None:
    shell("until test -e $1/go; do sleep 0.02; done; echo hello; " + SUCCEED)
    tickets = [local.submit(asked(tmp_path / name)) for name in "abc"]
    states = [local.poll(ticket).name for ticket in tickets]
    assert states == ["running", "running", "queued"]
    (tmp_path / "b" / "go").touch()
    until(lambda: local.poll(tickets[2]).name == "running")
    assert local.poll(tickets[1]) == DONE
    (tmp_path / "a" / "go").touch()
    (tmp_path / "c" / "go").touch()
    until(lambda: all(local.poll(ticket) == DONE for ticket in tickets))
    assert (tmp_path / "a" / "log.txt").read_text() == "hello\n"


def test_each_job_sees_a_card_of_its_own(tmp_path: Path, shell: Callable[[str], None]) -> None:
    shell("echo $CUDA_VISIBLE_DEVICES; " + SUCCEED)
    with contextlib.closing(open_executor("local?cards=5,7", 1)) as executor:
        run_jobs(executor, [asked(tmp_path / name) for name in "ab"], poll_seconds=0.01)
    cards = {(tmp_path / name / "log.txt").read_text() for name in "ab"}
    assert cards == {"5\n", "7\n"}


def test_a_lost_job_is_submitted_again_and_a_failed_one_is_not(
    tmp_path: Path, shell: Callable[[str], None], local: LocalExecutor
) -> None:
    shell("echo once >> $1/log.txt; case $1 in *lost) kill -9 $$;; *) echo no torch; exit 1; esac")
    told: list[tuple[str, str, str]] = []
    states = run_jobs(
        local,
        [asked(tmp_path / name) for name in ("lost", "failed")],
        lambda job, ticket, state: told.append((job.folder.name, ticket, state.name)),
        poll_seconds=0.01,
    )
    assert [state.name for state in states] == ["lost", "failed"]
    assert "signal 9" in states[0].why
    assert "exit code 1: no torch" in states[1].why
    lost = [(ticket, name) for job, ticket, name in told if job == "lost"]
    assert [name for _, name in lost if name == "lost"] == ["lost"] * (1 + MAX_LOSSES)
    assert len({ticket for ticket, _ in lost}) == 1 + MAX_LOSSES
    assert (tmp_path / "failed" / "log.txt").read_text().count("once") == 1
    for state in states:
        with pytest.raises(HarnessError):
            raise_failure(state)


def test_what_ends_the_following_ends_the_jobs(
    tmp_path: Path, shell: Callable[[str], None], local: LocalExecutor
) -> None:
    shell(WAIT)

    def interrupt() -> None:
        if all((tmp_path / name / "pid").exists() for name in "ab"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(local, [asked(tmp_path / name) for name in "ab"], on_tick=interrupt)
    for name in "ab":
        pid = int((tmp_path / name / "pid").read_text())
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_the_folder_is_the_job(
    tmp_path: Path, shell: Callable[[str], None], local: LocalExecutor
) -> None:
    shell("echo begun; " + SUCCEED)
    first = local.submit(asked(tmp_path))
    until(lambda: local.poll(first) == DONE)
    with pytest.raises(UsageError, match=r"folder of another job: .*seed 4.* found .*seed 3"):
        local.submit(asked(tmp_path, seed=4))
    (tmp_path / "run.json").touch()
    assert local.poll(local.submit(asked(tmp_path))) == DONE
    to_be_scored = dataclasses.replace(asked(tmp_path).spec, score=True)
    ticket = local.submit(Assignment(to_be_scored, tmp_path))
    until(lambda: local.poll(ticket) == DONE)
    assert (tmp_path / "log.txt").read_text() == "begun\nbegun\n"


@pytest.mark.parametrize(
    ("error", "repeated"), [("candidate", False), ("harness", True), ("usage", True)]
)
def test_only_the_failure_of_a_candidate_is_final(
    tmp_path: Path, error: str, repeated: bool
) -> None:
    assert folders.assign(asked(tmp_path)) is None
    failed = State(name="failed", why="it did", error=error)  # type: ignore[arg-type]
    folders.write_outcome(tmp_path, "a ticket", failed)
    assert folders.assign(asked(tmp_path)) == (None if repeated else failed)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("lokal", "unknown executor 'lokal'. Did you mean 'local'"),
        ("local?card=1", "unknown option of the executor local 'card'. Did you mean 'cards'"),
        ("local?cards=one", "cards=one names no GPUs"),
        ("local?cards=", "cards= names no GPUs"),
    ],
    ids=lambda value: value.partition(" ")[0],
)
def test_an_address_that_is_none_is_one_clear_error(address: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        open_executor(address, 1)


def test_a_training_is_read_from_its_folder(
    tmp_path: Path, opened_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = Score(task="t", split="test", split_hash="", accuracy=0.5, num_examples=1, num_labels=1)
    monkeypatch.setattr(
        work, "score_run", lambda run, folder, isolation: dataclasses.replace(run, test=score)
    )
    job = training(JOB, "standard", tmp_path, score=True)
    assert folders.assign(job) is None
    assert work.run_job(tmp_path, "a ticket", never) == DONE
    assert folders.read_outcome(tmp_path, "a ticket") == DONE
    assert folders.read_outcome(tmp_path, "another") is None
    run = read_run(tmp_path)
    assert (run.run_id, run.isolation.level) == (job.spec.run_id, "standard")
    assert from_json(Run, (tmp_path / "scored.json").read_bytes()).test == score
    progress = folders.read_progress(tmp_path)
    assert progress is not None
    assert (progress.step, progress.num_steps) == (5, 5)
    assert folders.assign(job) == DONE
    assert work.run_job(tmp_path, "again", pytest.fail) == DONE


def test_a_candidate_that_fails_is_a_finding(tmp_path: Path, opened_here: None) -> None:
    folders.assign(training(BROKEN, "standard", tmp_path))
    state = work.run_job(tmp_path, "a ticket", never)
    assert (state.name, state.error) == ("failed", "candidate")
    with pytest.raises(CandidateRefused, match="RuntimeError") as raised:
        raise_failure(state)
    assert raised.value.findings == state.findings


@pytest.mark.parametrize(
    ("fault", "error", "why"),
    [
        (IsolationUnavailable("landlock", "none", "Buy one."), HarnessError, "layer 'landlock'"),
        (MemoryError("all of it"), HarnessError, "MemoryError: all of it; the traceback"),
        (UsageError("not so"), UsageError, "not so"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_machine_that_cannot_run_the_job_says_so_and_which_it_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
    error: type[LraDesignError],
    why: str,
) -> None:
    def fail(spec: object) -> Isolation:
        raise fault

    monkeypatch.setattr(work, "_opened", fail)
    monkeypatch.setattr("socket.gethostname", lambda: "node7")
    folders.assign(training(JOB, "strong", tmp_path))
    state = work.run_job(tmp_path, "a ticket", never)
    with pytest.raises(error, match=f"on node7: .*{why}"):
        raise_failure(state)
    assert not (tmp_path / "run.json").exists()


def test_a_machine_with_other_data_or_versions_refuses(tmp_path: Path) -> None:
    folders.assign(asked(tmp_path))
    state = work.run_job(tmp_path, "a ticket", never)
    assert state.error == "usage"
    assert "share LRA_DESIGN_HOME" in state.why


def study_of(folder: Path, num_trials: int = 2) -> tuple[OpenStudy, Assignment]:
    spec = WorkSpec(
        job=JOB,
        level="standard",
        run_id=run_id(JOB),
        study_folder=str(folder),
        num_trials=num_trials,
    )
    study = OpenStudy(JOB, folder, num_trials=num_trials)
    return study, Assignment(spec, folder / "workers" / "one")


def test_a_worker_runs_the_trials_of_a_study_and_owns_them(
    tmp_path: Path, opened_here: None
) -> None:
    study, worker = study_of(tmp_path)
    assert folders.assign(worker) is None
    assert work.run_job(worker.folder, "a ticket", never) == DONE
    assert [trial.state.name for trial in study.trials()] == ["COMPLETE", "COMPLETE"]
    assert {trial.user_attrs[reaper.OWNER]["ticket"] for trial in study.trials()} == {"a ticket"}
    tuning = study.best().tuning
    assert tuning is not None
    assert [trial.outcome for trial in tuning.trials] == ["completed", "completed"]
    assert worker.folder.stat().st_mode & 0o777 == 0o700


def test_the_trials_of_a_submission_that_is_gone_are_asked_for_at_once(tmp_path: Path) -> None:
    """Its machine is another one, of which the reaper alone would know nothing for an hour."""
    study, _ = study_of(tmp_path)
    handle = optuna.load_study(study_name=study.name, storage=study._study._storage)

    def begin(ticket: str) -> optuna.Trial:
        trial = handle.ask()
        trial.set_user_attr(reaper.OWNER, {**reaper.this_process(ticket), "host": "elsewhere"})
        return trial

    begin("gone")
    begin("alive")
    reaper.reap(handle)
    study.bury("gone", is_death=True)
    study.bury("gone", is_death=True)
    states = [trial.state.name for trial in study.trials()]
    assert states == ["FAIL", "RUNNING", "WAITING"]
    assert study.trials()[2].user_attrs[reaper.DEATHS] == 1

    begin("cancelled")
    study.bury("cancelled", is_death=False)
    assert study.trials()[3].user_attrs[reaper.DEATHS] == 1
    begin("gone")
    study.bury("gone", is_death=True)  # the values killed again: they are not tried a third time
    states = [trial.state.name for trial in study.trials()]
    assert states == ["FAIL", "RUNNING", "FAIL", "FAIL"]


@pytest.mark.slow
def test_a_worker_that_was_taken_for_dead_leaves_its_trial_to_others(
    isolation: Isolation, tmp_path: Path
) -> None:
    def watch(number: int) -> OnProgress:
        def on_progress(progress: Progress) -> None:
            if number == 0 and progress.step == 2:
                search.bury("cut off", is_death=True)

        return on_progress

    search = Search(JOB, isolation, tmp_path, num_trials=1, watch=watch, ticket="cut off")
    search.work()
    assert [trial.state.name for trial in search.trials()] == ["FAIL", "COMPLETE"]
    tuning = search.best().tuning
    assert tuning is not None
    assert [trial.outcome for trial in tuning.trials] == ["requeued", "completed"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_tune_runs_its_workers_and_retrainings_as_jobs(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from lra_design.cli import main; main()", "tune"]
    command += [str(ROOT / "mechanisms" / "local_window.py"), "--task", "recall-probe"]
    command += ["--trials", "2", "--seeds", "1", "--workers", "2", "--executor", "local"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path), "--json"], capture_output=True, text=True, check=True
    )
    written = from_json(Tuning, done.stdout)
    assert [trial.outcome for trial in written.trials] == ["completed", "completed"]
    (retrained,) = (tmp_path / "winners").glob("*/run.json")
    run = from_json(Run, retrained.read_bytes())
    assert (run.tuning, run.isolation.level) == (written, "standard")
    assert len(list((tmp_path / "workers").glob("*/*/process.json"))) in (1, 2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_ends_with_whoever_started_it_and_goes_on_later(tmp_path: Path) -> None:
    """Real processes: the starter is killed, its job lets go; submitted again, it ends well."""
    steps = dataclasses.replace(JOB.train, num_steps=120, evaluate_every=60)
    long = dataclasses.replace(JOB, train=steps)
    job = training(long, "standard", tmp_path, score=True)
    folders.assign(job)
    starter = "import sys, time; from pathlib import Path; from trainers.executors import process;"
    starter += "process.start(Path(sys.argv[1]), 'first'); time.sleep(1000)"
    with subprocess.Popen([sys.executable, "-c", starter, str(tmp_path)]) as parent:
        until(lambda: folders.read_progress(tmp_path) is not None)
        begun = folders.read_process(tmp_path)
        assert begun is not None
        parent.send_signal(signal.SIGKILL)
    until(lambda: reaper._start_time(begun.pid) is None)
    assert folders.read_outcome(tmp_path, "first") is None

    with contextlib.closing(LocalExecutor(1)) as executor:
        assert run_jobs(executor, [job]) == [DONE]
    assert from_json(Run, (tmp_path / "scored.json").read_bytes()).run_id == job.spec.run_id


def test_a_job_may_be_a_command_which_is_done_once_its_file_is_there(tmp_path: Path) -> None:
    told = command(
        ["new", "one"], tmp_path / "job", working_folder=tmp_path / "own", result="../own/one.py"
    )
    (tmp_path / "own").mkdir()
    assert folders.assign(told) is None
    assert work.run_job(told.folder, "first", never) == DONE
    assert (tmp_path / "own" / "one.py").exists()
    assert folders.assign(told) == DONE
    assert work.run_job(told.folder, "again", never) == DONE  # `new` would refuse to overwrite
    other = command(["board"], tmp_path / "job", working_folder=tmp_path, result="none")
    with pytest.raises(
        UsageError, match=r"expected command lra-design board .*found command .*new"
    ):
        folders.assign(other)


@pytest.mark.parametrize(
    ("arguments", "error", "why"),
    [
        (["validate"], "usage", "exit code 2"),
        (["board", "show", "/none"], "usage", "no leaderboard in /none"),
        (["--version"], "harness", "exit code 0"),  # it ended, and left nothing
    ],
)
def test_a_command_that_does_not_do_what_it_was_to_do_fails(
    tmp_path: Path, arguments: list[str], error: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(arguments: tuple[str, ...], working_folder: Path, check: Callable[[], None]) -> int:
        (tmp_path / folders.LOG).write_text(f"error: no leaderboard in {working_folder}\n")
        return 0 if "--version" in arguments else 2

    monkeypatch.setattr(work.command_line, "run", run)
    told = command(arguments, tmp_path, working_folder=Path("/none"), result="it.json")
    folders.assign(told)
    state = work.run_job(tmp_path, "one", never)
    assert (state.name, state.error) == ("failed", error)
    assert why in state.why


def test_a_command_of_other_versions_is_refused(tmp_path: Path) -> None:
    told = command(["board"], tmp_path, working_folder=tmp_path, result="it.json")
    told = dataclasses.replace(told, spec=dataclasses.replace(told.spec, run_id="other"))
    folders.assign(told)
    state = work.run_job(tmp_path, "one", never)
    assert state.error == "usage"
    assert "expected the versions" in state.why
    assert "splits" not in state.why


def test_a_command_that_is_to_end_is_interrupted(tmp_path: Path) -> None:
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() > began + 0.5:
            raise work.Stopped

    with pytest.raises(work.Stopped):
        work.command_line.run(["mcp"], tmp_path, check)
    assert time.monotonic() - began < work.command_line.GRACE_SECONDS
