"""What every reference mechanism costs, beside softmax attention and its own naive twin.

    python benchmarks/shelf.py [--only NAME ...] [--device cuda] [--plot docs/mechanisms.png]

For each reference: its certificate in each mode it supports, from the validator in its sandbox;
what one forward costs, counted; and, in a child process of its own and one thread, the time of
forward and backward of one example and the memory they take at lengths from 256 to 16,384.
Softmax attention is timed in the same run, right after wherever it is fast, and the naive twin
of `tests/twins/` (which loops over positions, in float64) at the first length.

Writes a line for each into `leaderboards/measured.jsonl`, in place of the line that was there, so
that an interrupted run loses one reference; --missing does those whose source has changed.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from agent_sandbox.candidate import load_mechanism
from agent_sandbox.isolation import Isolation, open_isolation
from agent_sandbox.validator.counting import count_cost
from agent_sandbox.validator.validate import validate
from leaderboards.measured import PATH, Certificate, Count, Measured, Mode, Timing, measured
from lra_design import Mechanism, MechanismConfig
from lra_design.files import write_atomically
from lra_design.records import to_json
from lra_design.versions import current_versions
from mechanisms import REFERENCES, SHELF, reference_hash, reference_source
from trainers.device import hardware

D_MODEL, NUM_HEADS = 64, 2
LENGTHS = (256, 1024, 4096, 16384)
COUNTED = (1024, 4096)
REPEATS = 3
REPEAT_SECONDS = 10.0
"""No repetition begins after this long."""
PAIRED_SECONDS = 0.5
"""Softmax attention is timed again for each reference where it takes less than this."""
MEMORY_BYTES = 10 * 1024**3


def build(name: str, causal: bool, length: int) -> Mechanism:
    torch.manual_seed(0)
    config = MechanismConfig(
        d_model=D_MODEL, num_heads=NUM_HEADS, max_seq_len=length, causal=causal
    )
    return load_mechanism(reference_source(name))(config)


def modes(name: str) -> list[Mode]:
    cls = load_mechanism(reference_source(name))
    both: dict[Mode, bool] = {
        "causal": cls.supports_causal,
        "bidirectional": cls.supports_bidirectional,
    }
    return [mode for mode, supported in both.items() if supported]


def certify(name: str, mode: Mode, isolation: Isolation) -> Certificate:
    report = validate(reference_source(name).encode(), isolation, mode=mode)
    if not report.certified or report.scaling is None:
        findings = [f"{finding.check} {finding.found}" for finding in report.findings]
        raise SystemExit(f"{name} ({mode}) is not certified: {'; '.join(findings)}")
    return Certificate(
        mode=mode,
        num_checks=len(report.checks),
        warnings=tuple(finding.check for finding in report.findings),
        exponents=report.scaling.exponents,
        counts=tuple(count(name, mode == "causal", length) for length in COUNTED),
    )


def count(name: str, causal: bool, length: int) -> Count:
    flops, peak = count_cost(build(name, causal, length), length, D_MODEL)
    return Count(seq_len=length, flops=flops, peak_memory_bytes=peak)


Step = Callable[[], None]


def reference_step(name: str, causal: bool, length: int, device: str) -> Step:
    mechanism = build(name, causal, length).to(device)
    x_BLD = torch.randn(1, length, D_MODEL, device=device, requires_grad=True)

    def step() -> None:
        mechanism(x_BLD).square().sum().backward()

    return step


def naive_step(name: str, causal: bool, length: int, device: str) -> Step:
    mechanism = build(name, causal, length).double().to(device)
    twin = importlib.import_module(f"twins.{name}")
    x_LD = torch.randn(length, D_MODEL, dtype=torch.float64, device=device, requires_grad=True)

    def step() -> None:
        twin.forward(mechanism, x_LD).square().sum().backward()

    return step


Cost = tuple[float, int] | None
"""Seconds and bytes; None where it did not fit."""


def measure(make: Callable[[], Step], device: str) -> Cost:
    """In a child process, so that the memory one takes is not there for the next."""
    if device == "cuda":
        return _measured(make, device)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_measure_into, args=(sender, make))
    child.start()
    sender.close()
    try:
        cost: Cost = receiver.recv()
    except EOFError:  # killed for its memory
        cost = None
    child.join()
    return cost


def _measure_into(sender: Connection, make: Callable[[], Step]) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    sender.send(_measured(make, "cpu"))


def _measured(make: Callable[[], Step], device: str) -> Cost:
    try:
        step = make()
        before = _reset_peak(device)
        step()
        grown = _peak_bytes(device) - before
        seconds: list[float] = []
        while len(seconds) < REPEATS and sum(seconds) < REPEAT_SECONDS:
            started = _clock(device)
            step()
            seconds.append(_clock(device) - started)
    except (MemoryError, RuntimeError) as error:
        if "memory" not in str(error) and not isinstance(error, MemoryError):
            raise
        return None
    return statistics.median(seconds), grown


def _clock(device: str) -> float:
    """Of the processor on a CPU, where others may be at work beside us."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def _reset_peak(device: str) -> int:
    """The memory in use now, from which on the peak is looked for."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    # What a first backward loads is no mechanism's doing.
    torch.ones(1, requires_grad=True).square().sum().backward()
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak_bytes(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device == "cuda" else _status("VmHWM")


def _status(field: str) -> int:
    """Bytes of the process that `/proc` has under this name."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{field}:")]
    return 1024 * int(line.split()[1])


