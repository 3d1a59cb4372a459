"""`lra-design mcp`: the desk of a design as tools of the Model Context Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from lra_design.cli.options import isolation_options, mode_option
from lra_design.errors import UsageError
from lra_design.records import Level


@click.command(short_help="Serve a design's desk to an agent that speaks MCP.")
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    show_default="the working folder",
    help="Workspace of the design: the folder with the brief and the desk.",
)
@mode_option
@isolation_options
def mcp(workspace: Path, mode: Literal["causal", "bidirectional"], level: Level) -> int:
    """Serve the Model Context Protocol on stdin and stdout, until the client hangs up.

    The tools are those of the desk: validate, evaluate, status, submit. In a folder without one,
    validate works by itself, by --mode and --isolation; at a desk both are those of the design.
    """
    try:
        from lra_design.cli.mcp_server import make_server
    except ImportError as error:
        raise UsageError(
            f"the MCP SDK is not installed ({error}): pip install 'lra-design[mcp]', or ask by "
            "`python desk.py`, which needs nothing."
        ) from None
    make_server(workspace.resolve(), mode, level).run("stdio")
    return 0
