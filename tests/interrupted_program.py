"""Runs `lra-design` as a terminal does, with a Ctrl-C at an exact moment.

    python tests/interrupted_program.py MOMENT ARGUMENTS...

MOMENT is JSON: the signal is sent to the whole foreground group at the `number`-th of Python's
audit events called `event` whose arguments contain `text`, and, with `again`, so many events later
once more; `ignored`: whoever started it had it ignore signals. Recipes are cut to a few steps, so
that a command has all of its parts and lasts seconds.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from typing import Any

SHORT = {"num_steps": 8, "batch_size": 5, "evaluate_every": 3}


class Moment:
    """An audit hook that counts, and interrupts."""

    def __init__(
        self,
        event: str = "",
        text: str = "",
        number: int = 1,
        name: str = "SIGINT",
        again: int | None = None,
    ) -> None:
        self._event, self._text = event, text
        self._number, self._signal, self._again = number, signal.Signals[name], again

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._number > 0:
            if self._event in ("", event) and (not self._text or self._text in repr(arguments)):
                self._number -= 1
                if not self._number:
                    os.killpg(0, self._signal)
        elif self._again is not None:
            self._again -= 1
            if self._again == 0:
                os.killpg(0, self._signal)


def shorten_recipes() -> None:
    """A few steps, and as many as it takes to evaluate on the way."""
    from trainers import recipes

    for key, recipe in recipes.RECIPES.items():
        train = dataclasses.replace(recipe.train, **SHORT)
        recipes.RECIPES[key] = recipes.Recipe(recipe.host, train)


if __name__ == "__main__":
    moment, sys.argv = json.loads(sys.argv[1]), ["lra-design", *sys.argv[2:]]
    ignored = moment.pop("ignored", False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
    if moment.get("event") != "import":  # nothing is imported before the program does
        shorten_recipes()
    if moment:
        sys.addaudithook(Moment(**moment))
    from lra_design.__main__ import main

    main()
