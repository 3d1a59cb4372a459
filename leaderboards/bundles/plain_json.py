"""Records out of JSON that a stranger wrote: bounded, finite, and as we would write it."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn, TypeVar

from lra_design.errors import RecordError
from lra_design.records import from_json, to_json

T = TypeVar("T")

MAX_DEPTH = 24
MAX_INTEGER = 2**63 - 1


def parse_record(cls: type[T], text: bytes, where: str, schema: int = 1) -> T:
    """The record that `text` holds; `where` names it in errors, `schema` is what we know.

    Raises RecordError unless `text` is the JSON that `canonical` gives for it: then no key is
    there twice, and two readers cannot see two different records.
    """
    value = _parse(text, where)
    found = value.get("schema", schema) if isinstance(value, dict) else schema
    if isinstance(found, int) and found > schema:
        raise RecordError(
            f"{where}: expected schema {schema}, found {found}: a newer version of lra-design "
            "wrote it. Update lra-design"
        )
    _check(value, where, MAX_DEPTH)
    try:
        result = from_json(cls, text)
    except RecordError as error:
        raise RecordError(f"{where}: {error}") from None
    if to_json(result).encode() != text:
        raise RecordError(f"{where} is not written as lra-design writes it: it was edited")
    return result


def canonical(value: Any) -> bytes:
    """The JSON of a record, with whole numbers as its schema has them: 0.0 where 0 was given."""
    return to_json(from_json(type(value), to_json(value))).encode()


def _parse(text: bytes, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{where} is no JSON of a record: {str(error)[:200]}") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _check(value: Any, where: str, depth: int) -> None:
    """Raise RecordError for what is nested too deep, not finite, too large, or no text."""
    if depth < 0:
        raise RecordError(f"{where} is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for item in value:
            _check(item, where, depth - 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise RecordError(f"{where} has a number that is not finite")
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise RecordError(f"{where} has a whole number beyond 64 bits")
    elif isinstance(value, str) and not _is_text(value):
        raise RecordError(f"{where} has a text that no file can hold")


def _is_text(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)
