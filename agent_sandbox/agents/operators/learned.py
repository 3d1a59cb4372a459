"""Drafts by a small network that learns, round by round, which choices come out better.

The first round draws from the grammar as it is. Before each later one a new network is trained
with ORPO on every pair of earlier drafts of which one measurably came out better, and writes the
next round: what it learns from is what its own predecessors wrote. Everything follows from the seed
and the finished rounds, so a search that was cut goes on as it would have.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent_sandbox.agents.operators.grammar import GrammarOperators
from agent_sandbox.agents.operators.protocol import Action
from agent_sandbox.agents.preferences.choices import Choices, GenomeLanguage, Language
from agent_sandbox.agents.preferences.network import ChoiceNetwork, learn
from agent_sandbox.agents.preferences.pairs import ordered_siblings
from lra_design.errors import UsageError
from lra_design.records import Attempt, Proposal

CHOICES = "choices"
"""The key of a draft's notes under which its choices stand."""
_MAX_TRIES = 200
"""Programs drawn before giving up on a source that is not in the history."""
_NUM_LEARNED = 100
"""Of them, those by the trained network; later ones are drawn as before anything was learnt, for a
network may have learnt to write only what is there already."""


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How the network is trained before each round; chosen on a stand-in for training."""

    odds_weight: float = 1.0
    """Lambda of ORPO."""
    penalty: float = 0.01
    """On what departs from the untrained distribution."""


class LearnedOperators(GrammarOperators):
    """As `GrammarOperators`, but what it drafts follows from how earlier drafts came out."""

    name = "learned"

    def __init__(
        self,
        seed: int,
        *,
        noise: float | None,
        round_size: int = 6,
        language: Language | None = None,
        learning: Learning | None = None,
    ) -> None:
        """noise: standard deviation of a mean accuracy over seeds, in [0, 1]; None: not known, and
        nothing is learnt from scores then. round_size: attempts before the network is refreshed.
        language: what programs are written in; None: the grammar.
        """
        super().__init__(seed)
        self._noise = noise
        self._round_size = round_size
        self._language = language or GenomeLanguage()
        self._learning = learning or Learning()
        self._fitted: tuple[Sequence[Attempt], ChoiceNetwork] | None = None

    def apply(
        self, action: Action, history: Sequence[Attempt], pending: Sequence[Proposal] = ()
    ) -> Proposal:
        """See `GrammarOperators`."""
        if action.operator != "draft":
            return super().apply(action, history, pending)
        network = self.network(history)
        earlier = [*(attempt.proposal for attempt in history), *pending]
        taken = {proposal.source for proposal in earlier}
        rng = random.Random(f"{self._seed}/learned/{len(earlier)}")
        for tries in range(_MAX_TRIES):
            if tries == _NUM_LEARNED:
                network = ChoiceNetwork(self._language.slots)
            choose, chosen = network.chooser(rng)
            proposal = self._language.write(choose)
            if proposal.source not in taken:
                return replace(proposal, notes={**proposal.notes, CHOICES: list(map(list, chosen))})
        raise UsageError(
            f"expected a new mechanism within {_MAX_TRIES} draws, found none after "
            f"{len(earlier)} attempts. Use another seed."
        )

    def network(self, history: Sequence[Attempt]) -> ChoiceNetwork:
        """What writes after `history`: trained on its whole rounds, none being the grammar."""
        known = list(history[: len(history) - len(history) % self._round_size])
        if self._fitted is None or self._fitted[0] != known:
            self._fitted = known, self._train(known)
        return self._fitted[1]

    def _train(self, known: Sequence[Attempt]) -> ChoiceNetwork:
        network = ChoiceNetwork(self._language.slots)
        drafts = [attempt for attempt in known if CHOICES in attempt.proposal.notes]
        places = {attempt.index: place for place, attempt in enumerate(drafts)}
        pairs = [
            (places[chosen.index], places[rejected.index])
            for chosen, rejected in ordered_siblings(drafts, self._noise)
        ]
        learning = self._learning
        learn(
            network,
            [_choices(attempt) for attempt in drafts],
            pairs,
            odds_weight=learning.odds_weight,
            penalty=learning.penalty,
        )
        return network


def _choices(attempt: Attempt) -> Choices:
    return tuple((slot, option) for slot, option in attempt.proposal.notes[CHOICES])
