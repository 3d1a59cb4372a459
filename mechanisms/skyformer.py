"""Skyformer: attention with a Gaussian kernel for the softmax, by the Nystrom approximation.

Chen et al., "Skyformer: Remodel Self-Attention with Gaussian Kernel and Nystrom Method", 2021
(arXiv:2111.00035), equation 3 (kernelized attention), sections 4.2-4.4.

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (H, K);
                                                   q and k are divided by K^(1/4)
    kappa(x, y) = exp(-|x - y|^2 / 2)
    exact:    y_t = sum_s kappa(q_t, k_s) v_s      per head; the weights are not normalised
    nystrom:  y_t = kappa(q_t, S) G^-1 sum_s kappa(S, k_s) v_s
              G = kappa(S, S) + 0.1 I  (M, M)      S: M landmarks, M / 2 queries and M / 2 keys
    out_t = W_out y_t                              W_out (D, D)

G is scaled by its row sums r to N = r^(-1/2) G r^(-1/2) (lemma 3), whose inverse is reached from
N^T / max_j sum_i N[i, j] in six steps Z <- Z (13 I - N Z (15 I - N Z (7 I - N Z))) / 4.

Differences from the paper: no biases. Which positions are landmarks is drawn once, in `__init__`,
and not anew in every forward: the n real positions of a row are cut into m = min(M / 2, n) equal
parts, and of each part one position is drawn for the queries and one for the keys, where the
authors' code draws any positions, some of them twice. The start of the iteration is scaled for
each head of each example, where their code takes the largest sum of the whole batch. All of it
runs in float32 under autocast. There is no causal form, as a landmark may stand anywhere.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

NUM_ITERATIONS = 6
RIDGE = 0.1
SHARE_BITS = 20


class Skyformer(Mechanism):
    """Multi-head kernelized attention; time O(L M), in its exact form O(L^2)."""

    claimed_cost: ClassVar[float | None] = 1.0
    supports_causal: ClassVar[bool] = False
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "form": {"type": "categorical", "choices": ["nystrom", "exact"]},
        "num_landmarks": {"type": "categorical", "choices": [32, 64, 128, 256]},
    }
    shares_2M: Tensor

    def __init__(
        self, config: MechanismConfig, form: str = "nystrom", num_landmarks: int = 128
    ) -> None:
        """form: "nystrom" or "exact". num_landmarks: M, of which the exact form has no need.

        Raises ValueError when either makes no sense or the mode is causal.
        """
        super().__init__(config)
        if config.causal:
            raise ValueError("Skyformer has landmarks anywhere: build it with causal False")
        if form not in ("nystrom", "exact"):
            raise ValueError(f'form must be "nystrom" or "exact", found "{form}"')
        if num_landmarks < 2 or num_landmarks % 2:
            raise ValueError(f"num_landmarks must be even and at least 2, found {num_landmarks}")
        self.form = form
        # Integers, so that the same positions are chosen in every precision.
        shares_2M = torch.randint(2**SHARE_BITS, (2, num_landmarks // 2))
        self.register_buffer("shares_2M", shares_2M)
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        qkv_BLE = self.qkv(x)
        with torch.autocast(x.device.type, enabled=False):
            q_BHLK, k_BHLK, v_BHLK = rearrange(
                qkv_BLE.to(torch.promote_types(qkv_BLE.dtype, torch.float32)),
                "B L (three H K) -> three B H L K",
                three=3,
                H=self.config.num_heads,
            )
            scale = q_BHLK.shape[3] ** -0.25
            q_BHLK, k_BHLK = scale * q_BHLK, scale * k_BHLK
            if key_padding_mask is not None:  # what a key weighs is what its value weighs
                v_BHLK = v_BHLK.masked_fill(key_padding_mask[:, None, :, None], 0.0)
            if self.form == "exact":
                y_BHLK = _gaussian(q_BHLK, k_BHLK) @ v_BHLK
            else:
                s_BHMK, used_B1M1 = self._landmarks(q_BHLK, k_BHLK, key_padding_mask)
                sums_BHMK = used_B1M1 * (_gaussian(s_BHMK, k_BHLK) @ v_BHLK)
                used_B1MM = used_B1M1 * used_B1M1.transpose(-1, -2)
                solved_BHMK = _solve(used_B1MM * _gaussian(s_BHMK, s_BHMK), sums_BHMK)
                y_BHLK = _gaussian(q_BHLK, s_BHMK) @ solved_BHMK
        out_BLD: Tensor = self.dropout(self.out(rearrange(y_BHLK, "B H L K -> B L (H K)")))
        return out_BLD

    def _landmarks(
        self, q_BHLK: Tensor, k_BHLK: Tensor, key_padding_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Landmarks `(B, H, M, K)`, queries before keys, and which are used, `(B, 1, M, 1)` bool.

        A row of fewer than M / 2 real positions has no use for all of them.
        """
        batch_size, _, length, _ = q_BHLK.shape
        if key_padding_mask is None:
            n_B1 = torch.full((batch_size, 1), length, device=q_BHLK.device)
        else:
            n_B1 = (~key_padding_mask).sum(1, keepdim=True)
        shares_2M = self.shares_2M[:, :length]
        i_M = torch.arange(shares_2M.shape[1], device=q_BHLK.device)
        parts_B1 = n_B1.clamp(min=1, max=self.shares_2M.shape[1])
        landmarks = []
        for part_BHLK, share_M in zip((q_BHLK, k_BHLK), shares_2M, strict=True):
            position_BM = n_B1 * ((i_M << SHARE_BITS) + share_M) // (parts_B1 << SHARE_BITS)
            index_BHMK = position_BM.clamp(max=length - 1)[:, None, :, None]
            landmarks.append(part_BHLK.take_along_dim(index_BHMK, dim=2))
        used_BM = (i_M < parts_B1).repeat(1, 2)
        return torch.cat(landmarks, dim=2), used_BM[:, None, :, None]


def _gaussian(x_BHLK: Tensor, y_BHSK: Tensor) -> Tensor:
    """kappa of each x with each y, `(B, H, L, S)`."""
    x_BHL1 = x_BHLK.square().sum(-1, keepdim=True) / 2
    y_BH1S = y_BHSK.square().sum(-1)[:, :, None] / 2
    # Rounding may leave a distance of equal vectors below zero.
    return (x_BHLK @ y_BHSK.transpose(-1, -2) - x_BHL1 - y_BH1S).clamp(max=0.0).exp()


def _solve(kappa_BHMM: Tensor, sums_BHMK: Tensor) -> Tensor:
    """About (kappa + 0.1 I)^-1 sums; rows and columns of zeros take no part."""
    eye_MM = torch.eye(kappa_BHMM.shape[-1], device=kappa_BHMM.device, dtype=kappa_BHMM.dtype)
    g_BHMM = kappa_BHMM + RIDGE * eye_MM
    root_BHM1 = g_BHMM.sum(-1, keepdim=True).rsqrt()
    n_BHMM = root_BHM1 * g_BHMM * root_BHM1.transpose(-1, -2)
    z_BHMM = n_BHMM.transpose(-1, -2) / n_BHMM.sum(-2, keepdim=True).amax(-1, keepdim=True)
    for _ in range(NUM_ITERATIONS):
        nz_BHMM = n_BHMM @ z_BHMM
        inner_BHMM = 15 * eye_MM - nz_BHMM @ (7 * eye_MM - nz_BHMM)
        z_BHMM = 0.25 * z_BHMM @ (13 * eye_MM - nz_BHMM @ inner_BHMM)
    return root_BHM1 * (z_BHMM @ (root_BHM1 * sums_BHMK))
