"""A small network that says how likely each next choice is, and learns from pairs.

It is a fully visible belief network (Neal 1992, doi 10.1016/0004-3702(92)90065-6; Bengio and Bengio
2000) over the choices: one layer, from how often each option was chosen so far to a logit for each
option of the slot at hand,

    p(option | before) = softmax(log prior + bias + weights . counts of the options before)

All that is learnt begins at zero, so that it begins as the language's own distribution exactly, and
the penalty on it pulls it back there. There is no random number in it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agent_sandbox.agents.preferences.choices import Choices, Choose, Slots
from agent_sandbox.agents.preferences.orpo import mean_log_probability, orpo_loss

MAX_ITERATIONS = 50
"""Of L-BFGS (Liu and Nocedal 1989, doi 10.1007/BF01589116)."""


class ChoiceNetwork(nn.Module):
    """p(next choice | the choices before).

    A *token* is an option of a slot. Letters: P programs, T choices of the longest, V tokens.
    """

    def __init__(self, slots: Slots) -> None:
        super().__init__()
        pairs = [(slot, option) for slot, options in slots.items() for option in options]
        self._tokens = {pair: token for token, pair in enumerate(pairs)}
        self._options = {
            slot: [self._tokens[slot, option] for option in options]
            for slot, options in slots.items()
        }
        self._prior_V = torch.tensor(
            [slots[slot][option] for slot, option in pairs], dtype=torch.float64
        ).log()
        self._slot_VV = torch.tensor([[a == b for b, _ in pairs] for a, _ in pairs])
        self.weight_VV = nn.Parameter(torch.zeros(len(pairs), len(pairs), dtype=torch.float64))
        self.bias_V = nn.Parameter(torch.zeros(len(pairs), dtype=torch.float64))

    def spelled(self, programs: Sequence[Choices]) -> tuple[Tensor, Tensor]:
        """The programs' tokens (P, T), and where there is one, bool (P, T): the rest is zero."""
        longest = max(map(len, programs))
        rows = [[self._tokens[pair] for pair in program] for program in programs]
        taken_PT = torch.arange(longest) < torch.tensor([[len(row)] for row in rows])
        return torch.tensor([row + [0] * (longest - len(row)) for row in rows]), taken_PT

    def forward(self, tokens_PT: Tensor, taken_PT: Tensor) -> Tensor:
        """The mean log-probability of each program's choices, (P,)."""
        chosen_PTV = F.one_hot(tokens_PT, len(self._tokens)).double() * taken_PT[:, :, None]
        logit_PTV = self._logits(chosen_PTV.cumsum(1) - chosen_PTV)
        logit_PTV = logit_PTV.masked_fill(~self._slot_VV[tokens_PT], -torch.inf)
        log_p_PT = logit_PTV.log_softmax(-1).gather(2, tokens_PT[:, :, None])[:, :, 0]
        return mean_log_probability(log_p_PT, taken_PT)

    def _logits(self, counts: Tensor) -> Tensor:
        """Of every token, from how often each was chosen before, (..., V)."""
        return self._prior_V + self.bias_V + counts @ self.weight_VV

    @torch.no_grad()
    def chooser(self, rng: random.Random) -> tuple[Choose, list[tuple[str, str]]]:
        """A way to choose for one program, and the list in which it writes down what it chose."""
        chosen: list[tuple[str, str]] = []
        names = list(self._tokens)
        bias, weight = (self._prior_V + self.bias_V).numpy(), self.weight_VV.numpy()
        logits = bias.copy()

        def choose(slot: str) -> str:
            here = logits[self._options[slot]]
            weights = np.exp(here - here.max()).tolist()
            (token,) = rng.choices(self._options[slot], weights)
            logits[:] += weight[token]
            chosen.append(names[token])
            return names[token][1]

        return choose, chosen


def learn(
    network: ChoiceNetwork,
    programs: Sequence[Choices],
    pairs: Sequence[tuple[int, int]],
    *,
    odds_weight: float,
    penalty: float,
) -> None:
    """Bring `network` to the minimum of ORPO's loss over `pairs` and a penalty on its weights.

    pairs: (better, worse), places in `programs`. penalty: of half the sum of the squares of what is
    learnt. Without pairs the network stays as it is.
    """
    if not pairs:
        return
    better_N, worse_N = torch.tensor(pairs).T
    spelled = network.spelled(programs)
    optimizer = torch.optim.LBFGS(
        network.parameters(), max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        log_p_P = network(*spelled)
        squares = sum((learnt**2).sum() for learnt in network.parameters())
        total = orpo_loss(log_p_P[better_N], log_p_P[worse_N], odds_weight) + penalty / 2 * squares
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
