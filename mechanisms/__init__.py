"""Reference mechanisms: one a file, each valid under the same checks as a candidate."""

from __future__ import annotations

import ast
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

SHELF: dict[str, tuple[str, ...]] = {
    "attention": ("softmax", "rotary_softmax"),
    "sparse attention": (
        "local_window",
        "strided_sparse",
        "longformer",
        "bigbird",
        "reformer",
        "sinkhorn",
        "h_transformer_1d",
    ),
    "kernel attention": (
        "linear",
        "performer",
        "cosformer",
        "linformer",
        "nystromformer",
        "skyformer",
        "luna",
    ),
    "token mixing": ("synthesizer", "fnet", "attention_free"),
    "convolution": ("long_convolution", "sgconv", "multires_convolution", "hyena"),
    "state space": ("s4d", "dss", "s5", "lru", "mega"),
    "gated recurrence": (
        "retnet",
        "gla",
        "hgrn2",
        "deltanet",
        "mamba",
        "mamba2",
        "rwkv",
        "min_gru",
    ),
    "floor": ("mean", "identity"),
}
"""The files of this folder, by name, by what kind of mixing they are."""

REFERENCES = tuple(name for names in SHELF.values() for name in names)

FEW = ("softmax", "linear", "local_window", "long_convolution", "mean")
"""One of each kind: what a run on a laptop compares its candidates with; `mean` is the floor."""


@dataclass(frozen=True)
class Heading:
    """What a reference's docstring begins with."""

    title: str
    """`Softmax attention: every position weighs every other one it may see.`"""
    citation: str
    """The paper, as one line."""
    year: int
    arxiv: str
    """`1706.03762`"""


def reference_source(name: str) -> str:
    """The source of a reference, to be judged as a candidate's is."""
    return (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")


def reference_hash(name: str) -> str:
    """SHA-256 of a reference's bytes, as reports on it have it."""
    return hashlib.sha256(reference_source(name).encode()).hexdigest()


def heading(name: str) -> Heading:
    """Title and paper of a reference, read from its text without running it."""
    docstring = ast.get_docstring(ast.parse(reference_source(name))) or ""
    title, citation, *_ = (" ".join(part.split()) for part in docstring.split("\n\n"))
    paper = re.search(r"\b((?:19|20)\d\d) \(arXiv:(\d{4}\.\d{4,5})\)", citation)
    if paper is None:
        raise ValueError(f"{name}.py cites no paper as 'YEAR (arXiv:NUMBER)'")
    return Heading(title, citation, int(paper[1]), paper[2])
