"""Reference mechanisms: one a file, each valid under the same checks as a candidate."""

from __future__ import annotations

from pathlib import Path

SHELF: dict[str, tuple[str, ...]] = {
    "attention": ("softmax",),
    "sparse attention": ("local_window",),
    "kernel and low-rank attention": (
        "linear",
        "performer",
        "cosformer",
        "linformer",
        "nystromformer",
        "skyformer",
        "luna",
    ),
    "token mixing": ("synthesizer", "fnet", "attention_free"),
    "convolution": ("long_convolution",),
    "state space": (),
    "gated recurrence": (),
    "floor": ("mean",),
}
"""The files of this folder, by name, by what kind of mixing they are."""

REFERENCES = tuple(name for names in SHELF.values() for name in names)

FEW = ("softmax", "linear", "local_window", "long_convolution", "mean")
"""One of each kind: what a run on a laptop compares its candidates with; `mean` is the floor."""


def reference_source(name: str) -> str:
    """The source of a reference, to be judged as a candidate's is."""
    return (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
