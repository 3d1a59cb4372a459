"""Ray and SLURM behind the executor's protocol, each in the place of a stand-in for its library."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_executors import JOB, asked

from lra_design.errors import HarnessError, UsageError
from lra_design.records import to_json
from trainers.executors import folder as folders
from trainers.executors import on_ray, remote, slurm
from trainers.executors.folder import Process, write_outcome
from trainers.executors.grid import run_jobs
from trainers.executors.opening import open_executor
from trainers.executors.protocol import DONE, training
from trainers.executors.slurm import BatchTask, SlurmOptions


class RayError(Exception):
    pass


class NodeDiedError(RayError):
    pass


class RayTaskError(RayError):
    pass


class FakeRay:
    """What `on_ray` uses of Ray; a test says what becomes of each task."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.tasks: list[tuple[str, str, dict[str, str]]] = []
        self.endings: dict[int, int | Exception] = {}
        self.cancelled: list[int] = []
        self.is_open = False

    def init(self, **options: Any) -> None:
        self.asked.update(options)
        self.is_open = True

    def is_initialized(self) -> bool:
        return self.is_open

    def shutdown(self) -> None:
        self.is_open = False

    def remote(self, **needs: Any) -> Any:
        self.asked.update(needs)
        return lambda function: SimpleNamespace(remote=self._submit)

    def _submit(self, *arguments: Any) -> int:
        self.tasks.append(arguments)  # type: ignore[arg-type]
        return len(self.tasks) - 1

    def wait(self, tasks: list[int], timeout: float) -> tuple[list[int], list[int]]:
        ready = [task for task in tasks if task in self.endings]
        return ready, [task for task in tasks if task not in ready]

    def get(self, task: int) -> int:
        ending = self.endings[task]
        if isinstance(ending, Exception):
            raise ending
        return ending

    def cancel(self, task: int) -> None:
        self.cancelled.append(task)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setattr(on_ray, "_import_ray", lambda: fake)
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return fake


def test_ray_learns_where_the_jobs_lie_and_what_they_need(tmp_path: Path, ray: FakeRay) -> None:
    with contextlib.closing(open_executor("ray://head:10001?gpus=0.5&cpus=2", 1)) as executor:
        ticket = executor.submit(asked(tmp_path))
        home = {"LRA_DESIGN_HOME": os.environ["LRA_DESIGN_HOME"]}
        assert ray.tasks == [(str(tmp_path), ticket, home)]
        assert (ray.asked["num_cpus"], ray.asked["num_gpus"]) == (2, 0.5)
        assert (ray.asked["address"], ray.asked["max_retries"]) == ("ray://head:10001", 0)
        assert "RAY_AUTH_TOKEN" not in os.environ  # it is the cluster that has one
    assert ray.cancelled == [0]
    assert not ray.is_open


def test_a_cluster_of_our_own_gets_a_token_that_no_file_holds(ray: FakeRay) -> None:
    with contextlib.closing(open_executor("ray", 1)):
        assert ray.asked["address"] == "local"
        assert os.environ["RAY_AUTH_MODE"] == "token"
        assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_a_job_on_ray_stands_as_its_files_and_its_node_do(
    tmp_path: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "LAG_SECONDS", -1.0)
    places = [tmp_path / str(place) for place in range(5)]
    with contextlib.closing(open_executor("ray", 1)) as executor:
        tickets = [executor.submit(asked(place)) for place in places]
        assert executor.poll(tickets[0]).name == "queued"
        begun = Process(ticket=tickets[0], host="node7", pid=1, began_at="now")
        (places[0] / "process.json").write_text(to_json(begun))
        assert executor.poll(tickets[0]).name == "running"
        write_outcome(places[0], tickets[0], DONE)
        ray.endings = {
            1: NodeDiedError("The node died. Much more."),
            2: RayTaskError("Traceback:\nno such folder"),
            3: -9,
        }
        states = [executor.poll(ticket) for ticket in tickets]
    assert [state.name for state in states] == ["done", "lost", "failed", "lost", "queued"]
    assert states[1].why == "NodeDiedError: The node died"
    assert "no such folder" in states[2].why
    assert ray.cancelled == [4]


