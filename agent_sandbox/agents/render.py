"""From a genome to the source of a mechanism: plain Python that holds only what the genome needs.

The text of each kernel stands in `templates/`, one file per kernel with three macros: `parameters`
(lines of `__init__`), `method` (the body of the branch's method) and, where one is needed,
`companion` (a second method). Equal genomes give equal bytes.
"""

from __future__ import annotations

import functools
import textwrap
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from agent_sandbox.agents.grammar import KERNELS, Branch, Genome


@dataclass(frozen=True)
class Tunable:
    """An integer of a part that a study may tune."""

    name: str
    default: int
    low: int
    high: int


_TUNABLE: dict[str, tuple[Tunable, ...]] = {
    "learnt relative bias": (Tunable("farthest", 256, 16, 1024),),
    "local window": (Tunable("window", 16, 4, 128),),
    "free": (Tunable("num_filters", 8, 4, 32), Tunable("filter_length", 256, 16, 4096)),
    "exponential decays": (Tunable("num_decays", 4, 1, 8),),
    "damped waves": (Tunable("num_waves", 4, 1, 8),),
    "diagonal state space": (Tunable("num_states", 8, 4, 32),),
}
"""The choices of a kernel that bring numbers with them."""

_CONVOLUTION_WIDTH = Tunable("conv_width", 4, 2, 8)

_METHODS: dict[str, str] = {
    "softmax attention": "_attend",
    "linear attention": "_attend_linearly",
    "long convolution": "_convolve",
    "gated recurrence": "_recur",
    "delays": "_delay",
    "mean": "_average",
}

_READ_PADDING = ("softmax attention", "linear attention", "mean")
"""For the others it is enough that the input is zero under the padding."""

_MEANINGS: dict[str, str] = {
    "softmax attention": "content-based weights over positions that sum to one",
    "linear attention": "attention whose weights are products of positive features",
    "long convolution": "a filter per channel, as long as the sequence",
    "gated recurrence": "a leaky memory whose gate looks at the input",
    "delays": "a learnt sum of the input at a few fixed delays",
    "mean": "the average of what may be seen",
}

_JOINED: dict[str, str] = {
    "sum": "The branches are added.",
    "channel mix": "Each channel mixes the branches by learnt shares that sum to one.",
    "input gate": "Each head weighs each branch by a sigmoid gate that looks at the input.",
    "concatenation": "The branches stand side by side before the output projection.",
}

_NORMED: dict[str, str] = {"rms": "An RMS norm", "layer": "A layer norm"}


def render(genome: Genome) -> str:
    """The source of the mechanism that `genome` describes."""
    branches = [_view(genome, index) for index in range(len(genome.branches))]
    title = " beside ".join(branch.kernel.name for branch in genome.branches).capitalize()
    body = _template("class.py.jinja").render(
        title=title,
        class_name=_class_name(genome),
        branches=branches,
        join=genome.join,
        norm=genome.norm,
        tunables=[tunable for branch in branches for tunable in branch["tunables"]],
        num_projections=num_projections(genome),
        joined_width=_times(len(branches) if genome.join == "concatenation" else 1, "width"),
    )
    source: str = _template("file.py.jinja").render(
        title=title, description=_description(genome), body=body
    )
    return source


def num_projections(genome: Genome) -> int:
    """How many D x W matrices the mechanism holds; softmax attention alone has 4."""
    inner = sum(_num_inner(branch) + branch.output_gate for branch in genome.branches)
    return inner + (len(genome.branches) if genome.join == "concatenation" else 1)


def _num_inner(branch: Branch) -> int:
    """Projections that the kernel itself reads: queries, keys and values, or values alone."""
    if branch.kernel.name in ("softmax attention", "linear attention"):
        return 3
    return 2 if branch.kernel.choices == ("per channel",) else 1


def _view(genome: Genome, index: int) -> dict[str, Any]:
    """What the templates read of one branch: its parts, its options by name, its suffix."""
    branch = genome.branches[index]
    kernel = branch.kernel
    suffix = "" if len(genome.branches) == 1 else f"_{index + 1}"
    options = dict(zip(KERNELS[kernel.name], kernel.choices, strict=True))
    tunables = [tunable for choice in kernel.choices for tunable in _TUNABLE.get(choice, ())]
    if branch.short_convolution:
        tunables.append(_CONVOLUTION_WIDTH)
    return {
        **options,
        "n": suffix,
        "part": _template(f"{kernel.name.replace(' ', '_')}.jinja").module,
        "method": _METHODS[kernel.name] + suffix,
        "projected_width": _times(_num_inner(branch), "width"),
        "meaning": _MEANINGS[kernel.name],
        "reads_padding": branch.short_convolution or kernel.name in _READ_PADDING,
        "short_convolution": branch.short_convolution,
        "output_gate": branch.output_gate,
        "tunables": [Tunable(t.name + suffix, t.default, t.low, t.high) for t in tunables],
    }


def _times(count: int, name: str) -> str:
    return name if count == 1 else f"{count} * {name}"


def _class_name(genome: Genome) -> str:
    words = " ".join(branch.kernel.name for branch in genome.branches)
    return "".join(word.capitalize() for word in words.split())


def _description(genome: Genome) -> list[str]:
    """The parts in words, wrapped for a docstring."""
    lines = []
    for index, branch in enumerate(genome.branches):
        label = f"Branch {index + 1}" if len(genome.branches) > 1 else "Kernel"
        lines.append(f"{label}: {branch}; {_MEANINGS[branch.kernel.name]}.")
    if genome.join is not None:
        lines.append(_JOINED[genome.join])
    if genome.norm != "none":
        lines.append(f"{_NORMED[genome.norm]} stands before the output projection.")
    return [wrapped for line in lines for wrapped in textwrap.wrap(line, 96)]


def _template(name: str) -> Any:
    return _environment().get_template(name)


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("agent_sandbox.agents"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        auto_reload=False,
    )
