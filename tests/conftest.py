"""Fixtures that several files of tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from agent_sandbox.isolation import Isolation, open_isolation
from agent_sandbox.isolation.cards import VISIBLE_VARIABLE
from lra_design.home import HOME_VARIABLE

torch.set_num_threads(1)  # as the command line has it

# The same cases on every machine, however slow it is at the moment.
settings.register_profile("project", deadline=None, derandomize=True, database=None)
settings.load_profile("project")


_CARDS = os.environ.get(VISIBLE_VARIABLE)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Where there is a GPU, show it to the tests that ask for one and to no other.

    Run those by themselves: CUDA looks once in the life of a process.
    """
    if item.get_closest_marker("gpu") is None:
        os.environ[VISIBLE_VARIABLE] = ""
    elif _CARDS is None:
        os.environ.pop(VISIBLE_VARIABLE, None)
    else:
        os.environ[VISIBLE_VARIABLE] = _CARDS


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the tests away from the user's installation: data and a secret of their own, the same
    in every run, so that its splits are."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "secret").write_bytes(bytes(range(32)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="session")
def isolation() -> Iterator[Isolation]:
    """The real isolation, opened once for all tests that do not look at the opening itself."""
    with open_isolation() as opened:
        yield opened
