"""Reference mechanisms in the arithmetic that the peers compute them with, on the same weights.

Each is one of ours with the weights and the answers of ours (to rounding), without causality; what
differs is how it gets there. `benchmarks/peers.py` trains them in the peers' loops.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mechanisms.linear import EPSILON, LinearAttention
from mechanisms.s4d import S4D
from mechanisms.softmax import SoftmaxAttention


class ExplicitSoftmax(SoftmaxAttention):
    """mlpen/Nystromformer, LRA/code/attention.py: all scores (B, H, L, L) stand in memory."""

    def _attend(
        self, q_BLHK: Tensor, k_BSHK: Tensor, v_BSHK: Tensor, visible_BS: Tensor | None
    ) -> Tensor:
        assert visible_BS is not None, "the peers always have a mask"
        heads_first = (part.transpose(1, 2) for part in (q_BLHK, k_BSHK, v_BSHK))
        return self._weigh(*heads_first, visible_BS.to(q_BLHK.dtype)).transpose(1, 2)

    def _weigh(self, q_BHLK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, mask_BS: Tensor) -> Tensor:
        scores_BHLS = q_BHLK @ k_BHSK.transpose(-2, -1)
        scores_BHLS = scores_BHLS / math.sqrt(q_BHLK.shape[-1])
        scores_BHLS = scores_BHLS - 1e6 * (1 - mask_BS[:, None, None, :])
        return self._dropped(scores_BHLS.softmax(dim=-1)) @ v_BHSK

    def _dropped(self, weights_BHLS: Tensor) -> Tensor:
        return weights_BHLS


class PublishedSoftmax(ExplicitSoftmax):
    """The same as its configuration has it: dropout on the weights too, and the scores thrown away
    and computed again in the backward pass (`attention_grad_checkpointing`)."""

    def _dropped(self, weights_BHLS: Tensor) -> Tensor:
        return F.dropout(weights_BHLS, self.dropout.p, self.training)

    def _weigh(self, q_BHLK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, mask_BS: Tensor) -> Tensor:
        y_BHLK: Tensor = checkpoint(
            super()._weigh, q_BHLK, k_BHSK, v_BHSK, mask_BS, use_reentrant=True
        )
        return y_BHLK


class MaskedLinear(LinearAttention):
    """mlpen/Nystromformer, LRA/code/attention_linear.py: keys and values times the mask.

    Theirs divides q and k by L^(1/4) each, and not by the sum of the weights as the paper and this.
    """

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """As that of `LinearAttention`, with a mask."""
        assert key_padding_mask is not None, "the peers always have a mask"
        mask_B1L1 = (~key_padding_mask).to(x.dtype)[:, None, :, None]
        q_BHLK, k_BHLK, v_BHLK = self._features(self.qkv(x))
        k_BHKL = (k_BHLK * mask_B1L1).transpose(-2, -1)
        total_BHL1 = q_BHLK @ k_BHKL.sum(-1, keepdim=True)
        y_BHLK = q_BHLK @ (k_BHKL @ (v_BHLK * mask_B1L1)) / (total_BHL1 + EPSILON)
        out_BLD: Tensor = self.dropout(self.out(rearrange(y_BHLK, "B H L K -> B L (H K)")))
        return out_BLD


class NaiveS4D(S4D):
    """state-spaces/s4, models/s4/s4.py: the whole Vandermonde matrix, and an FFT of length 2 L.

    What it computes without its CUDA extension and without pykeops.
    """

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """As that of `S4D`."""
        if key_padding_mask is not None:
            x = x * (~key_padding_mask).to(x.dtype)[:, :, None]
        length = x.shape[1]
        x_BDL = x.transpose(1, 2)
        ahead_DL, back_DL = self._vandermonde(length)
        kernel_DM = F.pad(ahead_DL, (0, length)) + F.pad(back_DL.flip(-1), (length, 0))
        spectrum_BDF = torch.fft.rfft(x_BDL, n=2 * length) * torch.fft.rfft(kernel_DM, n=2 * length)
        y_BDL = torch.fft.irfft(spectrum_BDF, n=2 * length)[..., :length]
        y_BDL = y_BDL + x_BDL * self.skip_D[:, None]
        return self._project(y_BDL.transpose(1, 2))

    def _vandermonde(self, length: int) -> Tensor:
        """The two kernels `(2, D, length)`."""
        exponent_DN, c_RDN = self._discretise()
        powers_DNL = torch.exp(exponent_DN[:, :, None] * torch.arange(length, device=c_RDN.device))
        return 2.0 * torch.einsum("rdn,dnl->rdl", c_RDN, powers_DNL).real
