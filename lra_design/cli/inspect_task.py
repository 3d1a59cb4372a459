"""`inspect eval lra_design/lra`: designs whose agent is a solver of Inspect.

A sample is one design, on one task. `lra-design design` runs it in a process of its own, with its
walls, its budget and its journal; the solver is a client of its desk, by four tools. What the
solver does, it does in Inspect's process or in a sandbox of Inspect's, outside our walls, which the
records say. The scores are read from the journal of the judge when the design has ended; nothing of
a test split is among them, it stays on the board of the run.
"""

from __future__ import annotations

import math
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
from inspect_ai import Task, task
from inspect_ai.agent import react
from inspect_ai.dataset import Sample
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver, use_tools
from inspect_ai.tool import Tool, ToolDef, ToolError, tool
from inspect_ai.util import store

from agent_sandbox.agents.journal import Journal
from lra_design.cli.desk_tools import (
    CONTRACT,
    DESCRIPTIONS,
    Evaluation,
    Refused,
    Report,
    Status,
    T,
    asked,
)
from lra_design.cli.external import submitted
from lra_design.cli.run_folder import RunFolder
from lra_design.errors import HarnessError
from lra_design.records import Attempt

COMMAND = (sys.executable, "-P", "-c", "from lra_design.cli import main; main()")
POLL_SECONDS = 0.2
GRACE_SECONDS = 30.0
"""For a design to put its workers away when the sample is given up."""
OVER = "over"
"""The file in the workspace by which the solver says that it has ended."""
WORKSPACE = "lra_design_workspace"
"""Its key in the sample's store."""
PARAMETERS = {
    "source": "The text of the mechanism's file.",
    "change": "One line on what is new, for the journal.",
}


