"""`lra-design --version`: the version, and what a bug report needs besides."""

from __future__ import annotations

import click


def show_version(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    """Callback of `--version`: print the facts of this installation and end."""
    if not asked or context.resilient_parsing:
        return
    from dataclasses import asdict

    from lra_design.installation import installation

    facts = asdict(installation())
    click.echo(f"lra-design {facts.pop('version')}")
    for name, value in facts.items():
        if value is not None:
            click.echo(f"{name:<10}{value}")
    context.exit()


version_option = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_version,
    help="Show the version, and what else a bug report needs.",
)
