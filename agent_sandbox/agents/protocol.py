"""What an agent is to the search: it proposes candidates, given what became of earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lra_design.records import Attempt, Proposal


class Agent(Protocol):
    """A writer of candidates. Keeps nothing between calls that it could not derive from them."""

    @property
    def name(self) -> str:
        """Shown beside the candidates it wrote, `evolution-s7`."""

    def propose(
        self, history: Sequence[Attempt], pending: Sequence[Proposal] = ()
    ) -> Proposal | None:
        """The next candidate; None when there will be none, whatever becomes of `pending`.

        history: every finished attempt, oldest first. pending: proposals that are being evaluated
        and have no feedback yet, oldest first. Given the same two, a reproducible agent proposes
        the same again; that is what makes an interrupted search resumable.
        """
