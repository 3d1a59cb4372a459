"""One attempt of a search as its page shows it: what was said, what was written, what came of it.

All of it was written by an agent or an llm. It may be of any size, so that whatever is shown is cut
and the page says how much is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.llm.remembered import Exchange
from leaderboards.site.boards import BoardView, Row
from leaderboards.site.diffs import Line, diff_lines
from leaderboards.site.searches import SearchView
from leaderboards.site.tree import Node
from lra_design.errors import RecordError
from lra_design.records import Attempt, from_json

MAX_CHARACTERS = 100_000
"""Of one text on a page."""
MAX_EXCHANGES = 20
"""Of one attempt with an llm that are shown."""


@dataclass(frozen=True)
class Cut:
    """The beginning of a text."""

    text: str
    num_missing: int
    """Characters that are left out."""


@dataclass(frozen=True)
class Said:
    """One text that passed between the agent and the llm."""

    who: str
    """`system`, `user`, `assistant` as it was sent; `reply` for an answer."""
    what: Cut
    note: str = ""
    """Of a reply: who answered, how it ended, what it took."""


@dataclass(frozen=True)
class ParentDiff:
    """Against one parent."""

    parent: int
    """Its index."""
    lines: tuple[Line, ...] | None
    """None where the sources are too long to be compared."""


@dataclass(frozen=True)
class AttemptView:
    """One attempt."""

    attempt: Attempt
    node: Node
    children: tuple[int, ...]
    """Indices of the attempts that it is a parent of."""
    said: tuple[Said, ...]
    num_unsaid: int
    """Exchanges with the llm that are not shown."""
    diffs: tuple[ParentDiff, ...]
    entries: tuple[tuple[BoardView, Row], ...]
    """Those on the boards with this very source."""


def cut(text: str, most: int = MAX_CHARACTERS) -> Cut:
    """At most so many characters of `text`."""
    return Cut(text[:most], max(0, len(text) - most))


def attempt_view(
    view: SearchView, index: int, entries: Mapping[str, Sequence[tuple[BoardView, Row]]]
) -> AttemptView:
    """Attempt `index` of a search; entries: of all boards, by the hash of their source.

    Reads what passed with the llm from the journal. Raises DataError or RecordError when it cannot.
    """
    attempt, nodes = view.attempts[index], view.tree.nodes
    kept = Journal(view.search.journal).exchanges(index)
    return AttemptView(
        attempt=attempt,
        node=nodes[index],
        children=tuple(node.index for node in nodes if index in node.parents),
        said=said(kept[:MAX_EXCHANGES]),
        num_unsaid=max(0, len(kept) - MAX_EXCHANGES),
        diffs=tuple(
            ParentDiff(
                parent, diff_lines(view.attempts[parent].proposal.source, attempt.proposal.source)
            )
            for parent in nodes[index].parents
        ),
        entries=tuple(entries.get(attempt.source_hash, ())),
    )


def said(exchanges: Sequence[tuple[str, str]]) -> tuple[Said, ...]:
    """Everything once, in order: a question that repeats the conversation adds what is new in it.

    exchanges: as `Journal.exchanges` gives them; a record that is none is shown as it stands.
    """
    texts: list[Said] = []
    known: set[tuple[str, str]] = set()
    for _, record in exchanges:
        try:
            exchange = from_json(Exchange, record)
        except RecordError:
            texts.append(Said("reply", cut(record), "not readable as an exchange"))
            continue
        turns = [("system", exchange.prompt.system)]
        turns += [(turn.role, turn.text) for turn in exchange.prompt.turns]
        texts += [Said(who, cut(text)) for who, text in turns if (who, text) not in known]
        texts.append(Said("reply", cut(exchange.reply.text), _note(exchange)))
        known |= {*turns, ("assistant", exchange.reply.text)}
    return tuple(texts)


def _note(exchange: Exchange) -> str:
    reply = exchange.reply
    tokens = f"{reply.usage.total} tokens" if reply.usage else "tokens not known"
    return f"{reply.llm}, {tokens}, {reply.seconds:.1f} s, ended by {reply.stop}"
