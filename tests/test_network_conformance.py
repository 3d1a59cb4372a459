"""Workers with a network of their own, tried from inside by the attempts that all workers face."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from escapes import ESCAPES
from test_sandbox_conformance import (  # noqa: F401  (the fixtures, which take these walls)
    TESTS,
    aim,
    gets_through,
    inmate,
    pytestmark,
)

from agent_sandbox.isolation import Worker, open_isolation
from agent_sandbox.isolation.forked import ForkedIsolation
from lra_design.errors import IsolationUnavailable
from lra_design.records import Level

ALLOWED = {
    "INET SOCK_STREAM": "makes a socket for TCP, which finds nobody but the door",
    "INET6 SOCK_STREAM": "the same",
    "connect the channel": "the call is there for TCP; a pair is connected, and stays so",
    "bind the channel": "the call is there for TCP; Landlock lets no path be bound",
    "send descriptors": "the call is there for TCP; nobody takes descriptors from the channel",
}
"""What such a worker may do besides. With arguments that mean something the calls come to nothing:
`test_agent_network` makes them."""
LEVELS: tuple[Level, ...] = ("standard", "strong", "container")


@pytest.fixture(scope="module", params=LEVELS)
def walls(request: pytest.FixtureRequest) -> Iterator[ForkedIsolation]:
    try:
        opened = open_isolation(
            request.param, profile="train", program_folders=[TESTS], own_network=True
        )
    except IsolationUnavailable as refusal:
        pytest.skip(str(refusal))
    with opened:
        yield opened


@pytest.mark.slow
def test_no_attempt_gets_through_but_to_the_calls_of_tcp(
    walls: ForkedIsolation,
    inmate: Worker,  # noqa: F811
    aim: dict[str, Any],  # noqa: F811
) -> None:
    """An attempt that finds nobody there, in an empty network, has not got through."""
    escapes = [escape for escape in ESCAPES if "train" in escape.profiles]
    walled = walls.record.level != "standard"
    through = {
        escape.name
        for escape in escapes
        if gets_through(inmate, escape, aim, walled or escape.family == "network")
    }
    assert through == set(ALLOWED)
