"""What a design run knows of those who compete, kept beside the board's records."""

from __future__ import annotations

from collections.abc import Mapping

from agent_sandbox.fingerprint import fingerprint, nearest
from leaderboards.dossiers import Dossier, DossierFile
from lra_design.cli.judging import Judging
from lra_design.errors import CandidateFault, CandidateRefused
from lra_design.records import ValidationReport


def keep_dossiers(
    judging: Judging, reports: Mapping[str, ValidationReport], winner: str | None
) -> None:
    """Keep what is not kept yet. reports: by source. winner: the source to find neighbours of."""
    file = DossierFile(judging.folder.board)
    known = {dossier.certificate.source_hash for dossier in file.dossiers()}
    for source, report in reports.items():
        if report.valid and report.source_hash not in known:
            compared = source == winner
            file.append(_compared(judging, report, source) if compared else _bare(report))


def _compared(judging: Judging, report: ValidationReport, source: str) -> Dossier:
    """With the neighbours; without, when its process fails while it is compared."""
    try:
        taken = fingerprint(source.encode(), judging.isolation, mode=judging.settings.mode)
    except (CandidateFault, CandidateRefused):
        return _bare(report)
    found = nearest(taken)
    return Dossier(certificate=report, neighbours=found.neighbours, same_below=found.same_below)


def _bare(report: ValidationReport) -> Dossier:
    return Dossier(certificate=report)
