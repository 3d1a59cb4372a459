"""What is in a bundle, and how large each part may be.

bundle.json                what else is in it, with SHA-256, and the hash of all that
candidate.py               the source, once
dossier.json               its certificate and its nearest known mechanisms
runs.jsonl                 a record for each seed, seeds ascending
weights/SEED.safetensors   optional: what scored so
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent_sandbox.validator.syntax import MAX_BYTES
from leaderboards.dossiers import Dossier
from lra_design.records import Run, record

SUFFIX = ".lra.zip"
SCHEMA = 1
"""The schema of a bundle that this version reads and writes."""
MANIFEST, SOURCE, DOSSIER, RUNS = "bundle.json", "candidate.py", "dossier.json", "runs.jsonl"
_WEIGHTS = re.compile(r"weights/(0|[1-9][0-9]{0,9})\.safetensors", re.ASCII)

MAX_SEEDS = 64
MAX_MEMBERS = 4 + MAX_SEEDS
MAX_TOTAL = 2**31 - 1
"""Bytes of the whole file; what is larger would need the 64-bit extensions of zip."""
_LIMITS = {MANIFEST: 2**16, SOURCE: MAX_BYTES, DOSSIER: 2**22, RUNS: 2**25}
_MAX_WEIGHTS = 2**28
"""Three times the largest network of the recipes: 20 million parameters in float32."""


@record
class Manifest:
    """The content of `bundle.json`."""

    schema: Literal[1] = 1
    content: str
    """The hash of everything below: what names the bundle."""
    train_split: str
    """Hash of the split that was trained on; the ids of the runs depend on it."""
    members: dict[str, str]
    """SHA-256 of every other member by its name."""


@dataclass(frozen=True)
class Bundle:
    """One entry as it was handed in: claims, which fit each other and are not verified."""

    path: Path
    manifest: Manifest
    runs: tuple[Run, ...]
    """Of one mechanism under one set of conditions, seeds ascending; all of them scored."""
    dossier: Dossier

    @property
    def weights(self) -> tuple[int, ...]:
        """The seeds that came with their weights."""
        seeds = (weights_seed(name) for name in self.manifest.members)
        return tuple(sorted(seed for seed in seeds if seed is not None))


def content_hash(train_split: str, members: Mapping[str, str]) -> str:
    """SHA-256 over the names and hashes of all members but the manifest, hexadecimal."""
    text = json.dumps([SCHEMA, train_split, dict(members)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def weights_name(seed: int) -> str:
    """The member that holds the weights of a seed."""
    return f"weights/{seed}.safetensors"


def weights_seed(name: str) -> int | None:
    """The seed whose weights the member holds; None for any other member."""
    found = _WEIGHTS.fullmatch(name)
    return int(found[1]) if found else None


def size_limit(name: str) -> int | None:
    """Bytes that a member may have; None when a bundle has no such member."""
    return _MAX_WEIGHTS if weights_seed(name) is not None else _LIMITS.get(name)


def file_name(content: str) -> str:
    """What a bundle is called that was given no other name: 128 bits of its hash."""
    return content[:32] + SUFFIX
