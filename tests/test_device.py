"""Which device a training runs on, and what depends on it; the rest needs a card."""

from __future__ import annotations

import dataclasses
import mmap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from run_records import make_run
from test_training import Interrupted, candidate, ignore, job
from torch import Tensor

from agent_sandbox.isolation import Isolation, cards, open_isolation
from agent_sandbox.isolation.card_memory import LOOK_SECONDS, CardMemory, processes_on_cards
from agent_sandbox.isolation.cards import Card, choose_card, device_number, visible
from agent_sandbox.isolation.fork_server import ForkServer
from agent_sandbox.isolation.lockdown import Lockdown
from agent_sandbox.isolation.seccomp import Instruction, assemble
from agent_sandbox.isolation.system_calls import CONDITIONAL
from leaderboards.scores import rank
from lra_design.cli import run as run_command
from lra_design.cli.options import make_job
from lra_design.errors import DataError, UsageError
from lra_design.records import Device, Limits, Point, Usage
from mechanisms import reference_source
from tasks.registry import get_task
from trainers import course
from trainers.accuracy import labelled_split
from trainers.checkpoint import Standing, write_checkpoint
from trainers.device import ARITHMETIC, hardware, settle_arithmetic
from trainers.evaluator import Beside
from trainers.job import Job, run_id, task_shape
from trainers.referee import score_run
from trainers.session import NetworkSession
from trainers.tensor_files import read_tensors
from trainers.tensorboard import TensorBoard
from trainers.training import OnProgress, Progress, train
from trainers.tuning.study import Search

SOFTMAX = Path(__file__).parent.parent / "mechanisms" / "softmax.py"
CARDS = tuple(
    Card(uuid=f"GPU-{letter}0", name=name, driver="570.86.15", bus=f"0000:{number}b:00.0")
    for letter, name, number in (("a", "NVIDIA H200", 3), ("b", "NVIDIA L4", 4))
)


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "cards", lambda: CARDS)


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "cards", tuple)


# An isolation of the first card, for what looks at nothing else of it.
ON_A_CARD: Isolation = SimpleNamespace(card=CARDS[0])  # type: ignore[assignment]


# ---------------------------------------------------------------- which card


@pytest.mark.usefixtures("two_cards")
def test_a_card_is_taken_where_there_is_one() -> None:
    asked = ("auto", "cuda", "cuda:0", "cuda:1", "cpu")
    assert [choose_card(name) for name in asked] == [*[CARDS[0]] * 3, CARDS[1], None]


@pytest.mark.usefixtures("no_card")
def test_without_a_card_auto_is_the_processor() -> None:
    assert choose_card("auto") is None
    with pytest.raises(UsageError, match=r"expected a card for 'cuda', found .* --device cpu"):
        choose_card("cuda")


@pytest.mark.usefixtures("two_cards")
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("cuda:2", "found cuda:0 NVIDIA H200, cuda:1 NVIDIA L4"),
        ("gpu", "expected auto, cpu, cuda or cuda:N"),
        ("cuda:-1", "expected auto, cpu, cuda or cuda:N"),
        ("", "expected auto, cpu, cuda or cuda:N"),
    ],
)
def test_a_device_that_is_not_there_is_refused(asked: str, found: str) -> None:
    with pytest.raises(UsageError, match=found):
        choose_card(asked)


@pytest.mark.parametrize(
    ("listed", "left"),
    [
        (None, "ab"),
        ("1,0", "ba"),
        ("GPU-b", "b"),
        ("0, 1", "ab"),
        ("0,7,1", "a"),
        ("0,0", "a"),
        ("", ""),
        ("-1", ""),
        ("MIG-GPU-a0/1/0", ""),
    ],
)
def test_what_cuda_visible_devices_hides_is_not_there(listed: str | None, left: str) -> None:
    environment = {} if listed is None else {cards.VISIBLE_VARIABLE: listed}
    assert "".join(card.uuid[4] for card in visible(CARDS, environment)) == left


