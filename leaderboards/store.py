"""The results store: a folder with append-only files, one run per line.

`records.jsonl` holds each training once. Stores of several machines may hold the same training with
other results; where they are merged, those that do not fit stand in `repeated.jsonl` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from lra_design.errors import RecordError
from lra_design.line_file import LineFile
from lra_design.records import Run, from_json, to_json

FILE_NAME = "records.jsonl"
REPEATED = "repeated.jsonl"
SCHEMA = 1
"""The schema of `Run` that this version reads and writes."""


class Store:
    """The runs in `folder`, which is made by the first `append`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._file = LineFile(self.path)

    def append(self, run: Run) -> bool:
        """Add a run; False when exactly this run is there already.

        Raises RecordError when the run's id is there with other content or the run is no valid
        record, DataError when it cannot be written; the store is then as it was before.
        """
        line = _encode(run)
        return self._file.append(line, lambda lines: not _holds(lines, run, line, self.path))

    def runs(self) -> list[Run]:
        """All runs in the order they were appended.

        Raises RecordError for a damaged line or one of a newer schema, DataError when the file
        cannot be read. A store that does not exist yet is empty.
        """
        return read_runs(self.path)

    def merge(self, runs: Iterable[Run]) -> int:
        """Add the runs that are not here, and lose none; how many were added.

        One whose id is here with other content goes to `repeated.jsonl`. Raises as `append` does.
        """
        ids = {_encode(run): run.run_id for run in runs}
        aside: list[bytes] = []
        if not ids:
            return 0

        def fitting(there: list[bytes]) -> list[bytes]:
            taken = {_values(line).get("run_id") for line in there}
            firsts: dict[object, bytes] = {}
            for line in _without(ids, there):
                if ids[line] in taken or ids[line] in firsts:
                    aside.append(line)
                else:
                    firsts[ids[line]] = line
            return list(firsts.values())

        added = self._file.extend(fitting)
        repeated = LineFile(self.path.with_name(REPEATED)) if aside else None
        return added + (repeated.extend(lambda there: _without(aside, there)) if repeated else 0)


def read_runs(path: Path) -> list[Run]:
    """The runs of a file of lines, as `Store.runs` gives them."""
    lines = enumerate(LineFile(path).lines(), start=1)
    return [decode_run(line, f"{path}, line {i}") for i, line in lines]


def _without(lines: Iterable[bytes], there: Iterable[bytes]) -> list[bytes]:
    known = set(there)
    return [line for line in lines if line not in known]


def _encode(run: Run) -> bytes:
    """The run's line; a run that could not be read back is refused here, not found out later."""
    try:
        text = to_json(run)
    except (TypeError, ValueError) as error:
        raise RecordError(f"the run '{run.name}' cannot be stored: {error}") from None
    from_json(Run, text)
    return text.encode("ascii")  # JSON escapes everything else, line breaks included


def decode_run(line: bytes, where: str) -> Run:
    """The run of a line. Raises RecordError that says `where` it stands."""
    try:
        return from_json(Run, line)
    except RecordError as error:
        schema = _values(line).get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise RecordError(
                f"{where}: expected a record of schema {SCHEMA}, found {schema}: a newer version "
                "of lra-design wrote it. Update lra-design, or use another folder for the results."
            ) from None
        raise RecordError(
            f"{where}: the record is damaged or was edited: {error}. Restore the file from a copy, "
            "or move this line to another file to go on without it."
        ) from None


def _values(line: bytes) -> dict[str, Any]:
    """The line's JSON object, empty when it is none."""
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _holds(lines: list[bytes], run: Run, line: bytes, path: Path) -> bool:
    """Whether the run is there; RecordError when its id is there with other content."""
    needle = json.dumps(run.run_id).encode()
    for there in lines:
        if there == line:
            return True
        if needle in there and _values(there).get("run_id") == run.run_id:
            raise RecordError(
                f"{path} holds run {run.run_id} already, with other content in: "
                f"{', '.join(_differences(there, line))}. Records are never replaced: "
                "keep the first, or use another folder for the results."
            )
    return False


def _differences(there: bytes, line: bytes) -> list[str]:
    old, new = _values(there), _values(line)
    return [field.name for field in fields(Run) if old.get(field.name) != new[field.name]]
