"""Recipes: the host and the training a task gets at a scale, the same for everybody.

The numbers stand in `recipes.toml`, each with its source.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from lra_design.errors import UsageError
from lra_design.records import HostConfig, TrainConfig, from_json, to_json
from tasks.probes import probe_of
from tasks.windows import parse_windowed

FILE = Path(__file__).with_name("recipes.toml")
Space = dict[str, dict[str, Any]]
"""Name to range, in the form that `Mechanism.search_space` documents."""


class Recipe(NamedTuple):
    """The two halves of a recipe."""

    host: HostConfig
    train: TrainConfig

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits that change with any number of the recipe.

        A run's id holds the numbers themselves.
        """
        text = to_json(self.host) + to_json(self.train)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A recipe and where it comes from. A task may have several of them at a scale."""

    name: str
    """What it is asked for by: `skyformer`."""
    recipe: Recipe
    source: str
    """Repository, file and commit, or the measurement."""
    sources: dict[str, str]
    """Field of the host or the training to where its value comes from. A field that the recipe does
    not give is missing: it has the default of its record."""


def _read(document: Mapping[str, Any]) -> dict[tuple[str, str], list[Variant]]:
    """By task and scale, all recipes that stand in the file, in its order."""
    read: dict[tuple[str, str], list[Variant]] = {}
    for name, table in document.items():
        if name == "space":
            continue
        for row in table["tasks"]:
            recipe = _recipe(table["defaults"] | row)
            variant = Variant(
                name=name, recipe=recipe, source=table["source"], sources=table["sources"]
            )
            for task in row["ids"]:
                read.setdefault((task, table["scale"]), []).append(variant)
    return read


def _recipe(values: Mapping[str, Any]) -> Recipe:
    """The recipe that a row of the file and its defaults make. An unknown name is refused."""
    rest = {name: value for name, value in values.items() if name != "ids"}
    num_steps = rest["num_steps"]
    rest["warmup_fraction"] = rest.pop("num_warmup_steps") / num_steps
    rest["evaluate_every"] = num_steps // rest.pop("num_evaluations")
    names = {field.name for field in fields(HostConfig)}
    host = {"causal": True, **{name: rest.pop(name) for name in names & rest.keys()}}
    return Recipe(from_json(HostConfig, json.dumps(host)), from_json(TrainConfig, json.dumps(rest)))


_DOCUMENT = tomllib.loads(FILE.read_text(encoding="utf-8"))
VARIANTS = _read(_DOCUMENT)
"""By task and scale, the default first."""
RECIPES: dict[tuple[str, str], Recipe] = {key: v[0].recipe for key, v in VARIANTS.items()}
"""By task and scale. `causal` is the caller's to set: it is True in all of them."""


def get_recipe(task: str, scale: str, variant: str | None = None) -> Recipe:
    """The recipe of a task at a scale: a probe's is the same at every level, a windowed twin's is
    that of its task.

    variant: the name of another one than the default. Raises UsageError saying which scales the
    task has, or which variants.
    """
    key = _key(task, scale)
    return RECIPES[key] if variant is None else get_variant(task, scale, variant).recipe


def get_variant(task: str, scale: str, name: str | None = None) -> Variant:
    """The recipe with its sources. Raises UsageError as `get_recipe` does."""
    variants = VARIANTS[_key(task, scale)]
    if name is None:
        return variants[0]
    for variant in variants:
        if variant.name == name:
            return variant
    known = ", ".join(variant_names(task, scale))
    raise UsageError(f"task '{task}' has no recipe '{name}' at scale '{scale}'. It has: {known}.")


def variant_names(task: str, scale: str) -> list[str]:
    """What the recipes of a task at a scale are called, the default first. Raises UsageError."""
    return [variant.name for variant in VARIANTS[_key(task, scale)]]


def recipe_space(task: str, scale: str) -> Space:
    """What `tuned` searches of the recipe of a task at a scale, the same for every mechanism.

    The names are fields of TrainConfig. Raises UsageError as `get_recipe` does.
    """
    space: Space = _DOCUMENT["space"][_key(task, scale)[1]]
    return {name: dict(entry) for name, entry in space.items()}


def _key(task: str, scale: str) -> tuple[str, str]:
    """Where the recipe of a task stands: with its probe's, or with that of the task it cuts."""
    probe, windowed = probe_of(task), parse_windowed(task)
    name = probe.id if probe else windowed[0] if windowed else task
    if (name, scale) not in RECIPES:
        known = ", ".join(s for t, s in RECIPES if t == name) or "none"
        raise UsageError(f"task '{task}' has no recipe at scale '{scale}'. It has: {known}.")
    return name, scale
