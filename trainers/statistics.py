"""How the activations of each layer are distributed, for TensorBoard; nothing is judged by it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainers.batches import Batch
from trainers.host import Host

STATISTICS = ("mean", "deviation", "largest")
"""Of the output of a block over real positions: mean, standard deviation, largest size."""


@torch.no_grad()
def block_statistics(network: Host, batch: Batch) -> Tensor:
    """(layers, 3) float32 of the outputs of the blocks, as `STATISTICS`."""
    rows: list[Tensor] = []

    def note(block: nn.Module, arguments: tuple[Tensor, Tensor | None], output: Tensor) -> None:
        mask_BL = arguments[1]
        real = (output if mask_BL is None else output[~mask_BL]).float()
        rows.append(torch.stack([real.mean(), real.std(unbiased=False), real.abs().max()]))

    hooks = [block.register_forward_hook(note) for block in network.blocks]
    try:
        network.features(batch.tokens_BL, batch.key_padding_mask_BL)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(rows)
