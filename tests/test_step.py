"""What happens inside a step of the training loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._dynamo import register_backend
from torch.utils._python_dispatch import TorchDispatchMode
from twin_case import load

from lra_design.records import HostConfig, TrainConfig
from tasks.registry import get_task
from trainers.accuracy import labelled_split
from trainers.host import Host
from trainers.job import task_shape
from trainers.loop import TrainingLoop
from trainers.optimizer import make_optimizer
from trainers.session import MARKABLE

HOST = HostConfig(
    d_model=14, num_heads=2, num_layers=2, d_mlp=19, causal=True, positions="none", dropout=0.1
)
EVERYTHING = {"precision": "bfloat16", "ema_decay": 0.9}


def make_loop(
    mechanism: str = "linear",
    task: str = "recall-probe",
    *,
    dropout: float = 0.1,
    double: bool = False,
    compiler: str | None = None,
    device: str = "cpu",
    **train: object,
) -> TrainingLoop:
    values = {
        "num_steps": 9,
        "batch_size": 13,
        "learning_rate": 3e-3,
        "weight_decay": 0.01,
        "evaluate_every": 9,
        "order": "random",
    }
    torch.manual_seed(5)
    host = dataclasses.replace(HOST, dropout=dropout)
    network = Host(load(mechanism), {}, host, task_shape(get_task(task))).to(device)
    network = network.double() if double else network
    split = labelled_split(get_task(task), "train")
    config = TrainConfig(**{**values, **train})
    return TrainingLoop(network, split.sequences, split.labels, config, 2, compiler)


def copied(loop: TrainingLoop) -> dict[str, Tensor]:
    return {name: value.clone().cpu() for name, value in loop.state().items()}


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def run_seeded(loop: TrainingLoop, until: int) -> Tensor:
    """With the same dropout masks whatever was drawn before."""
    torch.manual_seed(11)
    return loop.run(until)


class Reads(TorchDispatchMode):
    """Notes the operations whose result the host waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "is_nonzero", "nonzero", "equal"):
            self.seen.append(name)
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("task", ["recall-probe", "listops-mini"])
def test_no_step_waits_for_what_it_computes(task: str) -> None:
    """One label a position, and one an example, in several parts."""
    loop = make_loop(task=task, **EVERYTHING)
    with Reads() as reads:
        loop._run(2)
    assert reads.seen == []
    with reads:
        torch.ones(1).item()
    assert reads.seen == ["_local_scalar_dense"]


@pytest.mark.parametrize("train", [{}, EVERYTHING], ids=["plain", "everything"])
def test_a_state_is_all_that_the_next_steps_depend_on(train: dict[str, object]) -> None:
    """With dropout, and with parts that memory made smaller."""
    whole, parts = make_loop(**train), make_loop(**train)
    whole._max_tokens = 97
    whole.run(3)
    kept = copied(whole)
    log = whole.run(7)
    parts.run(1)
    parts.restore(kept)
    assert torch.equal(parts.run(7), log)
    assert same_bits(copied(parts), copied(whole))


def test_what_a_mechanism_marks_does_not_decay() -> None:
    loop = make_loop("softmax")
    assert loop.undecayed == []
    weight = loop.network.blocks[0].mechanism.out.weight
    weight.no_weight_decay = True
    decay, others = make_optimizer(loop._parameters, loop._config).param_groups
    assert (decay["weight_decay"], others["weight_decay"]) == (0.01, 0.0)
    assert all(p.ndim >= 2 and p is not weight for p in decay["params"])
    assert all(p.ndim < 2 or p is weight for p in others["params"])
    assert len(decay["params"]) + len(others["params"]) == len(loop._parameters)
    names = {p: name for name, p in loop.network.named_parameters()}
    assert MARKABLE.match(names[weight])
    assert not MARKABLE.match(names[loop.network.head[0].weight])


def test_bfloat16_computes_in_it_and_keeps_the_rest_in_float32() -> None:
    seen = []
    loop = make_loop(dropout=0.0, precision="bfloat16")
    loop.network.head.register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    log = loop.run(4)
    assert set(seen) == {torch.bfloat16}
    assert all(t.dtype == torch.float32 for n, t in loop.state().items() if "exp_avg" in n)
    assert all(p.dtype == torch.float32 for p in loop.network.parameters())
    exact = make_loop(dropout=0.0).run(4)
    assert not torch.equal(log, exact)
    torch.testing.assert_close(log, exact, rtol=2e-2, atol=0.0)


def test_the_average_follows_from_the_weights() -> None:
    loop = make_loop(ema_decay=0.15)
    name = loop.trained[3]
    average = loop.network.get_parameter(name).detach().clone()
    for step in range(5):
        loop.run(step + 1)
        weight = loop.network.get_parameter(name).detach().clone()
        now = min(0.15, (1 + step) / (10 + step))
        average = now * average + (1 - now) * weight
        torch.testing.assert_close(loop.state()[f"average.{name}"], average)
    with loop.averaged():
        torch.testing.assert_close(loop.network.get_parameter(name).detach(), average)
    assert torch.equal(loop.network.get_parameter(name), weight)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5])
def test_a_decay_that_is_no_average_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=r"ema_decay must lie in \(0, 1\)"):
        make_loop(ema_decay=decay)


