"""What is known of a mechanism beside its trainings: `dossiers.jsonl` next to a store's records.

A line each, only ever added to. A dossier says of which source it is, in which mode and at which
hyperparameters; of any other it says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from agent_sandbox.fingerprint.records import Neighbour
from lra_design.errors import RecordError
from lra_design.line_file import LineFile
from lra_design.records import Run, Scalar, ValidationReport, from_json, record, to_json

FILE_NAME = "dossiers.jsonl"


@record
class Dossier:
    """The certificate of one source, and the known mechanisms that are nearest to it."""

    schema: Literal[1] = 1
    certificate: ValidationReport
    neighbours: tuple[Neighbour, ...] = ()
    """Nearest first, at default hyperparameters; empty where nobody looked."""
    same_below: float | None = None
    """Two fingerprints of one mechanism are nearer than this in 95 of 100 cases; None without
    neighbours."""


Dossiers = Mapping[tuple[str, str, str], Dossier]
"""By source hash, mode, and the hyperparameters as JSON."""


class DossierFile:
    """The dossiers in `folder`, which is made by the first `append`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._file = LineFile(self.path)

    def append(self, dossier: Dossier) -> bool:
        """Add a dossier; False when exactly this one is there already.

        Raises DataError when it cannot be written; the file is then as it was before.
        """
        line = to_json(dossier).encode("ascii")
        return self._file.append(line, lambda lines: line not in lines)

    def dossiers(self) -> list[Dossier]:
        """All of them, oldest first. Raises RecordError naming a damaged line."""
        found = []
        for number, line in enumerate(self._file.lines(), start=1):
            try:
                found.append(from_json(Dossier, line))
            except RecordError as error:
                raise RecordError(
                    f"{self.path}, line {number}: {error}. Restore the file from a copy, or move "
                    "this line to another file to go on without it."
                ) from None
        return found


def by_subject(dossiers: Iterable[Dossier]) -> Dossiers:
    """Each dossier under what it is of; of several a certificate counts before a refusal, and one
    with neighbours before one without, then the first."""
    found: dict[tuple[str, str, str], Dossier] = {}
    for dossier in dossiers:
        report = dossier.certificate
        key = _key(report.source_hash, report.mode, report.hyperparameters)
        if key not in found or _worth(dossier) > _worth(found[key]):
            found[key] = dossier
    return found


def dossier_of(run: Run, dossiers: Dossiers) -> Dossier | None:
    """The dossier of the mechanism that `run` trained; None when there is none."""
    return dossiers.get(_key(run.source_hash, run.mode, run.hyperparameters))


def _key(
    source_hash: str, mode: str, hyperparameters: Mapping[str, Scalar]
) -> tuple[str, str, str]:
    return source_hash, mode, json.dumps(dict(hyperparameters), sort_keys=True)


def _worth(dossier: Dossier) -> tuple[bool, bool]:
    return dossier.certificate.certified, bool(dossier.neighbours)
