"""A training is replayed with all that its recipe asks for, and marks are the source's own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from test_training import HOST, Interrupted, candidate, ignore, job

from agent_sandbox.isolation import Isolation
from lra_design.errors import CandidateFault, CandidateRefused
from mechanisms import reference_source
from trainers.referee import score_run
from trainers.tensor_files import read_tensors
from trainers.training import Progress, train

SHORT = {"num_steps": 12, "evaluate_every": 12}
EVERYTHING = {**SHORT, "precision": "bfloat16", "ema_decay": 0.9}
MARKS = candidate("return self.out(x)", "self.out.weight.no_weight_decay = {}")
PATCHES_AVERAGE = """
loop = torch.sys.modules["trainers.loop"]
honest = loop.update_average
def better(averages, parameters, step, decay):
    honest(averages, parameters, step, decay)
    averages[0].mul_(1.001)
loop.update_average = better
"""


@pytest.mark.slow
def test_an_average_of_bfloat16_steps_with_dropout_is_replayed_and_scored(
    isolation: Isolation, tmp_path: Path
) -> None:
    """What is kept is the average: no weights that the training itself had."""
    asked = job(reference_source("linear"), **EVERYTHING)
    asked = dataclasses.replace(asked, host=dataclasses.replace(HOST, dropout=0.1))
    run = train(asked, isolation, tmp_path, ignore)
    assert run.compiled == "off"
    assert score_run(run, tmp_path, isolation).findings == ()


@pytest.mark.slow
def test_an_average_goes_on_where_it_was(isolation: Isolation, tmp_path: Path) -> None:
    asked = job(reference_source("linear"), **{**EVERYTHING, "evaluate_every": 6})

    def stop(progress: Progress) -> None:
        if progress.step == 12 and not progress.evaluated:
            raise Interrupted

    whole = train(asked, isolation, tmp_path / "whole", ignore)
    with pytest.raises(Interrupted):
        train(asked, isolation, tmp_path / "parts", stop)
    assert train(asked, isolation, tmp_path / "parts", ignore).validation == whole.validation
    a, b = (read_tensors(tmp_path / f / "best.safetensors")[0] for f in ("whole", "parts"))
    assert all(torch.equal(a[name], b[name]) for name in a.keys() | b.keys())


def test_an_average_that_does_not_follow_from_the_weights_is_found(
    isolation: Isolation, tmp_path: Path
) -> None:
    source = candidate("return self.out(x)") + PATCHES_AVERAGE
    with pytest.raises(CandidateRefused) as refusal:
        train(job(source, **EVERYTHING), isolation, tmp_path, ignore)
    assert [finding.check for finding in refusal.value.findings] == ["LRA505"]


def test_marks_that_are_others_in_another_worker_are_found(
    isolation: Isolation, tmp_path: Path
) -> None:
    """The worker of a replay has other initial weights."""
    source = MARKS.format("bool(torch.initial_seed() % 2)")
    with pytest.raises(CandidateRefused) as refusal:
        train(job(source, **SHORT), isolation, tmp_path, ignore)
    (finding,) = refusal.value.findings
    assert (finding.check, finding.where) == ("LRA505", "the start of the training")
    assert "blocks.0.mechanism.out.weight" in finding.found


@pytest.mark.slow
def test_marks_of_the_source_are_replayed(isolation: Isolation, tmp_path: Path) -> None:
    """With a decay that the replay would otherwise arrive elsewhere with."""
    marked = job(MARKS.format("True"), weight_decay=20.0, **SHORT)
    train(marked, isolation, tmp_path / "marked", ignore)
    train(job(MARKS.format("False"), weight_decay=20.0, **SHORT), isolation, tmp_path / "b", ignore)
    name = "blocks.0.mechanism.out.weight"
    a, b = (read_tensors(tmp_path / f / "best.safetensors")[0][name] for f in ("marked", "b"))
    assert a.norm() > 1.1 * b.norm()


def test_a_mark_on_what_is_not_its_own_is_refused(isolation: Isolation, tmp_path: Path) -> None:
    source = candidate("return self.out(x)") + "\nnn.Parameter.no_weight_decay = True\n"
    with pytest.raises(CandidateFault, match="no_weight_decay on what is not its own"):
        train(job(source, **SHORT), isolation, tmp_path, ignore)
