"""Published results of systems designed by people: the anchors of the scores, with their sources.

A number is an *anchor* only when its table was seen and the system was trained from scratch. Rows
quoted from memory carry the flag `unconfirmed`: they are shown, and nothing is computed from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Size = Literal["lra", "small", "full"]
Flag = Literal["unconfirmed", "secondary", "pretrained"]

TASK_FAMILIES: dict[str, str] = {"listops-v1": "listops"}
"""Task id -> family of published results on the same data rules. A task that is absent has no
published result at its size."""

FLAG_MEANING: dict[Flag, str] = {
    "unconfirmed": "quoted from memory, its table was not seen: never an anchor",
    "secondary": "quoted by another paper, not read in its own",
    "pretrained": "pretrained on the task's own inputs: not an anchor for training from scratch",
}


@dataclass(frozen=True, kw_only=True)
class HumanResult:
    """One published accuracy."""

    system: str
    task_family: str
    accuracy: float
    """In [0, 1]."""
    source: str
    """Where the number was read."""
    size: Size
    """`lra`: the network and recipe of the LRA paper; `small`: 2 layers, width 64, 2 heads,
    MLP 128; `full`: each paper's own size and recipe."""
    flags: tuple[Flag, ...] = ()
    notes: str = ""

    @property
    def may_anchor(self) -> bool:
        """Whether a score may be computed from this number."""
        return not {"unconfirmed", "pretrained"} & set(self.flags)


def results(task_family: str) -> tuple[HumanResult, ...]:
    """Every published result of a family, best first; empty when there is none."""
    rows = [row for row in PUBLISHED if row.task_family == task_family]
    return tuple(sorted(rows, key=lambda row: (-row.accuracy, row.system)))


def anchor(task_family: str | None) -> HumanResult | None:
    """The human state of the art: the best result that may anchor, None when there is none."""
    rows = results(task_family) if task_family is not None else ()
    return next((row for row in rows if row.may_anchor), None)


def landmarks(task_family: str) -> tuple[HumanResult, ...]:
    """The few results that place a score: the state of the art and the softmax attentions."""
    best = anchor(task_family)
    rows = results(task_family)
    return tuple(row for row in rows if row is best or row.system in ("Transformer", "softmax"))


def resembled_family(task_id: str) -> str | None:
    """The family a task looks like without being comparable: `listops` for a smaller ListOps."""
    word = task_id.split("-")[0]
    known = set(TASK_FAMILIES.values())
    return word if word in known and task_id not in TASK_FAMILIES else None


def comparable_task(task_family: str) -> str:
    """The id of the task that a family's published results belong to."""
    return next(task for task, family in TASK_FAMILIES.items() if family == task_family)


def _listops(source: str, size: Size, accuracies: dict[str, float]) -> Iterator[HumanResult]:
    for system, accuracy in accuracies.items():
        yield _row(system, accuracy, source, size)


def _row(
    system: str,
    accuracy: float,
    source: str,
    size: Size,
    *flags: Flag,
    notes: str = "",
) -> HumanResult:
    return HumanResult(
        system=system,
        task_family="listops",
        accuracy=accuracy,
        source=source,
        size=size,
        flags=flags,
        notes=notes,
    )


_LRA = "google-research/long-range-arena README"
_NYSTROMFORMER = "mlpen/Nystromformer img/LRA.png"
_SKYFORMER = "pkuzengqi/Skyformer doc/Skyformer_camera_ready.pdf"
_LION = "LION paper, table 7"
_B2S6_3 = "B2S6 paper, table 3"
_B2S6_4 = "B2S6 paper, table 4"
_HGRN2 = "HGRN2 figures/lra.png"
_SGCONV = "SGConv imgs/lra.png"
_NOT_SCRATCH = "Never Train from Scratch, table 2"

