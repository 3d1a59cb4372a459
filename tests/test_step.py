"""What happens inside a step of the training loop."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from twin_case import load

from lra_design.records import HostConfig, TrainConfig
from tasks.registry import get_task
from trainers.accuracy import labelled_split
from trainers.host import Host
from trainers.job import task_shape
from trainers.loop import TrainingLoop

HOST = HostConfig(
    d_model=14,
    num_heads=2,
    num_layers=2,
    d_mlp=19,
    causal=True,
    positions="none",
    dropout=0.1,
)


def make_loop(
    mechanism: str = "linear", task: str = "recall-probe", dropout: float = 0.1, **train: object
) -> TrainingLoop:
    values = {
        "num_steps": 9,
        "batch_size": 13,
        "learning_rate": 3e-3,
        "weight_decay": 0.01,
        "evaluate_every": 9,
        "order": "random",
    }
    host = HostConfig(**{**vars(HOST), "dropout": dropout})
    torch.manual_seed(5)
    network = Host(load(mechanism), {}, host, task_shape(get_task(task)))
    split = labelled_split(get_task(task), "train")
    config = TrainConfig(**{**values, **train})
    return TrainingLoop(network, split.sequences, split.labels, config, seed=2)


class Reads(TorchDispatchMode):
    """Notes the operations whose result the host waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "is_nonzero", "nonzero", "equal", "item"):
            self.seen.append(name)
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("task", ["recall-probe", "listops-mini"])
def test_no_step_waits_for_what_it_computes(task: str) -> None:
    """One label a position, and one an example; in several parts."""
    loop = make_loop(task=task)
    with Reads() as reads:
        loop.run(2)
    assert reads.seen == []
    with reads:
        torch.ones(1).item()
    assert reads.seen == ["_local_scalar_dense"]


def same_tensors(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
