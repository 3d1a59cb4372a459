"""What a study searches: the recipe's space, the same for everybody, and the mechanism's own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent_sandbox.candidate import read_search_space
from lra_design.records import Scalar
from trainers.job import Job
from trainers.recipes import Space, recipe_space

if TYPE_CHECKING:
    import optuna

RECIPE_PREFIX = "recipe."
ORIGIN = "origin"
"""User attribute of a trial: who chose its values; see `lra_design.records.Trial`."""


def recipe_part(job: Job) -> Space:
    """What is tuned of the recipe of `job`."""
    return recipe_space(job.task, job.scale)


def search_space(job: Job) -> Space:
    """All that a study of `job` searches; the recipe's names carry the prefix `recipe.`."""
    recipe = {RECIPE_PREFIX + name: entry for name, entry in recipe_part(job).items()}
    return recipe | read_search_space(job.source)


def content_hash(value: Any) -> str:
    """SHA-256, hexadecimal, of a value that JSON can hold; of a space, say."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def suggest(trial: optuna.trial.BaseTrial, name: str, entry: Mapping[str, Any]) -> Scalar:
    """A value for one entry of a search space, in the form `Mechanism.search_space` documents."""
    value: Scalar
    if entry["type"] == "categorical":
        value = trial.suggest_categorical(name, entry["choices"])
    elif entry["type"] == "int":
        value = trial.suggest_int(name, entry["low"], entry["high"], log=entry.get("log", False))
    else:
        value = trial.suggest_float(name, entry["low"], entry["high"], log=entry.get("log", False))
    return value


def trial_job(trial: optuna.trial.BaseTrial, job: Job) -> Job:
    """`job` with the trial's hyperparameters in the recipe and in the mechanism.

    The trial of the defaults leaves both as they are.
    """
    if trial.user_attrs.get(ORIGIN) == "default":
        for name in default_values(job):  # what the sampler may learn of it
            suggest(trial, name, search_space(job)[name])
        return dataclasses.replace(job, setting="tuned")
    values = {name: suggest(trial, name, entry) for name, entry in search_space(job).items()}
    recipe: dict[str, Any] = {name: values.pop(RECIPE_PREFIX + name) for name in recipe_part(job)}
    return dataclasses.replace(
        job,
        setting="tuned",
        train=dataclasses.replace(job.train, **recipe),
        hyperparameters=values,
    )


def default_values(job: Job) -> dict[str, Scalar]:
    """The recipe's own values of what is tuned of it, as far as they lie within the space.

    A published recipe need not: its weight decay may be 0 where the search is logarithmic.
    """
    values = {name: getattr(job.train, name) for name in recipe_part(job)}
    return {
        RECIPE_PREFIX + name: value
        for name, value in values.items()
        if _contains(recipe_part(job)[name], value)
    }


def _contains(entry: Mapping[str, Any], value: Any) -> bool:
    if entry["type"] == "categorical":
        return value in entry["choices"]
    return bool(entry["low"] <= value <= entry["high"])
