"""What explains a score: facts beside an accuracy, from other runs of the same mechanism.

- A window-clamped twin of a task (`tasks.windows`) says how much local statistics alone reach.
- A probe of distances (`tasks.probes.reach`) says how far back the trained mechanism sees.
- ListOps has a ladder of shortcuts (`tasks.listops_depth`): how many levels must one evaluate for
  that accuracy?
- A copy under other names is shown under the first of its kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from agent_sandbox.fingerprint.structure import structure
from leaderboards.scores import Entry
from lra_design.records import Run, record
from tasks.listops_depth import LADDERS, equivalent_depth
from tasks.probes.reach import reach
from tasks.registry import get_task
from tasks.windows import parse_windowed

REACH_PROBE = "reach-probe"


@record
class Windowed:
    """What a mechanism keeps of its score when sequences are cut into windows."""

    window: int
    """Tokens."""
    accuracy: float
    """Mean test accuracy on the twin."""
    share: float | None
    """Of the accuracy above chance; None where the score itself is not above it."""


@record
class Reading:
    """What is known of an entry beside its accuracy."""

    depth: float | None
    """Levels of a ListOps tree that a shortcut has to evaluate for this accuracy: 0 is the root
    operator alone, -1 the most frequent class or less. None on other tasks."""
    windowed: tuple[Windowed, ...]
    """Smallest window first; empty when no twin was scored."""
    reach: int | None
    """Positions that it sees back, on the probe of distances; 0 when not even the nearest, None
    when it was not scored on it."""
    copy_of: str | None
    """Hash of the source that it repeats under other names or in another layout; None when it is
    the first of its kind."""


def readings(entries: Sequence[Entry], runs: Iterable[Run]) -> list[Reading]:
    """What is known of each entry. runs: those that the entries were computed from."""
    by_id = {run.run_id: run for run in runs}
    firsts = first_of_kind(by_id.values())
    family: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        family.setdefault(_mechanism(entry), []).append(entry)
    return [
        Reading(
            depth=_depth(entry),
            windowed=_windowed(entry, family[_mechanism(entry)]),
            reach=_reach(family[_mechanism(entry)], by_id),
            copy_of=firsts.get(entry.source_hash),
        )
        for entry in entries
    ]


def first_of_kind(runs: Iterable[Run]) -> dict[str, str]:
    """Source hash to that of the oldest source with the same code under any names, for all that
    are not the oldest. What cannot be parsed, or was left out of an export, is of no kind."""
    oldest: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: (run.created_at, run.run_id)):
        oldest.setdefault(run.source_hash, run)
    first: dict[str, str] = {}
    copies: dict[str, str] = {}
    for source_hash, run in oldest.items():
        known = structure(run.source) if run.source else None
        if known is not None and first.setdefault(known.form, source_hash) != source_hash:
            copies[source_hash] = first[known.form]
    return copies


def _mechanism(entry: Entry) -> tuple[str, ...]:
    """Equal for entries that may be read together: one source under one setting."""
    board = entry.board
    return entry.source_hash, board.scale, board.setting, board.mode


def _depth(entry: Entry) -> float | None:
    ladder = LADDERS.get(entry.board.task)
    if ladder is None or entry.test is None:
        return None
    return equivalent_depth(ladder, entry.test.mean, get_task(entry.board.task).chance)


def _windowed(entry: Entry, others: Iterable[Entry]) -> tuple[Windowed, ...]:
    found = []
    for other in others:
        twin = parse_windowed(other.board.task)
        if twin and twin[0] == entry.board.task and other.test is not None:
            share = _share(other.test.mean, entry)
            found.append(Windowed(window=twin[1], accuracy=other.test.mean, share=share))
    return tuple(sorted(found, key=lambda twin: twin.window))


def _share(accuracy: float, entry: Entry) -> float | None:
    if entry.test is None or entry.chance is None or entry.test.mean <= entry.chance:
        return None
    return max(0.0, (accuracy - entry.chance) / (entry.test.mean - entry.chance))


def _reach(entries: Iterable[Entry], by_id: Mapping[str, Run]) -> int | None:
    """Over the seeds' mean accuracy by distance; of several levels of the probe the farthest."""
    found = []
    for entry in entries:
        if entry.board.task.startswith(REACH_PROBE):
            accuracies: dict[int, list[float]] = {}
            for test in (by_id[run_id].test for run_id in entry.run_ids):
                for group in test.groups if test else ():
                    accuracies.setdefault(group.group, []).append(group.accuracy)
            if accuracies:
                means = {distance: fmean(values) for distance, values in accuracies.items()}
                found.append(reach(means, get_task(entry.board.task).chance) or 0)
    return max(found, default=None)
