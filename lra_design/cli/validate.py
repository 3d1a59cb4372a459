"""`lra-design validate`: are these files valid mechanisms?"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from lra_design.cli.hyperparameters import hyperparameters_option, require_known
from lra_design.cli.options import (
    isolation_options,
    mode_option,
    read_source,
    workers_available,
)
from lra_design.errors import UsageError
from lra_design.files import write_atomically
from lra_design.records import Level, Scalar

if TYPE_CHECKING:
    from agent_sandbox.validator.formats import Verdicts


@click.command(short_help="Is this file a valid mechanism? Or every file of a folder?")
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@mode_option
@hyperparameters_option
@click.option(
    "--fast", is_flag=True, help="Only the checks that find ordinary mistakes; certifies nothing."
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["text", "json", "junit", "sarif", "github"]),
    help="How to report; text unless said otherwise.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--output",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the report to this file. Both options may be given several times: the first "
    "--output is for the first --format, and so on; a format without a file is printed.",
)
@click.option(
    "--replay",
    "replay_token",
    metavar="TOKEN",
    help="Draw the inputs of an earlier report again, by its replay token.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=workers_available,
    show_default="the processors available",
    help="Files judged side by side.",
)
@isolation_options
def validate(
    paths: tuple[Path, ...],
    mode: Literal["causal", "bidirectional"],
    hyperparameters: dict[str, Scalar],
    fast: bool,
    formats: tuple[str, ...],
    as_json: bool,
    outputs: tuple[Path, ...],
    replay_token: str | None,
    workers: int,
    level: Level,
) -> int:
    """Check each mechanism: its text, then its behaviour in an isolated process.

    PATH is a file, or a folder of which every *.py is checked whose name does not begin with an
    underscore. Exit code 0: all are valid. 1: there are findings that make one invalid.
    """
    destinations = _destinations([*formats, *(["json"] if as_json else [])], outputs)
    seed = _seed(replay_token)
    sources = {file: read_source(file) for path in paths for file in _files(path)}
    for file, source in sources.items():
        require_known(hyperparameters, source, file)
    with _nothing_collected():
        from agent_sandbox.validator.formats import Verdicts
        from lra_design.cli.batch import judge_all

    judged = judge_all(
        sources,
        mode=mode,
        fast=fast,
        hyperparameters=hyperparameters,
        seed=seed,
        num_workers=workers,
        level=level,
    )
    alone = len(paths) == 1 and not paths[0].is_dir()
    _write(Verdicts(tuple(judged), alone), destinations)
    return 0 if all(file.report.valid for file in judged) else 1


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep the collector from what torch loads, which stays: looking costs half a second."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _destinations(formats: list[str], outputs: tuple[Path, ...]) -> list[tuple[str, Path | None]]:
    """Every format with the file it is written to; None: it is printed."""
    if outputs and not formats:
        formats = ["text"]
    if len(outputs) > len(formats):
        raise UsageError(
            f"expected a --format for each --output, found {len(formats)} and {len(outputs)}"
        )
    pairs = list(zip_longest(formats, outputs))
    printed = [name for name, file in pairs if file is None]
    if len(printed) > 1:
        raise UsageError(
            f"only one format can be printed, found {' and '.join(printed)}. "
            "Give an --output for each of the others, in the same order."
        )
    return pairs if printed else [*pairs, ("text", None)]


def _seed(token: str | None) -> int | None:
    if token is None:
        return None
    try:
        return int(token, 16)
    except ValueError:
        raise click.BadParameter(
            f"expected the replay token of a report, hexadecimal, found '{token}'"
        ) from None


def _files(path: Path) -> Iterator[Path]:
    """The file itself, or the candidates in a folder, by name. Raises UsageError for none."""
    if not path.is_dir():
        yield path
        return
    found = sorted(path.glob("*.py"))
    files = [file for file in found if not file.name.startswith("_") and file.is_file()]
    if not files:
        raise UsageError(
            f"no mechanism in {path}: expected files *.py whose names do not begin with an "
            "underscore. Name another folder, or a file."
        )
    yield from files


def _write(verdicts: Verdicts, destinations: list[tuple[str, Path | None]]) -> None:
    """Every report in its place; all are made before the first is written."""
    from agent_sandbox.validator.formats import FORMATS

    for text, file in [(FORMATS[name](verdicts), file) for name, file in destinations]:
        if file is None:
            click.echo(text, nl=False)
        else:
            write_atomically(file, text.encode())
