"""The desk of this workspace: validate, evaluate, status, submit.

From a shell, each answer as JSON on stdout:

    python desk.py validate FILE            is it valid? costs a few seconds
    python desk.py evaluate FILE [CHANGE]   validate, train, validation accuracy: one attempt
    python desk.py status                   what was tried, and what is left of the budget
    python desk.py submit FILE [CHANGE]     evaluate it as the final one; the search ends

From Python: `from desk import validate, evaluate, status, submit`; each takes the text of the file
and returns the answer as a dict. Exit codes: 0 fine, 1 the candidate is not valid, 2 wrong usage,
3 the desk has closed.

It needs Python 3.8 and nothing else. It leaves a file in `.desk/asks` and waits for one of the same
name in `.desk/answers`; programs in other languages may do the same.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import time
from typing import Any

DESK = pathlib.Path(__file__).resolve().parent / ".desk"
POLL_SECONDS = 0.1


class Closed(Exception):
    """The desk answers no more: the budget is spent, or something was submitted."""


def validate(source: str) -> dict[str, Any]:
    """The validator's report: `valid`, `findings` with hints."""
    return _ask({"verb": "validate", "source": source})


def evaluate(source: str, change: str = "") -> dict[str, Any]:
    """Report and validation `scores`. `change`: one line on what is new, for the journal."""
    return _ask({"verb": "evaluate", "source": source, "change": change})


def status() -> dict[str, Any]:
    """`attempts` so far with their outcomes, and what is `left` of the budget."""
    return _ask({"verb": "status"})


def submit(source: str, change: str = "") -> dict[str, Any]:
    """As `evaluate`, of the candidate that is to compete; the last thing that is answered."""
    return _ask({"verb": "submit", "source": source, "change": change})


def _ask(request: dict[str, str]) -> dict[str, Any]:
    name = post(request)
    while True:
        told = collect(name)
        if told is not None:
            return told
        time.sleep(POLL_SECONDS)


def post(request: dict[str, str], desk: pathlib.Path = DESK) -> str:
    """Leave a request at a desk; the name to `collect` its answer by."""
    name = f"{time.time_ns()}-{os.getpid()}.json"
    draft = desk / "asks" / f".{name}"
    draft.write_text(json.dumps(request), encoding="utf-8")
    draft.rename(desk / "asks" / name)
    return name


def collect(name: str, desk: pathlib.Path = DESK) -> dict[str, Any] | None:
    """The answer to a request; None while there is none. Raises Closed when there will be none."""
    answer, closed = desk / "answers" / name, desk / "closed"
    over = closed.exists()  # looked at first: what was answered before the end is an answer
    if answer.exists():
        told: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return told
    if over:
        raise Closed(closed.read_text(encoding="utf-8"))
    if not (desk / "asks" / name).exists():
        raise Closed("the search was started again, which forgets what was asked; ask again")
    return None


def main(arguments: list[str]) -> int:
    """Ask as the arguments say; the exit code."""
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if verb == "status" and not rest:
        answer = status()
    elif verb == "validate" and len(rest) == 1:
        answer = validate(pathlib.Path(rest[0]).read_text(encoding="utf-8"))
    elif verb in ("evaluate", "submit") and 1 <= len(rest) <= 2:
        source = pathlib.Path(rest[0]).read_text(encoding="utf-8")
        answer = _ask({"verb": verb, "source": source, "change": " ".join(rest[1:])})
    else:
        print(__doc__, file=sys.stderr)
        return 2
    print(json.dumps(answer, indent=2))
    return 2 if "error" in answer else 0 if answer.get("valid", True) else 1


if __name__ == "__main__":
    try:
        sys.exit(main([word for word in sys.argv[1:] if word != "--json"]))
    except Closed as closed:
        print(f"the desk has closed: {closed}", file=sys.stderr)
        sys.exit(3)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
