"""The rule on `search_space`: a study must be able to use it without running the file."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from typing import Any

from agent_sandbox.candidate import (
    class_attribute,
    keywords_with_default,
    literal_search_space,
)
from agent_sandbox.validator.syntax import Syntax
from agent_sandbox.validator.violation import Violation

KINDS = {"int": {"low", "high", "log"}, "float": {"low", "high", "log"}, "categorical": {"choices"}}
"""The keys that each type of entry may have besides `type`."""
LARGEST_NUMBER = 2**53
"""Of a bound or a choice: every whole number up to it is a float, which samplers compute with."""


def check_search_space(syntax: Syntax) -> Iterator[Violation]:
    """`search_space` is a literal, well formed, and names keyword arguments of `__init__`."""
    for class_def in syntax.mechanisms:
        for fault in space_faults(class_def):
            node = class_attribute(class_def, "search_space")
            yield Violation(
                expected='a literal such as {"width": {"type": "int", "low": 4, "high": 64}}, each '
                "name a keyword argument of __init__ with a default",
                found=fault,
                likely_cause="the search space is read from the text, without running the file",
                hint="Write numbers and strings only, no calls, no arithmetic; kinds are int, "
                "float and categorical.",
                where=f"line {(node or class_def).lineno}",
            )


def space_faults(class_def: ast.ClassDef) -> Iterator[str]:
    """What is wrong with the class's `search_space`, in words; nothing when it is usable."""
    try:
        space = literal_search_space(class_def)
    except ValueError as error:
        yield str(error)
        return
    keywords = keywords_with_default(class_def)
    for name, entry in space.items():
        if name not in keywords:
            yield f"{_shown(name)} is no keyword argument of __init__ with a default"
        fault = _entry_fault(entry)
        if fault:
            yield f"{_shown(name)}: {fault}"


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.40}"
    except ValueError:  # a number of more digits than Python writes out
        return f"a {type(value).__name__} too long to show"


def _entry_fault(entry: Any) -> str:
    if not isinstance(entry, dict) or not isinstance(kind := entry.get("type"), str):
        return "no dictionary with a type"
    if kind not in KINDS:
        return f"unknown type {kind!r}"
    unknown = {_shown(key) for key in entry if key not in KINDS[kind] | {"type"}}
    if unknown:
        return f"unknown key {min(unknown)}"
    return _choices_fault(entry) if kind == "categorical" else _range_fault(entry, kind)


def _choices_fault(entry: dict[str, Any]) -> str:
    choices = entry.get("choices")
    if not isinstance(choices, list | tuple) or not choices:
        return "choices is no list with at least one element"
    odd = [choice for choice in choices if not _is_scalar(choice)]
    return f"choice {_shown(odd[0])} is no string, boolean or number up to 2**53" if odd else ""


def _is_scalar(value: Any) -> bool:
    if isinstance(value, int):
        return abs(value) <= LARGEST_NUMBER
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)  # no JSON has them
    return isinstance(value, float) and math.isfinite(value)


def _is_bound(value: Any, kind: str) -> bool:
    types: tuple[type, ...] = (int,) if kind == "int" else (int, float)
    right_type = isinstance(value, types) and not isinstance(value, bool)
    return right_type and bool(abs(value) <= LARGEST_NUMBER)  # False for NaN


def _range_fault(entry: dict[str, Any], kind: str) -> str:
    bounds = [entry.get("low"), entry.get("high")]
    for bound in bounds:
        if not _is_bound(bound, kind):
            return f"low and high must be of type {kind} and at most 2**53, found {_shown(bound)}"
    low, high = bounds
    log = entry.get("log", False)
    if not isinstance(log, bool):
        return f"log must be True or False, found {_shown(log)}"
    if low >= high:  # type: ignore[operator]
        return f"low must be below high, found {low} and {high}"
    return f"low must be positive when log is True, found {low}" if log and low <= 0 else ""  # type: ignore[operator]
