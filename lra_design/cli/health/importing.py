"""Whether packages can be imported, found by doing it in another interpreter.

An import may hang or end its interpreter (a library built for another processor does): that must
not take the asking process along. CUDA is looked at there, too, because a process that initialised
it can start no workers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

SECONDS = 120.0
"""For one question; the first import of PyTorch on a slow disk takes a good part of a minute."""
_PROGRAM = (
    "import json, sys; path, questions = json.loads(sys.argv[1]); sys.path[:] = path; "
    "from lra_design.cli.health.importing import answer_all; answer_all(questions)"
)


class Lack(Exception):
    """What was asked for is not here; the message says it in our own words."""


@dataclass(frozen=True)
class Question:
    """`import` a module, look at `cuda`, or load the `kernel` of a name."""

    kind: str
    name: str = ""


@dataclass(frozen=True)
class Answer:
    """What came of it; one of the two is empty."""

    found: str = ""
    error: str = ""


def ask(
    questions: Sequence[Question], seconds: float = SECONDS
) -> Iterator[tuple[Question, Answer]]:
    """Answers in the order of the questions, from one interpreter.

    After a question that ends it, or that it has not answered in `seconds`, another one goes on.
    """
    left = list(questions)
    while left:
        for answer in _answers(tuple(left), seconds):
            yield left.pop(0), answer
        if left:
            yield left.pop(0), Answer(error=f"its interpreter ended, or took over {seconds:g} s")


def _answers(questions: Sequence[Question], seconds: float) -> Iterator[Answer]:
    """As many answers as one interpreter gives."""
    asked = json.dumps([sys.path, [[question.kind, question.name] for question in questions]])
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM, asked],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            for _ in questions:
                line = _line(process.stdout, process.kill, seconds)
                if not line.endswith("\n"):
                    return
                yield Answer(**json.loads(line))
        finally:
            process.kill()


def _line(stream: IO[str], kill: Callable[[], None], seconds: float) -> str:
    """The next line; what there is of it when the writer ended or had to be killed."""
    clock = threading.Timer(seconds, kill)
    clock.start()
    try:
        return stream.readline()
    finally:
        clock.cancel()


def answer_all(questions: Sequence[Sequence[str]]) -> None:
    """Answer on stdout, a line of JSON each; what the packages print themselves is dropped."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for kind, name in questions:
        try:
            answer = {"found": _ANSWERS[kind](name)}
        except Lack as lack:
            answer = {"error": str(lack)}
        except BaseException as error:  # a package may raise anything, SystemExit too
            first = (str(error).strip().splitlines() or [""])[0]
            answer = {"error": f"{type(error).__name__}: {first}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _import(module: str) -> str:
    from importlib import import_module

    import_module(module)
    return "imported"


def _cuda(_: str) -> str:
    import torch

    built = f"PyTorch for CUDA {torch.version.cuda}"
    if not torch.cuda.is_available():
        raise Lack(f"{built} sees no card")
    return f"{built} sees {torch.cuda.device_count()} card(s)"


def _kernel(name: str) -> str:
    from lra_design.kernels import load_kernel

    try:
        load_kernel(name)
    except ValueError as error:
        raise Lack(str(error)) from None
    return "loads"


_ANSWERS: dict[str, Callable[[str], str]] = {"import": _import, "cuda": _cuda, "kernel": _kernel}
