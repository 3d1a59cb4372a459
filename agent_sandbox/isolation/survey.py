"""What holds on this machine, found by trying each layer and each level."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from agent_sandbox.isolation.bubblewrap import Bubblewrap
from agent_sandbox.isolation.cards import Card, cards
from agent_sandbox.isolation.container import Container
from agent_sandbox.isolation.opening import open_isolation, require_landlock, require_seccomp
from agent_sandbox.isolation.reach import file_rules, mounted_paths
from agent_sandbox.isolation.wall import Inside
from lra_design.errors import HarnessError, IsolationUnavailable
from lra_design.records import Level, Profile, record

LEVELS: tuple[Level, ...] = ("standard", "strong", "container")
PROFILES: tuple[Profile, ...] = ("validate", "train")


@record
class Trial:
    """One layer or one level in one profile, and whether it holds here."""

    kind: Literal["layer", "level"]
    name: str
    profile: Profile | None = None
    """None for a layer."""
    card: str | None = None
    """Name of the GPU that the workers computed on, if any."""
    holds: bool = True
    found: str = ""
    """Why it does not hold, and what helps."""
    remedy: str = ""
    """What helps; empty when it holds."""
    attempts: tuple[str, ...] = ()
    """What the self-test tried in vain."""
    gaps: tuple[str, ...] = ()
    """What the level cannot stop here."""
    seconds: float
    """Until the level stood and was tested."""


def survey(profiles: Sequence[Profile] = PROFILES) -> Iterator[Trial]:
    """Try all layers, then all levels in `profiles`. Takes seconds for each level and profile."""
    inside = Inside(readable=mounted_paths(file_rules("validate")))
    layers: dict[str, Callable[[], None]] = {
        "landlock": require_landlock,
        "seccomp": require_seccomp,
        "bubblewrap": Bubblewrap(inside).require,
        "container runtime": Container(inside).require,
    }
    for name, require in layers.items():
        yield _try_layer(name, require)
    for level in LEVELS:
        for profile in profiles:
            yield _try_level(level, profile)
        for card in cards()[:1]:
            yield _try_level(level, "train", card)


def _try_layer(name: str, require: Callable[[], None]) -> Trial:
    started = time.monotonic()
    trial = Trial(kind="layer", name=name, seconds=0.0)
    try:
        require()
    except IsolationUnavailable as refusal:
        trial = _refused(trial, refusal)
    return dataclasses.replace(trial, seconds=time.monotonic() - started)


def _try_level(level: Level, profile: Profile, card: Card | None = None) -> Trial:
    started = time.monotonic()
    name = card.name if card else None
    trial = Trial(kind="level", name=level, profile=profile, card=name, seconds=0.0)
    try:
        with open_isolation(level, profile=profile, card=card) as isolation:
            trial = dataclasses.replace(
                trial,
                attempts=tuple(canary.name for canary in isolation.attempts),
                gaps=isolation.record.gaps,
                seconds=time.monotonic() - started,
            )
    except HarnessError as refusal:
        trial = _refused(trial, refusal)
    return trial


def _refused(trial: Trial, refusal: HarnessError) -> Trial:
    remedy = refusal.remedy if isinstance(refusal, IsolationUnavailable) else ""
    return dataclasses.replace(trial, holds=False, found=str(refusal), remedy=remedy)
