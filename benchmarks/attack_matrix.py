"""Which check catches which attack: the matrix, in Markdown on stdout.

    python benchmarks/attack_matrix.py [--seeds 7 8 9] [NAME ...] > matrix.md

Judges every module of `tests/attacks/` with the whole battery and prints a row for each: what may
catch it, what did, over how many of the seeds, and whether it was refused. Exit code 1 when an
attack got through that should not.
"""

from __future__ import annotations

import argparse
import collections
import sys
from dataclasses import dataclass
from pathlib import Path

from agent_sandbox.isolation import Isolation, open_isolation
from agent_sandbox.validator.examination import Patience
from agent_sandbox.validator.validate import validate

FOLDER = Path(__file__).parent.parent / "tests" / "attacks"
FREE = ("harmless", "beyond")


@dataclass(frozen=True)
class Row:
    """One attack and what became of it."""

    name: str
    trick: str
    allowed: tuple[str, ...]
    caught: collections.Counter[str]
    """How many seeds had a finding of this check; `w` marks a warning."""
    num_seeds: int
    num_valid: int
    seconds: float

    @property
    def as_expected(self) -> bool:
        """Refused, or warned of, by an allowed check on every seed; untouched when it is free."""
        if self.allowed[0] in FREE:
            return not self.caught
        hits = {check: count for check, count in self.caught.items() if check[:6] in self.allowed}
        warned = all(check.endswith("w") for check in self.caught)
        return sum(hits.values()) >= self.num_seeds and (warned or self.num_valid == 0)


def judge(path: Path, isolation: Isolation, seeds: list[int]) -> Row:
    head, _, _ = path.read_text().partition("\n")
    names, _, trick = head.removeprefix("# ").partition(": ")
    allowed = tuple(names.split("|"))
    patience = Patience(call_seconds=0.7, max_deaths=1) if "LRA401" in allowed else None
    reports = [validate(path.read_bytes(), isolation, seed=s, patience=patience) for s in seeds]
    caught = collections.Counter(
        name
        for report in reports
        for name in {f.check + "w" * (f.tier == "warning") for f in report.findings}
    )
    return Row(
        name=path.stem,
        trick=trick,
        allowed=allowed,
        caught=caught,
        num_seeds=len(seeds),
        num_valid=sum(report.valid for report in reports),
        seconds=sum(report.seconds for report in reports) / len(reports),
    )


def shown(row: Row) -> str:
    counts = (
        check if count == row.num_seeds else f"{check} {count}/{row.num_seeds}"
        for check, count in sorted(row.caught.items())
    )
    verdict = "as expected" if row.as_expected else "**got through**"
    cells = [row.name, row.trick, " ".join(row.allowed), ", ".join(counts) or "none", verdict]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7])
    parser.add_argument("names", nargs="*", help="attacks to judge, all by default")
    asked = parser.parse_args()
    paths = [p for p in sorted(FOLDER.glob("*.py")) if not asked.names or p.stem in asked.names]
    print("| attack | trick | may be caught by | was caught by | verdict |\n|---|---|---|---|---|")
    rows = []
    with open_isolation() as isolation:
        for path in paths:
            rows.append(judge(path, isolation, asked.seeds))
            print(shown(rows[-1]), flush=True)
    through = [row.name for row in rows if not row.as_expected]
    seconds = sum(row.seconds for row in rows) / max(1, len(rows))
    print(f"\n{len(rows) - len(through)} of {len(rows)} as expected over seeds {asked.seeds},")
    print(f"{seconds:.2f} s a validation. Got through: {', '.join(through) or 'none'}.")
    return 1 if through else 0


if __name__ == "__main__":
    sys.exit(main())
