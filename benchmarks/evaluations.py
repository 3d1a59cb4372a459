"""How much of a training its evaluations are: what is to be won by a second worker beside it.

    python benchmarks/evaluations.py [TASK] [STEPS]

Processor time of the worker, which other processes do not change; between two evaluations as many
steps as the `smoke` recipe has, of which STEPS are measured.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from agent_sandbox.isolation import Isolation, open_isolation
from lra_design.cli.options import make_job
from tasks.registry import get_task
from trainers.accuracy import labelled_split
from trainers.evaluator import evaluate
from trainers.job import task_shape
from trainers.session import NetworkSession

MECHANISMS = ("softmax", "linear")
WARM_UP_STEPS = 10
FOLDER = Path(__file__).parent.parent / "mechanisms"


def seconds(
    mechanism: str, task_id: str, num_steps: int, isolation: Isolation
) -> tuple[int, float, float]:
    """Steps between two evaluations, processor seconds of these, and of one evaluation."""
    job = make_job(FOLDER / f"{mechanism}.py", task_id, "smoke", "causal", seed=0)
    task = get_task(task_id)
    train, validation = (labelled_split(task, split) for split in ("train", "validation"))
    with NetworkSession(isolation, job, task_shape(task), train.num_bytes) as session:
        session.build(job.seed)
        session.start_training(train.sequences, train.labels, job.train, job.seed)
        session.train(WARM_UP_STEPS, WARM_UP_STEPS)
        marks = [session.usage().cpu_seconds]
        session.train(WARM_UP_STEPS + num_steps, num_steps)
        marks.append(session.usage().cpu_seconds)
        evaluate(validation, session)
        marks.append(session.usage().cpu_seconds)
    every = job.train.evaluate_every
    return every, (marks[1] - marks[0]) / num_steps * every, marks[2] - marks[1]


def main(task_id: str = "listops-mini", num_steps: str = "30") -> None:
    torch.set_num_threads(1)
    with open_isolation() as isolation:
        for mechanism in MECHANISMS:
            every, steps, evaluation = seconds(mechanism, task_id, int(num_steps), isolation)
            share = 100 * evaluation / (steps + evaluation)
            print(
                f"{mechanism:8s} {every} steps {steps:.2f} s, an evaluation {evaluation:.2f} s: "
                f"{share:.0f} %",
                flush=True,
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
