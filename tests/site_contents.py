"""Contents of a leaderboard with one text in every field that holds free text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import run_records

from agent_sandbox.fingerprint.records import Neighbour
from leaderboards.contents import Contents, Search
from leaderboards.dossiers import Dossier, by_subject
from lra_design.records import (
    Attempt,
    CheckRun,
    Exponent,
    Feedback,
    Finding,
    Hardware,
    IsolationRecord,
    Limits,
    Point,
    Proposal,
    Run,
    Scaling,
    ScalingPoint,
    Score,
    Spending,
    Trial,
    Tuning,
    TuningProtocol,
    ValidationReport,
    Versions,
)

SCALING = Scaling(
    points=tuple(
        ScalingPoint(seq_len=n, flops=3.0 * n, peak_memory_bytes=5.0 * n, seconds=1e-6 * n)
        for n in (256, 512, 1024, 2048, 4096)
    ),
    exponents=(Exponent(quantity="flops", value=1.0, low=0.9, high=1.1),),
    claimed=1.0,
)


def make_run(
    text: str = "softmax",
    *,
    seed: int = 0,
    accuracy: float | None = 0.5,
    task: str = "listops-mini",
    split_hash: str | None = None,
) -> Run:
    """A run that has `text` in every field that holds free text."""
    score = Score(
        task=task,
        split="test",
        split_hash=text if split_hash is None else split_hash,
        accuracy=0.0 if accuracy is None else accuracy,
        num_examples=401,
        num_labels=401,
    )
    finding = Finding(
        check=text,
        name=text,
        tier="warning",
        expected=text,
        found=text,
        likely_cause=text,
        hint=text,
        where=text,
    )
    return run_records.make_run(
        text,
        seed,
        accuracy,
        run_id=f"{text}-{task}-{seed}",
        created_at=text,
        origin="candidate",
        agent=text,
        source=text,
        source_hash=text,
        task=task,
        hyperparameters={text: text},
        validation=None,
        test=None if accuracy is None else score,
        findings=(finding,),
        isolation=IsolationRecord(
            level="standard",
            landlock_abi=5,
            seccomp=True,
            dropped_uid=True,
            self_test_passed=True,
            gaps=(text,),
            limits=Limits(),
        ),
        hardware=Hardware(machine=text, processor=text, num_cpus=2, device=text, num_threads=1),
        versions=Versions(lra_design=text, contract=text, python=text, torch=text),
    )


def make_tuning(text: str) -> Tuning:
    trials = tuple(
        Trial(
            number=i,
            origin="default" if i == 0 else "sampler",
            outcome="completed",
            accuracy=0.4 + i / 10,
            seconds=1.5,
            values={text: text},
            run=text,
            note=text,
        )
        for i in range(2)
    )
    protocol = TuningProtocol(
        sampler=text, pruner=text, recipe_hash=text, num_trials=2, max_seconds=None, device=text
    )
    return Tuning(study=text, protocol=protocol, space_hash=text, trials=trials)


def make_neighbour(text: str) -> Neighbour:
    return Neighbour(name=text, mode="causal", distance=1.5, copy=None, shared_structure=0.5)


def make_certificate(run: Run, text: str) -> ValidationReport:
    return ValidationReport(
        mechanism=text,
        source_hash=run.source_hash,
        mode=run.mode,
        hyperparameters=run.hyperparameters,
        findings=tuple(replace(finding, check="LRA3", name=text) for finding in run.findings),
        checks=(
            CheckRun(
                check=text, name=text, num_cases=3, num_findings=1, seconds=0.5, ended_by=text
            ),
        ),
        battery="full",
        num_parameters=7,
        scaling=SCALING,
        search_space={},
        replay_token=text,
        seconds=1.25,
        isolation=None,
        versions=run.versions,
    )


def make_dossier(run: Run, text: str) -> Dossier:
    certificate = make_certificate(run, text)
    return Dossier(certificate=certificate, neighbours=(make_neighbour(text),), same_below=1.0)


def make_attempts(run: Run, text: str) -> tuple[Attempt, ...]:
    """A parent of the run's source, and that source."""
    report = make_certificate(run, text)
    made = []
    for index, (source, source_hash) in enumerate([("# parent", "parent"), (text, text)]):
        proposal = Proposal(
            source=source, change=text, operator=text, parents=("parent",) * index, parts=(text,)
        )
        made.append(
            Attempt(
                index=index,
                source_hash=source_hash,
                code_hash=source_hash,
                proposal=proposal,
                feedback=Feedback(report=report),
                created_at=text,
                spent=Spending(),
            )
        )
    return tuple(made)


def full_contents(text: str, runs: list[Run] | None = None) -> Contents:
    """Everything that a site shows, with `text` in all of it."""
    curve = tuple(
        Point(step=s, loss=1.0, gradient_norm=1.0, learning_rate=0.1, accuracy=0.3, seconds=1.0)
        for s in (5, 10, 13)
    )
    if runs is None:
        fixed = [replace(make_run(text, seed=seed), curve=curve) for seed in range(5)]
        tuned = replace(make_run(text), run_id="tuned", setting="tuned", tuning=make_tuning(text))
        runs = [*fixed, tuned]
    dossiers = [make_dossier(r, text) for r in runs]
    settings = {"agent": text, "policy": text, "llm": text}
    search = Search(text, Path("journal.sqlite"), settings, make_attempts(runs[0], text))
    return Contents(tuple(runs), (), by_subject(dossiers), (search,))