SMI = """#!/bin/sh
case "$1" in
--query-gpu=uuid,name,driver_version,pci.bus_id)
    echo "GPU-a0, NVIDIA H200, 570.86.15, 00000000:3B:00.0"
    echo "GPU-b0, NVIDIA L4, 570.86.15, 00000000:4B:00.0";;
--query-compute-apps=pid,used_gpu_memory)
    printf "7, 300\n11, 5\n7, 212\n13, [N/A]\n";;
*)
    exit 6
esac
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose driver tells of two cards, and a PyTorch that could use them."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(SMI)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv(cards.VISIBLE_VARIABLE, raising=False)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    return tool


def test_the_driver_tells_which_cards_there_are(
    driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cards.cards() == CARDS
    monkeypatch.setenv(cards.VISIBLE_VARIABLE, "5")
    with pytest.raises(UsageError, match="none left by CUDA_VISIBLE_DEVICES=5"):
        choose_card("cuda")
    driver.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed' && exit 9")
    with pytest.raises(UsageError, match="none that nvidia-smi tells of"):
        choose_card("cuda")
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(UsageError, match="a PyTorch that was built without CUDA"):
        choose_card("cuda")


@pytest.mark.usefixtures("driver")
def test_the_driver_tells_what_each_process_takes() -> None:
    mebibyte = 1024**2
    assert processes_on_cards() == {7: 512 * mebibyte, 11: 5 * mebibyte}
    memory = CardMemory()
    memory.look()
    assert [memory.peak_bytes(pid) for pid in (7, 13)] == [512 * mebibyte, None]
    memory.begin(7)
    assert memory.peak_bytes(7) is None
    memory.close()


def test_a_card_has_another_number_in_dev(tmp_path: Path) -> None:
    told = tmp_path / "proc/driver/nvidia/gpus/0000:3b:00.0/information"
    told.parent.mkdir(parents=True)
    told.write_text("Model: \t\t NVIDIA H200\nGPU UUID: \t GPU-a0\nDevice Minor: \t 5\n")
    assert [device_number(card, tmp_path) for card in CARDS] == [5, None]


# ---------------------------------------------------------------- what depends on it


def test_the_device_is_part_of_what_a_run_is(tmp_path: Path) -> None:
    here = make_job(SOFTMAX, "listops-mini", "smoke", "causal", 0)
    there = make_job(SOFTMAX, "listops-mini", "smoke", "causal", 0, card=CARDS[0])
    assert (here.device, there.device) == ("cpu", "cuda")
    assert run_id(here) != run_id(there)
    with pytest.raises(UsageError, match=r"expected workers that compute on 'cpu'.* with no card"):
        train(here, ON_A_CARD, tmp_path, ignore)


def test_the_record_names_the_card_and_what_it_was_told() -> None:
    card, processor = hardware(CARDS[0]), hardware()
    assert (card.device, card.driver, card.arithmetic) == ("NVIDIA H200", "570.86.15", ARITHMETIC)
    assert (processor.device, processor.driver, processor.arithmetic) == ("cpu", None, None)
    assert card.processor == processor.processor


def test_a_checkpoint_of_another_device_is_refused(isolation: Isolation, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, {"step": torch.tensor(0)}, Standing(device="NVIDIA H200"))
    with pytest.raises(DataError, match="a training on NVIDIA H200, expected one on cpu"):
        train(job(candidate("return self.out(x)")), isolation, tmp_path, ignore)


def test_what_came_after_is_added_to_what_was_taken() -> None:
    def usage(on_card: int | None) -> Usage:
        return Usage(
            seconds=1.0, cpu_seconds=0.5, peak_memory_bytes=7, peak_device_memory_bytes=on_card
        )

    peaks = [
        usage(a).and_then(usage(b)).peak_device_memory_bytes
        for a, b in ((None, None), (None, 3), (5, None), (5, 3))
    ]
    assert peaks == [None, 3, 5, 5]
    assert usage(None).and_then(usage(None)).seconds == 2.0


def test_two_workers_at_once_are_both_charged() -> None:
    def usage(seconds: float, on_card: int | None = None) -> Usage:
        return Usage(
            seconds=seconds,
            cpu_seconds=seconds,
            peak_memory_bytes=3,
            peak_device_memory_bytes=on_card,
        )

    class Second:
        def usage(self) -> Usage:
            return usage(7.0, 5)

    with ThreadPoolExecutor(1) as pool:
        evaluator = Beside(None, Second(), pool)  # type: ignore[arg-type]
        both = evaluator.add_usage(usage(11.0))
    assert (both.seconds, both.cpu_seconds) == (11.0, 18.0)  # it has computed for no second yet
    assert (both.peak_memory_bytes, both.peak_device_memory_bytes) == (6, 5)


def test_entries_of_different_devices_share_a_board() -> None:
    card = dataclasses.replace(hardware(), device="NVIDIA H200")
    runs = [
        make_run("softmax", 0, 0.5),
        make_run("softmax", 1, 0.6, hardware=card, device="cuda"),
    ]
    [entry] = rank(runs, chance={})
    assert entry.seeds == (0, 1)


def test_a_study_that_counts_seconds_stays_on_its_device(tmp_path: Path) -> None:
    def search(card: Card, seconds: float | None) -> Search:
        walls: Isolation = SimpleNamespace(card=card)  # type: ignore[assignment]
        asked = job_on("cuda", "mean")
        return Search(asked, walls, tmp_path, num_trials=1, watch=never, max_seconds=seconds)

    search(CARDS[0], 60.0)
    with pytest.raises(UsageError, match=r"counts seconds of NVIDIA H200: .* found NVIDIA L4"):
        search(CARDS[1], 60.0)
    search(CARDS[0], 70.0)
    search(CARDS[1], None)


def never(number: int) -> OnProgress:
    raise AssertionError("no trial is to begin")


def verdict(lines: list[Instruction], call: str, *arguments: int) -> int:
    """What the filter returns for a call on x86-64."""
    words = {0: CONDITIONAL[call][0], 4: 0xC000003E}
    words |= {16 + 8 * i: argument for i, argument in enumerate(arguments)}
    at, loaded = 0, 0
    while lines[at][0] != 0x06:
        code, if_true, if_false, constant = lines[at]
        if code == 0x20:
            loaded = words[constant] or 0
        elif code == 0x54:
            loaded &= constant
        else:
            holds = loaded == constant if code == 0x15 else loaded >= constant
            at += if_true if holds else if_false
        at += 1
    return lines[at][3]


@pytest.mark.parametrize(
    ("call", "arguments", "with_card"),
    [
        ("memfd_create", (0, 0), True),
        ("mmap", (0, 4096, 3, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS), True),
        ("mmap", (0, 4096, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000), False),
        ("tgkill", (1, 1, 9), False),
    ],
)
def test_a_card_needs_memory_that_others_are_refused(
    call: str, arguments: tuple[int, ...], with_card: bool
) -> None:
    allow = 0x7FFF0000
    plain, card = (assemble("x86_64", 7, "train", cuda=cuda) for cuda in (False, True))
    assert verdict(plain, call, *arguments) != allow
    assert (verdict(card, call, *arguments) == allow) == with_card


def test_a_server_that_initialised_cuda_starts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    server = ForkServer.__new__(ForkServer)
    monkeypatch.setattr(server, "_load", lambda program: object)
    plan = Lockdown(
        kernel_layers=True,
        profile="train",
        rules=(),
        scratch=None,
        limits=Limits(),
        card=CARDS[0].uuid,
        uid=None,
    )
    assert Lockdown.from_values(plan.to_values()) == plan
    with pytest.raises(RuntimeError, match="CUDA was initialised before a fork"):
        server._start({"program": "any", "plan": plan.to_values()}, [])


def test_tensorboard_shows_the_memory_of_a_card(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    taken = Usage(seconds=1.0, cpu_seconds=1.0, peak_memory_bytes=1, peak_device_memory_bytes=2**29)
    point = Point(step=3, loss=1.0, gradient_norm=1.0, learning_rate=0.1, accuracy=0.5, seconds=1.0)
    with TensorBoard(tmp_path, 0) as board:
        board.add_point(point, taken)
        board.add_run(make_run("softmax", 0, None, usage=taken))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.value for event in events.Scalars("memory/peak_device_bytes")] == [2**29]
    assert "final/peak_device_memory_bytes" in events.Tags()["scalars"]


def test_a_processor_is_told_nothing_about_its_arithmetic() -> None:
    settle_arithmetic("cpu")
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.usefixtures("no_card")
def test_the_command_line_refuses_a_card_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (
        ["train", str(SOFTMAX), "--task", "recall-probe"],
        ["tune", str(SOFTMAX), "--task", "recall-probe"],
        ["design", "--task", "recall-probe"],
    ):
        assert run_command([*command, "--device", "cuda", "--out", str(tmp_path / "out")]) == 2
        assert "expected a card for 'cuda'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- on a card


@pytest.fixture(scope="module")
def on_a_card() -> Iterator[Isolation]:
    """Opening it is the self-test of profile `train` with a card, CUDA's start included."""
    with open_isolation(profile="train", card=choose_card("cuda")) as opened:
        yield opened


