"""Which GPUs there are, asked of the driver's own tool.

The judge never initialises CUDA: it would take memory on every card for nothing, and what it forked
could not use them. `nvidia-smi` tells names and numbers without. Written from documentation.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lra_design.errors import UsageError

_TOOL = "nvidia-smi"
_TOOL_SECONDS = 30.0
"""The driver may have to wake its cards first."""
_FIELDS = ("uuid", "name", "driver_version", "pci.bus_id")
VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, kw_only=True)
class Card:
    """One NVIDIA card."""

    uuid: str
    """The driver's own name for it, which no order of counting changes."""
    name: str
    """`NVIDIA H200`."""
    driver: str
    """Version."""
    bus: str
    """Address, as `0000:3b:00.0`."""


def cards() -> tuple[Card, ...]:
    """The cards that this PyTorch can use and `CUDA_VISIBLE_DEVICES` leaves, in its order."""
    return () if _built_without() else visible(_all_cards(), os.environ)


def choose_card(asked: str) -> Card | None:
    """The card that `asked` means: `auto`, `cpu`, `cuda` or `cuda:N`, counted as `nvidia-smi` does.

    None: the processor, for `cpu`, and for `auto` where there is no card. Raises UsageError when
    there is no such card.
    """
    if asked == "cpu":
        return None
    there = cards()
    if asked == "auto":
        return there[0] if there else None
    number = re.fullmatch(r"cuda(?::(\d{1,3}))?", asked)
    if number is None:
        raise UsageError(f"unknown device '{asked}': expected auto, cpu, cuda or cuda:N.")
    if int(number[1] or 0) >= len(there):
        raise UsageError(
            f"expected a card for '{asked}', found {_found(there)}. Ask for one that is there, or "
            "compute on the processor with --device cpu."
        )
    return there[int(number[1] or 0)]


def visible(every: tuple[Card, ...], environment: Mapping[str, str]) -> tuple[Card, ...]:
    """Those of `every` card that `CUDA_VISIBLE_DEVICES` names, by number or by the begin of a UUID.

    As in CUDA the first name that fits no card ends the list. Slices of a card are no cards here.
    """
    listed = environment.get(VISIBLE_VARIABLE)
    if listed is None:
        return every
    chosen: list[Card] = []
    for name in listed.split(","):
        named = _named(every, name.strip())
        if named is None or named in chosen:
            break
        chosen.append(named)
    return tuple(chosen)


def _named(every: tuple[Card, ...], name: str) -> Card | None:
    if name.isdecimal():
        return every[int(name)] if int(name) < len(every) else None
    return next((card for card in every if name and card.uuid.startswith(name)), None)


def device_number(card: Card, root: Path = Path("/")) -> int | None:
    """N of the card's /dev/nvidiaN, which is not its number in any list; None: not told."""
    told = root / "proc/driver/nvidia/gpus" / card.bus / "information"
    try:
        minor = re.search(r"^Device Minor:\s*(\d+)\s*$", told.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(minor[1]) if minor else None


def ask_driver(*question: str) -> list[list[str]]:
    """Rows and columns of what `nvidia-smi` answers; none where it is not there or fails."""
    tool = shutil.which(_TOOL) or shutil.which(_TOOL, path="/usr/lib/wsl/lib")
    if tool is None:
        return []
    command = [tool, *question, "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_TOOL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = answer.stdout.splitlines() if answer.returncode == 0 else []
    return [[column.strip() for column in line.split(",")] for line in lines if line.strip()]


def _all_cards() -> tuple[Card, ...]:
    rows = [row for row in ask_driver(f"--query-gpu={','.join(_FIELDS)}") if len(row) == 4]
    return tuple(
        Card(uuid=uuid, name=name, driver=driver, bus=_short(bus))
        for uuid, name, driver, bus in rows
    )


def _short(bus: str) -> str:
    """The address as the kernel writes it: the tool's has a domain of eight digits."""
    domain, _, rest = bus.lower().partition(":")
    return f"{domain[-4:]}:{rest}"


def _built_without() -> bool:
    """Whether this PyTorch was built without CUDA; asking does not initialise it."""
    import torch

    return torch.version.cuda is None


def _found(there: tuple[Card, ...]) -> str:
    if there:
        return ", ".join(f"cuda:{number} {card.name}" for number, card in enumerate(there))
    if _built_without():
        return "a PyTorch that was built without CUDA"
    if not _all_cards():
        return f"none that {_TOOL} tells of"
    return f"none left by {VISIBLE_VARIABLE}={os.environ.get(VISIBLE_VARIABLE)}"
