"""What a worker needs to reach a GPU, and nothing more. Written from documentation, not run.

Sources: the NVIDIA container toolkit's list of device nodes, and reports of sandboxes in which
cuInit failed (no /sys: error 304; /dev without device access: 100; /proc/self read-only: 304).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from agent_sandbox.isolation.cards import VISIBLE_VARIABLE

_CONTROL = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
_READABLE = (
    # driver libraries that are not below /usr/lib: containers, NixOS, WSL
    "/usr/local/nvidia",
    "/run/opengl-driver",
    "/usr/lib/wsl",
    # how the driver finds the cards and their distance to the processors
    "/sys/bus/pci",
    "/sys/devices",
    "/sys/module/nvidia",
    "/sys/module/nvidia_uvm",
    "/proc/driver/nvidia",
    "/proc/devices",
    "/proc/modules",
    "/proc/sys/vm/mmap_min_addr",
)


@dataclass(frozen=True)
class CudaReach:
    """Paths as the worker sees them."""

    devices: tuple[str, ...]
    """Device nodes to read, write and control."""
    readable: tuple[str, ...]


def cuda_reach(root: Path = Path("/"), gpus: Collection[int] | None = None) -> CudaReach | None:
    """What is there below `root` for the cards numbered `gpus` (None: all); None without a card.

    A card is /dev/nvidia<number>, or /dev/dxg under WSL. MIG slices need nvidia-caps besides.
    """
    folder = root / "dev"
    cards = sorted(path.name for path in folder.glob("nvidia*") if _chosen(path.name, gpus))
    wsl = ["dxg"] if (folder / "dxg").exists() else []
    if not cards and not wsl:
        return None
    control = [name for name in _CONTROL if (folder / name).exists()]
    slices = sorted(f"nvidia-caps/{path.name}" for path in folder.glob("nvidia-caps/*"))
    return CudaReach(
        devices=tuple(f"/dev/{name}" for name in (*control, *cards, *slices, *wsl)),
        readable=tuple(path for path in _READABLE if (root / path.lstrip("/")).exists()),
    )


def start_cuda(uuid: str) -> None:
    """Initialise CUDA in this process, for one card.

    Before any candidate is there, who could be blamed for a driver that fails. Raises RuntimeError.
    """
    import torch

    # cuBLAS adds up in the same order every time only with a fixed place to work in.
    os.environ |= {VISIBLE_VARIABLE: uuid, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    try:
        torch.zeros(1, device="cuda")
    except Exception as error:
        raise RuntimeError(
            f"CUDA does not start in the sandbox, on the card {uuid}: {error}. Look at "
            "`nvidia-smi`; if the card is well, compute on the processor and report this."
        ) from None


def _chosen(name: str, gpus: Collection[int] | None) -> bool:
    number = re.fullmatch(r"nvidia(\d+)", name)
    return number is not None and (gpus is None or int(number[1]) in gpus)