def test_a_shared_folder_may_take_a_while_to_show_how_a_job_ended(
    tmp_path: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with contextlib.closing(open_executor("ray", 1)) as executor:
        seen, unseen = (executor.submit(asked(tmp_path / name)) for name in "ab")
        ray.endings = {0: 0, 1: 0}
        assert {executor.poll(ticket).name for ticket in (seen, unseen)} == {"running"}
        now += remote.LAG_SECONDS + 1
        write_outcome(tmp_path / "a", seen, DONE)
        assert executor.poll(seen) == DONE
        assert executor.poll(unseen).name == "failed"


def test_a_ray_cluster_that_cannot_be_reached_is_one_clear_error(
    ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: Any) -> None:
        raise ConnectionError("ray client connection timeout\nmore")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(HarnessError, match=r"ray://no: ray client connection timeout\. Look"):
        open_executor("ray://no", 1)


class FakeBatchJob:
    """A batch job whose state a test sets."""

    job_id = "7"

    def __init__(self) -> None:
        self.state = "PENDING"
        self.cancelled = False

    def done(self) -> bool:
        return self.state not in ("PENDING", "RUNNING")

    def cancel(self, check: bool) -> None:
        self.cancelled = True


class FakeSubmitit:
    """What `slurm` uses of submitit."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}
        self.parameters: dict[str, Any] = {}
        self.jobs: list[tuple[BatchTask, FakeBatchJob]] = []

    def AutoExecutor(self, **options: Any) -> FakeSubmitit:  # noqa: N802
        self.made = options
        return self

    def update_parameters(self, **parameters: Any) -> None:
        self.parameters = parameters

    def submit(self, task: BatchTask) -> FakeBatchJob:
        self.jobs.append((task, FakeBatchJob()))
        return self.jobs[-1][1]


def test_slurm_gets_what_the_address_asks_for_and_tells_who_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeSubmitit()
    monkeypatch.setattr(slurm, "_import_submitit", lambda: fake)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/" + name)
    address = "slurm?partition=gpu&gpus=1&minutes=90&memory=32&requeues=3"
    with contextlib.closing(open_executor(address, 1)) as executor:
        lost, ended = (executor.submit(asked(tmp_path / name)) for name in "ab")
        named = {name: fake.parameters[name] for name in fake.parameters if name != "name"}
        assert named == {
            "cpus_per_task": 2,
            "gpus_per_node": 1,
            "mem_gb": 32,
            "timeout_min": 90,
            "slurm_partition": "gpu",
            "slurm_account": None,
            "slurm_qos": None,
        }
        assert fake.made == {
            "folder": tmp_path / "b" / "slurm",
            "cluster": "slurm",
            "slurm_max_num_timeout": 3,
        }
        assert fake.jobs[0][0].ticket == lost
        assert executor.poll(lost).name == "queued"
        fake.jobs[0][1].state = "NODE_FAIL"
        state = executor.poll(lost)
        assert (state.name, state.why[:29]) == ("lost", "SLURM job 7 is NODE_FAIL, see")
        write_outcome(tmp_path / "b", ended, DONE)
        assert executor.poll(ended) == DONE
    assert [job.cancelled for _, job in fake.jobs] == [False, False]


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("slurm?minutes=long", UsageError, "minutes=long: expected a whole number"),
        ("slurm?cluster=pbs", UsageError, "cluster=pbs: expected slurm, or local"),
        ("slurm?time=3", UsageError, "unknown option of the executor slurm 'time'"),
        ("slurm", HarnessError, "no SLURM here"),
        ("ray?gpus=many", UsageError, "gpus=many: expected a number"),
        ("ray?gpu=1", UsageError, "Did you mean 'gpus'"),
    ],
    ids=lambda value: value if isinstance(value, str) and "=" in value else "",
)
def test_an_address_that_asks_for_what_there_is_not(
    monkeypatch: pytest.MonkeyPatch, address: str, error: type[Exception], message: str
) -> None:
    monkeypatch.setattr(slurm, "_import_submitit", FakeSubmitit)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(error, match=message):
        open_executor(address, 1)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="needs submitit")
def test_a_batch_job_that_is_preempted_goes_on(tmp_path: Path) -> None:
    """The processes of submitit itself, on this machine, which get the signal that SLURM sends."""
    steps = dataclasses.replace(JOB.train, num_steps=120, evaluate_every=60)
    job = training(dataclasses.replace(JOB, train=steps), "standard", tmp_path)
    executor = slurm.SlurmExecutor(SlurmOptions(cluster="local", minutes=10))
    with contextlib.closing(executor):
        first: list[Process] = []

        def preempt() -> None:
            begun = folders.read_process(tmp_path)
            if begun is not None and not first and folders.read_progress(tmp_path):
                first.append(begun)
                task = Path(f"/proc/{begun.pid}/stat").read_text().rpartition(")")[2].split()[1]
                os.kill(int(task), signal.SIGUSR2)

        assert run_jobs(executor, [job], on_tick=preempt, poll_seconds=0.05) == [DONE]
        for submission in executor._submissions.values():
            submission.handle._process.wait()
    last = folders.read_process(tmp_path)
    assert last is not None
    assert last.ticket == first[0].ticket  # the same submission, in a process of its own
    assert last.pid != first[0].pid
    assert "requeued" in _logs(tmp_path / "slurm").lower()


def _logs(folder: Path) -> str:
    return "\n".join(path.read_text() for path in folder.glob("*_log.*"))