PUBLISHED: tuple[HumanResult, ...] = (
    *_listops(
        _LRA,
        "lra",
        {
            "Local attention": 0.1582,
            "Linear Transformer": 0.1613,
            "Reformer": 0.3727,
            "Sparse Transformer": 0.1707,
            "Sinkhorn": 0.3367,
            "Linformer": 0.3570,
            "Performer": 0.1801,
            "Synthesizer": 0.3699,
            "Longformer": 0.3563,
            "Transformer": 0.3637,
            "BigBird": 0.3605,
        },
    ),
    _row("IGLOO", 0.3923, _LRA, "full", notes="external entry"),
    _row("Temporal latent bottleneck", 0.3705, _LRA, "full", notes="external entry"),
    *_listops(
        _NYSTROMFORMER,
        "small",
        {
            "softmax": 0.3710,
            "Nystromformer": 0.3715,
            "Linformer": 0.3725,
            "Reformer": 0.1905,
            "Performer": 0.1880,
        },
    ),
    *_listops(
        _SKYFORMER,
        "small",
        {
            "softmax": 0.3837,
            "Kernelized attention": 0.3878,
            "Nystromformer": 0.3851,
            "Informer": 0.3253,
            "Performer": 0.3802,
            "Reformer": 0.3768,
            "BigBird": 0.3925,
            "Skyformer": 0.3869,
        },
    ),
    _row("Luna-256", 0.3725, _LION, "full"),
    _row("FNet", 0.3533, _LION, "full", notes="size not confirmed"),
    _row("H-Transformer-1D", 0.4953, _LION, "full", notes="size not confirmed"),
    _row("RWKV-4", 0.5588, "a secondary document", "full", "secondary"),
    _row("S4 (first)", 0.5835, _SGCONV, "full"),
    _row("DSS softmax", 0.606, "ag1988/dss README", "full"),
    _row("S4D-DFouT", 0.6189, "S4D-DFouT paper (2025), table 1", "full"),
    _row("S4 (revised, LegS)", 0.5960, "several papers agree", "full"),
    _row("LRU", 0.6020, _HGRN2, "full", notes="the B2S6 table shifts this row by one column"),
    _row("ChordMixer", 0.5989, "RuslanKhalitov/ChordMixer README", "full"),
    _row("S5", 0.6215, "many papers agree", "full"),
    _row("Mega", 0.6314, "many papers agree", "full"),
    _row("Mamba (S6)", 0.3802, "B2S6 paper and HGRN2 figure agree", "full"),
    *_listops(
        _LION,
        "full",
        {
            "LION-D + HiPPO": 0.620,
            "LION-S + HiPPO": 0.6225,
            "Mega-chunk": 0.5876,
            "Mamba (xLSTM's protocol)": 0.325,
            "xLSTM (its own protocol)": 0.411,
        },
    ),
    *_listops(_HGRN2, "full", {"TNN": 0.6104, "HGRN": 0.5995, "HGRN2": 0.6052, "Griffin": 0.3234}),
    *_listops(_SGCONV, "full", {"SGConv": 0.6145}),
    _row("B2S6", 0.6385, _B2S6_3, "full", notes="NeurIPS 2025, ± 0.45 points"),
    *_listops(_B2S6_3, "full", {"S7": 0.6377, "Mamba-2": 0.4145}),
    *_listops(
        _B2S6_4,
        "full",
        {
            "S4D-LegS": 0.6047,
            "Regularised S4D": 0.6148,
            "Liquid-S4": 0.6275,
            "RTF": 0.6159,
            "HOPE-SSM": 0.6260,
            "S4D with tuned frequency bias": 0.6275,
        },
    ),
    _row("SeqBoat", 0.6170, "SeqBoat paper", "full", "unconfirmed"),
    _row("SPADE (attention + frozen S4)", 0.6050, "SPADE paper", "full", "unconfirmed"),
    _row(
        "Spectral SSM, autoregressive",
        0.6114,
        "Spectral SSM paper",
        "full",
        "unconfirmed",
        notes="the B2S6 table shows lower figures for the plain variant",
    ),
    _row("Rotary Transformer, from scratch", 0.4790, _NOT_SCRATCH, "full", "unconfirmed"),
    _row(
        "Rotary Transformer, self-pretrained",
        0.6149,
        _NOT_SCRATCH,
        "full",
        "unconfirmed",
        "pretrained",
    ),
    _row("S4, self-pretrained", 0.6125, _NOT_SCRATCH, "full", "unconfirmed", "pretrained"),
)
