"""`lra-design explain`: what does a check demand, and how is a finding mended?"""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING

import click

from lra_design.cli.options import json_option
from lra_design.errors import UsageError

if TYPE_CHECKING:
    from agent_sandbox.validator.registry import Named


@click.command(short_help="What does a check demand, and how is a finding mended?")
@click.argument("check", required=False)
@json_option
def explain(check: str | None, as_json: bool) -> None:
    """Print the page on a check, named by its id (LRA202) or its name (causal).

    Without CHECK, list all checks: id, name, cost, and what each demands.
    """
    if check is not None and not as_json:  # the pages alone, without torch
        click.echo("\n\n".join(map(_page, _named(check))))
        return
    from agent_sandbox.validator.registry import ENTRIES

    entries = [ENTRIES[id] for id in (ENTRIES if check is None else _named(check))]
    if as_json:
        shown = [_fields(entry, with_page=check is not None) for entry in entries]
        click.echo(json.dumps(shown, indent=2, sort_keys=True))
    else:
        click.echo("\n".join(map(_line, entries)))


def _named(check: str) -> list[str]:
    """Ids of the checks of this id or name: two share a name when both ask the same of other
    things."""
    from agent_sandbox.validator.pages import page_titles

    titles = page_titles()
    wanted = (check.upper(), check.lower().replace("-", "_"))
    found = [id for id, name in titles.items() if id == wanted[0] or name == wanted[1]]
    if not found:
        names = [name for title in titles.items() for name in title]
        nearest = difflib.get_close_matches(check, names, n=1)
        hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
        raise UsageError(f"unknown check '{check}'.{hint} `lra-design explain` lists all of them.")
    return found


def _line(entry: Named) -> str:
    return f"{entry.id}  {entry.name:<24}{entry.cost:<10}{entry.description}"


def _page(check_id: str) -> str:
    from agent_sandbox.validator.pages import page

    return page(check_id).rstrip("\n")


def _fields(entry: Named, *, with_page: bool) -> dict[str, str]:
    fields = {
        "id": entry.id,
        "name": entry.name,
        "cost": entry.cost,
        "description": entry.description,
    }
    return {**fields, "page": _page(entry.id)} if with_page else fields
