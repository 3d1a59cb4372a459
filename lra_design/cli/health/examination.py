"""What `lra-design doctor` looks at, group by group. No look of it ends the examination."""

from __future__ import annotations

import os
import platform
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lra_design.cli.health.facts import Fact, State
from lra_design.cli.health.requirements import package_facts

if TYPE_CHECKING:
    from agent_sandbox.isolation.survey import Trial
    from tasks.task import Task

ISOLATION_SECONDS = 240.0
"""For all layers and levels, which took 23 to 41 s on two cores that others kept busy."""
ENGINE_SECONDS = 10.0
LEAST_GIGABYTES = 2.0
"""Room for the data of the small tasks and some trainings."""
_GIGABYTE = 1e9


@dataclass(frozen=True)
class Group:
    """Facts that are found by one look."""

    name: str
    look: Callable[[], Iterator[Fact]]
    uses_torch: bool = False
    """It imports PyTorch into this process."""
    needed: bool = False
    """A look that fails prevents validating and training."""
    shared: bool = False
    """Neighbours of which the same is found share a line, at the end; others are shown at once."""
    note: str = ""
    """Why it takes time."""

    def examine(self, *, torch_works: bool) -> Iterator[Fact]:
        """The facts; a look that raises is one of them."""
        if self.uses_torch and not torch_works:
            yield self._failed("missing", "not tried: PyTorch cannot be imported")
            return
        try:
            yield from self.look()
        except Exception as error:
            yield self._failed("broken", f"{type(error).__name__}: {error}")

    def _failed(self, state: State, found: str) -> Fact:
        return Fact(
            group=self.name,
            name=self.name,
            state=state,
            found=found,
            remedy="Mend what is reported above, or install lra-design again.",
            needed=self.needed,
        )


def machine_facts() -> Iterator[Fact]:
    """Interpreter, system, processors, memory."""
    python = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    yield Fact(group="machine", name="Python", state="ok", found=python)
    user = "root" if os.geteuid() == 0 else "an ordinary user"
    yield Fact(
        group="machine", name="system", state="ok", found=f"{platform.platform()}, as {user}"
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIGABYTE
    found = f"{len(os.sched_getaffinity(0))} to be used, {memory:.0f} GB of memory"
    yield Fact(group="machine", name="processors", state="ok", found=found)


def folder_facts() -> Iterator[Fact]:
    """Where data, secret and runs lie. Makes the folder of the data, as any command does."""
    from lra_design.errors import DataError
    from lra_design.home import HOME_VARIABLE, home

    remedy = f"Make room, or set {HOME_VARIABLE} to another folder."
    try:
        kept = home()
        yield _writable("data and secret", kept, remedy, needed=True)
        yield _secret(kept / "secret")
    except DataError as error:
        yield Fact(
            group="folders",
            name="data and secret",
            state="missing",
            found=str(error),
            needed=True,
        )
    yield _writable(
        "temporary files", Path(tempfile.gettempdir()), "Make room, or set TMPDIR.", needed=True
    )
    yield _writable("working folder", Path.cwd(), "Work elsewhere, or name folders with --out.")


def _writable(name: str, folder: Path, remedy: str, *, needed: bool = False) -> Fact:
    """Whether a file can be written in `folder`, by writing one without a name, and the room."""
    free = shutil.disk_usage(folder).free / _GIGABYTE
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"?")
        state: State = "ok" if free >= LEAST_GIGABYTES else "warning"
        found = f"{folder}, {free:.1f} GB free"
    except OSError as error:
        state, found = "missing", f"{folder} cannot be written: {error.strerror}"
    remedy = "" if state == "ok" else remedy
    return Fact(group="folders", name=name, state=state, found=found, remedy=remedy, needed=needed)


def _secret(path: Path) -> Fact:
    """The secret that seeds held-out splits. It is looked at, not read."""
    state: State = "ok"
    remedy = ""
    if not path.exists():
        found = "none yet: made on first use"
    elif path.stat().st_size != 32:
        state, found = "broken", f"{path} is damaged"
        remedy = "Delete it; splits made with it stay, new ones will differ."
    elif path.stat().st_mode & 0o077:
        state, found, remedy = "warning", "others may read it", f"chmod 600 {path}"
    else:
        found = "readable by its owner alone"
    return Fact(group="folders", name="secret", state=state, found=found, remedy=remedy)


def isolation_facts() -> Iterator[Fact]:
    """Every layer and every level of isolation, by trying."""
    from agent_sandbox.isolation.survey import survey

    stands = False
    try:
        for trial in within(ISOLATION_SECONDS, lambda: survey(("validate",))):
            fact = _isolation_fact(trial)
            stands |= fact.needed
            yield fact
    except TimeoutError as error:
        yield Fact(
            group="isolation",
            name="other levels" if stands else "level standard",
            state="missing",
            found=str(error),
            remedy="lra-design sandbox selftest takes the time it needs.",
            needed=not stands,
        )


