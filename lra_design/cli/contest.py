"""What the candidates of a design run are judged on, and whom they are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from lra_design.cli.options import together
from lra_design.errors import UsageError, unknown_name

PROBES = ("recall-probe", "copying-probe", "delay-probe")
DEFAULT_TRIALS = 12
SETTINGS = ("fixed", "tuned")

contest_options = together(
    click.option(
        "--setting",
        type=click.Choice(SETTINGS),
        default="fixed",
        show_default=True,
        help="On the task: all by the recipe, or all tuned first, with as many trials each.",
    ),
    click.option(
        "--trials",
        type=click.IntRange(1),
        help=f"Of each study in the tuned setting.  [default: {DEFAULT_TRIALS}]",
    ),
    click.option(
        "--probes",
        metavar="LIST",
        default=",".join(PROBES),
        show_default=True,
        help="What every valid candidate is trained on.",
    ),
    click.option(
        "--references",
        metavar="LIST",
        help="Whom the best candidate is compared with.  [default: one of each kind]",
    ),
)
"""How a design run judges."""


def contest_settings(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the values of `contest_options` come to, as fields of DesignSettings.

    Raises UsageError for --trials without tuning, an unknown reference.
    """
    from mechanisms import REFERENCES

    setting, trials = asked["setting"], asked["trials"]
    if trials is not None and setting == "fixed":
        raise UsageError("--trials is for tuning: add --setting tuned, or leave it out.")
    references = None if asked["references"] is None else names_in(asked["references"])
    for name in references or ():
        if name not in REFERENCES:
            raise unknown_name("reference", name, REFERENCES)
    return {
        "setting": setting,
        "num_trials": (trials or DEFAULT_TRIALS) if setting == "tuned" else None,
        "probes": names_in(asked["probes"]),
        "references": references,
    }


def names_in(text: str) -> tuple[str, ...]:
    """The names in a list with commas, each once. Raises UsageError where there is none."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError(f"expected names with commas between them, found {text!r}.")
    return names
