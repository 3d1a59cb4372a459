"""The command line: a sub-command for each part of the way of the data.

Exit codes: 0 fine, 1 the candidate is at fault, 2 wrong usage, 3 the benchmark or the machine is at
fault, 130 interrupted. Commands import what is heavy inside themselves, so that `--help` is
instant.
"""

from __future__ import annotations

import os
import sys

import click

from lra_design.cli.attribute import attribute
from lra_design.cli.board import board
from lra_design.cli.compare import compare
from lra_design.cli.data import data
from lra_design.cli.design import design
from lra_design.cli.doctor import doctor
from lra_design.cli.explain import explain
from lra_design.cli.journal import journal
from lra_design.cli.mcp import mcp
from lra_design.cli.mechanisms import mechanisms
from lra_design.cli.nearest import nearest
from lra_design.cli.new import new
from lra_design.cli.noise import noise, proxy
from lra_design.cli.options import show_fault, show_findings
from lra_design.cli.recipe import recipe
from lra_design.cli.reproduce import reproduce
from lra_design.cli.sandbox import sandbox
from lra_design.cli.score import score
from lra_design.cli.screen import screen
from lra_design.cli.serve import serve
from lra_design.cli.submit import submit
from lra_design.cli.tournament import tournament
from lra_design.cli.train import train
from lra_design.cli.tune import tune
from lra_design.cli.validate import validate
from lra_design.cli.verify import verify
from lra_design.cli.version import version_option
from lra_design.errors import CandidateFault, CandidateRefused, LraDesignError, UsageError

EXIT_CANDIDATE, EXIT_USAGE, EXIT_HARNESS, EXIT_INTERRUPTED = 1, 2, 3, 130
RESUMED = (
    "train",
    "score",
    "tune",
    "screen",
    "design",
    "tournament",
    "attribute",
    "data",
    "reproduce",
)
"""Commands that keep what they have finished."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@version_option
def cli() -> None:
    """Judge agent-written attention mechanisms on the Long Range Arena."""


for command in (
    new,
    validate,
    nearest,
    explain,
    mechanisms,
    data,
    recipe,
    train,
    score,
    tune,
    screen,
    design,
    tournament,
    journal,
    attribute,
    mcp,
    board,
    serve,
    submit,
    verify,
    compare,
    noise,
    proxy,
    reproduce,
    sandbox,
    doctor,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit with its code."""
    # The judge compares small tensors, on which a second thread only spins.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; what the caller did wrong is said in one line."""
    try:
        return int(cli.main(arguments, prog_name="lra-design", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        remedy = ": the same command goes on where it stopped" if arguments[0] in RESUMED else ""
        return _say(f"interrupted{remedy}", EXIT_INTERRUPTED)
    except CandidateRefused as refusal:
        show_findings(refusal.findings)
        return EXIT_CANDIDATE
    except CandidateFault as fault:
        show_fault(fault, f"lra-design {arguments[0]}")
        return EXIT_CANDIDATE
    except UsageError as error:
        return _say(f"error: {error}", EXIT_USAGE)
    except LraDesignError as error:
        return _say(f"error: {error}", EXIT_HARNESS)
    except (BrokenPipeError, SystemExit):  # of which click makes its own exit with 1
        return EXIT_HARNESS  # the reader of our output has gone; there is nobody to tell
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        remedy = "Make it accessible, free some space, or choose another path."
        return _say(f"error: {where}{error.strerror or error}. {remedy}", EXIT_HARNESS)


def _say(message: str, exit_code: int) -> int:
    click.echo(message, err=True)
    return exit_code
