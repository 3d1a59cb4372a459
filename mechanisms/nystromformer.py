"""Nystromformer: softmax attention through landmarks, by the Nystrom approximation.

Xiong et al., "Nystromformer: A Nystrom-Based Algorithm for Approximating Self-Attention", 2021
(arXiv:2102.03902), equations 9-15 and algorithm 1.

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (H, K)
    Q~, K~                                         means of q and k over M segments, (M, K)
    A_1 = softmax(Q K~^T / sqrt(K))  (L, M)        A_2 = softmax(Q~ K~^T / sqrt(K))  (M, M)
    A_3 = softmax(Q~ K^T / sqrt(K))  (M, L)
    Z_0 = A_2^T / max_j sum_i A_2[i, j]            six times, to the pseudo-inverse of A_2:
    Z <- Z (13 I - A_2 Z (15 I - A_2 Z (7 I - A_2 Z))) / 4
    y = A_1 Z A_3 V + conv(V)                      per head; conv with 35 taps, the same for all
    out_t = W_out y_t                              channels of a head; W_out (D, D)

Differences from the paper: no biases. Landmarks are means over the real positions of each row:
position t of n is in segment floor(t m / n) of m = min(M, n), so segments need not be of equal
length and nothing depends on padding. Z_0 is scaled for each head of each example, where the
authors' code by default takes the largest sum of the whole batch. An input of at most M positions
is treated like any other, where their code falls back to softmax attention. All of it runs in
float32 under autocast. There is no causal form, as a landmark mixes the positions of a segment.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

NUM_ITERATIONS = 6


class Nystromformer(Mechanism):
    """Multi-head attention through `num_landmarks` landmarks; time O(L M)."""

    claimed_cost: ClassVar[float | None] = 1.0
    supports_causal: ClassVar[bool] = False
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "num_landmarks": {"type": "categorical", "choices": [32, 64, 128, 256]},
    }

    def __init__(
        self, config: MechanismConfig, num_landmarks: int = 64, kernel_width: int = 35
    ) -> None:
        """num_landmarks: M. kernel_width: taps of the convolution of the values, an odd number.

        Raises ValueError when either makes no sense or the mode is causal.
        """
        super().__init__(config)
        if config.causal:
            raise ValueError("Nystromformer mixes whole segments: build it with causal False")
        if num_landmarks < 1:
            raise ValueError(f"num_landmarks must be at least 1, found {num_landmarks}")
        if kernel_width < 1 or kernel_width % 2 == 0:
            raise ValueError(f"kernel_width must be odd and at least 1, found {kernel_width}")
        self.num_landmarks = num_landmarks
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.conv = nn.Conv2d(
            config.num_heads,
            config.num_heads,
            (kernel_width, 1),
            padding="same",
            groups=config.num_heads,
            bias=False,
        )
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        qkv_BLE = self.qkv(x)
        with torch.autocast(x.device.type, enabled=False):
            qkv_BLE = qkv_BLE.to(torch.promote_types(qkv_BLE.dtype, torch.float32))
            real_BL = _real(x, key_padding_mask)
            q_BHLK, k_BHLK, v_BHLK = rearrange(
                qkv_BLE.masked_fill(~real_BL[:, :, None], 0.0),
                "B L (three H K) -> three B H L K",
                three=3,
                H=self.config.num_heads,
            )
            y_BHLK = self._attend(q_BHLK, k_BHLK, v_BHLK, real_BL) + self.conv(v_BHLK)
        out_BLD: Tensor = self.dropout(self.out(rearrange(y_BHLK, "B H L K -> B L (H K)")))
        return out_BLD

    def _attend(self, q_BHLK: Tensor, k_BHLK: Tensor, v_BHLK: Tensor, real_BL: Tensor) -> Tensor:
        """`A_1 Z A_3 V`, `(B, H, L, K)`."""
        segments_B1ML = _segments(real_BL, self.num_landmarks)
        used_B1M1 = segments_B1ML.any(-1, keepdim=True)
        size_B1M1 = segments_B1ML.sum(-1, keepdim=True).clamp(min=1)
        mean_B1ML = segments_B1ML.to(q_BHLK.dtype) / size_B1M1
        q_BHLK = q_BHLK * q_BHLK.shape[3] ** -0.5
        q_BHMK, k_BHKM = mean_B1ML @ q_BHLK, (mean_B1ML @ k_BHLK).transpose(-1, -2)
        unused_B11M = ~used_B1M1.transpose(-1, -2)
        first_BHLM = (q_BHLK @ k_BHKM).masked_fill(unused_B11M, -torch.inf).softmax(-1)
        second_BHMM = (q_BHMK @ k_BHKM).masked_fill(unused_B11M, -torch.inf).softmax(-1)
        scores_BHML = q_BHMK @ k_BHLK.transpose(-1, -2)
        third_BHML = scores_BHML.masked_fill(~real_BL[:, None, None], -torch.inf).softmax(-1)
        inverse_BHMM = _pseudo_inverse(second_BHMM * used_B1M1)
        return first_BHLM @ (inverse_BHMM @ (third_BHML @ v_BHLK))


def _real(x_BLD: Tensor, key_padding_mask: Tensor | None) -> Tensor:
    """`(B, L)`, True = a real position, or `(1, L)` when all are.

    Position 0 always counts as one: it is real unless the whole row is padding.
    """
    if key_padding_mask is None:
        return x_BLD.new_ones(1, x_BLD.shape[1], dtype=torch.bool)
    real_BL = ~key_padding_mask
    real_BL[:, 0] = True
    return real_BL


def _segments(real_BL: Tensor, num_landmarks: int) -> Tensor:
    """`(B, 1, M, L)`, True where a position is real and in a segment; those past n have none."""
    length = real_BL.shape[1]
    n_B1 = real_BL.sum(-1, keepdim=True)
    t_L = torch.arange(length, device=real_BL.device)
    segment_BL = t_L * n_B1.clamp(max=num_landmarks) // n_B1
    m_M1 = torch.arange(min(num_landmarks, length), device=real_BL.device)[:, None]
    return ((segment_BL[:, None] == m_M1) & real_BL[:, None])[:, None]


def _pseudo_inverse(a_BHMM: Tensor) -> Tensor:
    """Close to the Moore-Penrose inverse; rows and columns of zeros stay zeros."""
    eye_MM = torch.eye(a_BHMM.shape[-1], device=a_BHMM.device, dtype=a_BHMM.dtype)
    z_BHMM = a_BHMM.transpose(-1, -2) / a_BHMM.sum(-2, keepdim=True).amax(-1, keepdim=True)
    for _ in range(NUM_ITERATIONS):
        az_BHMM = a_BHMM @ z_BHMM
        inner_BHMM = 15 * eye_MM - az_BHMM @ (7 * eye_MM - az_BHMM)
        z_BHMM = 0.25 * z_BHMM @ (13 * eye_MM - az_BHMM @ inner_BHMM)
    return z_BHMM
