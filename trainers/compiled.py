"""The network as `torch.compile` makes it, or as it is where that fails or is not asked for.

Compiled with symbolic sizes, so that another length is no reason to compile again. Where all
sequences have one length, and a batch is one part, the kernels of a step are recorded as a CUDA
graph (mode `reduce-overhead`) and launched at once. Dropout then draws from the compiler's own
generator: numbers are not those of the uncompiled network.

Compiling was tried on processors with the backends `eager` and `aot_eager`; on CUDA it was written
from PyTorch's documentation and never run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from trainers.host import Host

CompileState = Literal["off", "on", "failed"]
"""Whether the network is compiled; `failed`: it was tried, and the training went on without."""


class CompiledNetwork:
    """Calls a network for its logits, compiled while that works."""

    def __init__(self, network: Host, backend: str | None, *, one_shape: bool) -> None:
        """backend: of torch.compile, None for none. one_shape: all batches have the same shape."""
        self.state: CompileState = "off" if backend is None else "on"
        self._network = network
        self._graphs = one_shape and backend == "inductor"
        self._call: Callable[[Tensor, Tensor | None], Tensor] = network
        if backend is not None:
            self._call = torch.compile(
                network,
                backend=backend,
                dynamic=not one_shape,
                mode="reduce-overhead" if self._graphs else None,
            )

    def __call__(self, tokens_BL: Tensor, key_padding_mask_BL: Tensor | None) -> Tensor:
        """The logits, as `Host.forward` gives them."""
        if self.state == "on" and self._graphs:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return self._call(tokens_BL, key_padding_mask_BL)

    def give_up(self) -> None:
        """Go on with the network as it is."""
        self.state, self._call = "failed", self._network

    def expect_parts(self) -> None:
        """A batch is several calls from now on: a graph would overwrite the gradients of the one
        before."""
        if self._graphs:
            self.give_up()
