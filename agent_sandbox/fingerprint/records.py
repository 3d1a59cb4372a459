"""What is known of a mechanism's likeness to others; each record serialises to JSON."""

from __future__ import annotations

from typing import Literal

from lra_design.records import IsolationRecord, Versions, record

Mode = Literal["causal", "bidirectional"]
Copy = Literal["same file", "same code", "renamed", "same graph"]
"""How one file repeats another: every byte; all but its layout, comments and annotations; all but
its names and their order; or the operations it runs, whatever its text."""


@record
class Fingerprint:
    """How one mechanism behaves on probe inputs, and what it ran to do so."""

    mechanism: str
    """Name of the class."""
    source: str
    """The text of the file."""
    source_hash: str
    mode: Mode
    behaviour: dict[str, float]
    """By the names of `features.FEATURES`; each is a mean over draws of weights and inputs."""
    graph_hash: str | None
    """Of the operations of one forward; None when they could not be recorded."""
    flops_exponent: float | None
    """Power of L with which a forward's operations grow, as the worker counts them."""
    memory_exponent: float | None
    """The same of its peak memory. Neither counts in a distance: a rewriting may change them."""
    seconds: float
    isolation: IsolationRecord
    versions: Versions


@record
class Known:
    """The fingerprints of one reference in one mode, each from another seed."""

    name: str
    mode: Mode
    source_hash: str
    graph_hash: str | None
    graph_versions: str
    """What the graph hash depends on besides the source."""
    vectors: tuple[tuple[float, ...], ...]
    """In the order of `Shelf.features`."""


@record
class Shelf:
    """The known mechanisms: the content of `known.json`."""

    features: tuple[str, ...]
    entries: tuple[Known, ...]


@record
class Difference:
    """One feature in which two mechanisms differ."""

    feature: str
    meaning: str
    candidate: float
    known: float
    units: float
    """The difference in units of what two draws of one mechanism differ by."""


@record
class Neighbour:
    """One known mechanism, as far from the candidate as it is."""

    name: str
    mode: Mode
    distance: float
    copy: Copy | None
    shared_structure: float | None
    """Share of the pieces of both syntax trees that both have; None when one could not be read."""


@record
class Nearest:
    """The known mechanisms in order of their distance from a candidate."""

    fingerprint: Fingerprint
    neighbours: tuple[Neighbour, ...]
    same_below: float
    """Two fingerprints of one mechanism are nearer than this in 95 of 100 cases."""
    differences: tuple[Difference, ...]
    """In every feature from the first of the neighbours, the largest first."""
    stale: tuple[str, ...]
    """References whose file has changed since their fingerprint was made."""
    missing: tuple[str, ...]
    """References that have no fingerprint."""
