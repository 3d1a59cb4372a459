"""`lra-design serve`: the leaderboard in a browser, while runs write to it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lra_design.cli.board import DEFAULT, PAGE_NOTES
from lra_design.errors import UsageError

if TYPE_CHECKING:
    from leaderboards.contents import Contents
    from leaderboards.site import Site
    from leaderboards.site.server import SiteServer
    from leaderboards.site.watch import Watch

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command(short_help="Show the leaderboard in a browser, live.")
@click.argument(
    "folders",
    nargs=-1,
    metavar="[FOLDER]...",
    type=click.Path(path_type=Path, file_okay=False),
)
@click.option(
    "--host",
    default=LOOPBACK[0],
    show_default=True,
    help="The address to listen at. Any but this machine's own loopback is reached from elsewhere, "
    "and there is no password.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 takes a free one.",
)
def serve(folders: tuple[Path, ...], host: str, port: int) -> int:
    """Serve the pages of everything in and below each FOLDER: boards, searches, and how far running
    trainings are.  [default: runs/board]

    Only reads. A page that is open loads itself again when records have arrived. Ctrl-C ends it.
    """
    from leaderboards.site.watch import Watch

    folders = folders or (DEFAULT,)
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(
                f"no folder {folder}: name one that a command writes to, such as runs/design."
            )
    server = _listen(host, port, Watch(folders, _site))
    if host not in LOOPBACK:
        click.echo(
            f"warning: whoever reaches {host} reads all of this; there is no password.", err=True
        )
    with server:
        click.echo(f"{server.url} shows {', '.join(map(str, folders))}; Ctrl-C ends it")
        server.serve_forever()
    return 0


def _listen(host: str, port: int, watch: Watch) -> SiteServer:
    """A server that listens. Raises UsageError when the address cannot be had."""
    from leaderboards.site.server import SiteServer

    try:
        return SiteServer(host, port, watch, on_fault=lambda line: click.echo(line, err=True))
    except OSError as error:  # a name that nobody knows included
        taken = error.errno == errno.EADDRINUSE
        why = "another program listens there" if taken else error.strerror or str(error)
        raise UsageError(
            f"cannot listen at {host}, port {port}: {why}. "
            "Name another with --port (0 takes a free one) or --host."
        ) from None


def _site(contents: Contents) -> Site:
    from leaderboards.site import make_site
    from tasks.registry import TASKS

    chance = {task.id: task.chance for task in TASKS.values()}
    return make_site(contents, chance, title="lra-design leaderboard", notes=PAGE_NOTES)
