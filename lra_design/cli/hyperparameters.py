"""`--set NAME=VALUE`: hyperparameters of a mechanism beyond its defaults."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path

import click

from lra_design.errors import UsageError
from lra_design.records import Scalar


def _read(
    context: click.Context, parameter: click.Parameter, assignments: tuple[str, ...]
) -> dict[str, Scalar]:
    return dict(_assignment(text) for text in assignments)


hyperparameters_option = click.option(
    "--set",
    "hyperparameters",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_read,
    help="A hyperparameter of the mechanism in place of its default; may be given several times.",
)


def _assignment(text: str) -> tuple[str, Scalar]:
    name, equals, written = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"expected NAME=VALUE, such as window=32, found '{text}'")
    try:
        value = json.loads(written)
    except ValueError:
        value = written
    if not isinstance(value, str | int | float | bool):
        raise click.BadParameter(f"{name}: expected one text or number, found {written}")
    return name, value


def require_known(hyperparameters: Mapping[str, Scalar], source: bytes, file: Path) -> None:
    """Raises UsageError for a name that the mechanism in `file` has no keyword argument of.

    What cannot be read is left to the validator, whose findings say more.
    """
    from agent_sandbox.candidate import keywords_with_default, mechanism_classes, parse

    try:
        classes = mechanism_classes(parse(source.decode()))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for class_def in classes[:1]:
        known = sorted(keywords_with_default(class_def))
        for name in hyperparameters:
            if name not in known:
                raise UsageError(f"{file} has no hyperparameter '{name}'{_remedy(name, known)}")


def _remedy(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    if nearest:
        return f", did you mean '{nearest[0]}'?"
    return f": it has {', '.join(known)}." if known else ": it has none."
