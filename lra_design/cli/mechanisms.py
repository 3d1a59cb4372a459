"""`lra-design mechanisms`: the references, what they cost and what is published of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lra_design.cli.options import json_option
from lra_design.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from leaderboards.measured import Certificate, Measured, Timing
    from leaderboards.scores import Entry
    from leaderboards.shelf import ShelfEntry

LEGEND = (
    "c causal, b bidirectional. Parameters of one layer, FLOPs and memory of one forward at 1,024 "
    "and 4,096 positions: width 64, 2 heads. L^ is how FLOPs and memory were measured to grow. "
    "LRA: the best published mean over its five tasks without Path-X, of any size; "
    "`lra-design mechanisms NAME` shows each row with its source."
)
TABLE_WIDTH = 80
"""Columns the list needs; a narrower terminal wraps its lines."""


@click.command(short_help="The reference mechanisms: papers, costs, published results.")
@click.argument("name", required=False)
@click.option(
    "--board",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Show our own scores in this leaderboard folder beside the published ones.",
)
@json_option
def mechanisms(name: str | None, folder: Path | None, as_json: bool) -> None:
    """List the reference mechanisms, or say all there is to say of NAME.

    What stands here was measured by benchmarks/shelf.py; what was not is a dash.
    """
    import json

    from rich.console import Console

    from leaderboards.shelf import shelf

    entries = shelf(_scores(folder) if folder else [])
    if name is not None:
        entries = [_named(name, entries)]
    if as_json:
        click.echo(json.dumps([_json(entry) for entry in entries], indent=2, allow_nan=False))
    elif name is not None:
        click.echo("\n".join(_details(entries[0])))
    else:
        console = Console()
        console.width = max(console.width, TABLE_WIDTH)
        console.print(_table(entries))
        console.print(LEGEND)


def _scores(folder: Path) -> list[Entry]:
    from leaderboards.scores import rank
    from lra_design.cli.board import read_scored
    from tasks.registry import TASKS

    runs = read_scored([folder]).runs
    return rank(runs, chance={task.id: task.chance for task in TASKS.values()})


def _named(name: str, entries: list[ShelfEntry]) -> ShelfEntry:
    for entry in entries:
        if entry.name == name:
            return entry
    names = [entry.name for entry in entries]
    nearest = difflib.get_close_matches(name, names, n=1)
    remedy = f"Did you mean '{nearest[0]}'?" if nearest else f"There are {', '.join(names)}."
    raise UsageError(f"no reference mechanism '{name}'. {remedy}")


def _table(entries: list[ShelfEntry]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("mechanism", no_wrap=True)
    for header in ("year", "modes", "params", "FLOPs", "memory", "L^", "LRA"):
        table.add_column(header, justify="right", no_wrap=True)
    kind = ""
    for entry in entries:
        if entry.kind != kind:
            kind = entry.kind
            table.add_row(f"[bold]{kind}[/bold]")
        table.add_row(entry.name, *_cells(entry))
    return table


def _cells(entry: ShelfEntry) -> Iterator[str]:
    from leaderboards.table import MISSING, decimal

    found = entry.measured
    yield str(entry.heading.year)
    if found is None:
        yield from [MISSING] * 5
    else:
        first = found.certificates[0]
        yield " ".join(certificate.mode[0] for certificate in found.certificates)
        yield _short(found.num_parameters)
        yield " ".join(_short(count.flops) for count in first.counts)
        yield " ".join(_short(count.peak_memory_bytes) for count in first.counts)
        yield " ".join(_exponent(first, name) for name in ("flops", "peak_memory_bytes"))
    yield decimal(entry.best_published_mean, 1)


def _short(number: float) -> str:
    """`303M`"""
    from lra_design.units import si_number

    return si_number(number, "", digits=2).replace(" ", "")


def _exponent(certificate: Certificate, name: str) -> str:
    from leaderboards.table import MISSING, decimal

    values = {exponent.quantity: exponent.value for exponent in certificate.exponents}
    return decimal(values[name], 2) if name in values else MISSING


def _details(entry: ShelfEntry) -> Iterator[str]:
    yield f"{entry.heading.title}\n{entry.heading.citation}"
    yield f"mechanisms/{entry.name}.py, {entry.kind}"
    if entry.measured is None:
        yield "\nnot measured as it is now: python benchmarks/shelf.py --missing"
    else:
        yield from _measures(entry.measured)
    yield from _published(entry)
    yield from _reproduced(entry)


def _published(entry: ShelfEntry) -> Iterator[str]:
    if not entry.published:
        yield "\nno published result on the Long Range Arena is known to us"
        return
    yield "\npublished on the Long Range Arena, percent"
    for row in entry.published:
        cells = ", ".join(f"{task} {value}" for task, value in row.accuracies.items())
        flags = f" [{' '.join(row.flags)}]" if row.flags else ""
        notes = f"; {row.notes}" if row.notes else ""
        yield f"  {row.system} ({row.size}): {cells}{flags}\n    {row.source}{notes}"


def _reproduced(entry: ShelfEntry) -> Iterator[str]:
    from leaderboards.table import board_title, interval, percent

    if entry.reproduced:
        yield "\nour own scores, percent"
    for own in entry.reproduced:
        mean = percent(own.test.mean if own.test else None)
        seeds = f"{len(own.seeds)} seed{'s' * (len(own.seeds) != 1)}"
        yield f"  {board_title(own.board)}: {mean} [{interval(own.test)}], {seeds}"


def _measures(found: Measured) -> Iterator[str]:
    from lra_design.units import exponent_line, si_number

    yield f"\n{found.num_parameters} parameters at width 64, 2 heads, 1,024 positions"
    for certificate in found.certificates:
        yield f"\n{certificate.mode}: valid, {certificate.num_checks} checks"
        for count in certificate.counts:
            memory = si_number(count.peak_memory_bytes, "B")
            yield f"  {count.seq_len} positions: {si_number(count.flops, '')} FLOPs, {memory}"
        for exponent in certificate.exponents:
            yield f"  {exponent_line(exponent)}"
    yield f"\nforward and backward of one example on {found.hardware.processor}, one thread"
    for timing in found.timings:
        yield f"  {timing.seq_len} positions ({timing.device}): {_time(timing)}"


def _time(timing: Timing) -> str:
    if timing.seconds is None:
        return "does not fit"
    softmax = timing.softmax_seconds
    beside = f", {timing.seconds / softmax:.2f} x softmax attention" if softmax else ""
    return f"{1e3 * timing.seconds:.1f} ms{beside}"


def _json(entry: ShelfEntry) -> dict[str, Any]:
    import dataclasses

    return {**dataclasses.asdict(entry), "best_published_mean": entry.best_published_mean}
