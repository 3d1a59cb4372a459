"""The memory of a search: every attempt, one line of JSON each, only ever added to."""

from __future__ import annotations

from pathlib import Path

from lra_design.errors import RecordError
from lra_design.line_file import LineFile
from lra_design.records import Attempt, from_json, to_json


class Journal:
    """The attempts of one search in one file. The file is made by the first `append`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = LineFile(path)

    def attempts(self) -> list[Attempt]:
        """Every finished attempt, oldest first; none when there is no file yet.

        Raises RecordError naming the damaged line, DataError when the file cannot be read.
        """
        return [self._attempt(line, index) for index, line in enumerate(self._file.lines())]

    def append(self, attempt: Attempt) -> None:
        """Add `attempt` and wait until it is on the disk.

        Raises DataError when it cannot be written, and then the journal is as it was. Raises
        RecordError when it is not the next attempt of this journal.
        """

        def is_next(lines: list[bytes]) -> bool:
            if len(lines) != attempt.index:
                raise RecordError(
                    f"expected attempt {len(lines)} next in {self.path}, found attempt "
                    f"{attempt.index}. Another search writes this journal: stop one of them."
                )
            return True

        self._file.append(to_json(attempt).encode(), is_next)

    def _attempt(self, line: bytes, index: int) -> Attempt:
        try:
            attempt = from_json(Attempt, line)
        except RecordError as error:
            raise RecordError(
                f"line {index + 1} of {self.path} is damaged: {error}. "
                f"Restore the file from a copy, or delete this line and all after it."
            ) from None
        if attempt.index != index:
            raise RecordError(
                f"line {index + 1} of {self.path}: expected attempt {index}, found attempt "
                f"{attempt.index}. Restore the file from a copy, or delete this line and all after."
            )
        return attempt