def job_on(device: Device, mechanism: str, **train: object) -> Job:
    return dataclasses.replace(job(reference_source(mechanism), **train), device=device)


def logged(asked: Job, isolation: Isolation) -> Tensor:
    """Loss and gradient norm of the first five steps, as the worker says."""
    split = labelled_split(get_task(asked.task), "train")
    with NetworkSession(isolation, asked, task_shape(split.task), split.num_bytes) as session:
        session.build(asked.seed)
        session.start_training(split.sequences, split.labels, asked.train, asked.seed)
        return session.train(5, 5)


@pytest.mark.gpu
@pytest.mark.parametrize("mechanism", ["softmax", "s4d"])
def test_the_first_losses_are_those_of_the_processor(
    isolation: Isolation, on_a_card: Isolation, mechanism: str
) -> None:
    here = logged(job_on("cpu", mechanism), isolation)
    there = logged(job_on("cuda", mechanism), on_a_card)
    assert not there.is_cuda
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("mechanism", ["softmax", "s4d"])
def test_a_training_on_a_card_is_replayed_and_scored(
    on_a_card: Isolation, tmp_path: Path, mechanism: str
) -> None:
    """`train` refuses what its replay does not reach; the referee's re-checks find nothing."""
    run = train(job_on("cuda", mechanism), on_a_card, tmp_path, ignore)
    assert run.hardware.device == on_a_card.card.name  # type: ignore[union-attr]
    assert run.isolation.profile == "train"
    assert score_run(run, tmp_path, on_a_card).findings == ()


