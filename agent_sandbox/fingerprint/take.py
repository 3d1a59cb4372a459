"""Take the fingerprint of a mechanism, whoever wrote it, in an isolated worker."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable

from agent_sandbox.candidate import source_hash
from agent_sandbox.fingerprint.behaviour import behaviour
from agent_sandbox.fingerprint.graph import graph_hash
from agent_sandbox.fingerprint.records import Fingerprint, Mode
from agent_sandbox.fingerprint.rig import D_MODEL, MAX_SEQ_LEN, Rig
from agent_sandbox.isolation.protocol import Isolation
from agent_sandbox.validator.built import Broken
from agent_sandbox.validator.draw import Draw
from agent_sandbox.validator.registry import ENTRIES
from agent_sandbox.validator.validate import validate
from lra_design.errors import CandidateFault, CandidateRefused
from lra_design.versions import current_versions

COST_LENGTHS = (256, 1024)


def fingerprint(
    source: bytes,
    isolation: Isolation,
    *,
    mode: Mode = "causal",
    seed: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Fingerprint:
    """The fingerprint of `source` at its default hyperparameters.

    seed: of weights and inputs; None draws one that nobody knows. advance: called after each round.
    Raises CandidateRefused when the text breaks a rule or an output is none, CandidateFault when
    the worker gives no answer.
    """
    started = time.monotonic()
    seed = secrets.randbits(63) if seed is None else seed
    text = validate(source, isolation, mode=mode, checks=())  # nothing runs
    if not text.valid or text.mechanism is None:
        raise CandidateRefused(text.findings)
    with Rig(isolation, source.decode(), causal=mode == "causal") as rig:
        try:
            found = behaviour(rig, seed, advance)
            flops_exponent, memory_exponent = _cost(rig)
            graph = _graph(rig)
        except Broken as broken:
            entry = ENTRIES[broken.check]
            raise CandidateRefused([broken.violation.finding(entry.id, entry.name)]) from None
    return Fingerprint(
        mechanism=text.mechanism,
        source=source.decode(),
        source_hash=source_hash(source),
        mode=mode,
        behaviour=found,
        graph_hash=graph,
        flops_exponent=flops_exponent,
        memory_exponent=memory_exponent,
        seconds=time.monotonic() - started,
        isolation=isolation.record,
        versions=current_versions(),
    )


def _graph(rig: Rig) -> str | None:
    """The same input and weights for all mechanisms: an operation's arguments may be numbers."""
    built = rig.build(0)
    x = Draw(0, "graph").normal(1, MAX_SEQ_LEN, D_MODEL)
    try:
        answer = rig.call("graph", {"key": built.key}, {"x": x})
    except CandidateFault as fault:
        if fault.kind != "raised":
            raise
        return None  # it runs, but not where its operations are recorded
    return graph_hash(answer.values.get("operations"))


def _cost(rig: Rig) -> tuple[float | None, float | None]:
    """Exponents of operations and of peak memory between two lengths."""
    short, long = COST_LENGTHS
    built = rig.long(0, long)
    exponents = [
        math.log(after / before) / math.log(long / short) if min(before, after) > 0 else None
        for before, after in zip(built.cost(short), built.cost(long), strict=True)
    ]
    return exponents[0], exponents[1]
