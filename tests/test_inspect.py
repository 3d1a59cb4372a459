"""The Inspect task, by Inspect's own runner and its mock llm; without Inspect nothing runs here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from agent_sandbox.agents.journal import Journal
from leaderboards.store import Store
from mechanisms import reference_source

inspect_ai = pytest.importorskip("inspect_ai", reason="needs the extra `inspect`")

TINY = """
import dataclasses, sys
from lra_design.cli import ladder, run
from trainers import recipes
ladder.FEW = ("mean",)
for key, r in recipes.RECIPES.items():
    train = dataclasses.replace(r.train, num_steps=8, batch_size=5, evaluate_every=3)
    recipes.RECIPES[key] = recipes.Recipe(r.host, train)
sys.exit(run(sys.argv[1:]))
"""
"""The command with trainings of a few steps."""


def calls(*asked: tuple[str, dict[str, str]]) -> list[Any]:
    """What the llm answers: one call of a tool after the other, then words."""
    from inspect_ai.model import ModelOutput, ModelUsage

    name = "mockllm/model"
    outputs = [ModelOutput.for_tool_call(name, tool, words) for tool, words in asked]
    outputs.append(ModelOutput.from_content(name, "That is all."))
    for output in outputs:
        output.usage = ModelUsage()  # else the mock fetches a tokenizer to count with
    return outputs


def evaluated(
    folder: Path, outputs: list[Any], tasks: str = "recall-probe", **arguments: Any
) -> Any:
    """The log of one sample."""
    from inspect_ai.model import get_model

    from lra_design.cli.inspect_task import lra

    (log,) = inspect_ai.eval(
        lra(tasks, out=str(folder / "runs"), device="cpu", **arguments),
        model=get_model("mockllm/model", custom_outputs=outputs),
        log_dir=str(folder / "logs"),
        display="none",
    )
    return log


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lra_design.cli.inspect_task.COMMAND", (sys.executable, "-c", TINY))


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.filterwarnings("default")
def test_a_solver_designs_and_is_scored_by_the_judge(tmp_path: Path, tiny: None) -> None:
    mean = reference_source("mean")
    biased = mean.replace("bias=False", "bias=True")
    outputs = calls(
        ("validate", {"source": "import os\n"}),
        ("evaluate", {"source": "import os\n", "change": "nothing"}),
        ("evaluate", {"source": mean, "change": "a reference"}),
        ("status", {}),
        ("submit", {"source": biased, "change": "the last word"}),
        ("evaluate", {"source": biased}),
    )
    log = evaluated(tmp_path, outputs, attempts=5, seeds=1)
    assert log.status == "success", log.error
    (sample,) = log.samples
    prompt = sample.messages[1].text
    assert "Tampering disqualifies" in prompt
    assert "class MechanismConfig" in prompt
    told = [message for message in sample.messages if message.role == "tool"]
    assert '"valid":false' in told[0].text.replace(" ", "")
    assert '"attempt":1' in told[2].text.replace(" ", "")
    assert '"attempts":3' in told[3].text.replace(" ", "")
    assert "the desk has closed: it was submitted" in told[5].error.message

    (folder,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    attempts = Journal(folder / "journal.sqlite").attempts()
    assert [attempt.proposal.operator for attempt in attempts] == ["evaluate"] * 2 + ["submit"]
    scores = sample.scores
    assert scores["validation_accuracy"].value == attempts[-1].feedback.mean_accuracy
    assert scores["validation_accuracy"].answer == biased
    assert scores["valid_rate"].value == pytest.approx(2 / 3)
    runs = Store(folder / "board").runs()
    assert {run.agent for run in runs if run.agent} == {
        "until [ -e .desk/closed ] || [ -e over ]; do sleep 0.5; done "
        "# an Inspect agent, mockllm/model, outside the walls"
    }
    # nothing of a test split in what Inspect keeps
    tests = [run.test for run in runs if run.test]
    assert tests
    assert not any(test.split_hash in sample.model_dump_json() for test in tests)
