"""What a network computes on, seen from the judge's side and from the worker's.

The judge itself computes on the processor, always: what a worker answers arrives there.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from agent_sandbox.isolation.cards import Card
from agent_sandbox.isolation.protocol import Isolation
from lra_design.errors import DataError, UsageError
from lra_design.records import Device, Hardware

HOST_BYTES = 4 * 1024**3
"""Memory of the machine that a worker with a card may take beyond what others may, for CUDA and its
libraries. Not measured."""
ARITHMETIC = "float32 without TF32, deterministic where PyTorch can"
"""What `settle_arithmetic` asks of a card, for the record."""


def device_of(card: Card | None) -> Device:
    """The kind of device a network is computed on."""
    return "cpu" if card is None else "cuda"


def device_name(card: Card | None) -> str:
    """`cpu`, or the name of the card: two of one name count as one device."""
    return "cpu" if card is None else card.name


def seconds_of(card: Card | None) -> str:
    """What device-seconds are those of: the name of the card, or of the processor."""
    return _processor() if card is None else card.name


def hardware(card: Card | None = None) -> Hardware:
    """Where a run is computed: workers use one thread each, and the card if there is one."""
    return Hardware(
        machine=platform.machine(),
        processor=_processor(),
        num_cpus=len(os.sched_getaffinity(0)),
        device=device_name(card),
        num_threads=1,
        driver=card.driver if card else None,
        arithmetic=ARITHMETIC if card else None,
    )


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def require_device(asked: Device, isolation: Isolation) -> None:
    """Raise UsageError unless the isolation's workers compute on what was asked for."""
    found = device_of(isolation.card)
    if asked != found:
        raise UsageError(
            f"expected workers that compute on '{asked}', as the training was asked for, found "
            f"'{found}'. Open the isolation with {'a' if asked == 'cuda' else 'no'} card."
        )


def require_same_device(kept: str, now: str, checkpoint: Path) -> None:
    """Raise DataError when a checkpoint is of a training on another device.

    Its numbers would be those of neither. A fresh start would throw away what was computed.
    """
    if kept != now:
        raise DataError(
            f"{checkpoint} is of a training on {kept}, expected one on {now}: numbers differ from "
            "device to device. Go on with it there, or remove the file to begin again here."
        )


def settle_arithmetic(device: Device) -> None:
    """Have this process compute alike every time, as far as PyTorch can.

    TF32 keeps 10 bits of a factor: the referee could not tell a leak from rounding. What has no
    deterministic form (a cumulative sum, say) is computed all the same, for candidates need it.
    """
    if device == "cpu":
        return
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
