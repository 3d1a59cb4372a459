"""What the project requires, against what is installed and can be imported."""

from __future__ import annotations

import shlex
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from lra_design.cli.health.facts import Fact, State
from lra_design.cli.health.importing import Question, ask
from lra_design.installation import PROJECT, ROOT, installed_version

if TYPE_CHECKING:
    from packaging.requirements import Requirement

GROUP = "packages"
ON_DEMAND = {"anthropic", "openai", "httpx2"}
"""Dependencies that are imported only when a service is asked for a candidate."""
FOR_WORK = {"test", "dev"}
"""Extras of people who change the benchmark: looked up, not imported."""
AGAINST_TORCH = "kernels"
"""The extra that is built against the PyTorch that is there."""
_MODULES = {"pillow": "PIL", "flash-linear-attention": "fla"}
"""Where the module is not called as the package is."""
_STATES: tuple[State, ...] = ("ok", "warning", "missing", "broken")
"""From the best to the worst."""


@dataclass(frozen=True)
class Package:
    """A requirement, and what is there of it."""

    requirement: Requirement
    version: str | None
    """None: not installed."""
    error: str
    """Why it cannot be imported; empty when it can, or when that was not tried."""

    @property
    def state(self) -> State:
        """`warning`: it can be imported, and is of a version that is not supported."""
        if self.version is None:
            return "missing"
        if self.error:
            return "broken"
        return "ok" if self.requirement.specifier.contains(self.version, True) else "warning"

    @property
    def found(self) -> str:
        """In words."""
        words = {
            "missing": "not installed",
            "broken": f"{self.version}: {self.error}",
            "warning": f"{self.version}, expected {self.requirement.specifier}",
        }
        return words.get(self.state, str(self.version))


def package_facts() -> Iterator[Fact]:
    """A fact for each dependency, then one for each extra, each as soon as it was tried.

    All that is installed is imported, by another interpreter.
    """
    required = requirements()
    for package in _packages(required.pop("")):
        name = package.requirement.name
        yield Fact(
            group=GROUP,
            name=name,
            state=package.state,
            found=package.found,
            remedy="" if package.state == "ok" else pip_install([package]),
            needed=name not in ON_DEMAND,
        )
    at_work = [wishes for extra, wishes in required.items() if extra not in FOR_WORK]
    tried = _packages(list(chain.from_iterable(at_work)))
    for extra, wishes in required.items():
        if extra in FOR_WORK:
            packages = [Package(wish, installed_version(wish.name), "") for wish in wishes]
        else:
            packages = list(islice(tried, len(wishes)))
        yield _extra_fact(extra, packages)


def _packages(wishes: Sequence[Requirement]) -> Iterator[Package]:
    here = [wish for wish in wishes if installed_version(wish.name)]
    answers = ask([Question("import", _module(wish.name)) for wish in here])
    for wish in wishes:
        version = installed_version(wish.name)
        error = next(answers)[1].error if version else ""
        yield Package(wish, version, error)


def _module(package: str) -> str:
    return _MODULES.get(package.lower(), package.replace("-", "_"))


def _extra_fact(extra: str, packages: Sequence[Package]) -> Fact:
    lacking = [package for package in packages if package.state != "ok"]
    return Fact(
        group="extras",
        name=extra,
        state=max((package.state for package in packages), key=_STATES.index),
        found=", ".join(f"{p.requirement.name} {p.found}" for p in lacking or packages),
        remedy=pip_install(lacking, against_torch=extra == AGAINST_TORCH) if lacking else "",
    )


def pip_install(lacking: Sequence[Package], *, against_torch: bool = False) -> str:
    """The command that installs what is lacking for this interpreter.

    It names the packages themselves and never this project, which is on no index: a package of its
    name there would be a stranger's.
    """
    here = Path(sys.executable)
    python = here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here
    options = ["--no-build-isolation"] if against_torch else []
    if all(package.state == "broken" for package in lacking):  # pip is content with what is there
        options += ["--force-reinstall", "--no-deps"]
    wishes = [str(package.requirement) for package in lacking]
    return shlex.join([str(python), "-m", "pip", "install", *options, *wishes])


def requirements() -> dict[str, list[Requirement]]:
    """The dependencies, under the empty name, and those of each extra.

    Of a checkout they are those of pyproject.toml, which may be newer than what was installed.
    """
    project = ROOT / "pyproject.toml"
    return _written(project) if project.is_file() else _recorded()


def _written(file: Path) -> dict[str, list[Requirement]]:
    """What pyproject.toml says; extras that name extras of the project are written out."""
    from packaging.requirements import Requirement

    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    texts = {"": project["dependencies"], **project["optional-dependencies"]}
    parsed = {extra: [Requirement(text) for text in texts[extra]] for extra in texts}

    def flat(extra: str) -> Iterator[Requirement]:
        for wish in parsed[extra]:
            if wish.name != PROJECT:
                yield wish
            for other in sorted(wish.extras) if wish.name == PROJECT else ():
                yield from flat(other)

    return {extra: list(flat(extra)) for extra in parsed}


def _recorded() -> dict[str, list[Requirement]]:
    """What the metadata of the installed package says, where the build wrote extras out."""
    from packaging.requirements import Requirement

    found = metadata.distribution(PROJECT)
    extras = found.metadata.get_all("Provides-Extra") or []
    required: dict[str, list[Requirement]] = {extra: [] for extra in ["", *extras]}
    for text in found.requires or ():
        wish = Requirement(text)
        of = [e for e in extras if wish.marker and wish.marker.evaluate({"extra": e})]
        wish.marker = None
        for extra in of or [""]:
            required[extra].append(wish)
    return required
