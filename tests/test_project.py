"""What holds for the project as a whole: its packages, its pins, its README."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from lra_design.cli import cli
from tasks.registry import listed_tasks
from trainers.recipes import RECIPES, get_recipe

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_this_projects(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin == str(ROOT / package / "__init__.py")


def test_the_packages_are_the_six() -> None:
    names = ["lra_design", "tasks", "mechanisms", "agent_sandbox", "trainers", "leaderboards"]
    assert names == PACKAGES == PROJECT["tool"]["mypy"]["packages"]


def test_it_cannot_be_uploaded_by_accident() -> None:
    assert "Private :: Do Not Upload" in PROJECT["project"]["classifiers"]


def test_every_dependency_is_pinned_for_tests() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["test"], *extras["dev"]]
    names = {re.split(r"[<>=\[]", wish)[0].lower() for wish in wanted} - {"lra-design"}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {line.split("==")[0].lower() for line in lines if not line.startswith("#")}
    assert names <= pins
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if line[0] != "#")


def test_the_readme_names_commands_and_files_that_exist() -> None:
    text = (ROOT / "README.md").read_text()
    commands = re.findall(r"^\.venv/bin/lra-design (\S+)", text, flags=re.MULTILINE)
    assert commands
    assert set(commands) <= set(cli.commands)
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / target).exists(), target
    makefile = (ROOT / "Makefile").read_text()
    for goal in re.findall(r"^make (\w+)", text, flags=re.MULTILINE):
        assert f"\n{goal}:" in makefile


def test_every_task_has_a_recipe_and_every_recipe_a_task() -> None:
    known = {task.id for task in listed_tasks()}
    assert {task for task, _ in RECIPES} == known
    for task, scale in RECIPES:
        assert get_recipe(task, scale).host.d_model % get_recipe(task, scale).host.num_heads == 0
    assert get_recipe("listops-v1-window64", "small") == get_recipe("listops-v1", "small")
