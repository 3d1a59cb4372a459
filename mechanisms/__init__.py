"""Reference mechanisms: one a file, each valid under the same checks as a candidate."""

from __future__ import annotations

from pathlib import Path

REFERENCES = ("softmax", "linear", "local_window", "long_convolution", "mean")
"""The files of this folder, by name; `mean` is the floor."""


def reference_source(name: str) -> str:
    """The source of a reference, to be judged as a candidate's is."""
    return (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
