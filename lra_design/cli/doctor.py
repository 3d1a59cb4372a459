"""`lra-design doctor`: what works on this machine, and the remedy for what does not."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from lra_design.visible import visible_text

if TYPE_CHECKING:
    from lra_design.cli.health.facts import Fact

EXIT_NOT_READY = 3
WIDTH = 80
"""Columns of the table; less in a narrower terminal."""
_NAME = 23
_INDENT = 2 + 9 + _NAME + 1
READY = "ready: validation, and training on the processor, work at level standard"


@click.command(short_help="What works on this machine, and what would help.")
@click.option("--json", "as_json", is_flag=True, help="Print all that was found as JSON.")
def doctor(as_json: bool) -> int:
    """Look at interpreter, packages, isolation, GPU, data and folders; say what helps.

    Packages are imported and levels of isolation are set up and attacked, which takes most of the
    time. Nothing is installed or downloaded, the network is not used, and no mechanism is run.

    Exit code 0: mechanisms can be validated and trained here, on the processor at isolation level
    standard. 3: they cannot; the last line says why. What else is missing does not count.
    """
    facts = list(_examined(lambda text: click.echo(text, err=as_json), quiet=as_json))
    prevents = [fact for fact in facts if fact.prevents]
    if as_json:
        click.echo(_json(facts, prevents))
    else:
        click.echo("\n" + _verdict(prevents))
    return EXIT_NOT_READY if prevents else 0


def _examined(say: Callable[[str], None], *, quiet: bool) -> Iterator[Fact]:
    """All facts; each group's name is said before it is looked at, and most facts when found."""
    from lra_design.cli.health.examination import GROUPS

    torch_works = False
    for group in GROUPS:
        say(f"{group.name}  ({group.note})" if group.note else group.name)
        found = []
        for fact in group.examine(torch_works=torch_works):
            torch_works |= fact.name == "torch" and not fact.prevents
            found.append(fact)
            if not quiet and not group.shared:
                say("\n".join(_table([fact])))
        if not quiet and group.shared:
            say("\n".join(_table(found)))
        yield from found


def _json(facts: Sequence[Fact], prevents: Sequence[Fact]) -> str:
    from lra_design.installation import installation

    report = {
        "ready": not prevents,
        "prevented_by": [fact.name for fact in prevents],
        "installation": dataclasses.asdict(installation()),
        "facts": [dataclasses.asdict(fact) for fact in facts],
    }
    return json.dumps(report, indent=2)


def _verdict(prevents: Sequence[Fact]) -> str:
    if not prevents:
        return _wrapped(READY, 0)
    names = ", ".join(fact.name for fact in prevents)
    return _wrapped(f"not ready: nothing can be validated or trained without {names}", 0)


def _table(facts: Sequence[Fact]) -> Iterator[str]:
    """Lines for facts of one group; neighbours of which the same was found share theirs."""
    for (state, found, remedy), alike in itertools.groupby(facts, key=_said):
        names = ", ".join(fact.name for fact in alike)
        if len(names) > _NAME:
            yield _wrapped(f"  {state:<9}{names}", 11)
            yield _wrapped(" " * _INDENT + found, _INDENT)
        else:
            yield _wrapped(f"  {state:<9}{names:<{_NAME}} {found}", _INDENT)
        if remedy:
            yield _wrapped(f"{'':11}do: {remedy}", 15)


def _said(fact: Fact) -> tuple[str, str, str]:
    return fact.state, fact.found, fact.remedy


def _wrapped(text: str, indent: int) -> str:
    """`text` within the width; lines after the first are indented."""
    return textwrap.fill(
        visible_text(text),
        min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
