"""Records of runs that were never run, for tests of what is made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent_sandbox.fingerprint.records import Neighbour
from leaderboards.dossiers import Dossier
from lra_design.records import (
    Hardware,
    HostConfig,
    IsolationRecord,
    Limits,
    Run,
    Score,
    TrainConfig,
    Usage,
    ValidationReport,
    Versions,
)


def make_score(task: str, split: str, accuracy: float) -> Score:
    return Score(
        task=task,
        split=split,  # type: ignore[arg-type]
        split_hash=f"{task}-{split}",
        accuracy=accuracy,
        num_examples=401,
        num_labels=401,
    )


def make_run(name: str, seed: int, accuracy: float | None, **changes: Any) -> Run:
    task = changes.get("task", "listops-mini")
    run = Run(
        run_id=f"{name}-{seed}",
        created_at="2026-01-02T03:04:05Z",
        name=name,
        origin="reference",
        agent=None,
        source=f"# {name}\n",
        source_hash=f"hash-of-{name}",
        task=task,
        scale="smoke",
        setting="fixed",
        mode="causal",
        host=HostConfig(
            d_model=7, num_heads=1, num_layers=2, d_mlp=11, causal=True, positions="none"
        ),
        train=TrainConfig(
            num_steps=13, batch_size=3, learning_rate=1e-3, weight_decay=0.0, evaluate_every=5
        ),
        hyperparameters={},
        seed=seed,
        num_parameters=1009,
        validation=make_score(task, "validation", 0.5),
        test=None if accuracy is None else make_score(task, "test", accuracy),
        findings=(),
        usage=Usage(seconds=1.5, cpu_seconds=1.25, peak_memory_bytes=2**20),
        isolation=IsolationRecord(
            level="standard",
            landlock_abi=5,
            seccomp=True,
            dropped_uid=True,
            self_test_passed=True,
            gaps=(),
            limits=Limits(),
        ),
        hardware=Hardware(
            machine="x86_64", processor="cpu", num_cpus=2, device="cpu", num_threads=1
        ),
        versions=Versions(lra_design="0.1.0", contract="1", python="3.11", torch="2.13"),
    )
    return replace(run, **changes)


def make_dossier(name: str, *, neighbours: tuple[Neighbour, ...] = (), **changes: Any) -> Dossier:
    """Of the mechanism of `make_run(name, ...)`; `changes` are those of its certificate."""
    report = ValidationReport(
        mechanism=name,
        source_hash=f"hash-of-{name}",
        mode="causal",
        findings=(),
        checks=(),
        battery="full",
        num_parameters=7,
        scaling=None,
        search_space={},
        replay_token="2a",
        seconds=1.25,
        isolation=None,
        versions=Versions(lra_design="0.1.0", contract="1", python="3.11", torch="2.13"),
    )
    return Dossier(certificate=replace(report, **changes), neighbours=neighbours)
