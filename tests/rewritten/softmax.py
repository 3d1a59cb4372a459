"""Softmax attention with three projections, einsum and a running sum of exponentials by chunks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class StreamedAttention(Mechanism):
    """Keys come in chunks; what was summed so far is rescaled when a larger score appears."""

    def __init__(self, config: MechanismConfig, chunk: int = 24) -> None:
        super().__init__(config)
        width = config.d_model
        self.ask, self.offer, self.value, self.leave = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.drop = nn.Dropout(config.dropout)
        self.chunk = chunk

    def heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.config.num_heads, -1))

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        B, L, _ = x.shape
        q, k, v = (self.heads(layer(x)) for layer in (self.ask, self.offer, self.value))
        q = q / math.sqrt(q.shape[-1])
        hidden = torch.zeros(B, L, dtype=torch.bool, device=x.device)
        if key_padding_mask is not None:
            hidden = key_padding_mask.clone()
            hidden[:, 0] = False
        at = torch.arange(L, device=x.device)
        total, norm, top = torch.zeros_like(q), q.new_zeros(q.shape[:3]), None
        for start in range(0, L, self.chunk):
            keys = slice(start, start + self.chunk)
            scores = torch.einsum("bthk,bshk->bths", q, k[:, keys])
            blind = hidden[:, None, None, keys]
            if self.config.causal:
                blind = blind | (at[keys][None, None, None, :] > at[None, :, None, None])
            scores = scores.masked_fill(blind, -1e30 if scores.dtype != torch.float16 else -6e4)
            highest = scores.amax(-1)
            fresh = highest if top is None else torch.maximum(top, highest)
            fade = torch.zeros_like(fresh) if top is None else (top - fresh).exp()
            part = (scores - fresh[..., None]).exp().masked_fill(blind, 0.0)
            norm = norm * fade + part.sum(-1)
            total = total * fade[..., None] + torch.einsum("bths,bshk->bthk", part, v[:, keys])
            top = fresh
        return self.drop(self.leave((total / norm[..., None]).flatten(2)))
