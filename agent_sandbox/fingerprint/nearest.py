"""Which known mechanisms a fingerprint is nearest to, and which of them it repeats."""

from __future__ import annotations

import functools
from pathlib import Path

from agent_sandbox.fingerprint.features import FEATURES
from agent_sandbox.fingerprint.graph import graph_versions
from agent_sandbox.fingerprint.records import (
    Copy,
    Difference,
    Fingerprint,
    Known,
    Mode,
    Nearest,
    Neighbour,
    Shelf,
)
from agent_sandbox.fingerprint.structure import Structure, structure
from agent_sandbox.fingerprint.yardstick import Vector, Yardstick, centre
from lra_design.errors import HarnessError
from lra_design.records import from_json
from mechanisms import REFERENCES, reference_hash, reference_source

FILE = Path(__file__).parent / "known.json"
REMEDY = "Run `python benchmarks/fingerprints.py`."


@functools.cache
def read_shelf(file: Path = FILE) -> Shelf:
    """The known mechanisms. Raises HarnessError when they were measured by other features."""
    shelf = from_json(Shelf, file.read_bytes())
    if shelf.features != tuple(FEATURES):
        raise HarnessError(f"{file.name} holds other features than today's. {REMEDY}")
    return shelf


def nearest(fingerprint: Fingerprint, shelf: Shelf | None = None) -> Nearest:
    """Every known mechanism in order of distance; one without the mode in the mode it has."""
    shelf = shelf or read_shelf()
    yardstick = Yardstick(shelf.entries)
    vector = [fingerprint.behaviour[name] for name in FEATURES]
    entries = {entry.name: entry for entry in _comparable(shelf, fingerprint.mode)}
    neighbours = sorted(
        (_neighbour(fingerprint, vector, entry, yardstick) for entry in entries.values()),
        key=lambda neighbour: neighbour.distance,
    )
    return Nearest(
        fingerprint=fingerprint,
        neighbours=tuple(neighbours),
        same_below=yardstick.same_below,
        differences=_differences(vector, entries[neighbours[0].name], yardstick),
        stale=tuple(name for name, e in entries.items() if e.source_hash != reference_hash(name)),
        missing=tuple(name for name in REFERENCES if name not in entries),
    )


def _comparable(shelf: Shelf, mode: Mode) -> list[Known]:
    """Of every reference there still is, one entry: the last of those in the wanted mode."""
    return sorted(
        (entry for entry in shelf.entries if entry.name in REFERENCES),
        key=lambda entry: entry.mode == mode,
    )


def _neighbour(
    fingerprint: Fingerprint, vector: Vector, entry: Known, yardstick: Yardstick
) -> Neighbour:
    own, other = structure(fingerprint.source), structure(reference_source(entry.name))
    return Neighbour(
        name=entry.name,
        mode=entry.mode,
        distance=yardstick.distance(vector, centre(entry.vectors)),
        copy=_copy(fingerprint, own, entry, other),
        shared_structure=own.shared(other) if own and other else None,
    )


def _copy(
    fingerprint: Fingerprint, own: Structure | None, entry: Known, other: Structure | None
) -> Copy | None:
    """The strongest way in which the file repeats the reference."""
    if fingerprint.source_hash == reference_hash(entry.name):
        return "same file"
    if own and other and own.layout == other.layout:
        return "same code"
    if own and other and own.form == other.form:
        return "renamed"
    return "same graph" if _same_graph(fingerprint, entry) else None


def _same_graph(fingerprint: Fingerprint, entry: Known) -> bool:
    """Only hashes of today's source, made by the same version of torch, can be compared."""
    return (
        entry.mode == fingerprint.mode
        and entry.source_hash == reference_hash(entry.name)
        and entry.graph_versions == graph_versions()
        and entry.graph_hash is not None
        and entry.graph_hash == fingerprint.graph_hash
    )


def _differences(vector: Vector, entry: Known, yardstick: Yardstick) -> tuple[Difference, ...]:
    known = centre(entry.vectors)
    rows = zip(FEATURES, vector, known, yardstick.differences(vector, known), strict=True)
    return tuple(
        Difference(feature=name, meaning=FEATURES[name], candidate=mine, known=other, units=units)
        for name, mine, other, units in sorted(rows, key=lambda row: -row[3])
    )