@pytest.mark.gpu
def test_a_training_on_a_card_that_is_killed_goes_on_as_it_was(
    on_a_card: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "CHECKPOINT_SECONDS", 0.0)
    asked = job_on("cuda", "softmax")

    def stop(progress: Progress) -> None:
        if progress.step == 10:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(asked, on_a_card, tmp_path / "killed", stop)
    train(asked, on_a_card, tmp_path / "killed", ignore)
    train(asked, on_a_card, tmp_path / "whole", ignore)
    a, b = (read_tensors(tmp_path / f / "best.safetensors")[0] for f in ("whole", "killed"))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.gpu
def test_two_workers_share_a_card(on_a_card: Isolation) -> None:
    asked = job_on("cuda", "softmax")
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: logged(asked, on_a_card), range(2))
    assert torch.equal(one, other)


@pytest.mark.gpu
def test_a_worker_on_a_card_is_seen_there(on_a_card: Isolation) -> None:
    """Fails in a container that hides process ids from the driver."""
    asked = job_on("cuda", "softmax")
    with NetworkSession(on_a_card, asked, task_shape(get_task(asked.task))) as session:
        session.build(0)
        time.sleep(2 * LOOK_SECONDS)
        assert (session.usage().peak_device_memory_bytes or 0) > 2**20
