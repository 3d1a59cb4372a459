"""How records become JSON and come back.

Every record is a frozen dataclass. `to_json` and `from_json` are the only way in and out; reading
rejects unknown keys, wrong types and numbers that are not finite. A number that is missing is
None, never 0.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
from dataclasses import dataclass, field
from typing import Any, TypeVar, dataclass_transform

from lra_design.errors import RecordError

T = TypeVar("T")


Scalar = str | int | float | bool
"""The value of a hyperparameter."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make a frozen, keyword-only dataclass that refuses unknown keys when it is read from JSON."""
    cls.__pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


def to_json(value: Any, *, indent: int | None = None) -> str:
    """The canonical JSON of a record: keys sorted, no NaN or infinity."""
    return json.dumps(dataclasses.asdict(value), sort_keys=True, allow_nan=False, indent=indent)


def from_json(cls: type[T], text: str | bytes) -> T:
    """The record that `text` holds. Raises RecordError saying which key is wrong and how."""
    from pydantic import ValidationError

    try:
        value: T = _adapter(cls).validate_json(text)  # type: ignore[arg-type]
        return value
    except ValidationError as error:
        raise RecordError(f"not a {cls.__name__}: {_first_fault(cls, error)}") from None


@functools.cache
def _adapter(cls: type[Any]) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def _first_fault(cls: type, error: Any) -> str:
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"]) or "the text"
    if fault["type"] == "unexpected_keyword_argument":
        known = [f.name for f in dataclasses.fields(cls)]
        nearest = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        return f"unknown key '{where}'" + (f", did you mean '{nearest[0]}'?" if nearest else "")
    return f"{where}: {fault['msg']}"
