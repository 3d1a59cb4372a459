"""Write a bundle: equal content makes equal bytes, and what is written can be read back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from leaderboards.bundles.archive import Content, archive_bytes, pieces
from leaderboards.bundles.layout import (
    DOSSIER,
    MANIFEST,
    MAX_MEMBERS,
    MAX_TOTAL,
    RUNS,
    SOURCE,
    SUFFIX,
    Manifest,
    content_hash,
    file_name,
    size_limit,
    weights_name,
)
from leaderboards.bundles.plain_json import canonical
from leaderboards.bundles.reading import check_weights, unpack
from leaderboards.dossiers import Dossier
from lra_design.errors import RecordError, UsageError
from lra_design.files import write_atomically
from lra_design.records import Run


def write_bundle(
    runs: Sequence[Run],
    dossier: Dossier,
    train_split: str,
    output: Path,
    weights: Mapping[int, Path] | None = None,
) -> Path:
    """Write the runs of one entry to `output`; where they are now.

    output: a file `*.lra.zip`, or a folder, in which the bundle is named by its hash. train_split:
    hash of the split they were trained on. weights: seed -> its `best.safetensors`. Raises
    RecordError when they are not the scored runs of one entry, or too large, UsageError for another
    name of a file, DataError when it cannot be written; nothing is there then.
    """
    runs = sorted(runs, key=lambda run: run.seed)
    if not runs:
        raise UsageError("expected at least one run")
    contents: dict[str, Content] = {
        SOURCE: runs[0].source.encode(),
        DOSSIER: canonical(dossier),
        RUNS: b"".join(canonical(run) + b"\n" for run in runs),
        **{weights_name(seed): file for seed, file in (weights or {}).items()},
    }
    members = {name: _digest(name, content) for name, content in contents.items()}
    content = content_hash(train_split, members)
    manifest = Manifest(content=content, train_split=train_split, members=members)
    contents[MANIFEST] = canonical(manifest)
    _check_total(contents)
    path = _place(output, content)
    unpack(path, {name: held for name, held in contents.items() if isinstance(held, bytes)})
    write_atomically(path, archive_bytes(contents))
    return path


def _check_total(contents: Mapping[str, Content]) -> None:
    sizes = (len(c) if isinstance(c, bytes) else c.stat().st_size for c in contents.values())
    total = sum(sizes) + MAX_MEMBERS * 256  # no more than that is written around them
    if total > MAX_TOTAL:
        raise RecordError(f"the bundle would have {total} bytes, allowed {MAX_TOTAL}")


def _place(output: Path, content: str) -> Path:
    if output.name.endswith(SUFFIX):
        return output
    if output.suffix and not output.is_dir():
        raise UsageError(f"expected a file *{SUFFIX} or a folder, found {output}")
    return output / file_name(content)


def _digest(name: str, content: Content) -> str:
    """SHA-256 of a member. Raises RecordError when it is too large, or weights are no tensors."""
    found, first, size = hashlib.sha256(), b"", 0
    for piece in pieces(content):
        found.update(piece)
        first, size = first or piece, size + len(piece)
    limit = size_limit(name)
    if limit is None or size > limit:
        raise RecordError(f"{name} has {size} bytes, allowed in a bundle: {limit}")
    if isinstance(content, Path):
        check_weights(name, first, size)
    return found.hexdigest()
