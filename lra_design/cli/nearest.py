"""`lra-design nearest`: which known mechanisms does this one behave like?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from lra_design.cli.options import (
    isolation,
    isolation_options,
    json_option,
    mode_option,
    read_source,
    source_argument,
)
from lra_design.records import Level, to_json

if TYPE_CHECKING:
    from agent_sandbox.fingerprint.records import Nearest, Neighbour

NUM_SHOWN = 5
PATIENT_SECONDS = 2.0
"""What takes longer says how far it has come."""
COPIES = {
    "same file": "the file is that of {}",
    "same code": "the code is that of {}: only layout, comments, imports or annotations differ",
    "renamed": "the code is that of {} under other names",
    "same graph": "it runs the same operations as {}",
}


@click.command(short_help="Which known mechanisms does this one behave like?")
@source_argument
@mode_option
@json_option
@isolation_options
def nearest(
    file: Path, mode: Literal["causal", "bidirectional"], as_json: bool, level: Level
) -> None:
    """Compare a mechanism with the references: its text, and its behaviour on probe inputs.

    It runs in an isolated process, at its default hyperparameters and with untrained weights.
    """
    source = read_source(file)
    from agent_sandbox.fingerprint import fingerprint
    from agent_sandbox.fingerprint import nearest as find_nearest

    with isolation(level) as walls:
        found = find_nearest(fingerprint(source, walls, mode=mode, advance=_progress()))
    click.echo(to_json(found, indent=2) if as_json else "\n".join(report(found)))


def _progress() -> Callable[[], None]:
    """Says on stderr how many draws are done, once it takes long."""
    from agent_sandbox.fingerprint.behaviour import NUM_ROUNDS

    started, rounds = time.monotonic(), iter(range(1, NUM_ROUNDS + 1))

    def advance() -> None:
        done = next(rounds)
        if time.monotonic() - started > PATIENT_SECONDS:
            click.echo(f"  {done} of {NUM_ROUNDS} draws of weights and inputs", err=True)

    return advance


def report(found: Nearest) -> Iterator[str]:
    """The lines of an answer: copies first, then the nearest and how to read the distances."""
    taken = found.fingerprint
    size, seconds = len(taken.behaviour), taken.seconds
    yield f"{taken.mechanism} ({taken.mode}): {size} features in {seconds:.1f} s"
    copied = [neighbour for neighbour in found.neighbours if neighbour.copy is not None]
    yield from (_copied(neighbour) for neighbour in copied)
    yield f"\n{'distance':>8}  {'structure':>9}  nearest known mechanisms by behaviour"
    yield from (_line(neighbour, taken.mode) for neighbour in found.neighbours[:NUM_SHOWN])
    yield f"\n{_reading(found)}"
    first = found.neighbours[0]
    yield f"\nDiffers most from {first.name} in ({taken.mechanism} against {first.name}):"
    for d in found.differences[:NUM_SHOWN]:
        values = f"{d.candidate:>8.3f} {d.known:>8.3f} {d.units:>6.1f} units"
        yield f"  {d.feature:<16}{values}  {d.meaning}"
    yield from _caveats(found)


def _copied(neighbour: Neighbour) -> str:
    assert neighbour.copy is not None, "asked of copies alone"
    return f"COPY: {COPIES[neighbour.copy].format(neighbour.name)}"


def _line(neighbour: Neighbour, mode: str) -> str:
    """One known mechanism; that it was compared in its other mode is said."""
    shared = neighbour.shared_structure
    share = "-" if shared is None else f"{100 * shared:.0f} %"
    other = "" if neighbour.mode == mode else f"  ({neighbour.mode}, the only mode it has)"
    return f"{neighbour.distance:8.2f}  {share:>9}  {neighbour.name}{other}"


def _reading(found: Nearest) -> str:
    """What the smallest distance means, from what was measured on the known mechanisms."""
    alike = [n.name for n in found.neighbours if n.distance <= found.same_below]
    verdict = (
        f"so it may be the same as {' or '.join(alike)}."
        if alike
        else f"so it is not {found.neighbours[0].name} as that stands, but may vary it."
    )
    return (
        f"One mechanism with other weights and inputs is nearer to itself than "
        f"{found.same_below:.2f} in 95 of 100 cases, {verdict}\n"
        "Structure: share of the pieces of either syntax tree that both have; a rewriting has few."
    )


def _caveats(found: Nearest) -> Iterator[str]:
    for names, why in (
        (found.stale, "has changed since its fingerprint was made"),
        (found.missing, "has no fingerprint yet"),
    ):
        if names:
            yield f"\n{', '.join(names)}: {why}. Run `python benchmarks/fingerprints.py`."