def short_of_memory(loop: TrainingLoop, num_tokens: int) -> list[int]:
    """From now on more tokens at once do not fit; what was computed at once is noted."""
    seen: list[int] = []

    def check(module: object, arguments: tuple[Tensor, ...]) -> None:
        seen.append(arguments[0].numel())
        if seen[-1] > num_tokens:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    loop.network.register_forward_pre_hook(check)
    return seen


def test_short_of_memory_a_batch_is_computed_in_smaller_parts() -> None:
    """Found once, kept for good, with the gradient of the whole batch."""
    whole, parts = (make_loop(dropout=0.0, double=True) for _ in range(2))
    seen = short_of_memory(parts, 150)
    torch.testing.assert_close(parts.run(4), whole.run(4), rtol=1e-10, atol=1e-12)
    assert max(seen) > 150
    limit = int(parts.state()["max_tokens"])
    assert limit <= 150
    del seen[:]
    torch.testing.assert_close(parts.run(7), whole.run(7), rtol=1e-9, atol=1e-12)
    assert max(seen) <= limit


def test_a_step_that_ran_out_of_memory_begins_again_with_the_same_masks() -> None:
    late, early = make_loop(), make_loop()
    short_of_memory(late, 150)
    log = run_seeded(late, 4)
    early._max_tokens = late._max_tokens
    assert torch.equal(run_seeded(early, 4), log)
    assert same_bits(copied(early), copied(late))


def test_one_example_that_does_not_fit_is_a_fault_of_memory() -> None:
    loop = make_loop()
    short_of_memory(loop, 3)
    with pytest.raises(MemoryError, match=r"one example of \d+ tokens needs more memory"):
        loop.run(1)


def test_what_does_not_compile_goes_on_uncompiled_with_the_same_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object) -> None:
        torch.rand(5)  # a compiler may draw numbers before it gives up
        raise ValueError("no such kernel")

    monkeypatch.setattr(torch, "compile", lambda network, **options: fail)
    plain, broken = make_loop(), make_loop(compiler="inductor")
    assert broken.compiled == "on"
    assert torch.equal(run_seeded(broken, 3), run_seeded(plain, 3))
    assert (plain.compiled, broken.compiled) == ("off", "failed")
    assert same_bits(copied(plain), copied(broken))


@register_backend
def breaks(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
    raise ValueError("no such kernel")


@pytest.mark.slow
def test_a_backend_that_breaks_is_given_up() -> None:
    plain, broken = make_loop(), make_loop(compiler="breaks")
    assert torch.equal(run_seeded(broken, 2), run_seeded(plain, 2))
    assert broken.compiled == "failed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mechanism", "task"),
    [("softmax", "listops-mini"), ("linear", "listops-mini"), ("softmax", "recall-probe")],
)
def test_a_compiled_network_trains_as_it_is(mechanism: str, task: str) -> None:
    """One backend that leaves the arithmetic alone, through some lengths of the task."""
    torch._dynamo.reset()  # what earlier tests compiled counts against a limit of the process
    plain = make_loop(mechanism, task, dropout=0.0, double=True)
    compiled = make_loop(mechanism, task, dropout=0.0, double=True, compiler="aot_eager")
    torch.testing.assert_close(compiled.run(6), plain.run(6), rtol=1e-8, atol=1e-10)
    assert compiled.compiled == "on"


def test_statistics_are_those_of_the_blocks_and_change_nothing() -> None:
    loop = make_loop(task="listops-mini", ema_decay=0.5)
    loop.run(2)
    before = copied(loop)
    found = loop.statistics()
    assert same_bits(before, copied(loop))
    batch = loop.feed.parts(2, loop._max_tokens)[0].batch
    mask_BL = batch.key_padding_mask_BL
    assert mask_BL is not None
    with loop.averaged(), torch.no_grad():
        x_BLD = loop.network.embedding(batch.tokens_BL)
        for row, block in zip(found, loop.network.blocks, strict=True):
            x_BLD = block(x_BLD, mask_BL)
            real = x_BLD[~mask_BL]
            expected = [real.mean(), real.std(unbiased=False), real.abs().max()]
            torch.testing.assert_close(row, torch.stack(expected))


@pytest.mark.gpu
@pytest.mark.parametrize("train", [{}, EVERYTHING], ids=["plain", "everything"])
def test_on_cuda_a_state_is_exact_and_no_step_waits(train: dict[str, object]) -> None:
    whole, parts = (make_loop(device="cuda", **train) for _ in range(2))
    whole.run(3)
    kept = copied(whole)
    torch.cuda.set_sync_debug_mode("error")
    try:
        log = whole._run(7)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    parts.restore(kept)
    torch.testing.assert_close(parts.run(7), log, rtol=1e-4, atol=0.0)


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("task", ["recall-probe", "image-mini"])
def test_on_cuda_a_compiled_network_trains_as_it_is(task: str) -> None:
    """Of image-mini all sequences have one length, so that its steps are CUDA graphs."""
    plain = make_loop("softmax", task, dropout=0.0, device="cuda")
    compiled = make_loop("softmax", task, dropout=0.0, device="cuda", compiler="inductor")
    torch.testing.assert_close(compiled.run(6), plain.run(6), rtol=1e-3, atol=1e-4)
    assert compiled.compiled == "on"
