"""A study on a real Ray cluster of three nodes, of which one is killed in the middle."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from tiny_tasks import TINY_JOB

from lra_design.records import Run, from_json, to_json
from trainers.training import read_run
from trainers.tuning import ledger, reaper
from trainers.tuning.storage import open_storage

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

TRAIN = dataclasses.replace(TINY_JOB.train, num_steps=60, evaluate_every=30)
JOB = dataclasses.replace(TINY_JOB, train=TRAIN)
NUM_TRIALS = 12
DRIVER = """
import sys
from pathlib import Path
from lra_design.cli.display import Display
from lra_design.cli.spread import Spread, opened_executor
from lra_design.records import from_json, to_json
from trainers.job import Job

study = {"num_trials": int(sys.argv[2]), "max_seconds": None, "storage": None}
with opened_executor("ray", 3) as executor:
    spread = Spread(executor, "standard", Path(sys.argv[1]), Display())
    winner = spread.search(from_json(Job, sys.stdin.read()), study, 3)
print(to_json(winner))
"""


class Cluster:
    """Nodes of one processor each. Where the system allows it each has a host name of its own, so
    that nothing but Ray can tell that one of them is gone."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.environment = {
            **os.environ,
            "RAY_ADDRESS": f"127.0.0.1:{port}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self._folder = folder
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        self.start("node0", "--head", f"--port={port}", "--include-dashboard=false")
        for name in ("node1", "node2"):
            self.start(name, f"--address=127.0.0.1:{port}")

    def start(self, name: str, *arguments: str) -> None:
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", *arguments]
        command += ["--num-cpus=1", "--object-store-memory=100000000"]
        if arguments[0] == "--head":
            command.append(f"--temp-dir={self._folder}")
        if own_host_names():
            script = 'hostname "$0" && exec "$@"'
            command = ["unshare", "--uts", "sh", "-c", script, name, *command]
        with (self._folder / f"{name}.txt").open("wb") as log:
            self._nodes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )
        until(lambda: self._is_up(name))

    def _is_up(self, name: str) -> bool:
        said = (self._folder / f"{name}.txt").read_text()
        assert self._nodes[name].poll() is None, said
        return "Ray runtime started" in said

    def kill(self, name: str) -> None:
        """All of a node at once, with everything that it started."""
        node = self._nodes.pop(name)
        for pid in [node.pid, *descendants(node.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        node.wait()

    def node_of(self, pid: int) -> str | None:
        return next((n for n, node in self._nodes.items() if pid in descendants(node.pid)), None)

    def close(self) -> None:
        for name in list(self._nodes):
            self.kill(name)


def own_host_names() -> bool:
    return subprocess.run(["unshare", "--uts", "true"], capture_output=True).returncode == 0


def descendants(pid: int) -> list[int]:
    found = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in tasks.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def until(condition: Callable[[], bool], seconds: float = 600.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # a short name, for the sockets in it
    opened = Cluster(folder)
    try:
        yield opened
    finally:
        opened.close()
        shutil.rmtree(folder, ignore_errors=True)


def trials_of(folder: Path) -> list[optuna.trial.FrozenTrial]:
    if not (folder / "study.log").exists():
        return []
    storage = open_storage(folder, None)
    summaries = optuna.get_all_study_summaries(storage)
    if not summaries:
        return []
    return optuna.load_study(study_name=summaries[0].study_name, storage=storage).trials


def test_a_killed_node_costs_no_trial_and_counts_none_twice(
    cluster: Cluster, tmp_path: Path
) -> None:
    begun = time.time()
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path), str(NUM_TRIALS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=cluster.environment,
    ) as driver:
        assert driver.stdin
        driver.stdin.write(to_json(JOB).encode())
        driver.stdin.close()
        driver.stdin = None

        found: list[optuna.trial.FrozenTrial] = []

        def hold_one() -> bool:
            """Stop the owner of a trial in the middle, not of the head node, where it stands."""
            assert driver.poll() is None
            trials = trials_of(tmp_path)
            if sum(trial.state.is_finished() for trial in trials) < 3:
                return False
            for trial in trials:
                if trial.state.name != "RUNNING" or trial.last_step != 30:
                    continue
                pid = trial.user_attrs[reaper.OWNER]["pid"]
                if cluster.node_of(pid) in (None, "node0"):
                    continue
                os.kill(pid, signal.SIGSTOP)
                if trials_of(tmp_path)[trial.number].state.name == "RUNNING":
                    found.append(trial)
                    return True
                os.kill(pid, signal.SIGCONT)
            return False

        until(hold_one)
        (dead,) = found
        name = cluster.node_of(dead.user_attrs[reaper.OWNER]["pid"])
        assert name is not None
        killed_at = time.time()
        cluster.kill(name)
        output, _ = driver.communicate()
    assert driver.returncode == 0
    assert output.startswith(b"{"), output.decode()[:2_000]
    winner = from_json(Run, output)

    took = time.time() - begun
    trials = trials_of(tmp_path)
    (retry,) = [trial for trial in trials if reaper.RETRY_OF in trial.user_attrs]
    assert retry.datetime_start is not None
    waited = retry.datetime_start.timestamp() - killed_at
    hosts = Counter(trial.user_attrs[reaper.OWNER]["host"] for trial in trials)
    print(f"{took:.0f} s; the lost trial ran again after {waited:.1f} s; {dict(hosts)}", flush=True)

    assert winner.tuning is not None
    outcomes = Counter(trial.outcome for trial in winner.tuning.trials)
    assert outcomes["requeued"] == 1
    assert outcomes["completed"] + outcomes["pruned"] == NUM_TRIALS
    assert len(ledger.charged(trials)) == NUM_TRIALS
    assert len(winner.tuning.trials) == len(trials) == NUM_TRIALS + 1
    assert {trial.state.is_finished() for trial in trials} == {True}

    assert retry.user_attrs[reaper.RETRY_OF] == dead.number
    assert retry.params == trials[dead.number].params
    assert retry.user_attrs[ledger.FOLDER] == dead.user_attrs[ledger.FOLDER]
    counted = ledger.charged(trials)
    assert len({trial.user_attrs[ledger.FOLDER] for trial in counted}) == NUM_TRIALS

    assert winner.tuning.best is not None
    assert winner.tuning.best.run is not None
    stored = read_run(tmp_path / winner.tuning.best.run)
    assert dataclasses.replace(stored, tuning=winner.tuning) == winner
    assert winner.isolation.level == "standard"
    assert waited < 120, "the reaper alone would wait for an hour"
    if own_host_names():
        assert name in hosts
        assert set(hosts) <= {"node0", "node1", "node2"}