def _isolation_fact(trial: Trial) -> Fact:
    found = trial.found.removesuffix(trial.remedy).strip()
    if trial.holds:
        tried = f"{len(trial.attempts)} attempts refused, " if trial.attempts else ""
        found = f"{tried}{trial.seconds:.1f} s"
    needed = (trial.kind, trial.name, trial.card) == ("level", "standard", None)
    return Fact(
        group="isolation",
        name=f"{trial.kind} {trial.name}" + (f" on {trial.card}" if trial.card else ""),
        state="ok" if trial.holds else "missing",
        found=found,
        remedy=trial.remedy,
        needed=needed,
    )


def within(seconds: float, trials: Callable[[], Iterator[Trial]]) -> Iterator[Trial]:
    """What a thread finds; raises TimeoutError when it is not through after `seconds`.

    The thread is left to itself then: its processes end with this one.
    """
    found: queue.SimpleQueue[Trial | Exception | None] = queue.SimpleQueue()

    def try_all() -> None:
        try:
            for trial in trials():
                found.put(trial)
        except Exception as error:
            found.put(error)
        found.put(None)

    threading.Thread(target=try_all, daemon=True).start()
    end = time.monotonic() + seconds
    while True:
        try:
            trial = found.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            raise TimeoutError(f"not through after {seconds:g} s") from None
        if trial is None:
            return
        if isinstance(trial, Exception):
            raise trial
        yield trial


def engine_facts() -> Iterator[Fact]:
    """Container engines: for level `container`, and for the images of `docker/`."""
    for engine in ("podman", "docker"):
        path = shutil.which(engine)
        if path is None:
            remedy = "Only for --isolation container and the images: install one of them."
            yield Fact(
                group="engines",
                name=engine,
                state="missing",
                found="not installed",
                remedy=remedy,
            )
            continue
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=ENGINE_SECONDS, check=False
        )
        works = done.returncode == 0
        found = (done.stdout if works else done.stderr).strip()[-200:]
        state: State = "ok" if works else "broken"
        yield Fact(group="engines", name=engine, state=state, found=found)


def gpu_facts() -> Iterator[Fact]:
    """NVIDIA's driver, CUDA in PyTorch, and each kernel that mechanisms may ask for."""
    import torch

    from agent_sandbox.isolation.cards import ask_driver
    from lra_design.cli.health.importing import Answer, Question, ask
    from lra_design.kernels import KERNELS

    cards = [", driver ".join(row) for row in ask_driver("--query-gpu=name,driver_version")]
    yield _gpu("driver", "; ".join(cards), "nvidia-smi shows no card", "NVIDIA's driver")
    if torch.version.cuda is None:
        answers = iter([Answer(error="PyTorch here is built without CUDA")] * (1 + len(KERNELS)))
    else:
        questions = [Question("cuda"), *(Question("kernel", name) for name in KERNELS)]
        answers = (answer for _, answer in ask(questions))
    seen = next(answers)
    yield _gpu("CUDA", seen.found, seen.error, "a PyTorch for CUDA: https://pytorch.org")
    for name in KERNELS:
        answer = next(answers)  # its error says what to install
        yield _gpu(name, answer.found, answer.error, "")


def _gpu(name: str, found: str, error: str, what: str) -> Fact:
    remedy = f"Only for --device cuda: install {what}." if what and not found else ""
    state: State = "ok" if found else "missing"
    return Fact(group="GPU", name=name, state=state, found=found or error, remedy=remedy)


def data_facts() -> Iterator[Fact]:
    """Which tasks and probes have their splits here, and which need files."""
    from tasks.registry import listed_tasks
    from tasks.splits.storage import is_prepared
    from tasks.task import SPLIT_NAMES

    facts = [
        _data_fact(task, here=all(is_prepared(task, split) for split in SPLIT_NAMES))
        for task in listed_tasks()
    ]
    yield from sorted(facts, key=lambda fact: fact.found)


def _data_fact(task: Task, *, here: bool) -> Fact:
    ready = here or task.draw is not None
    return Fact(
        group="data",
        name=task.id,
        state="ok" if ready else "missing",
        found="here" if here else "made on first use" if ready else "read from files, once",
        remedy="" if ready else "lra-design data prepare TASK (docs/tasks.md: from what)",
    )


GROUPS = (
    Group("machine", machine_facts),
    Group("folders", folder_facts, needed=True),
    Group("packages", package_facts, needed=True, note="all are imported"),
    Group(
        "isolation",
        isolation_facts,
        uses_torch=True,
        needed=True,
        note="each level is set up and attacked, which takes seconds",
    ),
    Group("engines", engine_facts),
    Group("GPU", gpu_facts, uses_torch=True, shared=True),
    Group("data", data_facts, uses_torch=True, needed=True, shared=True),
)