@task
def lra(
    tasks: str | Sequence[str] = "listops-mini",
    scale: str = "smoke",
    mode: str = "causal",
    attempts: int = 12,
    seeds: int = 3,
    device: str = "auto",
    isolation: str = "standard",
    out: str = "runs/inspect",
) -> Task:
    """Design an attention mechanism; the arguments are the options of `lra-design design`.

    tasks: ids, one sample each. out: each sample's run is a folder in it.
    """
    names = tasks.split(",") if isinstance(tasks, str) else tasks
    options = {
        "scale": scale,
        "mode": mode,
        "attempts": attempts,
        "seeds": seeds,
        "device": device,
        "isolation": isolation,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return Task(
        dataset=[Sample(id=name, input=f"Design a mechanism for {name}.") for name in names],
        setup=[open_design(words, str(Path(out).resolve())), use_tools(desk_tools())],
        solver=react(tools=desk_tools(), submit=False),
        scorer=[validation_accuracy(), valid_rate()],
        cleanup=close_design,
    )


class Design:
    """One `lra-design design` whose program waits while a solver works at its desk."""

    def __init__(self, name: str, solver_name: str, options: Sequence[str], path: Path) -> None:
        self.folder = RunFolder(path)
        self._log = path.with_suffix(".log")
        path.parent.mkdir(parents=True, exist_ok=True)
        named = re.sub(r"[^\w./:@-]", "_", solver_name)
        waits = (
            f"until [ -e .desk/closed ] || [ -e {OVER} ]; do sleep 0.5; done "
            f"# an Inspect agent, {named}, outside the walls"
        )
        asked_for = ["--task", name, *options, "--out", str(path), "--no-attribution"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "design", "--agent", waits, *asked_for],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    async def opened(self) -> None:
        """Wait for its desk. Raises HarnessError when it ends before."""
        while not (self.folder.workspace / ".desk" / "answers").is_dir():
            if self.process.poll() is not None:
                raise self._failed()
            await anyio.sleep(POLL_SECONDS)

    async def ended(self) -> list[Attempt]:
        """Say that the solver has ended, wait for the board, and read what the judge wrote down.

        Raises HarnessError when the design failed.
        """
        (self.folder.workspace / OVER).touch()
        while self.process.poll() is None:
            await anyio.sleep(POLL_SECONDS)
        if self.process.returncode:
            raise self._failed()
        return Journal(self.folder.journal).attempts()

    async def close(self) -> None:
        """End it where it still runs, as Ctrl-C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        with anyio.move_on_after(GRACE_SECONDS, shield=True):
            while self.process.poll() is None:
                await anyio.sleep(POLL_SECONDS)
        if self.process.poll() is None:
            self.process.kill()

    def _failed(self) -> HarnessError:
        end = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
        return HarnessError(
            f"the design in {self.folder.path} ended with exit code {self.process.returncode}; "
            f"{self._log} ends with:\n{end}"
        )


_DESIGNS: dict[str, Design] = {}
"""Of the samples at work, by their uuid: a process cannot lie in a sample's store."""


@solver
def open_design(options: list[str], out: str) -> Solver:
    """Start the design of a sample, and make its brief and the contract the prompt."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        path = Path(out) / f"{state.sample_id}-{state.uuid}"
        design = Design(str(state.sample_id), str(state.model), options, path)
        _DESIGNS[state.uuid] = design
        await design.opened()
        state.store.set(WORKSPACE, str(design.folder.workspace))
        brief = (design.folder.workspace / "BRIEF.md").read_text(encoding="utf-8")
        contract = CONTRACT.read_text(encoding="utf-8")
        state.user_prompt.text = (
            "You have the desk as tools: validate, evaluate, status, submit; they take the text "
            f"of a file.\n\n{brief}\n## contract.py\n\n```python\n{contract}```\n"
        )
        return state

    return solve


async def close_design(state: TaskState) -> None:
    """The sample is over, however it ended: so is its design."""
    design = _DESIGNS.pop(state.uuid, None)
    if design is not None:
        await design.close()


def desk_tools() -> list[Tool]:
    """The verbs of the desk, for any agent of Inspect."""
    return [validate(), evaluate(), status(), submit()]


@tool
def validate() -> Tool:
    """The validator's report on a candidate."""

    async def execute(source: str) -> str:
        return await _told(Report, "validate", source=source)

    return _described(execute, "validate", "source")


@tool
def evaluate() -> Tool:
    """An attempt of the design."""

    async def execute(source: str, change: str = "") -> str:
        return await _told(Evaluation, "evaluate", source=source, change=change)

    return _described(execute, "evaluate", "source", "change")


@tool
def status() -> Tool:
    """The design so far."""

    async def execute() -> str:
        return await _told(Status, "status")

    return _described(execute, "status")


@tool
def submit() -> Tool:
    """The last attempt of the design."""

    async def execute(source: str, change: str = "") -> str:
        return await _told(Evaluation, "submit", source=source, change=change)

    return _described(execute, "submit", "source", "change")


def _described(execute: Tool, name: str, *parameters: str) -> Tool:
    described = {parameter: PARAMETERS[parameter] for parameter in parameters}
    return ToolDef(execute, name, DESCRIPTIONS[name], described).as_tool()


async def _told(answer: type[T], verb: str, **content: str) -> str:
    """The answer of the sample's desk, as JSON. Raises ToolError, which the llm is shown."""
    workspace = Path(store().get(WORKSPACE))
    try:
        found = await asked(answer, workspace, {"verb": verb, **content})
    except Refused as refusal:
        raise ToolError(str(refusal)) from None
    return found.model_dump_json(indent=1)


@scorer(metrics=[mean(), stderr()])
def validation_accuracy() -> Scorer:
    """Mean accuracy on the validation splits of the probes, as the judge measured it, of what was
    submitted; of the best attempt where nothing was. Unscored without a training that ended."""

    async def score(state: TaskState, target: Target) -> Score:
        design = _DESIGNS[state.uuid]
        attempts = await design.ended()
        wanted = submitted(attempts) or attempts
        best = max(wanted, key=_accuracy, default=None)
        where = {"run": str(design.folder.path), "attempts": len(attempts)}
        if best is None or best.feedback.mean_accuracy is None:
            return Score.unscored(reason="no candidate was trained to the end", metadata=where)
        return Score(
            value=best.feedback.mean_accuracy,
            answer=best.proposal.source,
            explanation=f"attempt {best.index}, {best.proposal.operator}: {best.proposal.change}",
            metadata={**where, "scores": {s.task: s.accuracy for s in best.feedback.scores}},
        )

    return score


@scorer(metrics=[mean(), stderr()])
def valid_rate() -> Scorer:
    """Share of the attempts that are valid mechanisms; unscored without any."""

    async def score(state: TaskState, target: Target) -> Score:
        attempts = await _DESIGNS[state.uuid].ended()
        if not attempts:
            return Score.unscored(reason="nothing was attempted")
        return Score(value=sum(a.feedback.report.valid for a in attempts) / len(attempts))

    return score


def _accuracy(attempt: Attempt) -> float:
    """For ordering: an attempt without scores comes last."""
    mean_accuracy = attempt.feedback.mean_accuracy
    return -math.inf if mean_accuracy is None else mean_accuracy
