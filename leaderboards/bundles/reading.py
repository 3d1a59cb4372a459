"""Read a bundle that a stranger wrote: strictly, and without running anything of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from leaderboards.bundles.archive import Archive, open_archive
from leaderboards.bundles.claims import check_claims
from leaderboards.bundles.layout import (
    DOSSIER,
    MANIFEST,
    RUNS,
    SOURCE,
    Bundle,
    Manifest,
    content_hash,
    weights_name,
    weights_seed,
)
from leaderboards.bundles.plain_json import parse_record
from leaderboards.bundles.tensors import check_header, header_length
from leaderboards.dossiers import Dossier
from lra_design.errors import DataError, LraDesignError, RecordError
from lra_design.files import write_atomically
from lra_design.records import Run


def read_bundle(path: Path) -> Bundle:
    """The bundle at `path`: its records fit its source, its certificate and each other.

    Raises RecordError for one that was changed, damaged or made by something else, DataError for a
    file that cannot be read; both name the file.
    """
    try:
        with open_archive(path) as archive:
            return _read(path, archive)
    except RecordError as error:
        raise RecordError(f"{path} is refused: {error}.") from None
    except DataError as error:
        raise DataError(f"{path}: {error}.") from None


def extract_weights(bundle: Bundle, seed: int, file: Path) -> None:
    """Put the weights of a seed at `file`. Raises RecordError when the bundle has changed since."""
    name = weights_name(seed)
    try:
        with open_archive(bundle.path) as archive:
            if name not in archive.names:
                raise RecordError(f"{name} is gone")
            write_atomically(file, _as_listed(archive, name, bundle.manifest.members[name]))
    except RecordError as error:
        raise RecordError(f"{bundle.path} has changed: {error}.") from None


def unpack(path: Path, members: Mapping[str, bytes]) -> Bundle:
    """The bundle that is in these members, weights left out; raises RecordError if there is none.

    path: where it is, or will be.
    """
    manifest = parse_record(Manifest, members[MANIFEST], MANIFEST)
    if content_hash(manifest.train_split, manifest.members) != manifest.content:
        raise RecordError(f"{MANIFEST} has a hash that is not that of its content")
    lines = members[RUNS].split(b"\n")
    if lines.pop() != b"":
        raise RecordError(f"{RUNS} does not end with a line break")
    runs = [parse_record(Run, line, f"{RUNS}, line {n}") for n, line in enumerate(lines, start=1)]
    dossier = parse_record(Dossier, members[DOSSIER], DOSSIER)
    check_claims(members[SOURCE], runs, dossier, manifest.train_split)
    bundle = Bundle(path, manifest, tuple(runs), dossier)
    unknown = sorted(set(bundle.weights) - {run.seed for run in runs})
    if unknown:
        raise RecordError(f"weights of seeds without a record: {unknown}")
    return bundle


def _read(path: Path, archive: Archive) -> Bundle:
    missing = {MANIFEST, SOURCE, DOSSIER, RUNS} - set(archive.names)
    if missing:
        raise RecordError(f"a bundle has {', '.join(sorted(missing))}")
    members = {name: archive.read(name) for name in archive.names if weights_seed(name) is None}
    listed = parse_record(Manifest, members[MANIFEST], MANIFEST).members
    if {*listed, MANIFEST} != set(archive.names):
        raise RecordError(f"{MANIFEST} lists other members than there are")
    for name, digest in listed.items():
        _check_member(archive, name, digest)
    return unpack(path, members)


def _check_member(archive: Archive, name: str, digest: str) -> None:
    """Raise RecordError unless the member is what the manifest lists, and weights are tensors."""
    first, size = b"", 0
    for piece in _as_listed(archive, name, digest):
        first, size = first or piece, size + len(piece)
    if weights_seed(name) is not None:
        check_weights(name, first, size)


def check_weights(name: str, first: bytes, size: int) -> None:
    """Raise RecordError unless a file of `size` bytes that begins with `first` has a sound header.

    first: at least the header, when that is as short as it must be.
    """
    try:
        length = header_length(first)
        check_header(first[8 : 8 + length], size - 8 - length)
    except RecordError as error:
        raise RecordError(f"{name}: {error}") from None


def _as_listed(archive: Archive, name: str, digest: str) -> Iterator[bytes]:
    """The pieces of a member; raises RecordError after the last when its hash is another."""
    found = hashlib.sha256()
    for piece in archive.pieces(name):
        found.update(piece)
        yield piece
    if found.hexdigest() != digest:
        raise RecordError(f"{name} is not what {MANIFEST} lists: it was edited")


def refusals(paths: Iterable[Path]) -> Iterator[tuple[Path, Bundle | LraDesignError]]:
    """Each path with the bundle there, or with why it is refused."""
    for path in paths:
        try:
            yield path, read_bundle(path)
        except (RecordError, DataError) as error:
            yield path, error