@functools.cache
def softmax_cost(causal: bool, length: int, device: str, number: int) -> Cost:
    """number: counts the measurements of what is not measured once for all."""
    return measure(functools.partial(reference_step, "softmax", causal, length, device), device)


def softmax_seconds(causal: bool, length: int, device: str, number: int) -> float | None:
    cost = softmax_cost(causal, length, device, 0)
    if cost is not None and cost[0] < PAIRED_SECONDS:
        cost = softmax_cost(causal, length, device, number)
    return cost[0] if cost else None


def timings(name: str, device: str) -> Iterator[Timing]:
    causal, number = "causal" in modes(name), 1 + REFERENCES.index(name)
    for length in LENGTHS:
        cost = measure(functools.partial(reference_step, name, causal, length, device), device)
        first = length == LENGTHS[0]
        naive = functools.partial(naive_step, name, causal, length, device)
        naive_cost = measure(naive, device) if first else None
        yield Timing(
            device=device,
            seq_len=length,
            seconds=cost[0] if cost else None,
            peak_memory_bytes=cost[1] if cost else None,
            softmax_seconds=softmax_seconds(causal, length, device, number),
            naive_seconds=naive_cost[0] if naive_cost else None,
        )


def examine(name: str, isolation: Isolation, device: str, known: Measured | None) -> Measured:
    """Everything there is to measure; the certificates of this very source once for all."""
    kept = [t for t in known.timings if t.device != device] if known else []
    certified = known and known.versions == current_versions()
    certificates = (
        known.certificates
        if known and certified
        else tuple(certify(name, mode, isolation) for mode in modes(name))
    )
    causal = "causal" in modes(name)
    return Measured(
        name=name,
        source_hash=reference_hash(name),
        num_parameters=sum(p.numel() for p in build(name, causal, COUNTED[0]).parameters()),
        certificates=certificates,
        timings=(*kept, *timings(name, device)),
        hardware=hardware(),
        versions=current_versions(),
    )


def keep(found: Measured) -> None:
    """Write the line in place of the one that was there."""
    lines = {**measured(), found.name: found}
    text = "".join(to_json(lines[name]) + "\n" for name in REFERENCES if name in lines)
    write_atomically(PATH, text.encode())


def show(found: Measured) -> None:
    for timing in found.timings:
        seconds, softmax, naive = timing.seconds, timing.softmax_seconds, timing.naive_seconds
        cells = [f"{found.name:22s} {timing.device} L {timing.seq_len:6d}"]
        if seconds is None or timing.peak_memory_bytes is None:
            cells.append("does not fit")
        else:
            cells.append(f"{1e3 * seconds:9.1f} ms {timing.peak_memory_bytes / 1e6:8.1f} MB")
            cells.append(f"{seconds / softmax:6.2f} x softmax" if softmax else "")
            cells.append(f"naive twin {naive / seconds:5.1f} x slower" if naive else "")
        print("  ".join(cells), flush=True)


def plot(path: Path) -> None:
    """Time and memory over the length, a panel for each kind, softmax attention in all of them."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    found, kinds = measured(), list(SHELF)
    figure, axes = plt.subplots(4, 4, figsize=(16, 15), sharex=True)
    quantities = (("seconds", "seconds"), ("peak_memory_bytes", "bytes"))
    for (quantity, unit), rows in zip(quantities, (axes[:2], axes[2:]), strict=True):
        for kind, axis in zip(kinds, rows.flatten(), strict=True):
            names = [name for name in ("softmax", *SHELF[kind]) if name in found]
            for name in dict.fromkeys(names):
                points = [t for t in found[name].timings if t.device == "cpu"]
                style = {"color": "black", "linestyle": "--"} if name == "softmax" else {}
                axis.loglog(
                    [t.seq_len for t in points],
                    [getattr(t, quantity) or float("nan") for t in points],
                    marker="o",
                    markersize=3,
                    label=name,
                    **style,
                )
            axis.set_title(f"{kind}: {unit}", fontsize=10)
            axis.set_xticks(LENGTHS, [f"{length:,}" for length in LENGTHS])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7)
    for row in (axes[:2], axes[2:]):
        low = min(axis.get_ylim()[0] for axis in row.flatten())
        high = max(axis.get_ylim()[1] for axis in row.flatten())
        for axis in row.flatten():
            axis.set_ylim(low, high)
    figure.suptitle("Forward and backward of one example, width 64, 2 heads, one CPU thread\n")
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main(names: list[str], device: str) -> None:
    with open_isolation() as isolation:
        for name in names:
            found = examine(name, isolation, device, measured().get(name))
            keep(found)
            show(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=REFERENCES, default=REFERENCES)
    parser.add_argument("--missing", action="store_true", help="those not measured as they are now")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw what is measured, only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    if arguments.plot:
        plot(arguments.plot)
    else:
        current = measured() if arguments.missing else {}
        main([name for name in arguments.only if name not in current], arguments.device)
