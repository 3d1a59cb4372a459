"""The fingerprints of all references: measures them, writes them, and says how they tell apart.

    python benchmarks/fingerprints.py [--all] [--seeds N] [--workers N] [FILE ...]

Writes `agent_sandbox/fingerprint/known.json`, measuring only what is missing there or was made
from another source, with other features or another number of seeds; `--all` measures everything
again. Prints, for each mode, how many single fingerprints are nearest to their own mechanism (the
fingerprint itself left out), and the pairs of mechanisms that lie closest. For each FILE, which
should be a rewriting of the reference of the same name, it prints the distance to that and to the
nearest other.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the command line does, before torch is loaded

from agent_sandbox.candidate import mechanism_classes
from agent_sandbox.fingerprint import fingerprint, nearest
from agent_sandbox.fingerprint.features import FEATURES
from agent_sandbox.fingerprint.graph import graph_versions
from agent_sandbox.fingerprint.nearest import FILE
from agent_sandbox.fingerprint.records import Known, Mode, Shelf
from agent_sandbox.fingerprint.yardstick import Yardstick, centre
from agent_sandbox.isolation import Isolation, open_isolation
from agent_sandbox.validator.static_rules import supports
from lra_design.errors import RecordError
from lra_design.files import write_atomically
from lra_design.records import from_json
from mechanisms import REFERENCES, reference_hash, reference_source

MODES: tuple[Mode, ...] = ("causal", "bidirectional")
NUM_CLOSE = 12


def supported(source: str) -> list[Mode]:
    (class_def,) = mechanism_classes(ast.parse(source))
    return [mode for mode, yes in zip(MODES, supports(class_def), strict=True) if yes]


def kept(num_seeds: int) -> dict[tuple[str, Mode], Known]:
    """What the file holds that need not be measured again."""
    try:
        shelf = from_json(Shelf, FILE.read_bytes())
    except (OSError, RecordError):
        return {}
    if shelf.features != tuple(FEATURES):
        return {}
    return {
        (entry.name, entry.mode): entry
        for entry in shelf.entries
        if entry.name in REFERENCES
        and entry.source_hash == reference_hash(entry.name)
        and entry.graph_versions == graph_versions()
        and len(entry.vectors) == num_seeds
    }


def measured(name: str, mode: Mode, num_seeds: int, isolation: Isolation) -> Known:
    source, started = reference_source(name).encode(), time.monotonic()
    prints = [fingerprint(source, isolation, mode=mode, seed=seed) for seed in range(num_seeds)]
    seconds = (time.monotonic() - started) / num_seeds
    print(f"{name} {mode}: {seconds:.2f} s a fingerprint", flush=True)
    return Known(
        name=name,
        mode=mode,
        source_hash=prints[0].source_hash,
        graph_hash=prints[0].graph_hash,
        graph_versions=graph_versions(),
        vectors=tuple(
            tuple(float(f"{p.behaviour[feature]:.4g}") for feature in FEATURES) for p in prints
        ),
    )


def measure_missing(
    known: dict[tuple[str, Mode], Known], num_seeds: int, num_workers: int, isolation: Isolation
) -> None:
    """Adds to `known`, and writes the file after each: what was measured survives a Ctrl-C."""
    wanted = [(name, mode) for name in REFERENCES for mode in supported(reference_source(name))]
    missing = [key for key in wanted if key not in known]
    with ThreadPoolExecutor(num_workers) as pool:
        for entry in pool.map(lambda key: measured(*key, num_seeds, isolation), missing):
            known[entry.name, entry.mode] = entry
            write([known[key] for key in sorted(known)])


def write(entries: Sequence[Known]) -> None:
    """One vector a line, so that a change of one mechanism is a change of its lines."""
    blocks = []
    for entry in entries:
        head = {k: v for k, v in vars(entry).items() if k != "vectors"}
        rows = ",\n  ".join(json.dumps(vector) for vector in entry.vectors)
        blocks.append(f'{json.dumps(head)[:-1]}, "vectors": [\n  {rows}]}}')
    text = ",\n ".join(blocks)
    features = json.dumps(list(FEATURES))
    write_atomically(FILE, f'{{"features": {features},\n "entries": [\n {text}]}}\n'.encode())


def show_confusion(entries: Sequence[Known], yardstick: Yardstick, mode: Mode) -> None:
    centres = {entry.name: centre(entry.vectors) for entry in entries}
    total = own = 0
    for entry in entries:
        for index, vector in enumerate(entry.vectors):
            others = entry.vectors[:index] + entry.vectors[index + 1 :]
            known = {**centres, entry.name: centre(others)}
            found = min(known, key=lambda name: yardstick.distance(vector, known[name]))
            total, own = total + 1, own + (found == entry.name)
            if found != entry.name:
                print(f"  {entry.name}, seed {index}, is nearest to {found}")
    print(f"{mode}: {own} of {total} fingerprints are nearest to their own mechanism")
    pairs = sorted(
        (yardstick.distance(centres[a], centres[b]), a, b) for a, b in combinations(centres, 2)
    )
    for distance, a, b in pairs[:NUM_CLOSE]:
        print(f"  {distance:6.2f}  {a} and {b}")


def show_matrix(entries: Sequence[Known], yardstick: Yardstick) -> None:
    centres = {entry.name: centre(entry.vectors) for entry in entries}
    for name, vector in centres.items():
        row = " ".join(f"{yardstick.distance(vector, other):4.1f}" for other in centres.values())
        print(f"{name:>20} {row}")


def show_margin(file: Path, mode: Mode, isolation: Isolation) -> None:
    found = nearest(fingerprint(file.read_bytes(), isolation, mode=mode)).neighbours
    own = next(neighbour for neighbour in found if neighbour.name == file.stem)
    other = next(neighbour for neighbour in found if neighbour.name != file.stem)
    print(
        f"{file.stem} {mode}: {own.distance:.2f} to its original (copy: {own.copy or 'no'}, "
        f"shared structure {own.shared_structure:.2f}), {other.distance:.2f} to {other.name}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("files", nargs="*", type=Path)
    asked = parser.parse_args()
    known = {} if asked.all else kept(asked.seeds)
    with open_isolation() as isolation:
        measure_missing(known, asked.seeds, asked.workers, isolation)
        entries = [known[key] for key in sorted(known)]
        write(entries)
        yardstick = Yardstick(entries)
        print(f"one mechanism twice: below {yardstick.same_below:.2f} in 95 of 100 cases")
        for mode in MODES:
            chosen = [entry for entry in entries if entry.mode == mode]
            show_confusion(chosen, yardstick, mode)
            show_matrix(chosen, yardstick)
        for file in asked.files:
            for mode in supported(file.read_text()):
                show_margin(file, mode, isolation)


if __name__ == "__main__":
    main()
