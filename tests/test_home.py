"""The installation's folder and its secret, and files that appear whole or not at all."""

from __future__ import annotations

import resource
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from lra_design.errors import DataError
from lra_design.files import write_atomically
from lra_design.home import HOME_VARIABLE, home, secret_seed


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_secret_is_made_once_and_for_its_owner_alone(own_home: Path) -> None:
    first = secret_seed("a split")
    assert secret_seed("a split") == first
    assert secret_seed("another split") != first
    assert stat.S_IMODE((own_home / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE(own_home.stat().st_mode) == 0o700
    assert sorted(path.name for path in own_home.iterdir()) == ["secret"]


def test_another_installation_has_another_secret(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = secret_seed("a split")
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "other home"))
    assert secret_seed("a split") != first


def test_processes_that_ask_at_once_get_the_same_secret(own_home: Path) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        seeds = list(pool.map(secret_seed, ["a split"] * 6))
    assert len(set(seeds)) == 1


def test_a_damaged_secret_is_not_replaced_in_silence(own_home: Path) -> None:
    secret_seed("a split")
    (own_home / "secret").write_bytes(b"short")
    with pytest.raises(DataError, match="expected 32 bytes, found 5"):
        secret_seed("a split")


def test_a_home_that_cannot_be_made_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "file" / "home"))
    with pytest.raises(DataError, match=HOME_VARIABLE):
        home()


def test_a_file_is_replaced_whole_or_stays(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file"
    write_atomically(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(DataError, match="cannot write"):
            write_atomically(path, b"x" * 101)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
