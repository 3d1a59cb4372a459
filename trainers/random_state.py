"""The random generators that dropout draws from: the processor's, and that of a CUDA device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The states of the generators that a network on `device` draws from, in the host's memory."""
    states = {"rng": torch.get_rng_state()}
    if device.type == "cuda":
        states["rng_cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Go back to what `random_state` gave on such a device."""
    torch.set_rng_state(states["rng"].cpu())
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["rng_cuda"].cpu(), device)


@contextmanager
def same_random_state(device: torch.device) -> Iterator[None]:
    """Whatever is drawn meanwhile, the generators are then as before."""
    states = random_state(device)
    try:
        yield
    finally:
        set_random_state(states, device)
