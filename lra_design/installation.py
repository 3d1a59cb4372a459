"""What is installed here and where it came from: the facts of a bug report, without torch."""

from __future__ import annotations

import ast
import json
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from lra_design import __version__
from lra_design.commit import commit_of

PROJECT = "lra-design"
ROOT = Path(__file__).resolve().parent.parent
_COMMIT = "extra_metadata/commit.txt"
"""Where `hatch_build.py` leaves the commit in a wheel's metadata."""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What one has to know to see the same again."""

    version: str
    commit: str | None
    """What the code was, with `+dirty` when it was changed since; None: nobody wrote it down."""
    contract: str
    kind: str
    """`editable`, `wheel`, or `folder`: not installed, found on the path."""
    python: str
    torch: str | None
    """None: not installed."""
    platform: str
    """System, kernel, processor and C library."""


def installation() -> Installation:
    """The facts of this installation. Raises nothing for one that is damaged."""
    kind = _kind()
    return Installation(
        version=__version__,
        commit=_recorded_commit() if kind == "wheel" else commit_of(ROOT),
        contract=contract_version(),
        kind=kind,
        python=platform.python_version(),
        torch=installed_version("torch"),
        platform=platform.platform(),
    )


def installed_version(name: str) -> str | None:
    """The version of an installed package, which is not imported for it; None: there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def contract_version() -> str:
    """`interface.CONTRACT_VERSION`, read from the source: importing it would import torch."""
    tree = ast.parse((ROOT / "lra_design" / "interface.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CONTRACT_VERSION":
            return str(ast.literal_eval(node.value))
    raise AssertionError("interface.py says which contract it is")


def _kind() -> str:
    found = _distribution()
    if found is None:
        return "folder"
    if Path(str(found.locate_file(""))).resolve() == ROOT:
        return "wheel"
    return "editable" if _origin(found).get("dir_info", {}).get("editable") else "folder"


def _recorded_commit() -> str | None:
    """The commit of a wheel: from its build, or from pip, which fetched a repository."""
    found = _distribution()
    assert found is not None
    built = (found.read_text(_COMMIT) or "").strip()
    return built or _origin(found).get("vcs_info", {}).get("commit_id")


def _origin(found: metadata.Distribution) -> dict[str, dict[str, str]]:
    """What pip says of where a package came from (PEP 610)."""
    try:
        origin: dict[str, dict[str, str]] = json.loads(found.read_text("direct_url.json") or "{}")
    except ValueError:
        return {}
    return origin


def _distribution() -> metadata.Distribution | None:
    try:
        return metadata.distribution(PROJECT)
    except metadata.PackageNotFoundError:
        return None
